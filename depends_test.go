package gaffer

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"
)

func dependsOn(list ...string) func(*Template) {
	return func(t *Template) {
		t.DependsOn = map[string]Condition{}
		for _, one := range list {
			name, condition, _ := strings.Cut(one, "=")
			t.DependsOn[name] = Condition(condition)
		}
	}
}

func onLoss(a LossAction) func(*Template) { return func(t *Template) { t.OnLoss = a } }

// start adds templates without waiting until they are as they should be.
func (w *world) start(list ...Template) {
	w.Helper()
	for _, t := range list {
		go func() { _ = w.Add(w.ctx(), t) }()
		synctest.Wait()
	}
}

func TestADependentWaitsUntilTheConditionIsMet(t *testing.T) {
	inWorld(t, func(w *world) {
		w.start(template("db", "run", byTCP(time.Minute)), template("web", "run", numprocesses(2), dependsOn("db=ready")))
		w.after(10 * time.Second)
		w.wantState("web", Waiting, 0)
		st := w.status("web")
		if st.Active != "active" || st.Reason != "db is not ready, but starting" || len(st.Processes) != 2 ||
			st.Processes[1].State != Waiting || st.Processes[1].Reason != st.Reason {
			t.Errorf("status %+v", st)
		}
		w.probes.say("db", true)
		w.after(2 * time.Second)
		w.wantState("web", Running, 2)
		w.wantSpawns("db.1", "web.1", "web.2")
	})
}

func TestEachConditionIsMetInItsTime(t *testing.T) {
	for condition, cmd := range map[Condition]string{
		DependsStarted: "run", DependsReady: "run", DependsHealthy: "run", DependsDone: "exit 30s 1", DependsFinished: "exit 30s 0",
	} {
		inWorld(t, func(w *world) {
			on := template("on", cmd, byTCP(time.Hour), keptHealthy(Health{TCP: "a:1", Interval: Duration(time.Second)}))
			if cmd != "run" {
				on = template("on", cmd, restarts(RestartNever))
			}
			w.start(on, template("web", "run", dependsOn("on="+string(condition))))
			runs := func() bool { return w.status("web").State == Running }
			if runs() != (condition == DependsStarted) {
				t.Errorf("%s: %+v", condition, w.status("web"))
			}
			w.probes.say("on", true)
			w.after(500 * time.Millisecond)
			if is, want := runs(), condition == DependsStarted || condition == DependsReady; is != want {
				t.Errorf("%s: after it was ready: %+v", condition, w.status("web"))
			}
			w.after(30 * time.Second)
			if !runs() {
				t.Errorf("%s: in the end: %+v", condition, w.status("web"))
			}
		})
	}
}

func TestAFailureOfAOneShotKeepsItsDependents(t *testing.T) {
	inWorld(t, func(w *world) {
		w.start(template("migrate", "exit 1s 1", restarts(RestartNever)))
		begin := time.Now()
		w.add("web", "run", dependsOn("migrate=done-successfully")) // returns, for nothing is on its way any more
		if took := time.Since(begin); took > 2*time.Second {
			t.Errorf("it took %s", took)
		}
		w.wantState("web", Waiting, 0)
		if st := w.status("web"); st.Reason != "migrate is not done, but failed" {
			t.Errorf("status %+v", st)
		}
		w.ok(w.Update(w.ctx(), template("migrate", "exit 1s 0", restarts(RestartNever))))
		w.after(2 * time.Second)
		w.wantState("web", Running, 1)
	})
}

func TestAStartStartsWhatItNeeds(t *testing.T) {
	inWorld(t, func(w *world) {
		w.add("db", "run", notStarted)
		w.add("cache", "run", notStarted)
		w.add("api", "run", notStarted, dependsOn("db=started"))
		w.add("web", "run", notStarted, dependsOn("api=started"))
		w.happened()
		w.ok(w.Start(w.ctx(), "web"))
		w.wantSpawns("db.1", "api.1", "web.1")
		w.wantState("cache", Stopped, 0)
	})
}

