package gaffer

import (
	"context"
	"errors"
	"slices"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"
)

func TestAddStartsTheWantedNumber(t *testing.T) {
	inWorld(t, func(w *world) {
		w.add("web", "run", numprocesses(3))
		w.wantState("web", Running, 3)
		w.wantEvents("create web", "start web", "spawn web.1", "spawn web.2", "spawn web.3")
	})
}

func TestAddWithoutStartOnlyRegisters(t *testing.T) {
	inWorld(t, func(w *world) {
		w.add("web", "run", notStarted)
		w.wantState("web", Stopped, 0)
		w.wantEvents("create web")
		if st := w.status("web"); st.Active != "stopped" || st.MaxProcesses != 1 {
			t.Errorf("active %q, max_processes %d", st.Active, st.MaxProcesses)
		}
	})
}

func TestStopMakesUnwantedAndStartWantedAgain(t *testing.T) {
	inWorld(t, func(w *world) {
		w.add("web", "run", numprocesses(2))
		w.happened()
		w.ok(w.Stop(w.ctx(), "web"))
		w.wantState("web", Stopped, 0)
		w.wantEvents("stop web", "stop_pid web.2", "stop_pid web.1", "exit web.1", "exit web.2")
		w.ok(w.Stop(w.ctx(), "web"))
		w.wantEvents()
		w.ok(w.Start(w.ctx(), "web"))
		w.wantState("web", Running, 2)
		w.wantEvents("start web", "spawn web.1", "spawn web.2")
	})
}

func TestGraceIsExact(t *testing.T) {
	for _, g := range []time.Duration{30 * time.Second, 500 * time.Millisecond} {
		inWorld(t, func(w *world) {
			w.add("web", "stubborn", grace(g))
			begin := time.Now()
			w.ok(w.Stop(w.ctx(), "web"))
			if took := time.Since(begin); took != g {
				t.Errorf("the stop took %s, want %s", took, g)
			}
			exit := w.status("web").Processes[0].LastExit
			if exit.Signal != Signal(syscall.SIGKILL) || !strings.Contains(exit.Reason, "killed after "+g.String()) {
				t.Errorf("exit %+v", exit)
			}
		})
	}
}

func TestDefaultGraceIsHalfAMinute(t *testing.T) {
	inWorld(t, func(w *world) {
		w.add("web", "stubborn")
		begin := time.Now()
		w.ok(w.Stop(w.ctx(), "web"))
		if took := time.Since(begin); took != 30*time.Second {
			t.Errorf("the stop took %s", took)
		}
	})
}

func TestNoGraceKillsAtOnce(t *testing.T) {
	inWorld(t, func(w *world) {
		w.add("web", "stubborn", grace(0))
		begin := time.Now()
		w.ok(w.Stop(w.ctx(), "web"))
		if took := time.Since(begin); took != 0 {
			t.Errorf("the stop took %s", took)
		}
		if p := w.host.procs[0]; len(p.signals) != 0 {
			t.Errorf("signals before the kill: %v", p.signals)
		}
	})
}

func TestKillEndsThePatienceOfAStop(t *testing.T) {
	inWorld(t, func(w *world) {
		w.add("web", "stubborn")
		w.add("db", "stubborn", priority(-1))
		begin := time.Now()
		time.AfterFunc(2*time.Second, w.Kill)
		w.ok(w.Stop(w.ctx(), All))
		if took := time.Since(begin); took != 2*time.Second {
			t.Errorf("the stop took %s, want 2s", took)
		}
	})
}

func TestContextBoundsTheWaitingNotTheDoing(t *testing.T) {
	inWorld(t, func(w *world) {
		w.add("web", "slow 5s")
		ctx, cancel := context.WithTimeout(w.ctx(), time.Second)
		defer cancel()
		w.is(w.Stop(ctx, "web"), context.DeadlineExceeded)
		w.wantState("web", Stopping, 0)
		w.after(4 * time.Second)
		w.wantState("web", Stopped, 0)
	})
}

