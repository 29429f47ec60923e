package proc

import (
	"errors"
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

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
	for _, m := range modes[:2] {
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
			eventually(t, "all goroutines have ended", func() bool { return runtime.NumGoroutine() <= routines })
		})
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
	if os.Getuid() != 0 {
		t.Skip("only root can freeze a process")
	}
	h := newHost(t, Options{Subreaper: true, Token: instanceToken})
	r, members := startFamily(t, h, inGroup, inSession, "stay")
	t.Cleanup(func() { // once it is thawed it ends, and nobody waits for it any more
		_, _ = unix.Wait4(members[inSession].pid, nil, 0, nil)
	})
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

func TestIdleProcessesCostNoGoroutineNoThreadAndLittleMemory(t *testing.T) {
	const many = 400
	sleep, err := exec.LookPath("sleep")
	if err != nil {
		t.Skipf("no program to start: %v", err)
	}
	h := newHost(t, Options{Subreaper: true})
	spec := &Spec{Path: sleep, Args: []string{"sleep", "1000"}, Outputs: 2}
	startAll := func(n int) []*counter {
		all := make([]*counter, n)
		for i := range all {
			all[i] = new(counter)
			all[i].gone.Add(1)
			if err := h.Start(spec, all[i]); err != nil {
				t.Fatal(err)
			}
		}
		return all
	}
	endAll := func(all []*counter) {
		for _, c := range all {
			c.process.Kill()
		}
		for _, c := range all {
			c.gone.Wait()
		}
	}
	endAll(startAll(20))
	routines, threads, heap := runtime.NumGoroutine(), threadCount(t), heapInUse()
	files := openFiles(t)
	all := startAll(many)
	defer endAll(all)
	if now := runtime.NumGoroutine(); now > routines {
		t.Errorf("%d goroutines, %d before", now, routines)
	}
	if now := threadCount(t); now > threads+4 {
		t.Errorf("%d threads, %d before", now, threads)
	}
	if now := openFiles(t); now > files+3*many {
		t.Errorf("%d descriptors for %d processes, want 3 each", now-files, many)
	}
	each := (int64(heapInUse()) - int64(heap)) / many
	t.Logf("%d bytes for each process", each)
	if each > 1000 { // with the handler of the test, and the growing of tables
		t.Errorf("%d bytes for each process", each)
	}
	runtime.KeepAlive(all)
}

func threadCount(t *testing.T) int {
	t.Helper()
	entries, err := os.ReadDir("/proc/self/task")
	if err != nil {
		t.Fatal(err)
	}
	return len(entries)
}

func heapInUse() uint64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}
