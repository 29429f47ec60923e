//go:build linux

package main

import (
	"context"
	"fmt"
	"slices"
	"time"

	"golang.org/x/sys/unix"
)

const (
	kills      = 200
	killsApart = 20 * time.Millisecond
	killsLimit = 12 * time.Second // those who take a second for each are not waited for 200 times
	churnWarm  = time.Second
	churnTime  = 4 * time.Second
)

// recorder takes one figure of the contestant that is being measured.
type recorder func(metric string, value float64)

func ms(ns int64) float64 { return float64(ns) / 1e6 }

// bringUp waits for all children: from the supervisor's start to the first
// instruction of the last child.
func (s *session) bringUp(ctx context.Context, rec recorder) error {
	if err := s.awaitStarts(ctx, s.work.n); err != nil {
		return err
	}
	var last int64
	for i := 1; i <= s.work.n; i++ {
		last = max(last, s.board.slot(i).first)
	}
	if last == 0 {
		return fmt.Errorf("%s: no child noted its start", s.name)
	}
	rec(metric("bringup", s.work.n), ms(last-s.began))
	return nil
}

// holds reads what the supervisor itself holds, some time after its bring-up.
func (s *session) holds(_ context.Context, rec recorder) error {
	supervisors, _ := s.family()
	if len(supervisors) == 0 {
		return fmt.Errorf("%s: no supervisor left with %d children%s", s.name, s.work.n, s.lastWords())
	}
	u := measure(supervisors)
	rec(metric("pss", s.work.n), float64(u.pss))
	rec(metric("anonymous", s.work.n), float64(u.anon))
	rec(metric("processes", s.work.n), float64(u.procs))
	rec(metric("threads", s.work.n), float64(u.threads))
	rec(metric("descriptors", s.work.n), float64(u.open))
	return nil
}

// idle counts what wakes the supervisor while nothing happens, scaled to a minute.
func (s *session) idle(ctx context.Context, d time.Duration, rec recorder) error {
	supervisors, _ := s.family()
	starts, cpu, woken := s.board.started(), cpuTime(supervisors), switches(supervisors)
	sleep(ctx, d)
	perMinute := float64(time.Minute) / float64(d)
	cpu = cpuTime(supervisors) - cpu
	count := 0
	for thread, n := range switches(supervisors) {
		count += n - woken[thread]
	}
	if s.board.started() != starts {
		return fmt.Errorf("%s: children were started while it should have been idle", s.name)
	}
	rec(metric("idle-cpu", s.work.n), ms(cpu)*perMinute)
	rec(metric("idle-switches", s.work.n), float64(count)*perMinute)
	return nil
}

// replace kills children one by one: from each kill to the first instruction of
// the replacement. Each kill waits for the replacement of the one before: that
// of another child would wake a supervisor that has not noticed the first.
func (s *session) replace(ctx context.Context, rec recorder) error {
	victims, err := s.victims(min(kills, s.work.n))
	if err != nil {
		return err
	}
	defer closeVictims(victims)
	deadline := time.Now().Add(killsLimit)
	for i := range victims {
		before := s.board.started()
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
		sleep(ctx, killsApart)
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
func (s *session) crash(ctx context.Context, rec recorder) error {
	victims, err := s.victims(s.work.n)
	if err != nil {
		return err
	}
	defer closeVictims(victims)
	before := s.board.started()
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
		last = max(last, s.board.slot(v.slot).start)
	}
	rec(metric("crash", s.work.n), ms(last-victims[0].killed))
	return nil
}

// quit asks the supervisor to stop everything: from the signal to the end of
// the last child, and to the end of the supervisor's last process.
func (s *session) quit(_ context.Context, rec recorder) error {
	supervisors, children := s.family()
	if len(children) != s.work.n {
		return fmt.Errorf("%s: %d children before the stop, not %d", s.name, len(children), s.work.n)
	}
	ups, kids := handles(supervisors), handles(children)
	defer closeAll(slices.Concat(ups, kids))
	began := now()
	if err := s.cmd.Process.Signal(s.stop); err != nil {
		return fmt.Errorf("%s: stop: %w", s.name, err)
	}
	last, err := waitGone(kids, stopLimit)
	if err != nil {
		return fmt.Errorf("%s: stop: children %w", s.name, err)
	}
	end, err := waitGone(ups, stopLimit)
	if err != nil {
		return fmt.Errorf("%s: stop: supervisor %w", s.name, err)
	}
	if asked := s.board.stopped(); asked != s.work.n {
		return fmt.Errorf("%s: only %d of %d children were asked to stop", s.name, asked, s.work.n)
	}
	rec(metric("stop-children", s.work.n), ms(last-began))
	rec(metric("stop-all", s.work.n), ms(end-began))
	return nil
}

// churn counts the restarts a second of children that exit at once.
func (s *session) churn(ctx context.Context, rec recorder) error {
	if err := s.awaitStarts(ctx, 1); err != nil {
		return err
	}
	sleep(ctx, churnWarm)
	count, began := s.board.started(), now()
	sleep(ctx, churnTime)
	count, took := s.board.started()-count, now()-began
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
	byPID := make(map[int]relative, len(children))
	for _, c := range children {
		byPID[c.pid] = c
	}
	vs := make([]victim, 0, n)
	for k := range n {
		i := 1 + k*s.work.n/n
		at := s.board.slot(i)
		fd, err := byPID[int(at.pid)].handle()
		if err != nil {
			closeVictims(vs)
			return nil, fmt.Errorf("%s: child %d: %w", s.name, i, err)
		}
		vs = append(vs, victim{slot: i, pidfd: fd, starts: at.starts})
	}
	return vs, nil
}

func (v *victim) kill() error {
	v.killed = now()
	if err := send(v.pidfd, unix.SIGKILL); err != nil {
		return fmt.Errorf("kill: child %d: %w", v.slot, err)
	}
	return nil
}

// replaced returns how long each victim's replacement took in nanoseconds.
func (s *session) replaced(vs []victim) ([]int64, error) {
	waits := make([]int64, len(vs))
	for k, v := range vs {
		at := s.board.slot(v.slot)
		if at.starts != v.starts+1 {
			return nil, fmt.Errorf("%s: child %d was started %d times after one kill", s.name, v.slot, at.starts-v.starts)
		}
		waits[k] = at.start - v.killed
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
