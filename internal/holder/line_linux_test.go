package holder

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"testing"

	"golang.org/x/sys/unix"
)

// Frames of all sizes, with and without descriptors, arrive whole and in order, however
// slowly they are taken, and each descriptor with its own frame.
func TestFramesArriveInOrderWithTheirDescriptors(t *testing.T) {
	ours, theirs, err := newPair()
	if err != nil {
		t.Fatal(err)
	}
	other, err := newLine(theirs)
	if err != nil {
		t.Fatal(err)
	}
	defer other.close()
	const many = 400
	for i := range many {
		f := frame{kind: kindStart, id: uint64(i), number: int64(-i), body: bytes.Repeat([]byte{byte(i)}, i*i%70_000)}
		for range i % 4 {
			r, w, err := os.Pipe()
			if err != nil {
				t.Fatal(err)
			}
			fmt.Fprint(w, i)
			_ = w.Close()
			f.fds = append(f.fds, int(r.Fd()))
			defer r.Close()
		}
		ours.send(&f)
	}
	for i := range many {
		f, err := other.receive()
		if err != nil {
			t.Fatal(err)
		}
		if f.id != uint64(i) || f.number != int64(-i) || len(f.body) != i*i%70_000 || len(f.fds) != i%4 {
			t.Fatalf("frame %d: %d, %d bytes, %d descriptors", i, f.id, len(f.body), len(f.fds))
		}
		for _, fd := range f.fds {
			var b [16]byte
			n, err := unix.Read(fd, b[:])
			if string(b[:max(n, 0)]) != fmt.Sprint(i) {
				t.Errorf("frame %d has the descriptor of frame %s, %v", i, b[:max(n, 0)], err)
			}
		}
		closeAll(f.fds)
	}
	ours.close()
	if _, err := other.receive(); !errors.Is(err, io.EOF) {
		t.Errorf("at the end: %v", err)
	}
}

// A sender that is killed in the middle of a frame leaves no descriptors behind.
func TestTornFramesLeakNothing(t *testing.T) {
	whole := appendHeader(nil, &frame{kind: kindStart, body: make([]byte, 100_000), fds: make([]int, 1)})
	wrong := bytes.Clone(whole)
	wrong[27] = 0xff // more than any body has
	for name, text := range map[string][]byte{"cut": whole, "no frame": wrong} {
		p, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
		if err != nil {
			t.Fatal(err)
		}
		l, err := newLine(p[0])
		if err != nil {
			t.Fatal(err)
		}
		r, w, err := os.Pipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := unix.Sendmsg(p[1], text, unix.UnixRights(int(w.Fd())), nil, 0); err != nil {
			t.Fatal(err)
		}
		_ = w.Close()
		_ = unix.Close(p[1])
		if _, err := l.receive(); err == nil {
			t.Errorf("%s: a frame", name)
		}
		if n, err := r.Read(make([]byte, 1)); err != io.EOF { // while somebody has the other end it would wait
			t.Errorf("%s: %d, %v", name, n, err)
		}
		_ = r.Close()
		l.close()
	}
}