func TestStopOfOneProcessIsReplaced(t *testing.T) {
	inWorld(t, func(w *world) {
		w.add("web", "run", numprocesses(2))
		w.happened()
		w.ok(w.Stop(w.ctx(), "1"))
		w.after(0)
		w.wantState("web", Running, 2)
		w.wantEvents("stop_pid web.1", "exit web.1", "spawn web.1")
		w.ok(w.Stop(w.ctx(), "web.2"))
		w.after(0)
		if ids := w.ids("web"); ids[0] != 3 || ids[1] != 4 {
			t.Errorf("ids %v, want 3 and 4", ids)
		}
		w.is(w.Stop(w.ctx(), "1"), ErrNotFound)
		w.is(w.Stop(w.ctx(), "web.9"), ErrNotFound)
	})
}

func TestScaleNeverGoesBelowZero(t *testing.T) {
	inWorld(t, func(w *world) {
		w.add("web", "run", numprocesses(4))
		for _, step := range []struct {
			change string
			want   int
		}{{"-1", 3}, {"-2", 1}, {"-5", 0}, {"+2", 2}, {"=6", 6}, {"3", 3}} {
			c, err := ParseChange(step.change)
			w.ok(err)
			got, err := w.Scale(w.ctx(), "web", c)
			w.ok(err)
			if got["web"] != step.want {
				t.Errorf("scale %s: %d, want %d", step.change, got["web"], step.want)
			}
			w.wantState("web", Running, step.want)
		}
	})
}

func TestScaleDownStopsTheHighestSlotsFirst(t *testing.T) {
	inWorld(t, func(w *world) {
		w.add("web", "run", numprocesses(4))
		w.happened()
		_, err := w.Scale(w.ctx(), "web", Change{'-', 2})
		w.ok(err)
		w.wantEvents("update web", "reap web.4", "reap web.3", "exit web.3", "exit web.4")
	})
}

func TestRestartStopsFirstSlotBySlot(t *testing.T) {
	inWorld(t, func(w *world) {
		w.add("web", "run", numprocesses(2))
		w.happened()
		w.ok(w.Restart(w.ctx(), "web", StopFirst))
		w.wantEvents("restart web", "reap web.1", "exit web.1", "spawn web.1", "reap web.2", "exit web.2", "spawn web.2")
		if ids := w.ids("web"); len(ids) != 2 || ids[0] != 3 || ids[1] != 4 {
			t.Errorf("ids %v, want 3 and 4", ids)
		}
	})
}

func TestRestartWithOverlapStartsFirst(t *testing.T) {
	inWorld(t, func(w *world) {
		w.add("web", "run", numprocesses(2))
		w.happened()
		w.ok(w.Restart(w.ctx(), "web", Overlap))
		w.after(time.Second)
		w.wantEvents("restart web", "spawn web.1", "reap web.1", "exit web.1", "spawn web.2", "reap web.2", "exit web.2")
		w.wantState("web", Running, 2)
	})
}

func TestRestartOfOneWithOverlapStartsFirst(t *testing.T) {
	inWorld(t, func(w *world) {
		w.probes.say("web", true)
		w.add("web", "run", numprocesses(2), byTCP(time.Minute))
		w.add("api", "run", numprocesses(2), rollsOut(Rollout{}))
		w.happened()
		w.ok(w.Restart(w.ctx(), "web.2", Overlap))
		w.wantEvents("spawn web.2", "ready web.2", "reap web.2", "exit web.2")
		w.ok(w.Restart(w.ctx(), "web.2", StopFirst))
		w.wantEvents("reap web.2", "exit web.2", "spawn web.2", "ready web.2")
		w.ok(w.Restart(w.ctx(), "api.1", StopFirst)) // its rollouts start first
		w.wantEvents("spawn api.1", "reap api.1", "exit api.1")

		before := w.ids("web")
		w.probes.say("web", false)
		if err := w.Restart(w.ctx(), "web.2", Overlap); err == nil || !strings.Contains(err.Error(), "web.2: the new process has failed: not ready within 1m0s") {
			t.Errorf("got %v", err)
		}
		w.host.breakWith(syscall.EAGAIN)
		if err := w.Restart(w.ctx(), "web.1", Overlap); err == nil || !strings.Contains(err.Error(), "resource temporarily unavailable; the old one goes on") {
			t.Errorf("got %v", err)
		}
		w.wantState("web", Running, 2)
		if now := w.ids("web"); !slices.Equal(now, before) {
			t.Errorf("ids %v, were %v", now, before)
		}
	})
}

