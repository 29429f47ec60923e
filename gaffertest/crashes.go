package gaffertest

import (
	"strings"
	"time"

	"github.com/gafferpm/gaffer"
)

var crashCases = []aCase{
	{"CrashesAreCountedAndWait", crashesWait},
	{"TooManyCrashesAreAFailure", crashesFail},
	{"AOneShotIsDoneOrHasFailed", oneShots},
	{"WhatRunsTooLongIsStopped", tooLong},
	{"AStartWaitsUntilItIsReady", readyIsWaitedFor},
	{"WhatIsNotReadyInTimeHasFailed", notReadyInTime},
	{"TheUnhealthyIsToldOf", unhealthyIsTold},
	{"ADependentWaits", dependentWaits},
	{"ATemplateThatIsNeededStays", neededStays},
	{"ABrokenVersionIsRolledBack", rolledBack},
	{"AnUpdateIsUndone", undone},
	{"HooksAreRunAndTold", hooksAreRun},
	{"AStopIsASequence", stopIsASequence},
}

func crashesWait(b *bench) {
	events := b.events("web", gaffer.EventOptions{})
	hour := gaffer.Duration(time.Hour)
	b.add("web", "exit 3", func(t *gaffer.Template) { t.Backoff = &gaffer.Backoff{First: &hour, Max: &hour} })
	if e := b.await(events, gaffer.KindExit); e.Exit == nil || e.Exit.Status != 3 || e.Exit.Signal != 0 || e.Exit.Time.IsZero() {
		b.Errorf("exit %+v", e.Exit)
	}
	b.await(events, gaffer.KindBackoff)
	st := b.status("web")
	if st.State != gaffer.InBackoff || st.Active != "active" || st.Running != 0 || st.Restarts == 0 || st.Reason == "" {
		b.Errorf("status %+v", st)
	}
	if len(st.Processes) != 1 {
		b.Fatalf("processes %+v", st.Processes)
	}
	p := st.Processes[0]
	if p.ID != 0 || p.State != gaffer.InBackoff || p.Reason == "" || time.Until(p.RetryAt) < time.Minute ||
		p.LastExit == nil || p.LastExit.Status != 3 {
		b.Errorf("process %+v, last exit %+v", p, p.LastExit)
	}
	b.ok(b.c.Stop(b.ctx, "web")) // it need not wait for the next try
	if st := b.status("web"); st.State != gaffer.Stopped {
		b.Errorf("after the stop: %+v", st)
	}
}

func crashesFail(b *bench) {
	events := b.events("web", gaffer.EventOptions{})
	b.add("web", "exit 1", func(t *gaffer.Template) {
		t.Flapping = &gaffer.Flapping{Attempts: 2, Window: gaffer.Duration(time.Minute), MaxRetry: new(0)}
	})
	b.await(events, gaffer.KindFail)
	if st := b.status("web"); st.State != gaffer.Failed || st.Active != "stopped" || st.Reason == "" {
		b.Errorf("status %+v", st)
	}
}

func oneShots(b *bench) {
	events := b.events(gaffer.All, gaffer.EventOptions{Kinds: []gaffer.Kind{gaffer.KindExit}})
	once := func(codes ...int) func(*gaffer.Template) {
		return func(t *gaffer.Template) { t.Restart, t.SuccessExitCodes = gaffer.RestartNever, codes }
	}
	for name, want := range map[string]gaffer.State{"good": gaffer.Done, "bad": gaffer.Failed} {
		status := "exit 3"
		b.add(name, status, once(map[string]int{"good": 3, "bad": 4}[name]))
		b.await(events, gaffer.KindExit)
		st := b.status(name)
		if st.State != want || st.Active != "active" || st.Running != 0 || len(st.Processes) != 1 || st.Processes[0].State != want {
			b.Errorf("%s: %+v, want %s", name, st, want)
		}
	}
	b.ok(b.c.Start(b.ctx, "good"))
	b.await(events, gaffer.KindExit) // it has run again
}

func tooLong(b *bench) {
	events := b.events("web", gaffer.EventOptions{Kinds: []gaffer.Kind{gaffer.KindExit}})
	b.add("web", sleeps, func(t *gaffer.Template) {
		t.Restart, t.MaxRuntime = gaffer.RestartNever, gaffer.Duration(100*time.Millisecond)
	})
	if e := b.await(events, gaffer.KindExit); e.Exit == nil || !strings.Contains(e.Exit.Reason, "ran longer than 100ms") {
		b.Errorf("exit %+v", e.Exit)
	}
	if st := b.status("web"); st.State != gaffer.Failed {
		b.Errorf("status %+v", st)
	}
}

func readyIsWaitedFor(b *bench) {
	events := b.events("web", gaffer.EventOptions{Kinds: []gaffer.Kind{gaffer.KindReady}})
	b.add("web", "sleep 0.1; echo ready to go; "+sleeps, numprocesses(2), func(t *gaffer.Template) {
		t.Ready = &gaffer.Ready{Output: "^ready"}
	})
	b.wantRunning("web", 2)
	for range 2 {
		if e := b.await(events, gaffer.KindReady); e.Slot == 0 || e.PID == 0 || e.Message != "wrote: ready to go" {
			b.Errorf("event %+v", e)
		}
	}
}

