//go:build linux

package main

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/gafferpm/gaffer/bench/internal/machine"
	"github.com/gafferpm/gaffer/bench/internal/report"
	"golang.org/x/sys/unix"
)

const (
	kills      = 200
	killsApart = 20 * time.Millisecond
	killsLimit = 12 * time.Second // those who take a second for each are not waited for 200 times
	churnWarm  = time.Second
	churnTime  = 4 * time.Second
)

func ms(ns int64) float64 { return float64(ns) / 1e6 }

// bringUp waits for all children: from the supervisor's start to the first
// instruction of the last child.
func (s *session) bringUp(ctx context.Context, rec report.Recorder) error {
	if err := s.awaitStarts(ctx, s.work.n); err != nil {
		return err
	}
	var last int64
	for i := 1; i <= s.work.n; i++ {
		last = max(last, s.board.Slot(i).First)
	}
	if last == 0 {
		return fmt.Errorf("%s: no child noted its start", s.name)
	}
	rec(metric("bringup", s.work.n), ms(last-s.began))
	return nil
}

// holds reads what the supervisor itself holds, some time after its bring-up.
func (s *session) holds(_ context.Context, rec report.Recorder) error {
	supervisors, _ := s.family()
	if len(supervisors) == 0 {
		return fmt.Errorf("%s: no supervisor left with %d children%s", s.name, s.work.n, s.lastWords())
	}
	u := machine.Measure(supervisors)
	rec(metric("pss", s.work.n), float64(u.PSS))
	rec(metric("anonymous", s.work.n), float64(u.Anonymous))
	rec(metric("processes", s.work.n), float64(u.Processes))
	rec(metric("threads", s.work.n), float64(u.Threads))
	rec(metric("descriptors", s.work.n), float64(u.Descriptors))
	return nil
}

// idle counts what wakes the supervisor while nothing happens, scaled to a minute.
func (s *session) idle(ctx context.Context, d time.Duration, rec report.Recorder) error {
	supervisors, _ := s.family()
	starts, cpu, woken := s.board.Started(), machine.CPUTime(supervisors), machine.Switches(supervisors)
	machine.Sleep(ctx, d)
	perMinute := float64(time.Minute) / float64(d)
	cpu = machine.CPUTime(supervisors) - cpu
	count := 0
	for thread, n := range machine.Switches(supervisors) {
		count += n - woken[thread]
	}
	if s.board.Started() != starts {
		return fmt.Errorf("%s: children were started while it should have been idle", s.name)
	}
	rec(metric("idle-cpu", s.work.n), ms(cpu)*perMinute)
	rec(metric("idle-switches", s.work.n), float64(count)*perMinute)
	return nil
}

// replace kills children one by one: from each kill to the first instruction of
// the replacement. Each kill waits for the replacement of the one before: that
// of another child would wake a supervisor that has not noticed the first.
func (s *session) replace(ctx context.Context, rec report.Recorder) error {
	victims, err := s.victims(min(kills, s.work.n))
	if err != nil {
		return err
	}
	defer closeVictims(victims)
	deadline := time.Now().Add(killsLimit)
	for i := range victims {
		before := s.board.Started()
		if err := victims[i].kill(); err != nil {
			return fmt.Errorf("%s: %w", s.name, err)
		}
		if err := s.awaitStarts(ctx, before+1); err != nil {
			return err
		}
		if time.Now().After(deadline) {
			victims = victims[:i+1]
			break
		}
		machine.Sleep(ctx, killsApart)
	}
	waits, err := s.replaced(victims)
	if err != nil {
		return err
	}
	rec(metric("replace-p50", s.work.n), ms(percentile(waits, 50)))
	rec(metric("replace-p99", s.work.n), ms(percentile(waits, 99)))
	return nil
}

// crash kills all children at once: from the first kill to the first
// instruction of the last replacement.
func (s *session) crash(ctx context.Context, rec report.Recorder) error {
	victims, err := s.victims(s.work.n)
	if err != nil {
		return err
	}
	defer closeVictims(victims)
	before := s.board.Started()
	for i := range victims {
		if err := victims[i].kill(); err != nil {
			return fmt.Errorf("%s: %w", s.name, err)
		}
	}
	if err := s.awaitStarts(ctx, before+len(victims)); err != nil {
		return err
	}
	if _, err := s.replaced(victims); err != nil {
		return err
	}
	var last int64
	for _, v := range victims {
		last = max(last, s.board.Slot(v.slot).Start)
	}
	rec(metric("crash", s.work.n), ms(last-victims[0].killed))
	return nil
}