// A new process that fails is nothing that has happened to the one that goes on.
func TestAFailedOverlapLeavesTheOldProcessAsItWas(t *testing.T) {
	for name, more := range map[string]func(*Template){
		"done":    func(t *Template) { t.Restart = RestartOnFailure },
		"flaps":   func(t *Template) { t.Flapping = &Flapping{Attempts: 1, MaxRetry: new(0)} },
		"crashes": func(t *Template) {},
	} {
		for _, target := range []Target{"web.2", "web"} {
			inWorld(t, func(w *world) {
				w.probes.say("web", true)
				w.add("web", "run", numprocesses(2), byTCP(time.Minute), more)
				w.happened()
				w.probes.say("web", false)
				restarted := make(chan error)
				go func() { restarted <- w.Restart(w.ctx(), target, Overlap) }()
				w.after(time.Second)
				w.host.procs[len(w.host.procs)-1].end(0, 0)
				if err := <-restarted; err == nil || !strings.Contains(err.Error(), "the new process has failed: exit status 0") {
					t.Errorf("%s: got %v", name, err)
				}
				w.after(time.Minute)
				w.wantState("web", Running, 2)
				w.probes.say("web", true)
				for _, p := range w.host.alive() {
					p.end(1, 0)
				}
				w.after(time.Minute)
				if name != "flaps" {
					w.wantState("web", Running, 2)
				}
				if n := w.host.alive(); name != "flaps" && len(n) != 2 {
					t.Errorf("%s: %d live", name, len(n))
				}
			})
		}
	}
}

func TestASlotThatIsBeingRestartedIsNotRestarted(t *testing.T) {
	inWorld(t, func(w *world) {
		w.probes.say("web", true)
		w.add("web", "run", byTCP(time.Minute), rollsOut(Rollout{Drain: Duration(10 * time.Second)}))
		w.probes.say("web", false)
		restarted := make(chan error)
		go func() { restarted <- w.Restart(w.ctx(), "web.1", StopFirst) }()
		w.after(time.Second)
		w.is(w.Restart(w.ctx(), "web.1", Overlap), ErrConflict)
		w.happened()
		w.probes.say("web", true)
		began := time.Now()
		w.ok(<-restarted)
		if took := time.Since(began); took < 10*time.Second || took > 12*time.Second {
			t.Errorf("it took %s", took)
		}
		w.wantEvents("ready web.1", "reap web.1", "exit web.1")
	})
}

func TestOverlapKeepsTheOldProcessWhenTheNewOneCannotStart(t *testing.T) {
	inWorld(t, func(w *world) {
		w.add("web", "run", numprocesses(2))
		w.host.breakWith(syscall.EAGAIN)
		if err := w.Restart(w.ctx(), "web", Overlap); !strings.Contains(err.Error(), "given up") {
			t.Errorf("restart: %v", err)
		}
		w.wantState("web", Running, 2)
		if ids := w.ids("web"); ids[0] != 1 || ids[1] != 2 {
			t.Errorf("ids %v, want 1 and 2", ids)
		}
	})
}

func TestRestartThatCannotStartLeavesTheOtherSlots(t *testing.T) {
	inWorld(t, func(w *world) {
		w.add("web", "run", numprocesses(3))
		w.host.breakWith(syscall.EAGAIN)
		if err := w.Restart(w.ctx(), "web", StopFirst); err == nil {
			t.Error("restart: no error")
		}
		w.wantState("web", InBackoff, 2)
		w.host.breakWith(nil)
		w.after(time.Minute)
		w.wantState("web", Running, 3)
	})
}

