package gaffertest

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/gafferpm/gaffer"
)

var eventCases = []aCase{
	{"EventsTellALife", eventsLife},
	{"EventsAreNumberedWithoutAGap", eventsNumbered},
	{"EventsSinceANumber", eventsSince},
	{"EventsOfTheTail", eventsTail},
	{"EventsOfTheTailThenThoseToCome", eventsTailThenLive},
	{"EventsWithoutFollowingEnd", eventsNoFollow},
	{"EventsOfKinds", eventsKinds},
	{"EventsOfATarget", eventsTarget},
	{"EventsThatCantBeAskedFor", eventsRefused},
	{"HistoryIsOfEachSlot", eventsHistory},
	{"OnceIsOneEvent", once},
	{"ClosedSubscriptionIsAtItsEnd", eventsClosed},
	{"SubscriptionEndsWithItsContext", eventsContext},
	{"NextThatIsGivenUpLosesNothing", eventsNextGivenUp},
}

func eventsLife(b *bench) {
	events := b.events("jobs:a", gaffer.EventOptions{})
	b.add("jobs:a", sleeps)
	_, err := b.c.Scale(b.ctx, "jobs:a", gaffer.Change{Op: '+', N: 1})
	b.ok(err)
	_, err = b.c.Scale(b.ctx, "jobs:a", gaffer.Change{Op: '-', N: 1})
	b.ok(err)
	b.ok(b.c.Stop(b.ctx, "jobs:a"))
	b.ok(b.c.Remove(b.ctx, "jobs:a"))
	var got []string
	for len(got) == 0 || got[len(got)-1] != "delete" {
		e, err := events.Next(b.ctx)
		b.ok(err)
		if e.Kind == gaffer.KindAudit {
			continue // some Controllers tell who asked
		}
		if e.Name != "jobs:a" || e.Group != "jobs" || e.Time.IsZero() || e.Seq == 0 {
			b.Errorf("event %+v", e)
		}
		word := string(e.Kind)
		switch e.Kind {
		case gaffer.KindSpawn, gaffer.KindReap, gaffer.KindStopPID, gaffer.KindExit:
			word = fmt.Sprintf("%s %d.%d", e.Kind, e.ID, e.Slot)
			if e.PID <= 0 {
				b.Errorf("%s without a pid: %+v", e.Kind, e)
			}
		}
		if e.Kind == gaffer.KindExit && (e.Exit == nil || e.Exit.Signal.String() != "SIGTERM" || e.Exit.Status != -1 || e.Exit.Reason == "") {
			b.Errorf("exit %+v", e.Exit)
		}
		got = append(got, word)
	}
	equal(b, "events", got, []string{
		"create", "start", "spawn 1.1", "update", "spawn 2.2", "update", "reap 2.2", "exit 2.2",
		"stop", "stop_pid 1.1", "exit 1.1", "delete",
	})
}

// numbers are the numbers of events.
func numbers(list []gaffer.Event) []uint64 {
	var seqs []uint64
	for _, e := range list {
		seqs = append(seqs, e.Seq)
	}
	return seqs
}

// past are all events until now.
func (b *bench) past(target gaffer.Target) []gaffer.Event {
	b.Helper()
	return rest(b, b.events(target, gaffer.EventOptions{Tail: -1, NoFollow: true}))
}

func eventsNumbered(b *bench) {
	b.add("web", sleeps, numprocesses(3))
	b.ok(b.c.Remove(b.ctx, "web"))
	for i, e := range b.past(gaffer.All) {
		if e.Seq != uint64(i+1) {
			b.Fatalf("event %d has number %d", i+1, e.Seq)
		}
	}
}

func eventsSince(b *bench) {
	live := b.events(gaffer.All, gaffer.EventOptions{})
	b.add("web", sleeps)
	b.ok(b.c.Stop(b.ctx, "web"))
	all := b.past(gaffer.All)
	for _, since := range []uint64{0, 1, all[len(all)-1].Seq - 1, all[len(all)-1].Seq} {
		got := rest(b, b.events(gaffer.All, gaffer.EventOptions{Since: &since, NoFollow: true}))
		equal(b, fmt.Sprintf("events since %d", since), numbers(got), numbers(all[since:]))
	}
	var seen []gaffer.Event
	for range all {
		e, err := live.Next(b.ctx)
		b.ok(err)
		seen = append(seen, e)
	}
	equal(b, "live events", numbers(seen), numbers(all))
	middle := all[1].Seq
	follow := b.events(gaffer.All, gaffer.EventOptions{Since: &middle})
	b.add("more", sleeps, notStarted)
	for want := middle + 1; ; want++ {
		e, err := follow.Next(b.ctx)
		b.ok(err)
		if e.Seq != want {
			b.Fatalf("event %d, want %d", e.Seq, want)
		}
		if e.Name == "more" && e.Kind == gaffer.KindCreate {
			return
		}
	}
}

