package gaffer

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

func rollsOut(r Rollout) func(*Template) { return func(t *Template) { t.Rollout = &r } }

func version(v int) func(*Template) {
	return func(t *Template) { t.Env = map[string]string{"VERSION": fmt.Sprint(v)} }
}

// serving is the least number of ready processes, and the largest of processes at all,
// that there were while something went on.
func (w *world) serving(name string, done chan error) (least, most int, err error) {
	w.Helper()
	least = 1 << 30
	for {
		select {
		case err := <-done:
			return least, most, err
		default:
		}
		ready := 0
		k := w.keepers[name]
		_ = k.box.do(w.ctx(), func() {
			for _, s := range k.slots {
				for _, p := range s.processes() {
					if p.runs() {
						ready++
						break
					}
				}
			}
		})
		least, most = min(least, ready), max(most, len(w.host.alive()))
		w.after(5 * time.Millisecond)
	}
}

func TestARolloutKeepsItsBounds(t *testing.T) {
	for _, test := range []struct {
		rule        Rollout
		least, most int
	}{
		{Rollout{}, 4, 5},
		{Rollout{MaxSurge: new(2)}, 4, 6},
		{Rollout{MaxSurge: new(0), MaxUnavailable: new(1)}, 3, 4},
		{Rollout{Order: StopFirstOrder}, 3, 4},
		{Rollout{Order: StopFirstOrder, MaxUnavailable: new(3)}, 1, 4},
		{Rollout{MaxSurge: new(1), MaxUnavailable: new(1)}, 3, 5},
		{Rollout{Drain: Duration(3 * time.Second)}, 4, 5},
	} {
		inWorld(t, func(w *world) {
			more := []func(*Template){byTCP(time.Minute), rollsOut(test.rule), numprocesses(4)}
			w.probes.say("web", true)
			w.add("web", "slow 200ms", more...)
			before := w.ids("web")
			w.probes.takes = 100 * time.Millisecond
			for i, begin := range []func() error{
				func() error { return w.Restart(w.ctx(), "web", StopFirst) },
				func() error { return w.Update(w.ctx(), template("web", "slow 200ms", append(more, version(2))...)) },
			} {
				done := make(chan error, 1)
				go func() { done <- begin() }()
				least, most, err := w.serving("web", done)
				w.ok(err)
				if least < test.least || most > test.most || most < test.most && i == 0 {
					t.Errorf("%+v: at least %d served and at most %d lived, want %d and %d", test.rule, least, most, test.least, test.most)
				}
				ids := w.ids("web")
				for slot := range ids {
					if ids[slot] <= before[slot] {
						t.Errorf("%+v: ids %v, before %v", test.rule, ids, before)
					}
				}
				if st := w.status("web").Rollout; st == nil || st.State != RolloutDone || st.Done != 4 || st.Total != 4 {
					t.Errorf("rollout %+v", st)
				}
			}
		})
	}
}

func TestDrainIsTheTimeBetweenReadyAndStop(t *testing.T) {
	inWorld(t, func(w *world) {
		w.add("web", "run", rollsOut(Rollout{Drain: Duration(5 * time.Second)}))
		begin := time.Now()
		w.ok(w.Restart(w.ctx(), "web", StopFirst))
		if took := time.Since(begin); took < 5*time.Second || took > 6*time.Second {
			t.Errorf("it took %s", took)
		}
	})
}

func TestABrokenVersionIsRolledBack(t *testing.T) {
	for name, breaks := range map[string]func(*Template){
		"not ready": func(*Template) {},
		"crashes":   func(t *Template) { t.Cmd = "sh crash 10ms 1" },
		"ends":      func(t *Template) { t.Cmd = "sh exit 10ms 0" },
		"no start":  func(t *Template) { t.Cmd = "sh broken" },
	} {
		t.Run(name, func(t *testing.T) {
			inWorld(t, func(w *world) {
				more := []func(*Template){byTCP(20 * time.Second), rollsOut(Rollout{}), numprocesses(3)}
				w.probes.say("web", true)
				w.add("web", "run", more...)
				before := w.ids("web")
				w.probes.say("web", false)
				w.happened()
				done := make(chan error, 1)
				go func() { done <- w.Update(w.ctx(), template("web", "run", append(more, version(2), breaks)...)) }()
				least, _, err := w.serving("web", done)
				if err == nil || !strings.HasPrefix(err.Error(), "rollout: web.1") || !strings.HasSuffix(err.Error(), "; it was rolled back") {
					t.Errorf("error %v", err)
				}
				if least < 3 {
					t.Errorf("%d served", least)
				}
				w.after(time.Minute)
				if ids := w.ids("web"); !slices.Equal(ids, before) {
					t.Errorf("ids %v, want %v", ids, before)
				}
				st := w.status("web")
				if st.State != Running || st.Running != 3 || st.Rollout == nil || st.Rollout.State != RolloutRolledBack || st.Rollout.Reason == "" {
					t.Errorf("status %+v, rollout %+v", st, st.Rollout)
				}
				list, err := w.List(w.ctx(), "web")
				w.ok(err)
				if list[0].Template.Env != nil || list[0].Template.Cmd != "sh run" {
					t.Errorf("template %+v", list[0].Template)
				}
				if !slices.Contains(w.happened(), "rollback web") {
					t.Error("it is not told of")
				}
				if len(w.host.alive()) != 3 {
					t.Errorf("%d live", len(w.host.alive()))
				}
			})
		})
	}
}

