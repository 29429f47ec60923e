package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/gafferpm/gaffer"
	"github.com/gafferpm/gaffer/client"
)

// waitFlags say how long a command waits until it is so.
type waitFlags struct {
	wait   time.Duration
	noWait bool
	json   bool
}

func (f *waitFlags) add(cmd *cobra.Command) {
	flags := cmd.Flags()
	flags.Var((*durationFlag)(&f.wait), "wait", "wait at most that `time` until it is so, as 30s (default as long as it takes)")
	flags.BoolVar(&f.noWait, "no-wait", false, "do not wait, only ask")
	flags.BoolVar(&f.json, "json", false, "print a list of statuses, when it is so")
}

func (f *waitFlags) check(cmd *cobra.Command) error {
	switch {
	case f.noWait && cmd.Flags().Changed("wait"):
		return usagef("--wait and --no-wait exclude each other")
	case cmd.Flags().Changed("wait") && f.wait <= 0:
		return usagef("--wait %s: want more than nothing; --no-wait does not wait", f.wait)
	}
	return nil
}

// context bounds the waiting. One that has ended already waits for nothing.
func (f *waitFlags) context(ctx context.Context) (context.Context, context.CancelFunc) {
	if f.wait > 0 {
		return context.WithTimeout(ctx, f.wait)
	}
	ctx, cancel := context.WithCancel(ctx)
	if f.noWait {
		cancel()
	}
	return ctx, cancel
}

// verb is a command that changes what runs.
type verb struct {
	waitFlags
	truth bool // its exit status says whether the targets run
	do    func(ctx context.Context, c *client.Client, target gaffer.Target) error
	said  string // what was done to a process that was named by its id
}

// run does it to each target, one after the other, and tells how they are then.
func (v *verb) run(cmd *cobra.Command, args []string) error {
	targets, err := targetsOf(args)
	if err != nil {
		return err
	}
	if err := v.check(cmd); err != nil {
		return err
	}
	c, err := connect(cmd)
	if err != nil {
		return err
	}
	// A name that is wrong is found before anything is done.
	if len(targets) > 1 || targets[0] != gaffer.All {
		if err := v.lookUp(cmd.Context(), c, targets); err != nil {
			return err
		}
	}
	wait, cancel := v.context(cmd.Context())
	defer cancel()
	late := false
	for _, target := range targets {
		err := v.do(wait, c, target)
		switch {
		case err == nil:
		case errors.Is(err, client.ErrNoAnswer):
			return fmt.Errorf("%s: no answer; it may still be done", c.Host())
		case v.noWait && errors.Is(err, context.Canceled):
		case errors.Is(err, context.DeadlineExceeded):
			late = true
			fmt.Fprintf(os.Stderr, "gaffer: %s: not so after %s; it goes on, `gaffer status %s` tells how far it is\n", target, v.wait, quoted(target))
		default:
			return explain(cmd.Context(), c, target, err)
		}
	}
	if v.noWait {
		return nil
	}
	return v.report(wait, cmd, c, targets, late)
}

// answerDue is how long after the time of --wait an answer may come.
const answerDue = time.Second

// lookUp finds names that are wrong. A daemon that hangs is given up when the time
// of --wait is over.
func (v *verb) lookUp(ctx context.Context, c *client.Client, targets []gaffer.Target) error {
	if v.wait > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, v.wait+answerDue)
		defer cancel()
	}
	_, err := statuses(ctx, c, targets)
	if ctx.Err() != nil {
		return fmt.Errorf("%s: no answer after %s; nothing was done", c.Host(), v.wait)
	}
	return err
}

