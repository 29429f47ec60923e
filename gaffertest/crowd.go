package gaffertest

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"github.com/gafferpm/gaffer"
)

var crowdCases = []aCase{
	{"ManyAskAtTheSameTime", crowd},
	{"ManyWantTheSameThing", crowdAgrees},
	{"AllSubscribersSeeTheSame", crowdOfSubscribers},
}

// together runs f so many times at the same time.
func together(n int, f func(i int)) {
	var all sync.WaitGroup
	for i := range n {
		all.Go(func() { f(i) })
	}
	all.Wait()
}

func crowd(b *bench) {
	together(8, func(i int) {
		name := fmt.Sprintf("jobs:w%d", i)
		if err := life(b.ctx, b.c, name); err != nil {
			b.Errorf("%s: %v", name, err)
		}
	})
	equal(b, "templates", b.names(gaffer.All), nil)
	for i, e := range b.past(gaffer.All) {
		if e.Seq != uint64(i+1) {
			b.Fatalf("event %d has number %d", i+1, e.Seq)
		}
	}
}

// life has a template added, changed and removed while others look at it.
func life(ctx context.Context, c gaffer.Controller, name string) error {
	target := gaffer.Target(name)
	if err := c.Add(ctx, script(name, sleeps)); err != nil {
		return err
	}
	for range 3 {
		if _, err := c.Scale(ctx, target, gaffer.Change{Op: '+', N: 1}); err != nil {
			return err
		}
		if _, err := c.List(ctx, gaffer.All); err != nil {
			return err
		}
		if err := c.Restart(ctx, target+".1", gaffer.StopFirst); err != nil {
			return err
		}
	}
	list, err := c.List(ctx, target)
	if err != nil {
		return err
	}
	if st := list[0].Status; st.Running != 4 || st.MaxProcesses != 4 {
		return fmt.Errorf("status %+v", st)
	}
	return c.Remove(ctx, target)
}

func crowdAgrees(b *bench) {
	var mu sync.Mutex
	added := 0
	together(8, func(int) {
		err := b.c.Add(b.ctx, script("web", sleeps))
		mu.Lock()
		defer mu.Unlock()
		switch {
		case err == nil:
			added++
		case !errors.Is(err, gaffer.ErrConflict):
			b.Errorf("Add: %v", err)
		}
	})
	if added != 1 {
		b.Errorf("%d of 8 have added the same name", added)
	}
	together(8, func(i int) {
		op := byte('+')
		if i%2 == 1 {
			op = '-'
		}
		if _, err := b.c.Scale(b.ctx, "web", gaffer.Change{Op: op, N: 1}); err != nil {
			b.Errorf("Scale: %v", err)
		}
	})
	if st := b.status("web"); st.Running != st.MaxProcesses {
		b.Errorf("status %+v", st)
	}
}

func crowdOfSubscribers(b *bench) {
	var streams []gaffer.Stream[gaffer.Event]
	for range 8 {
		streams = append(streams, b.events(gaffer.All, gaffer.EventOptions{}))
	}
	b.add("web", sleeps, numprocesses(3))
	b.ok(b.c.Remove(b.ctx, "web"))
	want := numbers(b.past(gaffer.All))
	for i, s := range streams {
		var got []uint64
		for range want {
			e, err := s.Next(b.ctx)
			b.ok(err)
			got = append(got, e.Seq)
		}
		equal(b, fmt.Sprintf("subscriber %d", i), got, want)
	}
}