func TestAStopGoesAgainstTheArrows(t *testing.T) {
	inWorld(t, func(w *world) {
		w.add("db", "slow 3s", priority(5))
		w.add("api", "slow 1s", dependsOn("db=started"))
		w.add("web", "slow 2s", dependsOn("api=started"))
		w.happened()
		w.ok(w.Stop(w.ctx(), All))
		w.wantEvents("stop web", "stop_pid web.1", "exit web.1", "stop api", "stop_pid api.1", "exit api.1", "stop db", "stop_pid db.1", "exit db.1")
		w.ok(w.Start(w.ctx(), All))
		w.wantSpawns("db.1", "api.1", "web.1")
	})
}

// wantSpawns looks at the order of starts alone.
func (w *world) wantSpawns(want ...string) {
	w.Helper()
	var got []string
	for _, e := range w.happened() {
		if name, is := strings.CutPrefix(e, "spawn "); is {
			got = append(got, name)
		}
	}
	if !slices.Equal(got, want) {
		w.Errorf("started %v, want %v", got, want)
	}
}

func TestWhatIsNeededIsNotRemoved(t *testing.T) {
	inWorld(t, func(w *world) {
		w.add("db", "run")
		w.add("web", "run", dependsOn("db=started"))
		err := w.Remove(w.ctx(), "db")
		w.is(err, ErrConflict)
		if err == nil || err.Error() != "template db: web depends on it" {
			t.Errorf("error %v", err)
		}
		w.happened()
		w.ok(w.Remove(w.ctx(), All))
		w.wantEvents("stop web", "stop_pid web.1", "exit web.1", "delete web", "stop db", "stop_pid db.1", "exit db.1", "delete db")
	})
}

func TestALossIsActedOn(t *testing.T) {
	for action, want := range map[LossAction]string{
		"":          "",
		LossIgnore:  "",
		LossRestart: "restart web, reap web.1, exit web.1, spawn web.1",
		LossStop:    "stop_pid web.1, exit web.1, spawn web.1",
	} {
		inWorld(t, func(w *world) {
			w.add("db", "run")
			w.add("web", "run", dependsOn("db=started"), onLoss(action))
			w.happened()
			w.ok(w.Stop(w.ctx(), "db"))
			w.after(time.Minute)
			state := map[LossAction]State{LossStop: Waiting}[action]
			if state == "" {
				state = Running
			}
			if st := w.status("web"); st.State != state {
				t.Errorf("%s: %+v", action, st)
			}
			w.ok(w.Start(w.ctx(), "db"))
			w.after(time.Minute)
			w.wantState("web", Running, 1)
			var of []string
			for _, e := range w.happened() {
				if strings.Contains(e, "web") {
					of = append(of, e)
				}
			}
			if got := strings.Join(of, ", "); got != want {
				t.Errorf("%s: %s, want %s", action, got, want)
			}
		})
	}
}

func TestADatabaseThatComesAndGoesTakesNobodyWithIt(t *testing.T) {
	for _, action := range []LossAction{LossRestart, LossStop} {
		inWorld(t, func(w *world) {
			w.add("db", "crash 4s 1", backsOff(Backoff{First: new(Duration(time.Second)), Max: new(Duration(time.Second))}))
			w.add("web", "run", dependsOn("db=started"), onLoss(action))
			w.happened()
			w.after(time.Hour)
			spawns := 0
			for _, e := range w.happened() {
				if e == "spawn web.1" {
					spawns++
				}
			}
			if spawns > 2 {
				t.Errorf("%s: web was started %d times", action, spawns)
			}
			w.ok(w.Update(w.ctx(), template("db", "run")))
			w.after(10 * time.Minute)
			w.wantState("web", Running, 1)
		})
	}
}