// report tells how the targets are now, and what the exit status is by that.
func (v *verb) report(ctx context.Context, cmd *cobra.Command, c *client.Client, targets []gaffer.Target, late bool) error {
	s := newScreen(cmd)
	all := []gaffer.Status{}
	for _, target := range targets {
		list, err := v.settled(ctx, cmd, c, target)
		if errors.Is(err, gaffer.ErrNotFound) {
			// A process with that id is there no more, which is what was wanted.
			if !v.json {
				fmt.Fprintf(s, "%s: %s\n", target, v.said)
			}
			continue
		}
		if err != nil {
			return err
		}
		all = append(all, list...)
		for _, st := range list {
			if !v.json {
				s.outcome(target, v.said, st)
			}
		}
	}
	if v.json {
		if err := s.json(all); err != nil {
			return err
		}
	}
	if err := s.Flush(); err != nil {
		return err
	}
	if v.truth {
		if late && slices.ContainsFunc(all, func(st gaffer.Status) bool { return st.State == gaffer.Starting }) {
			return statusError(exitDegraded) // it runs, but is not ready
		}
		if err := verdict(all, targets...); err != nil {
			return err
		}
	}
	if late {
		return statusError(exitError)
	}
	return nil
}

// settled is how a target is, when that is clear if it has to be: most of what
// can't run ends soon after its start.
func (v *verb) settled(wait context.Context, cmd *cobra.Command, c *client.Client, target gaffer.Target) ([]gaffer.Status, error) {
	limit := time.Now().Add(settleLimit)
	for {
		list, err := c.Status(cmd.Context(), target)
		if err != nil || !v.truth || time.Now().After(limit) {
			return list, err
		}
		var again time.Duration
		for _, st := range list {
			again = max(again, unsettled(st))
		}
		if again == 0 {
			return list, nil
		}
		select {
		case <-time.After(again):
		case <-wait.Done():
			return list, nil
		}
	}
}

// outcome prints how a template is after something was done to it, or to one of
// its processes.
func (s *screen) outcome(target gaffer.Target, said string, st gaffer.Status) {
	if !target.Matches(st.Name, 0, 0) {
		s.paint(string(target), bold)
		s.paint(": "+said+"; ", plain)
	}
	s.paint(st.Name, bold)
	_, _ = s.WriteString(": ")
	s.paint(inWords(st), stateColor(st.State))
	s.paint(outcomeReason(st), plain)
	_ = s.WriteByte('\n')
}

// outcomeReason is what is said of a state that needs a reason.
func outcomeReason(st gaffer.Status) string {
	last := exitedLast(st)
	switch {
	case st.State == gaffer.Running, st.State == gaffer.Starting && st.Reason == "":
		return ""
	case st.State == gaffer.Stopped && last != nil:
		return " (" + strings.TrimPrefix(exitInWords(last.LastExit), "stopped: ") + ")"
	case st.Reason != "":
		return ": " + st.Reason
	case last != nil:
		return ": " + exitInWords(last.LastExit)
	}
	return ""
}

// truth is the exit status that says how a template is.
func truth(st gaffer.Status) int {
	if st.Armed && st.State != gaffer.Failed {
		return exitOK
	}
	return truthOf(st.State)
}

// truthOf is the exit status that says how something is.
func truthOf(state gaffer.State) int {
	switch state {
	case gaffer.InBackoff, gaffer.InFlapping, gaffer.Failed, gaffer.Waiting, gaffer.Unhealthy:
		return exitDegraded
	case gaffer.Running, gaffer.Done:
		return exitOK
	}
	return exitNotRunning
}

// quoted is a target as it can be typed into a shell.
func quoted(target gaffer.Target) string {
	for i := range len(target) {
		if target[i] == '*' {
			return "'" + string(target) + "'"
		}
	}
	return string(target)
}

const truthText = `
Exit status: 0 all run as wanted, or are done; 3 something does not run; 5
something is in back-off, flapping, failed, waiting or unhealthy; 1 an error, also
when the time of --wait is over.`

func newStart() *cobra.Command {
	v := &verb{truth: true, said: "started", do: func(ctx context.Context, c *client.Client, target gaffer.Target) error {
		return c.Start(ctx, target)
	}}
	cmd := &cobra.Command{
		Use:   "start [flags] TARGET...",
		Short: "Start templates",
		Long: `Make templates wanted and fill their slots, also after they were stopped, or given
up for crashing too often. It waits until each process was started, or was tried to.
` + truthText,
		Example: `  gaffer start web worker
  gaffer start 'jobs:*' --wait 30s`,
		Args:              someTargets,
		ValidArgsFunction: completeTargets,
		RunE:              v.run,
	}
	v.add(cmd)
	return cmd
}

