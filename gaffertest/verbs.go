package gaffertest

import (
	"maps"
	"strings"
	"time"

	"github.com/gafferpm/gaffer"
)

var verbCases = []aCase{
	{"StopMakesUnwantedAndStartWantedAgain", stopAndStart},
	{"StopOfOneProcessIsReplaced", stopOne},
	{"RestartChangesIDsAndKeepsSlots", restartIDs},
	{"RestartStopsFirstUnlessToldOtherwise", restartModes},
	{"RestartByNameStartsWhatWasStopped", restartStopped},
	{"ScaleTellsTheNewNumbers", scale},
	{"ScaleRefusesWhatIsNoNumber", scaleRefused},
	{"SignalsReachTheProcesses", signals},
	{"SignalsRefuseWhatDoesNotRun", signalsRefused},
	{"PriorityOrdersStartAndStop", priority},
	{"RunNowRunsWhatWaitsForItsTime", runNow},
	{"SchedulesAreRunWhenTheyAreDue", schedules},
}

func stopAndStart(b *bench) {
	b.add("web", sleeps, numprocesses(2))
	b.ok(b.c.Stop(b.ctx, "web"))
	st := b.status("web")
	if st.State != gaffer.Stopped || st.Active != "stopped" || st.Running != 0 || st.MaxProcesses != 2 {
		b.Errorf("after the stop: %+v", st)
	}
	b.ok(b.c.Stop(b.ctx, "web")) // it is so already
	b.ok(b.c.Start(b.ctx, "web"))
	st = b.status("web")
	if st.State != gaffer.Running || st.Active != "active" || st.Running != 2 {
		b.Errorf("after the start: %+v", st)
	}
	before := b.ids("web")
	b.ok(b.c.Start(b.ctx, "web"))
	equal(b, "ids after a start of what runs", b.ids("web"), before)
	b.is(b.c.Start(b.ctx, "web.1"), gaffer.ErrInvalid)
	for _, target := range []gaffer.Target{"nosuch", "none:*"} {
		b.is(b.c.Start(b.ctx, target), gaffer.ErrNotFound)
		b.is(b.c.Stop(b.ctx, target), gaffer.ErrNotFound)
		b.is(b.c.Restart(b.ctx, target, gaffer.StopFirst), gaffer.ErrNotFound)
		b.is(b.c.Remove(b.ctx, target), gaffer.ErrNotFound)
		b.is(b.c.Signal(b.ctx, target, 1), gaffer.ErrNotFound)
		_, err := b.c.Scale(b.ctx, target, gaffer.Change{Op: '+', N: 1})
		b.is(err, gaffer.ErrNotFound)
	}
}

func stopOne(b *bench) {
	events := b.events("web", gaffer.EventOptions{Kinds: []gaffer.Kind{gaffer.KindSpawn}})
	b.add("web", sleeps, numprocesses(2))
	b.await(events, gaffer.KindSpawn)
	b.await(events, gaffer.KindSpawn)
	b.ok(b.c.Stop(b.ctx, "web.2"))
	if e := b.await(events, gaffer.KindSpawn); e.Slot != 2 || e.ID != 3 {
		b.Errorf("slot 2 is filled by %+v", e)
	}
	b.ok(b.c.Stop(b.ctx, "1"))
	if e := b.await(events, gaffer.KindSpawn); e.Slot != 1 || e.ID != 4 {
		b.Errorf("slot 1 is filled by %+v", e)
	}
	if st := b.status("web"); st.Active != "active" || st.MaxProcesses != 2 {
		b.Errorf("status %+v", st)
	}
	b.is(b.c.Stop(b.ctx, "1"), gaffer.ErrNotFound)
}

func restartIDs(b *bench) {
	b.add("web", sleeps, numprocesses(2))
	for i, step := range []struct {
		target gaffer.Target
		how    gaffer.RestartMode
		want   []uint64
	}{
		{"web", gaffer.StopFirst, []uint64{3, 4}},
		{"web", gaffer.Overlap, []uint64{5, 6}},
		{gaffer.All, gaffer.StopFirst, []uint64{7, 8}},
		{"web.2", gaffer.StopFirst, []uint64{7, 9}},
		{"7", gaffer.StopFirst, []uint64{10, 9}},
	} {
		b.ok(b.c.Restart(b.ctx, step.target, step.how))
		st := b.status("web")
		if len(st.Processes) != 2 || st.Processes[0].Slot != 1 || st.Processes[1].Slot != 2 || st.Running != 2 {
			b.Errorf("step %d: %+v", i, st)
			continue
		}
		equal(b, "ids", b.ids("web"), step.want)
		if st.Restarts != 0 {
			b.Errorf("a restart counts as a crash: %+v", st)
		}
	}
}

