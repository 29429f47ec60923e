package proc

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
)

// patience is how long a test waits for something that must happen.
const patience = 20 * time.Second

// raceOptions keeps programs built with the race detector from waiting a second
// before they exit.
const raceOptions = "GORACE=atexit_sleep_ms=0"

// recorder is a Handler that remembers what it was told.
type recorder struct {
	mu     sync.Mutex
	output map[int]*bytes.Buffer
	calls  []string
	busy   bool // a call is going on: they must not overlap

	process Process
	exit    Exit
	wrote   chan struct{} // gets a token after each Output
	gone    chan struct{} // closed by Exited
}

func newRecorder() *recorder {
	return &recorder{output: map[int]*bytes.Buffer{}, wrote: make(chan struct{}, 1), gone: make(chan struct{})}
}

func (r *recorder) enter(call string) func() {
	r.mu.Lock()
	if r.busy {
		panic("calls of a handler overlap")
	}
	r.busy = true
	r.calls = append(r.calls, call)
	r.mu.Unlock()
	return func() {
		r.mu.Lock()
		r.busy = false
		r.mu.Unlock()
	}
}

func (r *recorder) Started(p Process) {
	defer r.enter("started")()
	r.process = p
}

func (r *recorder) Output(stream int, data []byte) {
	defer r.enter("output")()
	r.mu.Lock()
	b := r.output[stream]
	if b == nil {
		b = new(bytes.Buffer)
		r.output[stream] = b
	}
	b.Write(data)
	r.mu.Unlock()
	select {
	case r.wrote <- struct{}{}:
	default:
	}
}

func (r *recorder) Exited(e Exit) {
	defer r.enter("exited")()
	r.exit = e
	close(r.gone)
}

// text is what came on a stream so far.
func (r *recorder) text(stream int) string {
	r.mu.Lock()
	defer r.mu.Unlock()
	if b := r.output[stream]; b != nil {
		return b.String()
	}
	return ""
}

// await waits until Exited was called.
func (r *recorder) await(t testing.TB) Exit {
	t.Helper()
	select {
	case <-r.gone:
		return r.exit
	case <-time.After(patience):
		t.Fatalf("process %d: no exit after %v; it wrote %q", r.process.PID(), patience, r.text(Stdout)+r.text(Stderr))
		return Exit{}
	}
}

// awaitText waits until the stream has text in it, and returns all that came.
func (r *recorder) awaitText(t testing.TB, stream int, text string) string {
	t.Helper()
	deadline := time.After(patience)
	for {
		if got := r.text(stream); strings.Contains(got, text) {
			return got
		}
		select {
		case <-r.wrote:
		case <-deadline:
			t.Fatalf("stream %d: no %q after %v in %q", stream, text, patience, r.text(stream))
		}
	}
}

// program is a Spec of one of the programs of this test binary.
func program(t testing.TB, name string, args ...string) *Spec {
	t.Helper()
	if _, ok := programs[name]; !ok {
		t.Fatalf("program %q: not found", name)
	}
	started.Store(name, true)
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	return &Spec{
		Path: exe, Args: append([]string{filepath.Base(exe)}, args...), Outputs: 2,
		Env: []string{programVariable + "=" + name, "PATH=" + os.Getenv("PATH"), "GOMAXPROCS=1", raceOptions},
	}
}

// shell is a Spec of a shell script.
func shell(script string) *Spec {
	return &Spec{
		Path: "/bin/sh", Args: []string{"sh", "-c", script}, Outputs: 2,
		Env: []string{"PATH=" + os.Getenv("PATH")},
	}
}

func newHost(t testing.TB, o Options) *Host {
	t.Helper()
	h, err := NewHost(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := h.Close(); err != nil {
			t.Errorf("close: %v", err)
		}
		wantNoZombies(t)
	})
	return h
}

// start starts spec and kills it when the test ends.
func start(t testing.TB, h *Host, spec *Spec) *recorder {
	t.Helper()
	r := newRecorder()
	if err := h.Start(spec, r); err != nil {
		t.Fatal(err)
	}
	if !spec.Detach {
		t.Cleanup(func() {
			r.process.Kill()
			r.await(t)
		})
	}
	return r
}