func newStop() *cobra.Command {
	v := &verb{said: "stopped", do: func(ctx context.Context, c *client.Client, target gaffer.Target) error {
		return c.Stop(ctx, target)
	}}
	cmd := &cobra.Command{
		Use:   "stop [flags] TARGET...",
		Short: "Stop templates, or single processes",
		Long: `Stop templates: they are no longer wanted, and their processes end, in the reverse of
the start order, each with its stop_signal and, after graceful_timeout, SIGKILL. It
waits until they are gone. A stopped template stays stopped when the daemon
is started again.

A single process (web.2, or its id) is stopped and replaced, for its template is
still wanted; ` + "`gaffer scale web-1`" + ` makes them fewer.

Exit status: 0 stopped; 1 an error, also when the time of --wait is over.`,
		Example: `  gaffer stop web
  gaffer stop '*' --wait 1m
  gaffer stop web.2`,
		Args:              someTargets,
		ValidArgsFunction: completeTargets,
		RunE:              v.run,
	}
	v.add(cmd)
	return cmd
}

func newRestart() *cobra.Command {
	var overlap bool
	v := &verb{truth: true, said: "restarted"}
	v.do = func(ctx context.Context, c *client.Client, target gaffer.Target) error {
		how := gaffer.StopFirst
		if overlap {
			how = gaffer.Overlap
		}
		return c.Restart(ctx, target, how)
	}
	cmd := &cobra.Command{
		Use:   "restart [flags] TARGET...",
		Short: "Replace processes by new ones",
		Long: `Replace processes by new ones, one slot after the other: each is stopped, then the one
that follows it is started; with --overlap the new one is started first. A
template that is named is also started if it was stopped; '*' and other globs
leave alone what is stopped. It waits for the new processes.
` + truthText,
		Example: `  gaffer restart web
  gaffer restart web.2 --overlap
  gaffer restart '*'`,
		Args:              someTargets,
		ValidArgsFunction: completeTargets,
		RunE:              v.run,
	}
	v.add(cmd)
	cmd.Flags().BoolVar(&overlap, "overlap", false, "start the new process before the old one is stopped")
	return cmd
}

func newSignal() *cobra.Command {
	return &cobra.Command{
		Use:   "signal SIGNAL TARGET...",
		Short: "Send a signal to processes",
		Long: `Send a signal, by its name or number, to all processes of TARGETs. It changes
nothing that is wanted: a process that ends by it is replaced.`,
		Example: `  gaffer signal HUP web
  gaffer signal USR1 'jobs:*' web.2`,
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) < 2 {
				return usagef("which? want `%s SIGNAL TARGET`, as in `gaffer signal HUP web`", cmd.CommandPath())
			}
			return nil
		},
		ValidArgsFunction: func(cmd *cobra.Command, given []string, begun string) ([]cobra.Completion, cobra.ShellCompDirective) {
			if len(given) == 0 {
				return []cobra.Completion{"HUP", "INT", "TERM", "QUIT", "KILL", "USR1", "USR2", "WINCH", "STOP", "CONT"}, cobra.ShellCompDirectiveNoFileComp
			}
			return completeTargets(cmd, given[1:], begun)
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			sig, err := gaffer.ParseSignal(args[0])
			if err != nil {
				return &usageError{err}
			}
			targets, err := targetsOf(args[1:])
			if err != nil {
				return err
			}
			c, err := connect(cmd)
			if err != nil {
				return err
			}
			if _, err := statuses(cmd.Context(), c, targets); err != nil {
				return err
			}
			for _, target := range targets {
				if err := c.Signal(cmd.Context(), target, sig); err != nil {
					return explain(cmd.Context(), c, target, err)
				}
			}
			return nil
		},
	}
}
