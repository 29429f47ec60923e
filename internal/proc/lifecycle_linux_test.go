package proc

import (
	"errors"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

func TestEndedProcessAnswersErrClosed(t *testing.T) {
	forEngines(t, func(t *testing.T, h *Host) {
		r := start(t, h, shell("exit 0"))
		r.await(t)
		if err := r.process.Signal(syscall.SIGTERM); !errors.Is(err, ErrClosed) {
			t.Errorf("signal: %v", err)
		}
		if err := r.process.SignalGroup(syscall.SIGTERM); !errors.Is(err, ErrClosed) {
			t.Errorf("signal to the group: %v", err)
		}
		r.process.Kill()
	})
}

func TestSignalReachesTheProcessOrItsGroup(t *testing.T) {
	forEngines(t, func(t *testing.T, h *Host) {
		const script = `trap 'echo main' USR1; (trap 'echo child; exit' USR1; echo ready; while :; do sleep 0.01; done) &
			child=$!; while kill -0 $child 2>/dev/null; do wait $child; done`
		r := start(t, h, shell(script))
		r.awaitText(t, Stdout, "ready")
		if err := r.process.Signal(syscall.SIGUSR1); err != nil {
			t.Fatal(err)
		}
		if got := r.awaitText(t, Stdout, "main\n"); strings.Contains(got, "child") {
			t.Errorf("the child got it too: %q", got)
		}
		if err := r.process.SignalGroup(syscall.SIGUSR1); err != nil {
			t.Fatal(err)
		}
		r.awaitText(t, Stdout, "child\n")
		r.await(t)
	})
}

func TestGrandchildThatKeepsThePipeDoesNotDelayTheExit(t *testing.T) {
	for _, m := range modes {
		t.Run(m.name, func(t *testing.T) {
			h := m.host(t)
			spec := tagged(t, shell("trap '' PIPE; setsid sh -c 'while :; do echo noise; done' 2>/dev/null & exit 4"))
			for range 5 {
				if exit := start(t, h, spec).await(t); exit.Status != 4 || exit.Leftover != 1 {
					t.Errorf("exit %+v, want status 4 and 1 left over", exit)
				}
			}
		})
	}
}

func TestChattyProcessesDoNotDelayExits(t *testing.T) {
	h := newHost(t, Options{})
	for range 8 {
		start(t, h, shell("exec yes"))
	}
	for range 20 {
		start(t, h, shell("exit 0")).await(t)
	}
}

func TestDetachedProcessIsLeftAloneAndBuried(t *testing.T) {
	for _, m := range modes {
		t.Run(m.name, func(t *testing.T) {
			h := m.host(t)
			spec := program(t, "sleeper")
			spec.Detach = true
			r := start(t, h, spec)
			k, ok := readKin(r.process.PID())
			if !ok || k.session != k.pid {
				t.Fatalf("it is %+v, %v", k, ok)
			}
			other := start(t, h, shell("exit 0"))
			other.await(t)
			if !k.alive() {
				t.Fatal("it ended with another process")
			}
			if err := r.process.Signal(syscall.SIGTERM); err != nil {
				t.Fatal(err)
			}
			eventually(t, "it is waited for", func() bool {
				_, there := readKin(k.pid)
				return !there
			})
			if len(r.calls) != 1 {
				t.Errorf("its handler heard %v", r.calls)
			}
		})
	}
}

func TestDetachedProcessOutlivesTheHost(t *testing.T) {
	h, err := NewHost(Options{})
	if err != nil {
		t.Fatal(err)
	}
	spec := program(t, "sleeper")
	spec.Detach = true
	r := start(t, h, spec)
	if err := h.Close(); err != nil {
		t.Fatal(err)
	}
	k, ok := readKin(r.process.PID())
	if !ok || k.dead {
		t.Errorf("it is %+v, %v", k, ok)
	}
	if pidfd := k.kill(); pidfd >= 0 {
		_, _ = reap(pidfd)
		_ = unix.Close(pidfd)
	}
}

func TestClosedHostStartsNothing(t *testing.T) {
	for _, e := range engines {
		h, err := NewHost(Options{engine: e.engine})
		if errors.Is(err, syscall.ENOSYS) {
			continue
		}
		if err != nil {
			t.Fatal(err)
		}
		if err := h.Close(); err != nil {
			t.Fatal(err)
		}
		if err := h.Start(shell("exit"), newRecorder()); !errors.Is(err, ErrClosed) {
			t.Errorf("%s: start: %v", e.name, err)
		}
		if err := h.Close(); !errors.Is(err, ErrClosed) {
			t.Errorf("%s: second close: %v", e.name, err)
		}
	}
}

func TestHostLeavesNoCgroupBehind(t *testing.T) {
	h, err := NewHost(Options{})
	if err != nil {
		t.Fatal(err)
	}
	c := h.starter.(*direct).tree.cgroups
	if c == nil {
		_ = h.Close()
		t.Skip("no writable cgroup v2 here")
	}
	start(t, h, shell("mkdir -p "+filepath.Join(c.base, "0", "nested")+"; exit 0")).await(t)
	if err := h.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(c.base); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("%s: %v, want it gone", c.base, err)
	}
}

// wantNoZombies fails if a child of this program waits to be buried.
func wantNoZombies(t testing.TB) {
	t.Helper()
	pid := os.Getpid()
	for _, child := range (families{}).children(pid) {
		if k, ok := readKin(child); ok && k.dead && k.parent == pid {
			stat, _ := os.ReadFile("/proc/" + strconv.Itoa(child) + "/stat")
			t.Errorf("child %+v is dead and was not waited for: %s", k, stat)
		}
	}
}
