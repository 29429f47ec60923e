package proc

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"syscall"
	"testing"
)

func TestStdinIsWritten(t *testing.T) {
	h := newHost(t, Options{})
	spec := shell("read line; echo got $line")
	spec.Input = true
	r := start(t, h, spec)
	if n, err := r.process.Write(t.Context(), Stdin, []byte("hello\n")); n != 6 || err != nil {
		t.Fatalf("wrote %d, %v", n, err)
	}
	r.await(t)
	if got := r.text(Stdout); got != "got hello\n" {
		t.Errorf("stdout %q", got)
	}
	if _, err := r.process.Write(t.Context(), Stdin, []byte("x")); !errors.Is(err, ErrClosed) {
		t.Errorf("write after the end: %v, want %v", err, ErrClosed)
	}
}

func TestCustomStreamsGoBothWays(t *testing.T) {
	h := newHost(t, Options{})
	spec := shell("read a <&3; read b <&4; echo 3:$a >&3; echo 4:$b >&4")
	spec.Streams = 2
	r := start(t, h, spec)
	for i := range 2 {
		if _, err := r.process.Write(t.Context(), Custom+i, fmt.Appendf(nil, "word%d\n", i)); err != nil {
			t.Fatal(err)
		}
	}
	r.await(t)
	if a, b := r.text(Custom), r.text(Custom+1); a != "3:word0\n" || b != "4:word1\n" {
		t.Errorf("streams say %q and %q", a, b)
	}
}

func TestStreamThatIsNotThereCannotBeWritten(t *testing.T) {
	h := newHost(t, Options{})
	spec := shell("sleep 100")
	spec.Streams = 1
	r := start(t, h, spec)
	for _, stream := range []int{-1, Stdin, Stdout, Stderr, Custom + 1, 99} {
		if _, err := r.process.Write(t.Context(), stream, []byte("x")); !errors.Is(err, syscall.EBADF) {
			t.Errorf("stream %d: %v, want %v", stream, err, syscall.EBADF)
		}
	}
}

func TestWriteToAFullPipeEndsWithItsContext(t *testing.T) {
	h := newHost(t, Options{})
	spec := shell("sleep 100")
	spec.Input = true
	r := start(t, h, spec)
	ctx, cancel := context.WithCancel(t.Context())
	type result struct {
		n   int
		err error
	}
	results := make(chan result)
	go func() {
		n, err := r.process.Write(ctx, Stdin, make([]byte, 1<<20))
		results <- result{n, err}
	}()
	waiting, stop := context.WithCancel(t.Context())
	stop()
	if _, err := r.process.Write(waiting, Stdin, []byte("x")); !errors.Is(err, context.Canceled) {
		t.Errorf("write with an ended context: %v", err)
	}
	cancel()
	if got := <-results; got.n >= 1<<20 || !errors.Is(got.err, context.Canceled) {
		t.Errorf("wrote %d, %v", got.n, got.err)
	}

	go func() {
		n, err := r.process.Write(t.Context(), Stdin, make([]byte, 1<<20))
		results <- result{n, err}
	}()
	r.process.Kill()
	if got := <-results; !errors.Is(got.err, ErrClosed) {
		t.Errorf("write to a process that ends: %v, want %v", got.err, ErrClosed)
	}
}

func TestWritesDoNotMix(t *testing.T) {
	h := newHost(t, Options{})
	spec := shell("cat")
	spec.Input = true
	r := start(t, h, spec)
	const writers, size = 4, 100_000 // more than a pipe holds
	var wg sync.WaitGroup
	for i := range writers {
		wg.Go(func() {
			text := strings.Repeat(string(rune('a'+i)), size) + "\n"
			if _, err := r.process.Write(t.Context(), Stdin, []byte(text)); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	for {
		if strings.Count(r.text(Stdout), "\n") == writers {
			break
		}
		select {
		case <-r.wrote:
		case <-t.Context().Done():
			t.Fatal("not all came back")
		}
	}
	for line := range strings.Lines(r.text(Stdout)) {
		if strings.Trim(line, line[:1]) != "\n" || len(line) != size+1 {
			t.Errorf("a line of %d bytes begins %q", len(line), line[:10])
		}
	}
}

func TestOutputsAreCapturedAsAskedFor(t *testing.T) {
	h := newHost(t, Options{})
	for _, test := range []struct {
		outputs  int
		merge    bool
		out, err string
	}{
		{0, false, "", ""},
		{1, false, "o\n", ""},
		{2, false, "o\n", "e\n"},
		{2, true, "o\ne\n", ""},
	} {
		spec := shell("echo o; echo e >&2")
		spec.Outputs, spec.Merge = test.outputs, test.merge
		r := start(t, h, spec)
		r.await(t)
		if r.text(Stdout) != test.out || r.text(Stderr) != test.err {
			t.Errorf("outputs %d, merge %v: stdout %q, stderr %q", test.outputs, test.merge, r.text(Stdout), r.text(Stderr))
		}
	}
}

func TestMuchOutputArrivesWhole(t *testing.T) {
	const size = 4 << 20
	h := newHost(t, Options{})
	r := start(t, h, shell(fmt.Sprintf("head -c %d /dev/zero", size)))
	r.await(t)
	if got := len(r.text(Stdout)); got != size {
		t.Errorf("%d bytes came, want %d", got, size)
	}
}

func TestProcessGoesOnAfterClosingItsOutput(t *testing.T) {
	h := newHost(t, Options{})
	spec := shell("exec >&- 2>&-; read x; exit 7")
	spec.Input = true
	r := start(t, h, spec)
	if _, err := r.process.Write(t.Context(), Stdin, []byte("\n")); err != nil {
		t.Fatal(err)
	}
	if exit := r.await(t); exit.Status != 7 {
		t.Errorf("exit %+v", exit)
	}
}