func TestRestartOfAllPassesOverTheStopped(t *testing.T) {
	inWorld(t, func(w *world) {
		w.add("web", "run")
		w.add("db", "run", notStarted)
		w.ok(w.Restart(w.ctx(), All, StopFirst))
		w.wantState("db", Stopped, 0)
		if ids := w.ids("web"); ids[0] != 2 {
			t.Errorf("ids %v", ids)
		}
		w.ok(w.Restart(w.ctx(), "db", StopFirst))
		w.wantState("db", Running, 1)
	})
}

func TestCrashIsReplacedWithExactBackoff(t *testing.T) {
	inWorld(t, func(w *world) {
		w.add("web", "crash 1s 3", backsOff(Backoff{
			First: new(Duration(100 * time.Millisecond)), Factor: 2, Max: new(Duration(300 * time.Millisecond)),
		}))
		var starts []time.Duration
		w.after(8 * time.Second)
		var first time.Time
		for _, e := range w.seen() {
			if e.Kind == KindSpawn {
				if first.IsZero() {
					first = e.Time
				}
				starts = append(starts, e.Time.Sub(first))
			}
		}
		// a crash a second after each start; then 0, 100, 200, 300, 300 … ms
		at := time.Duration(0)
		for i, delay := range []time.Duration{0, 100, 200, 300, 300} {
			if starts[i] != at {
				t.Errorf("start %d at %s, want %s", i+1, starts[i], at)
			}
			at += time.Second + delay*time.Millisecond
		}
	})
}

func TestLongRunResetsBackoff(t *testing.T) {
	inWorld(t, func(w *world) {
		w.add("web", "crash 10s 3")
		w.after(35 * time.Second)
		for _, e := range w.seen() {
			if e.Kind == KindBackoff {
				t.Errorf("backoff after a run of reset_after: %s", e.Message)
			}
		}
		if n := w.status("web").Restarts; n != 3 {
			t.Errorf("%d restarts, want 3", n)
		}
	})
}

func TestBackoffShowsWhyAndWhen(t *testing.T) {
	inWorld(t, func(w *world) {
		w.add("web", "crash 1s 3", backsOff(Backoff{First: new(Duration(20 * time.Second))}))
		w.after(3 * time.Second)
		w.wantState("web", InBackoff, 0)
		st := w.status("web")
		p := st.Processes[0]
		if st.Reason != "exit status 3" || p.State != InBackoff || time.Until(p.RetryAt) != 19*time.Second {
			t.Errorf("status %+v", st)
		}
	})
}

func TestNoBackoffReplacesAtOnce(t *testing.T) {
	inWorld(t, func(w *world) {
		w.add("web", "crash 1ms 0", noBackoff)
		w.after(1050 * time.Microsecond * 100)
		if n := w.status("web").Restarts; n < 100 {
			t.Errorf("%d restarts", n)
		}
	})
}

func TestLaunchFailureGoesToBackoffAndRecovers(t *testing.T) {
	for _, errno := range []error{syscall.EAGAIN, syscall.ENOMEM, syscall.EMFILE} {
		inWorld(t, func(w *world) {
			w.host.breakWith(errno)
			w.add("web", "run", noBackoff)
			w.wantState("web", InBackoff, 0)
			if st := w.status("web"); !strings.Contains(st.Reason, errno.Error()) {
				t.Errorf("reason %q", st.Reason)
			}
			w.after(time.Minute)
			w.host.breakWith(nil)
			w.after(40 * time.Second)
			w.wantState("web", Running, 1)
			for _, e := range w.seen() {
				if e.Kind == KindExit {
					t.Errorf("an exit without a spawn: %+v", e)
				}
			}
		})
	}
}

func TestStopWinsOverACrashLoop(t *testing.T) {
	inWorld(t, func(w *world) {
		w.add("web", "crash 1ms 1", noBackoff)
		w.after(10 * time.Millisecond)
		w.ok(w.Stop(w.ctx(), "web"))
		w.wantState("web", Stopped, 0)
		w.happened()
		w.after(time.Minute)
		w.wantEvents()
	})
}

