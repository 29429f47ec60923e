package proc

import (
	"errors"
	"os"
	"os/exec"
	"os/signal"
	"strconv"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

// careless ignores the ends of its children, so that the kernel buries them, and
// prints how one ended all the same.
func careless([]string) int {
	signal.Ignore(syscall.SIGCHLD)
	h, err := NewHost(Options{})
	if err != nil {
		return 1
	}
	r := newRecorder()
	if err := h.Start(shell("exit 3"), r); err != nil {
		return 1
	}
	<-r.gone
	if err := h.Close(); err != nil {
		return 1
	}
	return r.exit.Status & 0xff
}

func TestExitIsNoticedThoughSomebodyElseWaited(t *testing.T) {
	h := newHost(t, Options{})
	r := start(t, h, program(t, "careless"))
	// An older kernel tells only that it ended.
	if exit := r.await(t); exit.Status != 3 && exit.Status != 0xff {
		t.Errorf("exit %+v; it wrote %q", exit, r.text(Stderr))
	}
}

// onMainThread calls f there.
func onMainThread(t *testing.T, f func()) {
	t.Helper()
	done := make(chan struct{})
	mainThread <- func() {
		defer close(done)
		if unix.Gettid() != os.Getpid() {
			t.Error("this is not the main thread")
		}
		f()
	}
	<-done
}

func TestForeignChildIsNeverWaitedFor(t *testing.T) {
	h := newHost(t, Options{Subreaper: true})
	foreign := func(t *testing.T, attr *syscall.SysProcAttr) {
		cmd := exec.CommandContext(t.Context(), "/bin/sh", "-c", "exit 5")
		cmd.SysProcAttr = attr
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		pid := cmd.Process.Pid
		eventually(t, "it is dead", func() bool {
			k, ok := readKin(pid)
			return !ok || k.dead
		})
		for range 3 { // orphans that make the host look at all children
			r := start(t, h, shell("(sh -c 'sh -c exit & :') & wait; exit 0"))
			r.await(t)
		}
		err := cmd.Wait()
		var exit *exec.ExitError
		if !errors.As(err, &exit) || exit.ExitCode() != 5 {
			t.Errorf("foreign child: %v, want exit status 5", err)
		}
	}
	onMainThread(t, func() { foreign(t, nil) })
	onMainThread(t, func() { foreign(t, &syscall.SysProcAttr{Setpgid: true}) })
	onMainThread(t, func() { foreign(t, &syscall.SysProcAttr{Setsid: true}) })
	foreign(t, nil)
}

func TestStartOnTheMainThread(t *testing.T) {
	h := newHost(t, Options{Subreaper: true})
	onMainThread(t, func() {
		r := start(t, h, shell("sleep 100"))
		if list := childList("/proc/self/task/" + strconv.Itoa(os.Getpid()) + "/children"); len(list) != 0 {
			t.Errorf("the main thread has children %v", list)
		}
		r.process.Kill()
	})
}
