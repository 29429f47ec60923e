package gaffer

import (
	"context"
	"errors"
	"io"
	"os"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"
)

func needProc(t *testing.T) {
	t.Helper()
	if runtime.GOOS != "linux" {
		t.Skip("what processes use is read from Linux's /proc")
	}
}

func TestOriginStatsOfATemplate(t *testing.T) {
	needProc(t)
	r := newReal(t, Options{})
	r.ok(r.Add(r.ctx, program("dummy", "sleep", numprocesses(2))))
	all := r.statsOf("dummy")
	if len(all) != 1 || all[0].Name != "dummy" || len(all[0].Processes) != 2 {
		t.Fatalf("stats %+v", all)
	}
	s := all[0]
	for i, p := range s.Processes {
		want := r.status("dummy").Processes[i]
		if p.PID != want.PID || p.ID != want.ID || p.Slot != want.Slot || p.RSS == 0 || p.VMS < p.RSS || p.Threads < 1 || p.FDs < 3 || p.Time.IsZero() {
			t.Errorf("process %+v of %+v", p, want)
		}
		if p.User == "" || !strings.HasSuffix(os.Args[0], p.Command) {
			t.Errorf("user %q, command %q of %s", p.User, p.Command, os.Args[0])
		}
	}
	a, b := s.Processes[0].RSS, s.Processes[1].RSS
	if s.RSS != a+b || s.MinRSS != min(a, b) || s.MaxRSS != max(a, b) || s.Mem <= 0 {
		t.Errorf("sums of %+v", s)
	}
	one, err := r.Stats(r.ctx, "2")
	r.ok(err)
	if len(one) != 1 || len(one[0].Processes) != 1 || one[0].Processes[0].PID != s.Processes[1].PID {
		t.Errorf("stats of id 2: %+v", one)
	}
	if _, err := r.Stats(r.ctx, "nobody"); !errors.Is(err, ErrNotFound) {
		t.Errorf("stats of nobody: %v", err)
	}
}

// statsOf reads until the kernel has counted the memory of all processes, which
// it does a moment after they were started.
func (r *real) statsOf(target Target) []Stats {
	r.Helper()
	for {
		all, err := r.Stats(r.ctx, target)
		r.ok(err)
		counted := true
		for _, p := range all[0].Processes {
			counted = counted && p.RSS > 0
		}
		if counted {
			return all
		}
	}
}

func TestOriginStatsOfAll(t *testing.T) {
	needProc(t)
	r := newReal(t, Options{})
	for i, name := range []string{"a", "b"} {
		r.ok(r.Add(r.ctx, program(name, "sleep")))
		all, err := r.Stats(r.ctx, All)
		r.ok(err)
		if len(all) != i+1 || all[i].Name != name {
			t.Errorf("stats of all: %+v", all)
		}
	}
}

func TestStatsCountWhatAProcessStarted(t *testing.T) {
	needProc(t)
	r := newReal(t, Options{})
	r.ok(r.Add(r.ctx, Template{Name: "sh", Cmd: "sleep 100 & echo ready; wait", Shell: true}))
	r.reads(r.output("sh", OutputOptions{Tail: -1}), "ready")
	all := r.statsOf("sh")
	for len(all[0].Processes[0].Children) != 1 || all[0].Processes[0].Children[0].Command != "sleep" { // the shell's child, until it executes sleep
		all = r.statsOf("sh")
	}
	p := all[0].Processes[0]
	if p.Children[0].ID != 0 {
		t.Errorf("the child has id %d", p.Children[0].ID)
	}
	if all[0].RSS != p.RSS+p.Children[0].RSS {
		t.Errorf("the template's %d bytes are not its process's %d and the child's %d", all[0].RSS, p.RSS, p.Children[0].RSS)
	}
}

func (r *real) monitor(target Target) Stream[[]Stats] {
	r.Helper()
	mon, err := r.Monitor(r.ctx, target, 100*time.Millisecond)
	r.ok(err)
	return mon
}