func eventsTail(b *bench) {
	b.add("web", sleeps)
	b.add("db", sleeps)
	b.ok(b.c.Stop(b.ctx, gaffer.All))
	all := b.past(gaffer.All)
	for _, n := range []int{1, 3, len(all), len(all) + 5} {
		got := rest(b, b.events(gaffer.All, gaffer.EventOptions{Tail: n, NoFollow: true}))
		equal(b, fmt.Sprintf("tail %d", n), numbers(got), numbers(all[max(len(all)-n, 0):]))
	}
	var spawns []gaffer.Event
	for _, e := range all {
		if e.Kind == gaffer.KindSpawn {
			spawns = append(spawns, e)
		}
	}
	got := rest(b, b.events(gaffer.All, gaffer.EventOptions{Tail: 2, NoFollow: true, Kinds: []gaffer.Kind{gaffer.KindSpawn}}))
	equal(b, "tail of spawns", numbers(got), numbers(spawns))
}

func eventsTailThenLive(b *bench) {
	b.add("web", sleeps)
	all := b.past("web")
	events := b.events("web", gaffer.EventOptions{Tail: 1})
	b.ok(b.c.Stop(b.ctx, "web"))
	e, err := events.Next(b.ctx)
	b.ok(err)
	if e.Seq != all[len(all)-1].Seq {
		b.Errorf("first event %d, want %d", e.Seq, all[len(all)-1].Seq)
	}
	b.await(events, gaffer.KindExit)
}

func eventsNoFollow(b *bench) {
	b.add("web", sleeps)
	if got := rest(b, b.events("web", gaffer.EventOptions{NoFollow: true})); len(got) != 0 {
		b.Errorf("%d events of before that nobody asked for", len(got))
	}
	s := b.events("web", gaffer.EventOptions{Tail: -1, NoFollow: true})
	rest(b, s)
	if _, err := s.Next(b.ctx); !errors.Is(err, io.EOF) {
		b.Errorf("after the end: %v", err)
	}
}

func eventsKinds(b *bench) {
	events := b.events(gaffer.All, gaffer.EventOptions{Kinds: []gaffer.Kind{gaffer.KindSpawn, gaffer.KindDelete}})
	b.add("web", sleeps)
	b.ok(b.c.Remove(b.ctx, "web"))
	var got []string
	for range 2 {
		e, err := events.Next(b.ctx)
		b.ok(err)
		got = append(got, string(e.Kind))
	}
	equal(b, "kinds", got, []string{"spawn", "delete"})
}

func eventsTarget(b *bench) {
	// All of them before anything exists, which they need not.
	group := b.events("jobs:*", gaffer.EventOptions{Kinds: []gaffer.Kind{gaffer.KindCreate}})
	slot := b.events("web.2", gaffer.EventOptions{})
	id := b.events("1", gaffer.EventOptions{})
	b.add("web", sleeps, numprocesses(2))
	b.add("jobs:a", sleeps, notStarted)
	if e := b.await(group, gaffer.KindCreate); e.Name != "jobs:a" {
		b.Errorf("the group's event is of %s", e.Name)
	}
	if e := b.await(slot, gaffer.KindSpawn); e.Slot != 2 {
		b.Errorf("the slot's event is %+v", e)
	}
	if e := b.await(id, gaffer.KindSpawn); e.ID != 1 {
		b.Errorf("the id's event is %+v", e)
	}
}

func eventsRefused(b *bench) {
	b.add("web", sleeps, notStarted)
	beyond := uint64(1 << 40)
	for _, how := range []gaffer.EventOptions{
		{Since: &beyond}, {Tail: -2}, {Kinds: []gaffer.Kind{"nosuch"}}, {Kinds: []gaffer.Kind{""}}, {Kinds: []gaffer.Kind{"spawn,exit"}},
	} {
		_, err := b.c.Subscribe(b.ctx, gaffer.All, how)
		if !errors.Is(err, gaffer.ErrInvalid) {
			b.Errorf("%+v: error %v", how, err)
		}
	}
}

