package proc

import (
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

func TestOutputArrivesBeforeTheExit(t *testing.T) {
	h := newHost(t, Options{})
	for range 50 {
		r := start(t, h, shell("echo out; echo err >&2; exit 3"))
		exit := r.await(t)
		if exit.Status != 3 || exit.Signal != 0 || exit.Time.IsZero() {
			t.Fatalf("exit %+v", exit)
		}
		if out, err := r.text(Stdout), r.text(Stderr); out != "out\n" || err != "err\n" {
			t.Fatalf("stdout %q, stderr %q", out, err)
		}
		if first, last := r.calls[0], r.calls[len(r.calls)-1]; first != "started" || last != "exited" {
			t.Fatalf("calls %v", r.calls)
		}
	}
}

func TestExitTellsTheSignal(t *testing.T) {
	h := newHost(t, Options{})
	r := start(t, h, shell("kill -9 $$"))
	if exit := r.await(t); exit.Signal != syscall.SIGKILL || exit.Status != -1 || exit.Core {
		t.Fatalf("exit %+v", exit)
	}
}

func TestWhatCannotBeStartedIsNamed(t *testing.T) {
	h := newHost(t, Options{})
	dir := t.TempDir()
	text := filepath.Join(dir, "text")
	if err := os.WriteFile(text, []byte("not a program"), 0o755); err != nil {
		t.Fatal(err)
	}
	plain := filepath.Join(dir, "plain")
	if err := os.WriteFile(plain, []byte("x"), 0o644); err != nil {
		t.Fatal(err)
	}
	huge := shell("exit")
	huge.Env = append(huge.Env, "HUGE="+strings.Repeat("x", 10<<20))
	at := func(dir string) *Spec { s := shell("exit"); s.Dir = dir; return s }
	for _, test := range []struct {
		spec *Spec
		name string
		err  syscall.Errno
	}{
		{&Spec{Path: dir + "/missing", Args: []string{"x"}}, dir + "/missing", syscall.ENOENT},
		{&Spec{Path: text, Args: []string{"x"}}, text, syscall.ENOEXEC},
		{&Spec{Path: plain, Args: []string{"x"}}, plain, syscall.EACCES},
		{&Spec{Path: dir, Args: []string{"x"}}, dir, syscall.EACCES},
		{at(dir + "/missing"), "directory " + dir + "/missing", syscall.ENOENT},
		{at(plain), "directory " + plain, syscall.ENOTDIR},
		{huge, "1048", syscall.E2BIG},
	} {
		r := newRecorder()
		err := h.Start(test.spec, r)
		errno, ok := err.(interface{ Unwrap() error })
		if !ok || errno.Unwrap() != test.err || !strings.Contains(err.Error(), test.name) {
			t.Errorf("%v: got %v, want %v that names %q", test.spec.Path, err, test.err, test.name)
		}
		if len(r.calls) != 0 {
			t.Errorf("handler heard %v of a process that was not started", r.calls)
		}
	}
}