func TestStopDuringBackoffCancelsTheRetry(t *testing.T) {
	inWorld(t, func(w *world) {
		w.add("web", "crash 1s 1", backsOff(Backoff{First: new(Duration(10 * time.Second))}))
		w.after(3 * time.Second)
		w.ok(w.Stop(w.ctx(), "web"))
		w.happened()
		w.after(time.Minute)
		w.wantEvents()
		w.wantState("web", Stopped, 0)
	})
}

func TestUpdateReplacesOnlyWhenItMust(t *testing.T) {
	inWorld(t, func(w *world) {
		w.add("web", "run", numprocesses(2))
		w.happened()
		w.ok(w.Update(w.ctx(), template("web", "run", numprocesses(3), grace(time.Second), priority(4))))
		w.wantEvents("update web", "spawn web.3")
		w.ok(w.Update(w.ctx(), template("web", "run again", numprocesses(3))))
		if got := strings.Join(w.happened()[:4], " "); got != "update web reap web.3 reap web.2 reap web.1" {
			t.Errorf("events %s …", got)
		}
		if ids := w.ids("web"); len(ids) != 3 || ids[2] <= 3 {
			t.Errorf("ids %v", ids)
		}
		w.is(w.Update(w.ctx(), template("nobody", "run")), ErrNotFound)
		w.is(w.Update(w.ctx(), template("web", "run $UNDEFINED_THING")), ErrInvalid)
		w.wantState("web", Running, 3)
	})
}

func TestUpdateKeepsAScaledNumber(t *testing.T) {
	inWorld(t, func(w *world) {
		w.add("web", "run")
		_, err := w.Scale(w.ctx(), "web", Change{'=', 3})
		w.ok(err)
		w.ok(w.Update(w.ctx(), template("web", "run other")))
		w.wantState("web", Running, 3)
	})
}

func TestUpdateOfAStoppedTemplateStartsNothing(t *testing.T) {
	inWorld(t, func(w *world) {
		w.add("web", "run", notStarted)
		w.ok(w.Update(w.ctx(), template("web", "run other")))
		w.wantState("web", Stopped, 0)
	})
}

func TestRemoveStopsThenForgets(t *testing.T) {
	inWorld(t, func(w *world) {
		w.add("web", "slow 2s")
		w.happened()
		removed := make(chan error)
		go func() { removed <- w.Remove(w.ctx(), "web") }()
		w.after(time.Second)
		w.is(w.Add(w.ctx(), template("web", "run")), ErrConflict)
		w.is(w.Start(w.ctx(), "web"), ErrNotFound)
		w.ok(<-removed)
		w.wantEvents("stop web", "stop_pid web.1", "exit web.1", "delete web")
		_, err := w.List(w.ctx(), "web")
		w.is(err, ErrNotFound)
		w.add("web", "run")
		if ids := w.ids("web"); ids[0] != 2 {
			t.Errorf("ids %v: an id was used again", ids)
		}
	})
}

func TestDetachedIsStartedAndLeftAlone(t *testing.T) {
	inWorld(t, func(w *world) {
		w.add("batch", "run", func(t *Template) { t.Detach, t.Backoff = true, nil })
		events := w.seen()
		if last := events[len(events)-1]; last.Kind != KindSpawn || last.Message != "detached" || last.PID == 0 {
			t.Errorf("events %+v", events)
		}
		if st := w.status("batch"); st.Running != 0 {
			t.Errorf("running %d", st.Running)
		}
		w.is(w.Stop(w.ctx(), "batch"), ErrConflict)
		w.is(w.Signal(w.ctx(), "batch", Signal(syscall.SIGHUP)), ErrConflict)
		w.ok(w.Stop(w.ctx(), All))
		w.ok(w.Start(w.ctx(), "batch"))
		if n := len(w.host.alive()); n != 2 {
			t.Errorf("%d detached processes, want 2", n)
		}
		for _, p := range w.host.alive() {
			p.end(0, 0)
		}
		if n := len(w.seen()); n != 2 { // start and spawn
			t.Errorf("%d events, want 2", n)
		}
	})
}