// quit asks the supervisor to stop everything: from the signal to the end of
// the last child, and to the end of the supervisor's last process.
func (s *session) quit(_ context.Context, rec report.Recorder) error {
	supervisors, children := s.family()
	if len(children) != s.work.n {
		return fmt.Errorf("%s: %d children before the stop, not %d", s.name, len(children), s.work.n)
	}
	ups, kids := machine.Handles(supervisors), machine.Handles(children)
	defer machine.CloseAll(slices.Concat(ups, kids))
	began := machine.Now()
	if err := s.cmd.Process.Signal(s.stop); err != nil {
		return fmt.Errorf("%s: stop: %w", s.name, err)
	}
	last, err := machine.WaitGone(kids, stopLimit)
	if err != nil {
		return fmt.Errorf("%s: stop: children %w", s.name, err)
	}
	end, err := machine.WaitGone(ups, stopLimit)
	if err != nil {
		return fmt.Errorf("%s: stop: supervisor %w", s.name, err)
	}
	if asked := s.board.Stopped(); asked != s.work.n {
		return fmt.Errorf("%s: only %d of %d children were asked to stop", s.name, asked, s.work.n)
	}
	rec(metric("stop-children", s.work.n), ms(last-began))
	rec(metric("stop-all", s.work.n), ms(end-began))
	return nil
}

// churn counts the restarts a second of children that exit at once.
func (s *session) churn(ctx context.Context, rec report.Recorder) error {
	if err := s.awaitStarts(ctx, 1); err != nil {
		return err
	}
	machine.Sleep(ctx, churnWarm)
	count, began := s.board.Started(), machine.Now()
	machine.Sleep(ctx, churnTime)
	count, took := s.board.Started()-count, machine.Now()-began
	if s.dead() {
		return fmt.Errorf("%s: gone while its children came and went%s", s.name, s.lastWords())
	}
	rec(metric("churn", s.work.n), float64(count)/(float64(took)/1e9))
	return nil
}

// victim is a child that is killed to see it replaced.
type victim struct {
	slot   int
	pidfd  int
	starts uint32
	killed int64
}

// victims picks n children, evenly over all, and gets hold of them beforehand.
func (s *session) victims(n int) ([]victim, error) {
	_, children := s.family()
	byPID := make(map[int]machine.Relative, len(children))
	for _, c := range children {
		byPID[c.PID] = c
	}
	vs := make([]victim, 0, n)
	for k := range n {
		i := 1 + k*s.work.n/n
		at := s.board.Slot(i)
		fd, err := byPID[int(at.PID)].Handle()
		if err != nil {
			closeVictims(vs)
			return nil, fmt.Errorf("%s: child %d: %w", s.name, i, err)
		}
		vs = append(vs, victim{slot: i, pidfd: fd, starts: at.Starts})
	}
	return vs, nil
}

func (v *victim) kill() error {
	v.killed = machine.Now()
	if err := machine.Send(v.pidfd, unix.SIGKILL); err != nil {
		return fmt.Errorf("kill: child %d: %w", v.slot, err)
	}
	return nil
}

// replaced returns how long each victim's replacement took in nanoseconds.
func (s *session) replaced(vs []victim) ([]int64, error) {
	waits := make([]int64, len(vs))
	for k, v := range vs {
		at := s.board.Slot(v.slot)
		if at.Starts != v.starts+1 {
			return nil, fmt.Errorf("%s: child %d was started %d times after one kill", s.name, v.slot, at.Starts-v.starts)
		}
		waits[k] = at.Start - v.killed
	}
	return waits, nil
}

func closeVictims(vs []victim) {
	for _, v := range vs {
		unix.Close(v.pidfd)
	}
}

// percentile is the smallest value that p percent of all do not exceed.
func percentile(values []int64, p int) int64 {
	sorted := slices.Sorted(slices.Values(values))
	return sorted[max((len(sorted)*p+99)/100-1, 0)]
}

func metric(name string, n int) string { return fmt.Sprintf("%s/%d", name, n) }
