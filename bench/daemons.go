//go:build linux

package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"time"

	"golang.org/x/sys/unix"

	"github.com/gafferpm/gaffer"
	"github.com/gafferpm/gaffer/bench/internal/machine"
	"github.com/gafferpm/gaffer/bench/internal/report"
	"github.com/gafferpm/gaffer/client"
)

const (
	logLimit  = 2 * time.Minute // for all lines to be in files
	verbLimit = 20 * time.Second
)

// log waits until all that the children write is in files: from the first
// instruction of the first child.
func (s *session) log(ctx context.Context, rec report.Recorder) error {
	if err := s.awaitStarts(ctx, s.work.n); err != nil {
		return err
	}
	deadline := time.Now().Add(logLimit)
	for !s.logged(s.dir, s.work) {
		switch {
		case ctx.Err() != nil:
			return ctx.Err()
		case time.Now().After(deadline):
			return fmt.Errorf("%s: not all lines are in files after %v%s", s.name, logLimit, s.lastWords())
		case s.dead():
			return fmt.Errorf("%s: gone before all lines were in files%s", s.name, s.lastWords())
		}
		time.Sleep(lookEvery)
	}
	ended := machine.Now()
	first := s.board.Slot(1).First
	for i := 2; i <= s.work.n; i++ {
		first = min(first, s.board.Slot(i).First)
	}
	size := float64(s.work.n * s.work.lines * lineSize)
	supervisors, _ := s.family()
	rec(metric("log-rate", s.work.n), size/1e6/(float64(ended-first)/1e9))
	rec(metric("log-cpu", s.work.n), float64(machine.CPUTime(supervisors))/1e9/(size/1e9))
	machine.Sleep(ctx, rest)
	rec(metric("log-pss", s.work.n), float64(machine.Measure(supervisors).PSS))
	return nil
}

// takeOver kills the manager of a daemon: from there to when each verb was answered
// again, one after the other. The children are to be the same ones.
func (s *session) takeOver(ctx context.Context, rec report.Recorder) error {
	if !s.daemon {
		return nil
	}
	supervisors, children := s.family()
	i := slices.IndexFunc(supervisors, func(r machine.Relative) bool { return isManager(r.PID) })
	if i < 0 {
		return nil // it has none apart
	}
	handle, err := supervisors[i].Handle()
	if err != nil {
		return fmt.Errorf("%s: manager: %w", s.name, err)
	}
	defer unix.Close(handle)
	starts := s.board.Started()
	began := machine.Now()
	if err := machine.Send(handle, unix.SIGKILL); err != nil {
		return fmt.Errorf("%s: manager: %w", s.name, err)
	}
	ctx, cancel := context.WithTimeout(ctx, verbLimit)
	defer cancel()
	c, err := client.New("unix://"+filepath.Join(runtimeOf(s.dir), "gaffer.sock"), client.Options{})
	if err != nil {
		return fmt.Errorf("%s: %w", s.name, err)
	}
	defer c.Close()
	first := int64(0)
	for _, verb := range verbs {
		for {
			err := verb.ask(ctx, c)
			if err == nil {
				break
			}
			// The first one may still have been sent to the manager that was killed.
			if ctx.Err() != nil || first != 0 && !errors.Is(err, client.ErrNoDaemon) {
				return fmt.Errorf("%s: %s after the manager was killed: %w", s.name, verb.name, err)
			}
			time.Sleep(time.Millisecond)
		}
		if first == 0 {
			first = machine.Now()
		}
	}
	ended := machine.Now()
	if n := s.board.Started(); n != starts+2 { // those that were asked for
		return fmt.Errorf("%s: %d children were started while the manager was replaced, want the two that were asked for", s.name, n-starts)
	}
	if _, now := s.family(); len(now) != len(children) {
		return fmt.Errorf("%s: %d children after the manager was replaced, not %d", s.name, len(now), len(children))
	}
	rec(metric("takeover-first", s.work.n), ms(first-began))
	rec(metric("takeover-all", s.work.n), ms(ended-began))
	return nil
}

// isManager says whether a process is the manager of a daemon.
func isManager(pid int) bool {
	line, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(pid), "cmdline"))
	return err == nil && bytes.Contains(line, []byte("\x00manager\x00"))
}

// verbs are what a user may want of a daemon. Those that wait do.
var verbs = []struct {
	name string
	ask  func(context.Context, *client.Client) error
}{
	{"list", func(ctx context.Context, c *client.Client) error { _, err := c.List(ctx, gaffer.All); return err }},
	{"status", func(ctx context.Context, c *client.Client) error { _, err := c.Status(ctx, gaffer.All); return err }},
	{"usage", func(ctx context.Context, c *client.Client) error { _, err := c.Usage(ctx, gaffer.All); return err }},
	{"signal", func(ctx context.Context, c *client.Client) error {
		return c.Signal(ctx, "p1", gaffer.Signal(unix.SIGCONT))
	}},
	{"restart", func(ctx context.Context, c *client.Client) error { return c.Restart(ctx, "p2", gaffer.StopFirst) }},
	{"stop", func(ctx context.Context, c *client.Client) error { return c.Stop(ctx, "p3") }},
	{"start", func(ctx context.Context, c *client.Client) error { return c.Start(ctx, "p3") }},
	{"add", func(ctx context.Context, c *client.Client) error {
		return c.Add(ctx, gaffer.Template{Name: "another", Cmd: "true", Start: new(false)})
	}},
	{"remove", func(ctx context.Context, c *client.Client) error { return c.Remove(ctx, "another") }},
	{"events", func(ctx context.Context, c *client.Client) error {
		s, err := c.Subscribe(ctx, gaffer.All, gaffer.EventOptions{Tail: 1, NoFollow: true})
		if err == nil {
			s.Close()
		}
		return err
	}},
	{"logs", func(ctx context.Context, c *client.Client) error {
		s, err := c.Output(ctx, "p1", gaffer.OutputOptions{Tail: 1, NoFollow: true})
		if err == nil {
			s.Close()
		}
		return err
	}},
}