func TestPriorityOrdersStartAndStop(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := &fakeHost{}
		m, err := New(Options{host: h})
		if err != nil {
			t.Fatal(err)
		}
		w := &world{T: t, Manager: m, host: h}
		w.events, err = m.Subscribe(context.Background(), All, EventOptions{Kinds: []Kind{KindStopPID}})
		w.ok(err)
		for _, tmpl := range []Template{
			template("web", "slow 1s", priority(10)), template("db", "run"), template("cache", "run"), template("log", "run", priority(-5)),
		} {
			w.ok(m.Add(t.Context(), tmpl))
		}
		ctx, cancel := context.WithCancel(context.Background())
		done := make(chan error)
		go func() { done <- m.Run(ctx) }()
		synctest.Wait()
		var started []string
		for _, p := range h.procs {
			started = append(started, p.name())
		}
		if got := strings.Join(started, " "); got != "log db cache web" {
			t.Errorf("started in the order %s", got)
		}
		w.happened()
		cancel()
		w.ok(<-done)
		w.wantEvents("stop_pid web.1", "stop_pid cache.1", "stop_pid db.1", "stop_pid log.1")
		w.is(m.Add(t.Context(), template("late", "run")), ErrClosed)
		w.is(m.Run(t.Context()), ErrClosed)
	})
}

func TestGroups(t *testing.T) {
	inWorld(t, func(w *world) {
		for _, name := range []string{"ga:a", "gb:a", "ga:b"} {
			w.add(name, "run", notStarted)
		}
		w.happened()
		groups, err := w.Groups(w.ctx())
		w.ok(err)
		if len(groups) != 2 || groups[0].Name != "ga" || strings.Join(groups[0].Members, " ") != "ga:a ga:b" {
			t.Errorf("groups %+v", groups)
		}
		w.ok(w.Start(w.ctx(), "ga:*"))
		if got := strings.Join(w.happened()[:2], ", "); got != "start ga:a, start ga:b" {
			t.Errorf("events %s", got)
		}
		w.ok(w.Stop(w.ctx(), "gb:*")) // never started
		w.wantEvents("stop gb:a")
		w.ok(w.Remove(w.ctx(), "ga:*"))
		groups, err = w.Groups(w.ctx())
		w.ok(err)
		if len(groups) != 1 || groups[0].Name != "gb" {
			t.Errorf("groups %+v", groups)
		}
		w.is(w.Start(w.ctx(), "ga:*"), ErrNotFound)
	})
}

func TestWithdrawnLaunchIsNotMade(t *testing.T) {
	inWorld(t, func(w *world) {
		w.host.slowDown(time.Second)
		ctx, cancel := context.WithTimeout(w.ctx(), 1500*time.Millisecond)
		defer cancel()
		w.is(w.Add(ctx, template("web", "run", numprocesses(10))), context.DeadlineExceeded)
		w.ok(w.Stop(w.ctx(), "web"))
		if n := len(w.host.procs); n != 2 {
			t.Errorf("%d processes were started, want 2", n)
		}
	})
}

func TestOnceDeliversOneEvent(t *testing.T) {
	inWorld(t, func(w *world) {
		got := make(chan Event)
		go func() {
			e, err := Once(w.ctx(), w.Manager, "web", KindSpawn)
			if err != nil {
				t.Error(err)
			}
			got <- e
		}()
		synctest.Wait()
		w.add("db", "run")
		w.add("web", "run", numprocesses(2))
		if e := <-got; e.Name != "web" || e.Slot != 1 || e.ID != 2 {
			t.Errorf("event %+v", e)
		}
	})
}

