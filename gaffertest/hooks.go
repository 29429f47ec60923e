package gaffertest

import (
	"time"

	"github.com/gafferpm/gaffer"
)

func hooksAreRun(b *bench) {
	events := b.events("web", gaffer.EventOptions{Kinds: []gaffer.Kind{gaffer.KindHook, gaffer.KindExit, gaffer.KindBackoff}})
	b.add("web", "echo main; "+sleeps, func(t *gaffer.Template) {
		t.Hooks = &gaffer.Hooks{
			PreStart: &gaffer.Command{Cmd: "echo before $GAFFER_HOOK"},
			PreStop:  &gaffer.Command{Cmd: "echo still here; exit 3", Timeout: gaffer.Duration(20 * time.Second)},
			PostStop: &gaffer.Command{Cmd: "echo after $GAFFER_EXIT_SIGNAL"},
		}
		t.StopCommand = &gaffer.Command{Cmd: "kill -USR1 $MAINPID"}
	})
	out, err := b.c.Output(b.ctx, "web", gaffer.OutputOptions{Tail: -1, Labels: []string{"pre_start"}})
	b.ok(err)
	o, err := out.Next(b.ctx)
	b.ok(err)
	equal(b, "what pre_start wrote", []string{string(o.Data)}, []string{"before pre_start"})
	out.Close()
	b.ok(b.c.Stop(b.ctx, "web"))
	if e := b.await(events, gaffer.KindHook); e.Message != "pre_stop: exit status 3: still here" || e.Slot != 1 {
		b.Errorf("event %+v", e)
	}
	if e := b.await(events, gaffer.KindExit); e.Exit.Signal != 10 && e.Exit.Signal.String() != "SIGUSR1" {
		b.Errorf("exit %+v", e.Exit)
	}
	out, err = b.c.Output(b.ctx, "web", gaffer.OutputOptions{Tail: -1, Labels: []string{"post_stop"}})
	b.ok(err)
	o, err = out.Next(b.ctx)
	b.ok(err)
	equal(b, "what post_stop wrote", []string{string(o.Data)}, []string{"after SIGUSR1"})
	out.Close()

	hour := gaffer.Duration(time.Hour)
	b.add("never", sleeps, func(t *gaffer.Template) {
		t.Hooks = &gaffer.Hooks{PreStart: &gaffer.Command{Cmd: "echo no database; exit 1"}}
		t.Backoff = &gaffer.Backoff{First: &hour, Max: &hour}
	})
	if st := b.status("never"); st.State != gaffer.InBackoff || st.Reason != "can't be started: pre_start: exit status 1: no database" {
		b.Errorf("status %+v", st)
	}
	b.is(b.c.Add(b.ctx, script("bad", sleeps, func(t *gaffer.Template) {
		t.Hooks = &gaffer.Hooks{PostStop: &gaffer.Command{Cmd: "/no/such/program", Shell: new(false)}}
	})), gaffer.ErrInvalid)
}

func stopIsASequence(b *bench) {
	b.add("web", "trap 'echo once' USR1; trap 'exit 4' USR2; echo up; while :; do sleep 0.05; done", func(t *gaffer.Template) {
		wait := gaffer.Duration(200 * time.Millisecond)
		t.StopSequence = []gaffer.StopStep{{Signal: signal("USR1"), Wait: wait}, {Signal: signal("USR2"), Wait: gaffer.Duration(time.Minute)}}
		t.KillMode = gaffer.KillMixed
	})
	out, err := b.c.Output(b.ctx, "web", gaffer.OutputOptions{Tail: -1})
	b.ok(err)
	defer out.Close()
	for _, want := range []string{"up", "once"} {
		o, err := out.Next(b.ctx)
		b.ok(err)
		equal(b, "output", []string{string(o.Data)}, []string{want})
		if want == "up" {
			go func() { _ = b.c.Stop(b.ctx, "web") }()
		}
	}
	b.ok(b.c.Stop(b.ctx, "web"))
	list := b.status("web").Processes
	if len(list) != 1 || list[0].LastExit == nil || list[0].LastExit.Status != 4 {
		b.Errorf("processes %+v", list)
	}
}

func signal(name string) gaffer.Signal {
	s, err := gaffer.ParseSignal(name)
	if err != nil {
		panic(err)
	}
	return s
}

// allHooks has every hook, in every way of being written.
func allHooks() *gaffer.Hooks {
	long := gaffer.Duration(time.Minute)
	return &gaffer.Hooks{
		PreStart: &gaffer.Command{Cmd: "true"}, PostStart: &gaffer.Command{Cmd: "true; true", Shell: new(true)},
		PreStop: &gaffer.Command{Cmd: "true", Timeout: long}, PostStop: &gaffer.Command{Cmd: "true", Shell: new(false), Timeout: long},
		OnExit: &gaffer.Command{Cmd: "true"}, OnFail: &gaffer.Command{Cmd: "true"},
	}
}

// inSteps is stopped by several signals.
func inSteps() gaffer.Template {
	second := gaffer.Duration(time.Second)
	return gaffer.Template{
		Name: "steps", Cmd: "sleep 1000", Start: new(false), StopSequence: []gaffer.StopStep{{Signal: 3, Wait: second}, {Signal: 15, Wait: second}},
	}
}