func TestWhatWasRolledOutAlreadyGoesBackToo(t *testing.T) {
	inWorld(t, func(w *world) {
		more := []func(*Template){byTCP(20 * time.Second), rollsOut(Rollout{}), numprocesses(3)}
		w.probes.say("web", true)
		w.add("web", "run", more...)
		done := make(chan error, 1)
		go func() {
			time.Sleep(50 * time.Millisecond)
			w.probes.say("web.1", true)
			w.probes.say("web.2", true)
			w.probes.say("web", false) // so the third one is broken
			done <- w.Update(w.ctx(), template("web", "run", append(more, version(2))...))
		}()
		least, _, err := w.serving("web", done)
		if err == nil || !strings.Contains(err.Error(), "web.3: not ready within 20s: connection refused") {
			t.Errorf("error %v", err)
		}
		w.probes.say("web", true)
		w.after(time.Minute)
		if least < 3 {
			t.Errorf("%d served", least)
		}
		w.wantState("web", Running, 3)
		for _, p := range w.host.alive() {
			if slices.Contains(p.spec.Env, "VERSION=2") {
				t.Errorf("%s is of the broken version", p.name())
			}
		}
	})
}

func TestARolloutHasItsTime(t *testing.T) {
	inWorld(t, func(w *world) {
		w.probes.say("web", true)
		more := []func(*Template){byTCP(time.Hour), rollsOut(Rollout{Timeout: Duration(time.Minute)}), numprocesses(2)}
		w.add("web", "run", more...)
		w.probes.say("web", false)
		begin := time.Now()
		err := w.Restart(w.ctx(), "web", StopFirst)
		if err == nil || err.Error() != "rollout: it took longer than 1m0s; it was stopped" || time.Since(begin) > 61*time.Second {
			t.Errorf("after %s: %v", time.Since(begin), err)
		}
		w.after(time.Second)
		w.wantState("web", Running, 2)
		if st := w.status("web").Rollout; st.State != RolloutFailed {
			t.Errorf("rollout %+v", st)
		}
	})
}

func TestWhatDoesNotServeIsReplacedAtOnce(t *testing.T) {
	inWorld(t, func(w *world) {
		more := []func(*Template){byTCP(time.Hour), rollsOut(Rollout{}), numprocesses(4)}
		w.start(template("web", "run", more...)) // never ready
		done := make(chan error, 1)
		go func() { done <- w.Update(w.ctx(), template("web", "run", append(more, version(2))...)) }()
		w.after(time.Second)
		w.probes.say("web", true)
		w.after(2 * time.Second)
		w.ok(<-done)
		w.wantState("web", Running, 4)
	})
}

func TestAnUpdateIsUndone(t *testing.T) {
	withStore(t, func(w *world, s *fakeStore) {
		w.is(w.Add(w.ctx(), template("a", "run", version(1))), nil)
		err := w.Undo(w.ctx(), "a")
		w.is(err, ErrConflict)
		w.ok(w.Update(w.ctx(), template("a", "run", version(2))))
		if p := s.kept["a"].Wanted.Previous; p == nil || p.Env["VERSION"] != "1" {
			t.Errorf("kept %+v", s.kept["a"].Wanted)
		}
		w.ok(w.Undo(w.ctx(), "a"))
		if v := s.kept["a"].Wanted.Template.Env["VERSION"]; v != "1" {
			t.Errorf("version %s", v)
		}
		w.ok(w.Undo(w.ctx(), "a")) // and again
		if v := s.kept["a"].Wanted.Template.Env["VERSION"]; v != "2" {
			t.Errorf("version %s", v)
		}
		w.ok(w.Undo(w.ctx(), All))
	})
}

func TestARollbackIsKept(t *testing.T) {
	withStore(t, func(w *world, s *fakeStore) {
		w.is(w.Add(w.ctx(), template("a", "run", version(1), rollsOut(Rollout{}))), nil)
		if err := w.Update(w.ctx(), template("a", "crash 1ms 1", version(2), rollsOut(Rollout{}))); err == nil {
			t.Error("it was not rolled back")
		}
		time.Sleep(time.Second)
		synctest.Wait()
		if v := s.kept["a"].Wanted.Template.Env["VERSION"]; v != "1" {
			t.Errorf("version %s is kept", v)
		}
		w.is(w.Undo(w.ctx(), "a"), ErrConflict)
	})
}

