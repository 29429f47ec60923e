package gaffer

import (
	"context"
	"flag"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"
)

// Whatever is asked of a scheduled template, whatever its processes and the clock do, and
// however often its manager is killed: a run begins only when nothing is left of the one
// before, no process is started but in a run, each has one end, each time is run or
// skipped once, and whoever waits for a run is answered.
func TestRandomSchedules(t *testing.T) {
	if f := flag.Lookup("rapid.checks"); f.Value.String() == f.DefValue {
		if err := f.Value.Set(sequences(1000)); err != nil {
			t.Fatal(err)
		}
		defer func() { _ = f.Value.Set(f.DefValue) }()
	}
	rapid.Check(t, func(rt *rapid.T) {
		var panicked any
		synctest.Test(t, func(t *testing.T) {
			w := &randomSchedule{T: rt, t: t, kept: &archive{}, clock: &wallClock{}}
			defer func() { // it must not leave the bubble by itself
				if panicked = recover(); panicked != nil && w.end != nil {
					w.end()
				}
			}()
			w.run()
		})
		if panicked != nil {
			panic(panicked)
		}
	})
}

type randomSchedule struct {
	*rapid.T
	t     *testing.T
	kept  *archive
	clock *wallClock
	h     *fakeHost
	m     *Manager
	of    Template
	up    bool
	end   func()
	asked []chan struct{}
	high  time.Time // the latest that the clock has shown
}

func (w *randomSchedule) n(below int) int { return rapid.IntRange(0, below-1).Draw(w.T, "n") }

func (w *randomSchedule) template() Template {
	s := Schedule{
		Timezone: "Europe/Paris", Overlap: []OverlapPolicy{"", OverlapQueue, OverlapReplace}[w.n(3)],
		CatchUp: []CatchUpPolicy{CatchUpNone, CatchUpOne, CatchUpAll}[w.n(3)], Retries: w.n(3), RetryDelay: new(Duration(time.Duration(w.n(3)) * time.Minute)),
		Cron: []string{"*/5 * * * *", "@hourly", "0 */2 * * *", "*/20 2-4 * * *"}[w.n(4)],
	}
	cmd := []string{"exit 1m 0", "exit 1s 1", "exit 40m 0", "exit 3m 1", "slow 3s", "broken", "stubborn"}[w.n(7)]
	return template("job", cmd, numprocesses(1+w.n(2)), grace(5*time.Second), maxRuntime(90*time.Minute), scheduled(s))
}

// open runs a manager, which takes over, or begins anew.
func (w *randomSchedule) open(resume bool) {
	h := &fakeHost{}
	m, err := New(Options{host: h, Journal: w.kept, Resume: resume, wall: w.clock.now})
	if err != nil {
		w.t.Fatal(err)
	}
	w.h, w.m, w.clock.m = h, m, m
	ctx := context.Background()
	if err := m.Restore(ctx, Wanted{Template: w.of, Active: w.up, Count: w.of.wanted()}); err != nil {
		w.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(ctx)
	done := make(chan error)
	go func() { done <- m.Run(ctx) }()
	w.end = func() {
		cancel()
		if err := <-done; err != nil {
			w.t.Error(err)
		}
		w.end = nil
	}
	synctest.Wait()
}

func (w *randomSchedule) run() {
	w.clock.offset.Store(int64(time.Date(2026, 3, 28, 22, 0, 0, 0, time.UTC).Sub(w.clock.now())))
	w.high = w.clock.now()
	w.of, w.up = w.template(), true
	w.open(false)
	for range 1 + w.n(40) {
		w.step()
		if now := w.clock.now(); now.After(w.high) {
			w.high = now
		}
		synctest.Wait()
		if alive := len(w.h.alive()); alive > 2 {
			w.Fatalf("%d processes", alive)
		}
	}
	if err := w.m.Stop(context.Background(), "job"); err != nil {
		w.Fatal(err)
	}
	synctest.Wait()
	for _, asked := range w.asked {
		select {
		case <-asked: // whatever the answer is
		default:
			w.Fatal("who has asked for a run waits for ever")
		}
	}
	w.end()
	w.check()
}

func (w *randomSchedule) step() {
	ctx := context.Background()
	switch w.n(12) {
	case 0:
		w.clock.set(time.Duration(w.n(120)) * time.Minute)
	case 1:
		// One that is set back far was wrong.
		if by := time.Duration(w.n(120)) * time.Minute; w.clock.now().Add(-by).After(w.high.Add(-3 * time.Hour)) {
			w.clock.set(-by)
		}
	case 2:
		asked := make(chan struct{})
		w.asked = append(w.asked, asked)
		m := w.m
		go func() {
			defer close(asked)
			_ = m.RunNow(ctx, "job") // it may well be refused
		}()
	case 3:
		next := w.template()
		if err := w.m.Update(ctx, next); err != nil {
			w.Fatal(err)
		}
		w.of = next
	case 4:
		if w.n(2) == 0 {
			_ = w.m.Stop(ctx, "job")
			w.up = false
		} else {
			_ = w.m.Start(ctx, "job")
			w.up = true
		}
	case 5:
		_ = w.m.Stop(ctx, Target(fmt.Sprintf("job.%d", 1+w.n(2))))
	case 6:
		if w.n(3) == 0 {
			_ = w.m.Restart(ctx, "job", StopFirst)
			w.up = true
		}
	case 7: // the daemon is stopped for a while
		w.end()
		w.kept = w.kept.asOf()
		time.Sleep(time.Duration(w.n(200)) * time.Minute)
		w.open(false)
	case 8: // it is killed while nothing runs: what runs would be adopted
		if len(w.h.alive()) == 0 {
			next := w.kept.asOf()
			w.end()
			w.kept = next
			w.open(true)
		}
	default:
		time.Sleep(time.Duration(w.n(60*60)) * time.Second)
	}
}

func (w *randomSchedule) check() {
	inRun, alive := false, 0
	spawned := map[uint64]bool{}
	due := map[int64]bool{}
	var from time.Time
	for i, e := range w.kept.kept {
		switch e.Kind {
		case KindRun, KindSkip:
			if e.Kind == KindRun {
				inRun = true
				if alive > 0 {
					w.Errorf("event %d: a run begins while %d are there", i, alive)
				}
			}
			if !e.Due.IsZero() {
				if due[e.Due.Unix()] || !e.Due.After(from) {
					w.Errorf("event %d: %s twice, or before %s: %s", i, e.Due, from, e.Message)
				}
				due[e.Due.Unix()] = true
			}
		case KindStart, KindRestart, KindUpdate:
			if !e.Due.IsZero() { // it counts from there
				from, due = e.Due, map[int64]bool{}
			}
		case KindSpawn:
			alive++
			if !inRun || spawned[e.ID] {
				w.Errorf("event %d: a process is started without a run, or twice", i)
			}
			spawned[e.ID] = true
		case KindExit:
			alive--
		}
	}
	if alive != 0 {
		w.Errorf("%d are left", alive)
	}
	if w.Failed() {
		for i, e := range w.kept.kept {
			w.Logf("%d %s %s %d %s %s", i, e.Time.Format("02 15:04:05"), e.Kind, e.Slot, e.Due, e.Message)
		}
	}
}
