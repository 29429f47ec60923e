package gaffer

import (
	"strings"
	"testing"
	"time"
)

// flapRule is a rule of which a crash each 100ms falls foul.
func flapRule(maxRetry int) Flapping {
	return Flapping{Attempts: 3, Window: Duration(time.Second), RetryIn: new(Duration(7 * time.Second)), MaxRetry: &maxRetry}
}

func TestFlappingPausesThenGivesUp(t *testing.T) {
	inWorld(t, func(w *world) {
		w.add("web", "crash 100ms", flaps(flapRule(2)))
		begin := time.Now()
		w.after(time.Minute)
		var at []time.Duration
		var kinds []Kind
		spawns := 0
		for _, e := range w.seen() {
			switch e.Kind {
			case KindSpawn:
				spawns++
			case KindFlap, KindFail:
				kinds = append(kinds, e.Kind)
				at = append(at, e.Time.Sub(begin))
			}
		}
		// three crashes, a pause of 7s; again; the third time there is no pause left
		want := []time.Duration{300 * time.Millisecond, 7600 * time.Millisecond, 14900 * time.Millisecond}
		if len(at) != 3 || at[0] != want[0] || at[1] != want[1] || at[2] != want[2] || kinds[2] != KindFail {
			t.Errorf("%v at %v, want flap, flap, fail at %v", kinds, at, want)
		}
		if spawns != 9 {
			t.Errorf("%d spawns, want 9", spawns)
		}
		w.wantState("web", Failed, 0)
		if st := w.status("web"); !strings.Contains(st.Reason, "given up") || st.Active != "stopped" {
			t.Errorf("status %+v", st)
		}
		w.ok(w.Start(w.ctx(), "web"))
		w.wantState("web", Running, 1)
	})
}

func TestFlappingNeverGivesUp(t *testing.T) {
	inWorld(t, func(w *world) {
		w.add("web", "crash 100ms", flaps(flapRule(-1)))
		w.after(time.Hour)
		w.wantState("web", InFlapping, 0)
	})
}

func TestFlappingGivesUpTheFirstTime(t *testing.T) {
	inWorld(t, func(w *world) {
		w.add("web", "crash 100ms", flaps(flapRule(0)))
		w.after(time.Second)
		w.wantState("web", Failed, 0)
	})
}

func TestFlappingWithDefaultsGivesUp(t *testing.T) {
	inWorld(t, func(w *world) {
		w.add("web", "crash 100ms", flaps(Flapping{}))
		w.after(5*7*time.Second + 5*time.Second)
		w.wantState("web", Failed, 0)
	})
}

func TestMoreAttemptsThanRetriesStillFlap(t *testing.T) {
	inWorld(t, func(w *world) {
		w.add("web", "crash 1ms", flaps(Flapping{Attempts: 20, MaxRetry: new(1)}))
		w.after(time.Second)
		w.wantState("web", InFlapping, 0)
	})
}

func TestCrashesOfAllSlotsCount(t *testing.T) {
	inWorld(t, func(w *world) {
		w.add("web", "crash 5s", numprocesses(3), flaps(flapRule(5)))
		w.after(5 * time.Second) // the first two were replaced, the third is one too many
		w.wantState("web", InFlapping, 2)
	})
}

func TestSiblingsRunOnWhileItFlaps(t *testing.T) {
	inWorld(t, func(w *world) {
		w.add("web", "run", numprocesses(2), flaps(Flapping{Attempts: 1}))
		w.host.procs[0].end(1, 0)
		w.after(0)
		w.wantState("web", InFlapping, 1)
		w.after(7 * time.Second)
		w.wantState("web", Running, 2)
	})
}

func TestCrashesFarApartDoNotFlap(t *testing.T) {
	inWorld(t, func(w *world) {
		w.add("web", "crash 600ms", flaps(flapRule(0)))
		w.after(time.Minute)
		w.wantState("web", Running, 1)
	})
}

func TestALongRunAfterAPauseForgetsThePauses(t *testing.T) {
	inWorld(t, func(w *world) {
		w.add("web", "run", flaps(Flapping{Attempts: 1, MaxRetry: new(1)}))
		crash := func() { w.host.alive()[0].end(1, 0); w.after(0) }
		for range 5 {
			crash()
			w.wantState("web", InFlapping, 0)
			w.after(7 * time.Second)
			w.wantState("web", Running, 1)
			w.after(1001 * time.Millisecond) // longer than the window
		}
		crash()
		w.after(7 * time.Second)
		w.after(time.Second) // not longer
		crash()
		w.wantState("web", Failed, 0)
	})
}

func TestStopsAndRestartsAreNoCrashes(t *testing.T) {
	inWorld(t, func(w *world) {
		w.add("web", "run", numprocesses(3), flaps(Flapping{Attempts: 1, MaxRetry: new(0)}))
		w.ok(w.Restart(w.ctx(), "web", StopFirst))
		w.ok(w.Restart(w.ctx(), "web", Overlap))
		w.ok(w.Stop(w.ctx(), "web.1"))
		_, err := w.Scale(w.ctx(), "web", Change{'-', 1})
		w.ok(err)
		w.ok(w.Update(w.ctx(), template("web", "run new", numprocesses(2), flaps(Flapping{Attempts: 1, MaxRetry: new(0)}))))
		w.wantState("web", Running, 2)
	})
}

func TestStopDuringThePauseCancelsIt(t *testing.T) {
	inWorld(t, func(w *world) {
		w.add("web", "crash 100ms", flaps(flapRule(5)))
		w.after(time.Second)
		w.wantState("web", InFlapping, 0)
		w.ok(w.Stop(w.ctx(), "web"))
		w.happened()
		w.after(time.Hour)
		w.wantEvents()
		w.wantState("web", Stopped, 0)
	})
}

func TestRemoveDuringThePause(t *testing.T) {
	inWorld(t, func(w *world) {
		w.add("web", "crash 100ms", flaps(flapRule(5)))
		w.after(time.Second)
		w.ok(w.Remove(w.ctx(), "web"))
		w.happened()
		w.after(time.Hour)
		w.wantEvents()
	})
}

func TestRulesThatCanNeverMeetAreRefused(t *testing.T) {
	for _, c := range []struct {
		flapping Flapping
		backoff  Backoff
		n        int
		refused  bool
	}{
		{Flapping{}, Backoff{}, 1, false}, // the first crash is replaced at once
		{Flapping{Attempts: 3}, Backoff{First: new(Duration(2 * time.Second))}, 1, true},
		{Flapping{Attempts: 3}, Backoff{First: new(Duration(2 * time.Second))}, 2, false}, // two slots
		{Flapping{Attempts: 3}, Backoff{First: new(Duration(0))}, 1, false},
		{Flapping{Attempts: 3, Window: Duration(3 * time.Second)}, Backoff{First: new(Duration(2 * time.Second))}, 1, false},
		{Flapping{Attempts: 20}, Backoff{}, 1, true},
		{Flapping{Attempts: 1_000_000}, Backoff{}, 1, true},
	} {
		tmpl := template("web", "run", numprocesses(c.n))
		tmpl.Flapping, tmpl.Backoff = &c.flapping, &c.backoff
		err := tmpl.Validate()
		if (err != nil) != c.refused {
			t.Errorf("flapping %+v, first %v, %d processes: %v", c.flapping, c.backoff.First, c.n, err)
		}
	}
}