func notReadyInTime(b *bench) {
	hour, soon := gaffer.Duration(time.Hour), gaffer.Duration(50*time.Millisecond)
	events := b.events("web", gaffer.EventOptions{Kinds: []gaffer.Kind{gaffer.KindUnready, gaffer.KindBackoff}})
	b.add("web", sleeps, func(t *gaffer.Template) {
		t.Ready = &gaffer.Ready{Unix: "/no/such/socket", Timeout: &soon}
		t.Backoff = &gaffer.Backoff{First: &hour, Max: &hour}
	})
	if e := b.await(events, gaffer.KindUnready); e.Message != "not ready within 50ms: no such file or directory" {
		b.Errorf("event %+v", e)
	}
	b.await(events, gaffer.KindBackoff)
	if st := b.status("web"); st.State != gaffer.InBackoff || !strings.HasPrefix(st.Reason, "not ready within 50ms") {
		b.Errorf("status %+v", st)
	}
}

func unhealthyIsTold(b *bench) {
	events := b.events("web", gaffer.EventOptions{Kinds: []gaffer.Kind{gaffer.KindUnhealthy}})
	b.add("web", sleeps, func(t *gaffer.Template) {
		t.Health = &gaffer.Health{
			Unix: "/no/such/socket", Interval: gaffer.Duration(100 * time.Millisecond), Failures: 2, Action: gaffer.HealthTell,
		}
	})
	if e := b.await(events, gaffer.KindUnhealthy); e.Message != "2 probes in a row failed: no such file or directory" {
		b.Errorf("event %+v", e)
	}
	if st := b.status("web"); st.State != gaffer.Unhealthy || st.Running != 1 || st.Reason != "no such file or directory" {
		b.Errorf("status %+v", st)
	}
}

func dependentWaits(b *bench) {
	events := b.events(gaffer.All, gaffer.EventOptions{Kinds: []gaffer.Kind{gaffer.KindSpawn, gaffer.KindExit}})
	b.is(b.c.Add(b.ctx, script("web", sleeps, needs("job", gaffer.DependsFinished))), gaffer.ErrInvalid)
	b.add("job", "exit 0", notStarted, func(t *gaffer.Template) { t.Restart = gaffer.RestartNever })
	b.add("web", sleeps, needs("job", gaffer.DependsFinished)) // does not wait for what nobody has started
	if st := b.status("web"); st.State != gaffer.Waiting || st.Active != "active" || st.Reason != "job is not done, but stopped" {
		b.Errorf("status %+v", st)
	}
	b.is(b.c.Update(b.ctx, script("job", "exit 0", needs("web", gaffer.DependsStarted))), gaffer.ErrInvalid)
	b.ok(b.c.Start(b.ctx, "web")) // which starts what it needs
	b.wantRunning("web", 1)
	for _, want := range []struct {
		kind gaffer.Kind
		name string
	}{{gaffer.KindSpawn, "job"}, {gaffer.KindExit, "job"}, {gaffer.KindSpawn, "web"}} {
		if e := b.await(events, want.kind); e.Name != want.name {
			b.Errorf("%s of %s, want of %s", e.Kind, e.Name, want.name)
		}
	}
}

func neededStays(b *bench) {
	b.add("db", sleeps)
	b.add("web", sleeps, needs("db", gaffer.DependsStarted))
	b.is(b.c.Remove(b.ctx, "db"), gaffer.ErrConflict)
	b.ok(b.c.Remove(b.ctx, gaffer.All))
}

func needs(name string, c gaffer.Condition) func(*gaffer.Template) {
	return func(t *gaffer.Template) { t.DependsOn = map[string]gaffer.Condition{name: c} }
}

func rolledBack(b *bench) {
	rolling := func(t *gaffer.Template) { t.Rollout, t.Ready = &gaffer.Rollout{}, &gaffer.Ready{Output: "^ready$"} }
	const good = "echo ready; " + sleeps
	events := b.events("web", gaffer.EventOptions{Kinds: []gaffer.Kind{gaffer.KindRollout, gaffer.KindRollback}})
	b.add("web", good, numprocesses(2), rolling)
	before := b.ids("web")
	b.ok(b.c.Restart(b.ctx, "web", gaffer.StopFirst))
	b.await(events, gaffer.KindRollout)
	if st := b.status("web"); st.Rollout == nil || st.Rollout.State != gaffer.RolloutDone || st.Rollout.Done != 2 || st.Rollout.Total != 2 {
		b.Errorf("rollout %+v", st.Rollout)
	}
	after := b.ids("web")
	if after[0] <= before[1] || after[1] <= before[1] {
		b.Errorf("ids %v, before %v", after, before)
	}
	if err := b.c.Update(b.ctx, script("web", "exit 3", numprocesses(2), rolling)); err == nil || !strings.Contains(err.Error(), "rolled back") {
		b.Errorf("error %v", err)
	}
	b.await(events, gaffer.KindRollback)
	equal(b, "ids", b.ids("web"), after)
	b.wantRunning("web", 2)
	if st := b.status("web"); st.Rollout == nil || st.Rollout.State != gaffer.RolloutRolledBack || !strings.Contains(st.Rollout.Reason, "exit status 3") {
		b.Errorf("rollout %+v", st.Rollout)
	}
}

func undone(b *bench) {
	b.add("web", sleeps)
	b.is(b.c.Undo(b.ctx, "web"), gaffer.ErrConflict)
	b.is(b.c.Undo(b.ctx, "nobody"), gaffer.ErrNotFound)
	b.ok(b.c.Update(b.ctx, script("web", sleeps, func(t *gaffer.Template) { t.Env = map[string]string{"NEW": "1"} })))
	b.ok(b.c.Undo(b.ctx, "web"))
	list, err := b.c.List(b.ctx, "web")
	b.ok(err)
	if list[0].Template.Env != nil || list[0].Status.Running != 1 {
		b.Errorf("template %+v, status %+v", list[0].Template, list[0].Status)
	}
}
