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
			if string(b[:max(n, 0)]) != "" && string(b[:n]) != fmt.Sprint(i) {
				t.Errorf("frame %d has the descriptor of frame %s, %v", i, b[:n], err)
			}
		}
		closeAll(f.fds)
	}
	ours.close()
	if _, err := other.receive(); !errors.Is(err, io.EOF) {
		t.Errorf("at the end: %v", err)
	}
}
