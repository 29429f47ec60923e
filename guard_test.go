package gaffer

import (
	"errors"
	"strings"
	"sync"
	"testing"
	"time"
)

// scales are what processes use, by pid, and how often that was read.
type scales struct {
	mu    sync.Mutex
	use   map[int]uint64
	looks int
	err   error
}

func (s *scales) read(pids []int, each func(pid int, rss uint64)) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.looks++
	for _, pid := range pids {
		each(pid, s.use[pid])
	}
	return s.err
}

func (s *scales) set(pid int, rss uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.use[pid] = rss
}

func (s *scales) looked() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.looks
}

// weighing is a world in which the memory of processes is as the scales have it.
func weighing(t *testing.T, test func(w *world, s *scales)) {
	t.Helper()
	inWorld(t, func(w *world) {
		s := &scales{use: map[int]uint64{}}
		w.guard.read = s.read
		test(w, s)
	})
}

func atMost(size Size) func(*Template) { return func(t *Template) { t.MaxMemory = size } }

func TestMaxMemoryReplacesWhatUsesMore(t *testing.T) {
	weighing(t, func(w *world, s *scales) {
		w.add("web", "run", atMost(512<<20), numprocesses(2))
		w.add("other", "run")
		w.seen()
		pids := []int{w.status("web").Processes[0].PID, w.status("web").Processes[1].PID, w.status("other").Processes[0].PID}
		s.set(pids[0], 612<<20+1<<18)
		s.set(pids[1], 512<<20)
		s.set(pids[2], 1<<40)
		w.after(memoryInterval)
		w.after(time.Second)
		var reap, exit *Event
		for _, e := range w.seen() {
			switch e.Kind {
			case KindReap:
				reap = &e
			case KindExit:
				exit = &e
			}
		}
		const why = "uses 612 MiB, more than max_memory 512 MiB"
		if reap == nil || reap.Slot != 1 || reap.Message != why {
			t.Errorf("told to stop: %+v", reap)
		}
		if exit == nil || exit.Slot != 1 || !strings.HasPrefix(exit.Exit.Reason, why+": ") || exit.Failures != 1 {
			t.Errorf("exit: %+v", exit)
		}
		st := w.status("web")
		if st.Running != 2 || st.Restarts != 1 || st.Processes[0].PID == pids[0] || st.Processes[1].PID != pids[1] {
			t.Errorf("status %+v", st)
		}
		if w.status("other").Restarts != 0 {
			t.Error("a template without max_memory was restarted")
		}
	})
}

func TestMaxMemoryIsACrashForBackoffAndFlapping(t *testing.T) {
	weighing(t, func(w *world, s *scales) {
		w.add("web", "run", atMost(1<<20), backsOff(Backoff{First: new(Duration(time.Hour)), Max: new(Duration(time.Hour)), ResetAfter: new(Duration(time.Hour))}))
		for range 2 {
			s.set(w.status("web").Processes[0].PID, 2<<20)
			w.after(memoryInterval)
			w.after(time.Second)
		}
		st := w.status("web")
		if st.State != InBackoff || !strings.Contains(st.Reason, "more than max_memory 1 MiB") {
			t.Errorf("status %+v", st)
		}
		w.add("flaps", "run", atMost(1<<20), flaps(Flapping{Attempts: 1, MaxRetry: new(0)}))
		s.set(w.status("flaps").Processes[0].PID, 2<<20)
		w.after(memoryInterval)
		w.after(time.Second)
		if st := w.status("flaps"); st.State != Failed {
			t.Errorf("status %+v", st)
		}
	})
}

func TestMemoryIsReadOnlyWhereItIsBounded(t *testing.T) {
	weighing(t, func(w *world, s *scales) {
		w.add("other", "run")
		w.after(time.Hour)
		if n := s.looked(); n != 0 || w.guard.running {
			t.Errorf("it was read %d times", n)
		}
		w.add("web", "run", atMost(1<<20))
		w.after(10 * memoryInterval)
		if n := s.looked(); n < 9 || n > 10 {
			t.Errorf("it was read %d times", n)
		}
		w.ok(w.Stop(w.ctx(), "web"))
		w.after(2 * memoryInterval)
		before := s.looked()
		w.after(time.Hour)
		if n := s.looked(); n != before || w.guard.running {
			t.Errorf("it is read of what does not run")
		}
		w.ok(w.Start(w.ctx(), "web"))
		w.after(2 * memoryInterval)
		if s.looked() == before {
			t.Error("it is not read any more")
		}
	})
}

func TestMaxMemoryChangesWithoutARestart(t *testing.T) {
	weighing(t, func(w *world, s *scales) {
		w.add("web", "run")
		pid := w.status("web").Processes[0].PID
		s.set(pid, 3<<20)
		for _, c := range []struct {
			most  Size
			stays bool
		}{{4 << 20, true}, {0, true}, {2 << 20, false}} {
			w.ok(w.Update(w.ctx(), template("web", "run", atMost(c.most))))
			w.after(2 * memoryInterval)
			w.after(time.Second)
			if stays := w.status("web").Processes[0].PID == pid; stays != c.stays {
				t.Errorf("%s: the process stays: %v", c.most, stays)
			}
		}
	})
}

func TestStopOfWhatUsesTooMuchIsNoCrash(t *testing.T) {
	weighing(t, func(w *world, s *scales) {
		w.add("web", "slow 10s", atMost(1<<20))
		s.set(w.status("web").Processes[0].PID, 2<<20)
		w.after(memoryInterval + time.Second)
		w.ok(w.Stop(w.ctx(), "web"))
		w.after(time.Minute)
		if st := w.status("web"); st.State != Stopped || st.Restarts != 0 || st.Reason != "" {
			t.Errorf("status %+v", st)
		}
		for _, e := range w.seen() {
			if e.Kind == KindExit && (e.Failures != 0 || e.Message != "") {
				t.Errorf("exit %+v", e)
			}
		}
	})
}

func TestMemoryThatCannotBeReadIsNoReasonToStop(t *testing.T) {
	weighing(t, func(w *world, s *scales) {
		w.add("web", "run", atMost(1<<20))
		s.mu.Lock()
		s.err = errors.New("no /proc")
		s.mu.Unlock()
		w.after(5 * memoryInterval)
		if st := w.status("web"); st.Running != 1 || st.Restarts != 0 {
			t.Errorf("status %+v", st)
		}
	})
}

func TestAmountsOfMemoryForPeople(t *testing.T) {
	for n, want := range map[uint64]string{512 << 20: "512 MiB", 612<<20 + 1<<18: "612 MiB", 1<<20 + 1<<19: "1.5 MiB", 1 << 40: "1048576 MiB"} {
		if got := memoryText(n); got != want {
			t.Errorf("%d is %s, want %s", n, got, want)
		}
	}
}

func TestMaxMemoryOfARealTree(t *testing.T) {
	t.Parallel()
	r := newReal(t, Options{})
	// What uses it is a child.
	r.ok(r.Add(r.ctx, program("hungry", "hungry", args("60"), atMost(50<<20))))
	exit := r.next(KindExit).Exit
	if !strings.Contains(exit.Reason, "more than max_memory 50 MiB") {
		t.Errorf("exit %+v", exit)
	}
}