func (r *real) reading(mon Stream[[]Stats]) []Stats {
	r.Helper()
	s, err := mon.Next(r.ctx)
	r.ok(err)
	return s
}

func TestOriginMonitor(t *testing.T) {
	needProc(t)
	r := newReal(t, Options{})
	r.ok(r.Add(r.ctx, program("dummy", "sleep")))
	mon := r.monitor("dummy")
	for range 2 {
		if s := r.reading(mon); len(s) != 1 || s[0].Processes[0].PID != r.status("dummy").Processes[0].PID || s[0].Processes[0].CPU < 0 {
			t.Errorf("reading %+v", s)
		}
	}
	mon.Close()
	if _, err := mon.Next(r.ctx); !errors.Is(err, io.EOF) {
		t.Errorf("Next after Close: %v", err)
	}
	if _, err := r.Monitor(r.ctx, "dummy", time.Millisecond); !errors.Is(err, ErrInvalid) {
		t.Errorf("an interval of 1ms: %v", err)
	}
}

func TestMonitorFollowsReplacedProcesses(t *testing.T) {
	needProc(t)
	r := newReal(t, Options{})
	mon := r.monitor("dummy") // does not exist yet
	if s := r.reading(mon); len(s) != 0 {
		t.Errorf("reading of nothing: %+v", s)
	}
	r.ok(r.Add(r.ctx, program("dummy", "sleep")))
	for id := uint64(1); id <= 3; id++ {
		for {
			s := r.reading(mon)
			if len(s) == 1 && len(s[0].Processes) == 1 && s[0].Processes[0].ID == id {
				break
			}
		}
		r.ok(r.Restart(r.ctx, "dummy", StopFirst))
	}
}

func TestNothingIsSampledWhileNobodyWatches(t *testing.T) {
	needProc(t)
	r := newReal(t, Options{})
	r.ok(r.Add(r.ctx, program("dummy", "sleep")))
	before := runtime.NumGoroutine()
	a, b := r.monitor("dummy"), r.monitor(All)
	r.reading(a)
	r.reading(b)
	a.Close()
	r.reading(b)
	b.Close()
	// One that has said that it ends counts until it has.
	now := runtime.NumGoroutine()
	for end := time.Now().Add(10 * time.Second); now > before && time.Now().Before(end); now = runtime.NumGoroutine() {
		runtime.Gosched()
	}
	if now > before {
		t.Errorf("%d goroutines, %d before anybody watched", now, before)
	}
}

func TestMonitorEndsWithItsContext(t *testing.T) {
	needProc(t)
	r := newReal(t, Options{})
	ctx, cancel := context.WithCancel(r.ctx)
	mon, err := r.Monitor(ctx, All, 0)
	r.ok(err)
	defer mon.Close()
	r.reading(mon)
	cancel()
	for {
		_, err := mon.Next(r.ctx)
		if err == nil {
			continue
		}
		if !errors.Is(err, io.EOF) {
			t.Errorf("Next: %v", err)
		}
		return
	}
}

func TestUsageIsThatOfStats(t *testing.T) {
	needProc(t)
	r := newReal(t, Options{})
	r.ok(r.Add(r.ctx, Template{Name: "web", Shell: true, Cmd: "sleep 1000 & wait", NumProcesses: new(2)}))
	r.ok(r.Add(r.ctx, program("other", "echo")))
	r.next(KindSpawn)
	for _, c := range []struct {
		target Target
		want   int
	}{{All, 3}, {"web", 2}, {"web.2", 1}, {"1", 1}} {
		for {
			uses, err := r.Usage(r.ctx, c.target)
			r.ok(err)
			if len(uses) != c.want {
				t.Fatalf("%s: %+v, want %d", c.target, uses, c.want)
			}
			// One that is becoming its program just now has no memory.
			if !slices.ContainsFunc(uses, func(u Use) bool { return u.ID == 0 || u.PID == 0 || u.RSS == 0 }) {
				break
			}
		}
	}
	_, err := r.Usage(r.ctx, "nobody")
	if !errors.Is(err, ErrNotFound) {
		t.Errorf("%v, want not found", err)
	}
}