func TestDependenciesThatCantBe(t *testing.T) {
	for want, list := range map[string][]Template{
		"template web: depends_on.db: there is no template db; there are web": {template("web", "run", dependsOn("db=started"))},
		"template a: depends_on: a cycle: a -> b -> c -> a": {
			template("a", "run", dependsOn("b=started")), template("b", "run", dependsOn("c=started")), template("c", "run", dependsOn("a=started")),
		},
		"template web: depends_on.db: db has no table ready":  {template("web", "run", dependsOn("db=ready")), template("db", "run")},
		"template web: depends_on.db: db has no table health": {template("web", "run", dependsOn("db=healthy")), template("db", "run")},
		"template web: depends_on.db: db is never done":       {template("web", "run", dependsOn("db=done")), template("db", "run")},
	} {
		if err := CheckDependencies(list); err == nil || !strings.HasPrefix(err.Error(), want) {
			t.Errorf("got  %v\nwant %s", err, want)
		}
	}
	for field, bad := range map[string]Template{
		"depends_on.a":   template("a", "run", dependsOn("a=started")),
		"depends_on.b":   template("a", "run", dependsOn("b=somehow")),
		"depends_on.b c": template("a", "run", dependsOn("b c=started")),
		"on_loss":        template("a", "run", onLoss(LossStop)),
	} {
		if err := bad.Validate(); err == nil || !strings.Contains(err.Error(), field+": ") {
			t.Errorf("%s: %v", field, err)
		}
	}
	inWorld(t, func(w *world) {
		w.add("a", "run")
		w.add("b", "run", dependsOn("a=started"))
		w.is(w.Add(w.ctx(), template("c", "run", dependsOn("x=started"))), ErrInvalid)
		w.is(w.Update(w.ctx(), template("a", "run", dependsOn("b=started"))), ErrInvalid)
		w.is(w.Update(w.ctx(), template("a", "run", dependsOn("a=started"))), ErrInvalid)
		w.ok(w.Load(w.ctx(), template("c", "run", dependsOn("x=started"))))
		w.wantState("c", Waiting, 0)
		if st := w.status("c"); st.Reason != "there is no template x" {
			t.Errorf("status %+v", st)
		}
		w.is(w.Load(w.ctx(), template("x", "run", dependsOn("c=started"))), ErrInvalid)
		w.add("x", "run")
		synctest.Wait()
		w.wantState("c", Running, 1)
	})
}

func TestPrioritiesNeverContradictDependencies(t *testing.T) {
	inWorld(t, func(w *world) {
		w.add("web", "run", notStarted, priority(-5))
		w.add("db", "slow 1s", notStarted, priority(10))
		w.ok(w.Update(w.ctx(), template("web", "slow 1s", notStarted, priority(-5), dependsOn("db=started"))))
		w.happened()
		w.ok(w.Start(w.ctx(), All))
		w.wantSpawns("db.1", "web.1")
		w.ok(w.Stop(w.ctx(), All))
		w.wantEvents("stop web", "stop_pid web.1", "exit web.1", "stop db", "stop_pid db.1", "exit db.1")
	})
}

// Whatever the graph is: nothing is started before what it waits for is so, and nothing
// is stopped before what depends on it is gone; failures reach those who wait for what has
// failed and nobody else; and it comes to an end.
func TestRandomGraphs(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		var failure any
		synctest.Test(t, func(t *testing.T) {
			defer func() { failure = recover() }()
			aRandomGraph(rt, t)
		})
		if failure != nil {
			panic(failure)
		}
	})
}