func restartModes(b *bench) {
	events := b.events("web", gaffer.EventOptions{Kinds: []gaffer.Kind{gaffer.KindSpawn, gaffer.KindExit}})
	b.add("web", sleeps)
	b.ok(b.c.Restart(b.ctx, "web", gaffer.StopFirst))
	b.ok(b.c.Restart(b.ctx, "web", gaffer.Overlap))
	var got []string
	for range 5 {
		e, err := events.Next(b.ctx)
		b.ok(err)
		got = append(got, string(e.Kind))
	}
	equal(b, "events", got, []string{"spawn", "exit", "spawn", "spawn", "exit"})
}

func restartStopped(b *bench) {
	b.add("jobs:a", sleeps, notStarted)
	b.ok(b.c.Restart(b.ctx, "jobs:*", gaffer.StopFirst))
	b.wantRunning("jobs:a", 0)
	b.ok(b.c.Restart(b.ctx, "jobs:a", gaffer.StopFirst))
	b.wantRunning("jobs:a", 1)
}

func scale(b *bench) {
	b.add("jobs:a", sleeps)
	b.add("jobs:b", sleeps, numprocesses(2))
	for _, step := range []struct {
		target gaffer.Target
		change gaffer.Change
		want   map[string]int
	}{
		{"jobs:a", gaffer.Change{Op: '+', N: 2}, map[string]int{"jobs:a": 3}},
		{"jobs:*", gaffer.Change{Op: '-', N: 1}, map[string]int{"jobs:a": 2, "jobs:b": 1}},
		{"jobs:b", gaffer.Change{Op: '-', N: 7}, map[string]int{"jobs:b": 0}},
		{"*", gaffer.Change{Op: '=', N: 1}, map[string]int{"jobs:a": 1, "jobs:b": 1}},
	} {
		got, err := b.c.Scale(b.ctx, step.target, step.change)
		b.ok(err)
		if !maps.Equal(got, step.want) {
			b.Errorf("scale %s %s: %v, want %v", step.target, step.change, got, step.want)
		}
		for name, n := range step.want {
			if st := b.status(name); st.Running != n || st.MaxProcesses != n {
				b.Errorf("%s after scale %s: %+v", name, step.change, st)
			}
		}
	}
}

func scaleRefused(b *bench) {
	b.add("web", sleeps)
	for _, c := range []gaffer.Change{{Op: '=', N: gaffer.MaxProcesses + 1}, {Op: '*', N: 1}, {Op: '+', N: -1}, {}} {
		_, err := b.c.Scale(b.ctx, "web", c)
		b.is(err, gaffer.ErrInvalid)
	}
	_, err := b.c.Scale(b.ctx, "web.1", gaffer.Change{Op: '+', N: 1})
	b.is(err, gaffer.ErrInvalid)
	b.wantRunning("web", 1)
}

// hears is a script that tells of the signals it gets.
const hears = `trap 'echo usr1' USR1; trap 'echo hup' HUP; trap 'exit 0' TERM
echo ready; while :; do sleep 1000 & wait $!; done`

func signals(b *bench) {
	b.add("web", hears, numprocesses(2))
	out := b.output("web", gaffer.OutputOptions{Tail: -1})
	b.line(out, "ready")
	b.line(out, "ready")
	hup, err := gaffer.ParseSignal("HUP")
	b.ok(err)
	usr1, err := gaffer.ParseSignal("USR1")
	b.ok(err)
	b.ok(b.c.Signal(b.ctx, "web.2", hup))
	if o := b.line(out, "hup"); o.Slot != 2 {
		b.Errorf("slot %d got the signal to web.2", o.Slot)
	}
	b.ok(b.c.Signal(b.ctx, "1", hup))
	if o := b.line(out, "hup"); o.ID != 1 {
		b.Errorf("process %d got the signal to 1", o.ID)
	}
	b.ok(b.c.Signal(b.ctx, "web", usr1))
	if first, second := b.line(out, "usr1"), b.line(out, "usr1"); first.ID == second.ID {
		b.Errorf("process %d got the signal twice", first.ID)
	}
	if st := b.status("web"); st.Running != 2 || st.Restarts != 0 {
		b.Errorf("status %+v", st)
	}
}

