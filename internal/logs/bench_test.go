//go:build linux

package logs

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// What is measured goes to a file system in memory, where there is one.
func benchDir(b *testing.B) string {
	b.Helper()
	if dir, err := os.MkdirTemp("/dev/shm", "gaffer"); err == nil {
		b.Cleanup(func() { _ = os.RemoveAll(dir) })
		return dir
	}
	return b.TempDir()
}

// BenchmarkCapture is lines of 100 bytes in writes of 4,000, beside a reader that does
// nothing but write what it reads to one file.
func BenchmarkCapture(b *testing.B) {
	for _, writers := range []int{1, 100} {
		b.Run(fmt.Sprintf("bare/writers=%d", writers), func(b *testing.B) {
			f, err := os.Create(filepath.Join(benchDir(b), "file"))
			if err != nil {
				b.Fatal(err)
			}
			defer f.Close()
			buf := make([]byte, 64<<10)
			capture(b, writers, func(_, fd int) int {
				n, _ := unix.Read(fd, buf)
				if n > 0 {
					_, _ = f.Write(buf[:n])
				}
				return n
			})
		})
		b.Run(fmt.Sprintf("gaffer/writers=%d", writers), func(b *testing.B) {
			s := newStore(b, benchDir(b))
			var captures []*Capture
			for i := range writers {
				captures = append(captures, s.Writer("web", i+1, "stdout", Limits{Plain: true}).Process(uint64(i), time.Time{}))
			}
			capture(b, writers, func(i, fd int) int {
				n, _ := captures[i].Take(fd, 64<<10)
				return n
			})
		})
	}
}

func capture(b *testing.B, writers int, take func(i, fd int) int) {
	b.Helper()
	block := bytes.Repeat(append(bytes.Repeat([]byte("x"), 99), '\n'), 40)
	b.SetBytes(int64(len(block)))
	set, err := unix.EpollCreate1(0)
	if err != nil {
		b.Fatal(err)
	}
	defer unix.Close(set)
	var ends [][2]int
	for i := range writers {
		var p [2]int
		if err := unix.Pipe2(p[:], unix.O_CLOEXEC); err != nil {
			b.Fatal(err)
		}
		_ = unix.SetNonblock(p[0], true)
		ends = append(ends, p)
		if err := unix.EpollCtl(set, unix.EPOLL_CTL_ADD, p[0], &unix.EpollEvent{Events: unix.EPOLLIN, Fd: int32(i)}); err != nil {
			b.Fatal(err)
		}
	}
	b.ResetTimer()
	for i, p := range ends {
		share := b.N / writers
		if i < b.N%writers {
			share++
		}
		go func() {
			for range share {
				_, _ = unix.Write(p[1], block)
			}
		}()
	}
	left := b.N * len(block)
	events := make([]unix.EpollEvent, 64)
	for left > 0 {
		n, _ := unix.EpollWait(set, events, -1)
		for _, e := range events[:max(n, 0)] {
			left -= max(take(int(e.Fd), ends[e.Fd][0]), 0)
		}
	}
	b.StopTimer()
	for _, p := range ends {
		_ = unix.Close(p[0])
		_ = unix.Close(p[1])
	}
}