func aRandomGraph(rt *rapid.T, t *testing.T) {
	n := rapid.IntRange(1, 12).Draw(rt, "templates")
	probes, h := &fakeProbes{}, &fakeHost{}
	var list []Template
	broken := map[string]bool{} // never gets there
	for i := range n {
		name := fmt.Sprintf("t%d", i)
		tmpl := template(name, "run", numprocesses(rapid.IntRange(1, 3).Draw(rt, "n")), priority(rapid.IntRange(-1, 1).Draw(rt, "priority")))
		bad := rapid.IntRange(0, 5).Draw(rt, "bad") == 0
		switch rapid.IntRange(0, 3).Draw(rt, "sort") {
		case 0:
			tmpl.Ready = &Ready{TCP: "a:1", Timeout: new(Duration(5 * time.Second))}
			probes.say(name, !bad)
		case 1:
			tmpl.Restart, tmpl.Backoff = RestartNever, nil
			tmpl.Cmd = fmt.Sprintf("sh exit %dms %d", rapid.IntRange(0, 3000).Draw(rt, "after"), map[bool]int{true: 1}[bad])
		case 2:
			tmpl.Cmd = map[bool]string{false: "sh run", true: "sh broken"}[bad]
		default:
			tmpl.Cmd = fmt.Sprintf("sh slow %dms", rapid.IntRange(0, 3000).Draw(rt, "slow"))
			bad = false
		}
		broken[name] = bad
		for j := range i {
			if rapid.IntRange(0, 3).Draw(rt, "edge") > 0 {
				continue
			}
			if tmpl.DependsOn == nil {
				tmpl.DependsOn = map[string]Condition{}
			}
			condition := DependsStarted
			switch on := list[j]; {
			case on.Ready != nil:
				condition = DependsReady
			case on.Restart == RestartNever:
				condition = []Condition{DependsDone, DependsFinished}[rapid.IntRange(0, 1).Draw(rt, "which")]
			}
			tmpl.DependsOn[list[j].Name] = condition
		}
		list = append(list, tmpl)
	}
	m, err := New(Options{host: h, probe: probes.ask})
	if err != nil {
		rt.Fatal(err)
	}
	byName := map[string]*Template{}
	for _, i := range rapid.Permutation(slices.Collect(func(yield func(int) bool) {
		for i := range n {
			if !yield(i) {
				return
			}
		}
	})).Draw(rt, "order") {
		byName[list[i].Name] = &list[i]
		if err := m.Load(context.Background(), list[i]); err != nil {
			rt.Fatal(err)
		}
	}
	events, err := m.Subscribe(context.Background(), All, EventOptions{})
	if err != nil {
		rt.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error)
	go func() { done <- m.Run(ctx) }()
	time.Sleep(20 * time.Second)
	synctest.Wait()
	states := map[string]State{}
	statuses, err := m.Status(context.Background(), All)
	if err != nil {
		rt.Fatal(err)
	}
	for _, st := range statuses {
		states[st.Name] = st.State
	}
	cancel()
	if err := <-done; err != nil {
		rt.Fatal(err)
	}
	checkGraph(rt, byName, broken, states, events)
}

// checkGraph compares what has happened with what had to.
func checkGraph(rt *rapid.T, byName map[string]*Template, broken map[string]bool, states map[string]State, events Stream[Event]) {
	waits := map[string]bool{}
	var mustWait func(name string) bool
	mustWait = func(name string) bool {
		for on, condition := range byName[name].DependsOn {
			if mustWait(on) || broken[on] && condition != DependsDone {
				return true
			}
		}
		return false
	}
	for name := range byName {
		waits[name] = mustWait(name)
		if is := states[name] == Waiting; is != waits[name] {
			rt.Errorf("%s is %s; must it wait: %v", name, states[name], waits[name])
		}
	}
	running, ready, ended, good := map[string]int{}, map[string]int{}, map[string]int{}, map[string]int{}
	stopping := map[string]bool{}
	for {
		e, err := events.Next(context.Background())
		if err != nil {
			break
		}
		name := e.Name
		switch e.Kind {
		case KindSpawn:
			for on, condition := range byName[name].DependsOn {
				have := map[Condition]map[string]int{DependsStarted: running, DependsReady: ready, DependsDone: ended, DependsFinished: good}[condition][on]
				if have < byName[on].wanted() {
					rt.Errorf("%s.%d is started while %s is not %s (%d of %d)", name, e.Slot, on, condition, have, byName[on].wanted())
				}
			}
			running[name]++
		case KindReady:
			ready[name]++
		case KindStop:
			stopping[name] = true
		case KindExit:
			running[name]--
			if byName[name].Restart == RestartNever && !stopping[name] {
				ended[name]++
				if e.Exit.Status == 0 {
					good[name]++
				}
			}
		case KindStopPID:
			for other, t := range byName {
				if _, needs := t.DependsOn[name]; needs && stopping[name] && running[other] > 0 {
					rt.Errorf("%s is stopped while %s runs", name, other)
				}
			}
		}
	}
}

