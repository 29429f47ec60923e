//go:build linux

package logs

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

var killFor = flag.Duration("kill-for", 3*time.Second, "how long to kill who takes what is written")

const takerVariable = "GAFFER_TEST_TAKER"

func TestMain(m *testing.M) {
	if dir := os.Getenv(takerVariable); dir != "" {
		take(dir)
		return
	}
	os.Exit(m.Run())
}

// take is a program that takes what comes on descriptor 3, until its end.
func take(dir string) {
	s, err := Open(filepath.Join(dir, "logs"), Options{Staging: filepath.Join(dir, "staging")})
	if err != nil {
		panic(err)
	}
	c := s.Writer("web", 1, "stdout", Limits{MaxSize: 256 << 10, MaxFiles: 1 << 20, Plain: true}).Process(1, time.Time{})
	for {
		fds := []unix.PollFd{{Fd: 3, Events: unix.POLLIN}}
		_, _ = unix.Poll(fds, -1)
		if _, err := c.Take(3, 64<<10); errors.Is(err, io.EOF) {
			return
		} else if err != nil {
			panic(err)
		}
	}
}

// Whoever takes is killed again and again while numbered lines are written, small ones
// and large ones. Each is in the files once, in order.
func TestKillsLoseAndDoubleNothing(t *testing.T) {
	dir := t.TempDir()
	var p [2]int
	if err := unix.Pipe2(p[:], unix.O_CLOEXEC); err != nil {
		t.Fatal(err)
	}
	reader := os.NewFile(uintptr(p[0]), "reader")
	writer := os.NewFile(uintptr(p[1]), "writer")
	defer reader.Close()
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	start := func() *exec.Cmd {
		cmd := exec.Command(exe)
		cmd.Env = append(os.Environ(), takerVariable+"="+dir, "GOMAXPROCS=2")
		cmd.ExtraFiles, cmd.Stderr = []*os.File{reader}, os.Stderr
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		return cmd
	}
	over := make(chan struct{})
	wrote := make(chan int)
	go func() {
		n := 0
		random := rand.New(rand.NewPCG(1, 2))
		for {
			select {
			case <-over:
				_ = writer.Close()
				wrote <- n
				return
			default:
			}
			var b strings.Builder
			for range 1 + random.IntN(2)*random.IntN(600) {
				fmt.Fprintf(&b, "%d %s\n", n, strings.Repeat("x", random.IntN(40)))
				n++
			}
			_, _ = writer.WriteString(b.String())
		}
	}()
	kills := 0
	for end := time.Now().Add(*killFor); time.Now().Before(end); kills++ {
		cmd := start()
		time.Sleep(time.Duration(rand.IntN(8000)+500) * time.Microsecond) // a moment that nothing announces
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	}
	close(over)
	cmd := start()
	n := <-wrote
	if err := cmd.Wait(); err != nil {
		t.Fatal(err)
	}
	web := filepath.Join(dir, "logs", "web.1")
	lines := strings.Split(content(t, web, "stdout"), "\n")
	if last := lines[len(lines)-1]; last != "" {
		t.Errorf("it ends with %q", last)
	}
	lines = lines[:len(lines)-1]
	for i, line := range lines {
		if number, _, _ := strings.Cut(line, " "); number != fmt.Sprint(i) {
			t.Fatalf("%d kills: line %d is %q", kills, i, line)
		}
	}
	if len(lines) != n {
		t.Errorf("%d kills: %d lines are kept of %d", kills, len(lines), n)
	}
	t.Logf("%d kills, %d lines in %d files: none lost, none doubled", kills, n, len(segments(web, "stdout"))+1)
}