func TestAStopEndsARollout(t *testing.T) {
	inWorld(t, func(w *world) {
		w.probes.say("web", true)
		w.add("web", "run", byTCP(time.Hour), rollsOut(Rollout{}), numprocesses(3))
		w.probes.say("web", false)
		done := make(chan error, 1)
		go func() { done <- w.Restart(w.ctx(), "web", StopFirst) }()
		w.after(time.Second)
		w.ok(w.Stop(w.ctx(), "web"))
		w.wantState("web", Stopped, 0)
		w.after(time.Second)
		select {
		case err := <-done:
			if err == nil || err.Error() != "rollout: stopped before it was done" {
				t.Errorf("error %v", err)
			}
			if st := w.status("web").Rollout; st.State != RolloutFailed {
				t.Errorf("rollout %+v", st)
			}
		default:
			t.Error("the restart goes on")
		}
		w.probes.say("web", true)
		w.ok(w.Start(w.ctx(), "web"))
		w.wantState("web", Running, 3)
	})
}

func TestRolloutsThatCantBe(t *testing.T) {
	for field, bad := range map[string]Rollout{
		"rollout":                 {MaxSurge: new(0)},
		"rollout.order":           {Order: "random"},
		"rollout.max_surge":       {Order: StopFirstOrder, MaxSurge: new(1)},
		"rollout.max_unavailable": {MaxUnavailable: new(-1)},
		"rollout.drain":           {Drain: -1},
		"rollout.timeout":         {Timeout: -1},
	} {
		tmpl := Template{Name: "a", Cmd: "true", Rollout: &bad}
		if err := tmpl.Validate(); err == nil || !strings.Contains(err.Error(), field+": ") {
			t.Errorf("%s: %v", field, err)
		}
	}
}

// The good one is that which has served, however many broken ones follow.
func TestASecondBrokenVersionGoesBackToTheGoodOne(t *testing.T) {
	inWorld(t, func(w *world) {
		more := []func(*Template){byTCP(20 * time.Second), rollsOut(Rollout{}), numprocesses(2)}
		of := func(v int) Template { return template("web", "run", append(more, version(v))...) }
		w.probes.say("web", true)
		w.ok(w.Add(w.ctx(), of(1)))
		before := w.ids("web")
		w.probes.say("web", false)
		first := make(chan error, 1)
		go func() { first <- w.Update(w.ctx(), of(2)) }()
		w.after(5 * time.Second)
		err := w.Update(w.ctx(), of(3))
		if err == nil || !strings.Contains(err.Error(), "rolled back") {
			t.Errorf("the third: %v", err)
		}
		if err := <-first; err == nil || err.Error() != "rollout: something else was asked for before it was done" {
			t.Errorf("the second: %v", err)
		}
		w.after(time.Minute)
		list, err := w.List(w.ctx(), "web")
		w.ok(err)
		if v := list[0].Template.Env["VERSION"]; v != "1" || !slices.Equal(w.ids("web"), before) {
			t.Errorf("version %s, ids %v, before %v", v, w.ids("web"), before)
		}
		// And an undo is not held up by what never becomes ready.
		go func() { first <- w.Update(w.ctx(), of(4)) }()
		w.after(time.Second)
		begin := time.Now()
		w.is(w.Undo(w.ctx(), "web"), nil)
		if took := time.Since(begin); took > 2*time.Second {
			t.Errorf("the undo took %s", took)
		}
		w.wantState("web", Running, 2)
		if err := <-first; err == nil {
			t.Error("the fourth was rolled out")
		}
	})
}

func TestALossInARolloutLeavesOneProcessInEachSlot(t *testing.T) {
	inWorld(t, func(w *world) {
		w.add("db", "run")
		w.add("web", "run", dependsOn("db=started"), onLoss(LossRestart), rollsOut(Rollout{Drain: Duration(20 * time.Second)}), numprocesses(2))
		done := make(chan error, 1)
		go func() { done <- w.Restart(w.ctx(), "web", StopFirst) }()
		w.after(time.Second)
		w.ok(w.Stop(w.ctx(), "db"))
		w.ok(w.Start(w.ctx(), "db"))
		w.after(10 * time.Minute)
		if err := <-done; err == nil {
			t.Error("the first rollout came to its end")
		}
		w.wantState("web", Running, 2)
		if n := len(w.host.alive()); n != 3 {
			t.Errorf("%d processes live, want 3", n)
		}
		if st := w.status("web").Rollout; st.State != RolloutDone {
			t.Errorf("rollout %+v", st)
		}
	})
}