func TestTwoThousandStartInOnePass(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := &fakeHost{}
		m, err := New(Options{host: h})
		if err != nil {
			t.Fatal(err)
		}
		const n = 2000
		for i := n - 1; i >= 0; i-- { // the last one first: each waits for what is not there yet
			tmpl := template(fmt.Sprintf("t%d", i), "run")
			if i > 0 {
				tmpl.DependsOn = map[string]Condition{fmt.Sprintf("t%d", (i-1)/2): DependsStarted, fmt.Sprintf("t%d", i-1): DependsStarted}
			}
			if err := m.Load(t.Context(), tmpl); err != nil {
				t.Fatal(err)
			}
		}
		ctx, cancel := context.WithCancel(context.Background())
		done := make(chan error)
		go func() { done <- m.Run(ctx) }()
		synctest.Wait()
		if live := len(h.alive()); live != n {
			t.Errorf("%d run", live)
		}
		for i, p := range h.alive() {
			if want := fmt.Sprintf("t%d", i); p.name() != want {
				t.Fatalf("%s was started as number %d", p.name(), i)
			}
		}
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
}

// Who does not wait for an answer has asked all the same, and in the right order.
func TestWhoDoesNotWaitHasAsked(t *testing.T) {
	inWorld(t, func(w *world) {
		hurried, cancel := context.WithCancel(w.ctx())
		cancel()
		w.add("db", "slow 1s")
		w.is(w.Add(hurried, template("web", "slow 3s", dependsOn("db=started"))), context.Canceled)
		synctest.Wait()
		w.wantState("web", Running, 1)
		w.is(w.Update(hurried, template("db", "slow 1s", version(2))), context.Canceled)
		w.after(5 * time.Second)
		w.happened()
		w.is(w.Stop(hurried, All), context.Canceled)
		w.after(10 * time.Second)
		w.wantEvents("stop web", "stop_pid web.1", "exit web.1", "stop db", "stop_pid db.1", "exit db.1")
	})
}

func TestAStartOfWhatRunsDoesNotWaitForWhatItHasLost(t *testing.T) {
	inWorld(t, func(w *world) {
		w.add("db", "run")
		w.add("web", "run", dependsOn("db=started"))
		w.ok(w.Update(w.ctx(), template("db", "broken")))
		w.after(time.Second)
		w.ok(w.Start(w.ctx(), "web"))
		w.wantState("web", Running, 1)
	})
}

func TestWhatIsDoneIsNotRunAgainByALoss(t *testing.T) {
	for _, action := range []LossAction{LossRestart, LossStop} {
		inWorld(t, func(w *world) {
			w.add("db", "run")
			w.add("job", "exit 1s 0", restarts(RestartNever), dependsOn("db=started"), onLoss(action))
			w.after(2 * time.Second)
			w.happened()
			w.ok(w.Stop(w.ctx(), "db"))
			w.ok(w.Start(w.ctx(), "db"))
			w.after(10 * time.Minute)
			w.wantState("job", Done, 0)
			if slices.Contains(w.happened(), "spawn job.1") {
				t.Errorf("%s: it was run again", action)
			}
		})
	}
}