func once(b *bench) {
	type result struct {
		e   gaffer.Event
		err error
	}
	got := make(chan result, 1)
	// What was before must not count.
	b.add("db", sleeps)
	go func() {
		e, err := gaffer.Once(b.ctx, b.c, gaffer.All, gaffer.KindSpawn)
		got <- result{e, err}
	}()
	for i := 0; ; i++ { // until it listens
		b.add(fmt.Sprintf("web%d", i), sleeps)
		select {
		case r := <-got:
			b.ok(r.err)
			if r.e.Kind != gaffer.KindSpawn || !strings.HasPrefix(r.e.Name, "web") {
				b.Errorf("event %+v", r.e)
			}
			return
		default:
		}
		if i == 200 {
			b.Fatal("200 templates were started, and nothing came")
		}
	}
}

func eventsClosed(b *bench) {
	events := b.events(gaffer.All, gaffer.EventOptions{})
	done := make(chan error, 1)
	go func() {
		_, err := events.Next(b.ctx)
		done <- err
	}()
	events.Close()
	if err := <-done; !errors.Is(err, io.EOF) {
		b.Errorf("Next, while the stream is closed: %v", err)
	}
	if _, err := events.Next(b.ctx); !errors.Is(err, io.EOF) {
		b.Errorf("Next of a closed stream: %v", err)
	}
	events.Close() // again is nothing
}

func eventsContext(b *bench) {
	ctx, cancel := context.WithCancel(b.ctx)
	events, err := b.c.Subscribe(ctx, gaffer.All, gaffer.EventOptions{})
	b.ok(err)
	defer events.Close()
	cancel()
	if _, err := events.Next(b.ctx); !errors.Is(err, io.EOF) {
		b.Errorf("Next after the context's end: %v", err)
	}
}

func eventsNextGivenUp(b *bench) {
	events := b.events("web", gaffer.EventOptions{Kinds: []gaffer.Kind{gaffer.KindCreate, gaffer.KindSpawn}})
	ctx, cancel := context.WithCancel(b.ctx)
	done := make(chan error, 1)
	go func() {
		_, err := events.Next(ctx)
		done <- err
	}()
	cancel()
	if err := <-done; !errors.Is(err, context.Canceled) {
		b.Errorf("Next with a context that ended: %v", err)
	}
	b.add("web", sleeps)
	b.await(events, gaffer.KindCreate)
	b.await(events, gaffer.KindSpawn)
}

// Whatever happens to others, each slot has its history, with how often and why.
func eventsHistory(b *bench) {
	b.add("web", sleeps, func(t *gaffer.Template) { t.NumProcesses = new(2) })
	bad := b.events("jobs:bad", gaffer.EventOptions{})
	b.add("jobs:bad", "exit 3", func(t *gaffer.Template) {
		first := gaffer.Duration(time.Hour)
		t.Backoff = &gaffer.Backoff{First: &first, Max: &first}
	})
	b.await(bad, gaffer.KindBackoff)
	b.ok(b.c.Restart(b.ctx, "web.2", gaffer.StopFirst))
	words := func(target gaffer.Target) (said []string) {
		list, err := b.c.History(b.ctx, target)
		b.ok(err)
		for i, e := range list {
			if i > 0 && e.Seq <= list[i-1].Seq {
				b.Errorf("%s: number %d after %d", target, e.Seq, list[i-1].Seq)
			}
			if e.Kind != gaffer.KindAudit { // some Controllers tell who asked
				said = append(said, strings.TrimSpace(fmt.Sprintf("%s %s.%d %s", e.Kind, e.Name, e.Slot, e.Message)))
			}
		}
		return said
	}
	expect := func(target gaffer.Target, want ...string) {
		if got := words(target); !slices.Equal(got, want) {
			b.Errorf("history of %s: %q, want %q", target, got, want)
		}
	}
	expect("web.1", "spawn web.1")
	expect("web.2", "spawn web.2", "reap web.2 restarted", "exit web.2", "spawn web.2")
	if got := words("web"); len(got) != 7 || got[0] != "create web.0" || got[1] != "start web.0" {
		b.Errorf("history of web: %q", got)
	}
	list, err := b.c.History(b.ctx, "jobs:bad.1")
	b.ok(err)
	last := list[len(list)-1]
	if last.Kind != gaffer.KindBackoff || last.Failures != 2 || last.Restarts != 1 || last.RetryAt.IsZero() {
		b.Errorf("the last event of what crashes: %+v", last)
	}
	_, err = b.c.History(b.ctx, "nobody")
	b.is(err, gaffer.ErrNotFound)
	_, err = b.c.History(b.ctx, "web.1.2")
	b.is(err, gaffer.ErrInvalid)
	b.ok(b.c.Remove(b.ctx, "web"))
	_, err = b.c.History(b.ctx, "web")
	b.is(err, gaffer.ErrNotFound)
}