func TestSubscriptionEndsWithItsContext(t *testing.T) {
	inWorld(t, func(w *world) {
		ctx, cancel := context.WithCancel(w.ctx())
		sub, err := w.Subscribe(ctx, "web", EventOptions{})
		w.ok(err)
		cancel()
		synctest.Wait()
		if _, err := sub.Next(w.ctx()); err == nil {
			t.Error("an event after the end")
		}
		_, err = w.Subscribe(w.ctx(), "web", EventOptions{Kinds: []Kind{"explode"}})
		w.is(err, ErrInvalid)
	})
}

func TestAppsStopAfterTheProcessesInReverse(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := &fakeHost{}
		m, err := New(Options{host: h})
		if err != nil {
			t.Fatal(err)
		}
		if err := m.Add(t.Context(), template("web", "slow 1s")); err != nil {
			t.Fatal(err)
		}
		var log []string
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error)
		go func() { done <- m.Run(ctx, &logApp{h, "a", &log}, &logApp{h, "b", &log}) }()
		synctest.Wait()
		if err := m.Restart(t.Context(), All, StopFirst); err != nil {
			t.Error(err)
		}
		cancel()
		if err := <-done; err == nil || !strings.Contains(err.Error(), "b is unhappy") {
			t.Errorf("Run: %v", err)
		}
		want := "a starts with 0, b starts with 0, a restarts with 1, b restarts with 1, b stops with 0, a stops with 0"
		if got := strings.Join(log, ", "); got != want {
			t.Errorf("got  %s\nwant %s", got, want)
		}
	})
}

type logApp struct {
	h    *fakeHost
	name string
	log  *[]string
}

func (a *logApp) note(what string) {
	*a.log = append(*a.log, a.name+" "+what+" with "+string(rune('0'+len(a.h.alive()))))
}
func (a *logApp) Start(context.Context, *Manager) error { a.note("starts"); return nil }
func (a *logApp) Restart(context.Context) error         { a.note("restarts"); return nil }
func (a *logApp) Stop(context.Context) error {
	a.note("stops")
	if a.name == "b" {
		return errors.New("b is unhappy")
	}
	return nil
}

func TestNothingStartsOnceTheManagerStops(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := &fakeHost{}
		m, err := New(Options{host: h})
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error)
		go func() { done <- m.Run(ctx) }()
		synctest.Wait()
		for _, name := range []string{"a", "b"} {
			if err := m.Add(t.Context(), template(name, "slow 1s")); err != nil {
				t.Fatal(err)
			}
		}
		refused := make(chan error)
		go func() {
			for {
				err := errors.Join(m.Restart(t.Context(), "a", StopFirst), m.Start(t.Context(), "b"))
				if err != nil {
					refused <- err
					return
				}
				time.Sleep(time.Millisecond)
			}
		}()
		time.Sleep(3500 * time.Millisecond)
		cancel()
		if err := <-refused; !errors.Is(err, ErrClosed) {
			t.Errorf("restart and start while the manager stops: %v", err)
		}
		if err := <-done; err != nil {
			t.Error(err)
		}
		if n := len(h.alive()); n != 0 {
			t.Errorf("%d processes are left", n)
		}
	})
}

func TestRunThatEndsAtOnceStartsNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := &fakeHost{}
		m, err := New(Options{host: h})
		if err != nil {
			t.Fatal(err)
		}
		if err := m.Add(t.Context(), template("web", "run")); err != nil {
			t.Fatal(err)
		}
		if err := m.Start(t.Context(), "web"); !errors.Is(err, ErrConflict) {
			t.Errorf("Start before Run: %v", err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if err := m.Run(ctx); err != nil || len(h.procs) != 0 {
			t.Errorf("%v, %d processes", err, len(h.procs))
		}
		if err := m.Close(); !errors.Is(err, ErrClosed) {
			t.Errorf("Close after Run: %v", err)
		}
	})
}

