package proc

import (
	"errors"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

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

// openFiles are this program's descriptors.
func openFiles(t *testing.T) int {
	t.Helper()
	entries, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	return len(entries)
}

func TestLackOfDescriptorsIsAnErrorAndLeaksNothing(t *testing.T) {
	h := newHost(t, Options{})
	start(t, h, shell("exit 0")).await(t) // everything that is opened once is open
	spec := shell("exit 0")
	spec.Input, spec.Streams = true, 1
	var old unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &old); err != nil {
		t.Fatal(err)
	}
	for lowestFree(t) < 100 { // the holes below what the host needs
		f, err := os.Open(os.DevNull)
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
	}
	before := openFiles(t)
	lowest := lowestFree(t)
	refused, ran := 0, 0
	for limit := lowest; limit < lowest+16; limit++ {
		r := newRecorder()
		setSoftLimit(t, uint64(limit), old.Max)
		err := h.Start(spec, r)
		setSoftLimit(t, old.Cur, old.Max)
		if err == nil {
			r.await(t)
			ran++
			continue
		}
		refused++
		if !errors.Is(err, syscall.EMFILE) {
			t.Errorf("limit %d: %v, want %v", limit, err, syscall.EMFILE)
		}
	}
	if refused == 0 || ran == 0 {
		t.Errorf("%d refused, %d ran: want some of both", refused, ran)
	}
	if after := openFiles(t); after != before {
		t.Errorf("%d descriptors are open, %d before", after, before)
	}
}

// lowestFree is the number that the next descriptor will have.
func lowestFree(t *testing.T) int {
	t.Helper()
	f, err := os.Open(os.DevNull)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	return int(f.Fd())
}

func setSoftLimit(t *testing.T, soft, hard uint64) {
	t.Helper()
	if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &unix.Rlimit{Cur: soft, Max: hard}); err != nil {
		t.Fatal(err)
	}
}

func TestLackOfProcessesIsAnError(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("an ordinary user's limit would stop this program's own threads")
	}
	var old unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NPROC, &old); err != nil {
		t.Fatal(err)
	}
	exe := copyOfThisBinary(t)
	h := newHost(t, Options{})
	spec := program(t, "report")
	spec.Path, spec.Cred = exe, &Cred{UID: 65534, GID: 65534}
	first := program(t, "sleeper")
	first.Path, first.Cred = exe, spec.Cred
	start(t, h, first)
	if err := unix.Setrlimit(unix.RLIMIT_NPROC, &unix.Rlimit{Cur: 0, Max: old.Max}); err != nil {
		t.Fatal(err)
	}
	err := h.Start(spec, newRecorder())
	if err2 := unix.Setrlimit(unix.RLIMIT_NPROC, &old); err2 != nil {
		t.Fatal(err2)
	}
	if !errors.Is(err, syscall.EAGAIN) || !strings.Contains(err.Error(), "too many processes") {
		t.Errorf("got %v, want %v", err, syscall.EAGAIN)
	}
	surroundingsOf(t, h, spec)
}

func TestManyStartsLeaveNothingBehind(t *testing.T) {
	starts := 10_000
	if testing.Short() {
		starts = 500
	}
	for _, m := range modes[:3] {
		t.Run(m.name, func(t *testing.T) {
			h := m.host(t)
			truth, err := exec.LookPath("true")
			if err != nil {
				t.Skipf("no program to start: %v", err)
			}
			spec := &Spec{Path: truth, Args: []string{"true"}, Outputs: 2}
			run := func() {
				r := newRecorder()
				if err := h.Start(spec, r); err != nil {
					t.Error(err)
					return
				}
				r.await(t)
			}
			run()
			files, routines := openFiles(t), runtime.NumGoroutine()
			var wg sync.WaitGroup
			for range 4 {
				wg.Go(func() {
					for range starts / 4 {
						run()
					}
				})
			}
			wg.Wait()
			if now := openFiles(t); now != files {
				t.Errorf("%d descriptors are open, %d before", now, files)
			}
			if now := runtime.NumGoroutine(); now > routines {
				t.Errorf("%d goroutines, %d before", now, routines)
			}
		})
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

// frozen puts processes where no signal reaches them, and thaws them at the end.
func frozen(t *testing.T, pids ...int) {
	t.Helper()
	const root = "/sys/fs/cgroup/freezer"
	dir, err := os.MkdirTemp(root, "gaffer-test-")
	if err != nil {
		t.Skipf("no freezer of the kind that keeps even SIGKILL waiting: %v", err)
	}
	state := func(text string) {
		if err := os.WriteFile(dir+"/freezer.state", []byte(text), 0); err != nil {
			t.Error(err)
		}
	}
	t.Cleanup(func() {
		state("THAWED")
		eventually(t, "the freezer is empty", func() bool { return unix.Rmdir(dir) == nil })
	})
	for _, pid := range pids {
		if err := os.WriteFile(dir+"/cgroup.procs", []byte(strconv.Itoa(pid)), 0); err != nil {
			t.Fatal(err)
		}
	}
	state("FROZEN")
	eventually(t, "it is frozen", func() bool {
		text, err := os.ReadFile(dir + "/freezer.state")
		return err == nil && string(text) == "FROZEN\n"
	})
}

func TestWhatCannotBeKilledDelaysAnExitForAWhileOnly(t *testing.T) {
	if testing.Short() {
		t.Skip("it takes as long as it says")
	}
	h := newHost(t, Options{Subreaper: true, Token: instanceToken})
	r, members := startFamily(t, h, inGroup, inSession, "stay")
	frozen(t, members[inSession].pid)
	began := time.Now()
	r.process.Kill()
	if exit := start(t, h, shell("exit 0")).await(t); exit.Status != 0 {
		t.Errorf("meanwhile: exit %+v", exit)
	}
	exit := r.await(t)
	if exit.Leftover != 2 || exit.Stuck != 1 {
		t.Errorf("exit %+v, want 2 left over and 1 stuck", exit)
	}
	if took := time.Since(began); took < stuckAfter || took > 2*stuckAfter {
		t.Errorf("it took %v", took)
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
