//go:build linux

package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/gafferpm/gaffer/bench/internal/machine"
	"github.com/gafferpm/gaffer/bench/internal/report"
)

// empty measures what a daemon holds that has nothing to do.
func (b *bench) empty(ctx context.Context) error {
	s, err := b.daemon(ctx, 0)
	if err != nil {
		return err
	}
	err = b.measure(ctx, daemon, b.rest, func(rec report.Recorder) error {
		rec("pss-empty", float64(machine.Measure(s.self()).PSS))
		return nil
	})
	return errors.Join(err, s.end())
}

// many measures a daemon with many templates: at b.rest, idle, asked by gaffer ps,
// and asked through its API.
func (b *bench) many(ctx context.Context, round int, random *rand.Rand) error {
	s, err := b.daemon(ctx, b.templates)
	if err != nil {
		return err
	}
	return errors.Join(b.manyOf(ctx, s, round, random), s.end())
}

func (b *bench) manyOf(ctx context.Context, s *server, round int, random *rand.Rand) error {
	if b.wants("memory") {
		err := b.measure(ctx, daemon, b.rest, func(rec report.Recorder) error {
			u := machine.Measure(s.self())
			rec("pss-many", float64(u.PSS))
			rec("threads-many", float64(u.Threads))
			rec("descriptors-many", float64(u.Descriptors))
			return nil
		})
		if err != nil {
			return err
		}
	}
	if b.wants("idle") && round == 0 {
		err := b.measure(ctx, daemon, b.rest, func(rec report.Recorder) error { return b.doNothing(ctx, s, rec) })
		if err != nil {
			return err
		}
	}
	if b.wants("ps") {
		if err := b.ps(ctx, s, random); err != nil {
			return err
		}
	}
	if !b.wants("status") && !b.wants("memory") {
		return nil
	}
	return b.measure(ctx, among, b.rest, func(rec report.Recorder) error {
		if err := errors.Join(b.warmUp(ctx, s), b.ask(ctx, s, b.loadTime, rec)); err != nil {
			return err
		}
		rec("threads-used", float64(machine.Measure(s.self()).Threads))
		return nil
	})
}

// doNothing counts what wakes the daemon while nothing happens and a client that
// has asked once keeps its connection, scaled to a minute.
func (b *bench) doNothing(ctx context.Context, s *server, rec report.Recorder) error {
	c := s.client()
	defer c.CloseIdleConnections()
	if _, _, err := get(ctx, c, statusPath); err != nil {
		return err
	}
	machine.Sleep(ctx, 3*b.rest) // what is cleared up after a busy moment is done by then
	starts, cpu, woken := b.board.Started(), s.cpu(), machine.Switches(s.self())
	machine.Sleep(ctx, b.idle)
	perMinute := float64(time.Minute) / float64(b.idle)
	cpu = s.cpu() - cpu
	count := 0
	for thread, n := range machine.Switches(s.self()) {
		count += n - woken[thread]
	}
	if b.board.Started() != starts {
		return fmt.Errorf("children were started while it should have been idle")
	}
	rec("idle-cpu", float64(cpu)/1e6*perMinute)
	rec("idle-switches", float64(count)*perMinute)
	return nil
}

// watchMemory looks at the server's PSS ten times a second till the function that
// it returns is called, which returns the most it saw in KiB.
func (s *server) watchMemory() func() float64 {
	const every = 100 * time.Millisecond
	self, enough, most := s.self(), make(chan struct{}), make(chan int)
	go func() {
		peak := 0
		for {
			peak = max(peak, machine.Measure(self).PSS)
			select {
			case <-enough:
				most <- max(peak, machine.Measure(self).PSS)
				return
			case <-time.After(every):
			}
		}
	}()
	return func() float64 {
		close(enough)
		return float64(<-most)
	}
}