func TestOverlapGoesOnWhenItsNewProcessIsStopped(t *testing.T) {
	inWorld(t, func(w *world) {
		w.add("web", "run", numprocesses(2))
		w.host.slowDown(time.Second)
		restarted := make(chan error)
		go func() { restarted <- w.Restart(w.ctx(), "web", Overlap) }()
		w.after(500 * time.Millisecond)
		w.ok(w.Stop(w.ctx(), "web.1")) // the new one, which is being started
		w.ok(<-restarted)
		w.after(time.Minute)
		w.wantState("web", Running, 2)
		if n := len(w.host.alive()); n != 2 {
			t.Errorf("%d processes, want 2", n)
		}
	})
}

func TestCrashDuringThePauseSaysWhenItGoesOn(t *testing.T) {
	inWorld(t, func(w *world) {
		w.add("web", "run", numprocesses(2), flaps(Flapping{Attempts: 1}))
		w.host.procs[0].end(1, 0)
		w.after(3 * time.Second)
		w.seen()
		w.host.procs[1].end(1, 0)
		events := w.seen()
		if len(events) != 1 || events[0].Message != "next try in 4s" {
			t.Errorf("events %+v", events)
		}
		w.after(4 * time.Second)
		w.wantState("web", Running, 2)
	})
}

func TestUpdateEndsThePause(t *testing.T) {
	inWorld(t, func(w *world) {
		hour := Flapping{Attempts: 1, RetryIn: new(Duration(time.Hour))}
		w.add("web", "crash 1s", flaps(hour))
		w.after(2 * time.Second)
		w.wantState("web", InFlapping, 0)
		w.ok(w.Update(w.ctx(), template("web", "run", flaps(hour))))
		w.wantState("web", Running, 1)
	})
}

func TestUpdateChecksThePortsOfAScaledNumber(t *testing.T) {
	inWorld(t, func(w *world) {
		port := func(n int) func(*Template) { return func(t *Template) { t.Port = n } }
		w.add("web", "run", port(65530))
		_, err := w.Scale(w.ctx(), "web", Change{'=', 5})
		w.ok(err)
		_, err = w.Scale(w.ctx(), "web", Change{'=', 7})
		w.is(err, ErrInvalid)
		w.is(w.Update(w.ctx(), template("web", "run", port(65535))), ErrInvalid)
		w.wantState("web", Running, 5)
		if got := w.status("web"); got.MaxProcesses != 5 {
			t.Errorf("status %+v", got)
		}
	})
}

func TestUpdateToDetachedStartsIt(t *testing.T) {
	inWorld(t, func(w *world) {
		w.add("web", "run")
		w.ok(w.Update(w.ctx(), template("web", "run", func(t *Template) { t.Detach, t.Backoff = true, nil })))
		w.after(time.Second)
		if live := w.host.alive(); len(live) != 1 || !live[0].spec.Detach {
			t.Errorf("%d processes", len(live))
		}
		w.ok(w.Update(w.ctx(), template("web", "run")))
		w.wantState("web", Running, 1)
	})
}

func TestSlotsAndIDsThatDoNotExistAreNotFound(t *testing.T) {
	inWorld(t, func(w *world) {
		w.add("web", "run", numprocesses(2))
		for _, target := range []Target{"web.3", "9", "db", "db.1"} {
			_, err := w.List(w.ctx(), target)
			w.is(err, ErrNotFound)
			w.is(w.Signal(w.ctx(), target, 1), ErrNotFound)
		}
		for _, target := range []Target{"web.2", "2"} {
			list, err := w.List(w.ctx(), target)
			w.ok(err)
			if ps := list[0].Status.Processes; len(ps) != 1 || ps[0].ID != 2 {
				t.Errorf("%s: %+v", target, ps)
			}
		}
	})
}

func TestWaitersThatLeaveAreForgotten(t *testing.T) {
	inWorld(t, func(w *world) {
		w.add("web", "stubborn")
		for range 10 {
			ctx, cancel := context.WithTimeout(w.ctx(), time.Second)
			w.is(w.Stop(ctx, "web"), context.DeadlineExceeded)
			cancel()
		}
		k := w.keepers["web"]
		w.ok(k.box.do(w.ctx(), func() {
			if n := len(k.waiters); n != 0 {
				t.Errorf("%d waiters", n)
			}
		}))
	})
}