func signalsRefused(b *bench) {
	b.add("web", sleeps, notStarted)
	b.is(b.c.Signal(b.ctx, "web", 1), gaffer.ErrConflict)
	b.is(b.c.Signal(b.ctx, "999", 1), gaffer.ErrNotFound)
	b.is(b.c.Signal(b.ctx, "web", 0), gaffer.ErrInvalid)
	b.is(b.c.Signal(b.ctx, "web", 65), gaffer.ErrInvalid)
	b.ok(b.c.Signal(b.ctx, gaffer.All, 1)) // nobody is met, which a glob may
}

func priority(b *bench) {
	events := b.events(gaffer.All, gaffer.EventOptions{Kinds: []gaffer.Kind{gaffer.KindSpawn, gaffer.KindExit}})
	for name, p := range map[string]int{"last": 9, "first": -1, "middle": 3} {
		b.add(name, sleeps, notStarted, func(t *gaffer.Template) { t.Priority = p })
	}
	b.ok(b.c.Start(b.ctx, gaffer.All))
	b.ok(b.c.Stop(b.ctx, gaffer.All))
	var got []string
	for range 6 {
		e, err := events.Next(b.ctx)
		b.ok(err)
		got = append(got, string(e.Kind)+" "+e.Name)
	}
	want := "spawn first, spawn middle, spawn last, exit last, exit middle, exit first"
	if strings.Join(got, ", ") != want {
		b.Errorf("events %v, want %s", got, want)
	}
}

func runNow(b *bench) {
	once := func(t *gaffer.Template) { t.Schedule = &gaffer.Schedule{Cron: "0 0 1 1 *", Timezone: "UTC"} }
	for name, status := range map[string]string{"good": "exit 0", "bad": "exit 3"} {
		b.add(name, status, once)
		before := b.status(name)
		if before.State != gaffer.Waiting || !before.Armed || before.NextRun.IsZero() || before.Running != 0 {
			b.Errorf("before: %+v", before)
		}
		b.ok(b.c.RunNow(b.ctx, gaffer.Target(name)))
		want := map[string]gaffer.State{"good": gaffer.Waiting, "bad": gaffer.Failed}[name]
		if st := b.status(name); st.State != want || !st.Armed || !st.NextRun.Equal(before.NextRun) || st.Processes[0].LastExit == nil {
			b.Errorf("after: %+v, want %s", st, want)
		}
	}
	history, err := b.c.History(b.ctx, "bad")
	b.ok(err)
	var kinds []string
	for _, e := range history {
		if e.Kind != gaffer.KindAudit {
			kinds = append(kinds, string(e.Kind))
		}
	}
	equal(b, "history", kinds, []string{"create", "start", "run", "spawn", "exit"})
	b.ok(b.c.Stop(b.ctx, "good"))
	b.is(b.c.RunNow(b.ctx, "good"), gaffer.ErrConflict)
	b.add("web", sleeps)
	b.is(b.c.RunNow(b.ctx, "web"), gaffer.ErrConflict)
	b.is(b.c.RunNow(b.ctx, "web.1"), gaffer.ErrInvalid)
	b.is(b.c.RunNow(b.ctx, "nosuch"), gaffer.ErrNotFound)
}

func schedules(b *bench) {
	events := b.events("tick", gaffer.EventOptions{})
	b.add("tick", "exit 0", func(t *gaffer.Template) { t.Schedule = &gaffer.Schedule{Every: gaffer.Duration(time.Second)} })
	first := b.await(events, gaffer.KindRun)
	if start := b.status("tick"); start.NextRun.Sub(first.Due) > 2*time.Second {
		b.Errorf("due at %s, then %s", first.Due, start.NextRun)
	}
	b.await(events, gaffer.KindExit)
	b.await(events, gaffer.KindRun)
}
