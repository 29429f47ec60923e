package main

import (
	"context"
	"fmt"
	"os"
	"runtime/debug"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/gafferpm/gaffer"
	"github.com/gafferpm/gaffer/client"
	"github.com/gafferpm/gaffer/internal/console"
)

func newPs() *cobra.Command {
	var noStats, asJSON bool
	cmd := &cobra.Command{
		Use:   "ps [flags] [TARGET...]",
		Short: "List processes and how they are",
		Long: `List the processes of TARGETs, else all: a line for each, and for a template of
which nothing runs a line of its own. CPU is in percent of one core since the
process was started, MEM is resident memory, both with what the process has started.

DETAIL says why something does not run, and when it is tried again.

Exit status: 0 when it could be answered, whatever the answer is; see
` + "`gaffer status`" + ` for one that tells.`,
		Example: `  gaffer ps
  gaffer ps web 'jobs:*'
  gaffer ps --json | jq -r '.[] | select(.state != "running") | .name'`,
		ValidArgsFunction: completeTargets,
		RunE: func(cmd *cobra.Command, args []string) error {
			targets, err := targetsOf(args)
			if err != nil {
				return err
			}
			// Nothing is thrown away in so short a life.
			debug.SetGCPercent(-1)
			debug.SetMemoryLimit(256 << 20)
			return ps(cmd, targets, !noStats && !asJSON, asJSON)
		},
	}
	cmd.Flags().BoolVar(&noStats, "no-stats", false, "leave out CPU and MEM")
	cmd.Flags().BoolVar(&asJSON, "json", false, "print a list of statuses")
	return cmd
}

func ps(cmd *cobra.Command, targets []gaffer.Target, withStats, asJSON bool) error {
	c, err := connect(cmd)
	if err != nil {
		return err
	}
	all, used, err := statusesAndUse(cmd.Context(), c, targets, withStats)
	if err != nil {
		return err
	}
	s := newScreen(cmd)
	if asJSON {
		return s.json(all)
	}
	if len(all) == 0 {
		fmt.Fprintln(os.Stderr, nothingDefined)
		return nil
	}
	psTable(all, used, s.now, withStats).print(s)
	return s.Flush()
}

const nothingDefined = "no templates; `gaffer add`, `gaffer apply` and `gaffer load` bring some"

// use is what processes use, with all that they have started, by pid.
type use map[int]gaffer.Use

// withFamily is what a process uses together with all that it has started.
func withFamily(p gaffer.ProcessStats) gaffer.ProcessStats {
	for _, child := range p.Children {
		c := withFamily(child)
		p.CPU += c.CPU
		p.CPUTime += c.CPUTime
		p.RSS += c.RSS
		p.VMS += c.VMS
		p.Mem += c.Mem
		p.Threads += c.Threads
		p.FDs = int(sumKnown(int64(p.FDs), int64(c.FDs)))
		p.Read, p.Written = sumKnown(p.Read, c.Read), sumKnown(p.Written, c.Written)
	}
	return p
}

// sumKnown adds numbers, of which a negative one is not known.
func sumKnown(a, b int64) int64 {
	if a < 0 || b < 0 {
		return -1
	}
	return a + b
}

// statusesAndUse asks for statuses, and at the same time for what processes use.
func statusesAndUse(ctx context.Context, c *client.Client, targets []gaffer.Target, withStats bool) ([]gaffer.Status, use, error) {
	if !withStats {
		all, err := statuses(ctx, c, targets)
		return all, nil, err
	}
	read := make(chan use, 1)
	go func() {
		used := use{}
		for _, target := range targets {
			list, err := c.Usage(ctx, target)
			if err != nil {
				continue // what is wrong with the target, the statuses tell
			}
			for _, u := range list {
				used[u.PID] = u
			}
		}
		read <- used
	}()
	all, err := statuses(ctx, c, targets)
	if err != nil {
		return nil, nil, err
	}
	return all, <-read, nil
}

// psTable is a row for each process, or one for a template of which nothing runs.
func psTable(all []gaffer.Status, used use, now time.Time, withStats bool) *table {
	t := &table{columns: []column{{head: "NAME"}, {head: "STATE"}, {head: "PID", right: true}, {head: "UPTIME", right: true}, {head: "RESTARTS", right: true}}}
	if withStats {
		t.columns = append(t.columns, column{head: "CPU", right: true}, column{head: "MEM", right: true})
	}
	t.columns = append(t.columns, column{head: "DETAIL"})
	rows := 0
	for i := range all {
		rows += max(1, len(all[i].Processes))
	}
	t.expect(rows)
	for _, st := range all {
		shown := worthARow(st)
		if len(shown) == 0 {
			t.addProcess(st.Name, st.State, gaffer.Process{Restarts: st.Restarts}, figures{}, idle(st, now))
		}
		for _, p := range shown {
			t.addProcess(slotName(st.Name, p.Slot), p.State, p, figuresOf(p, used, now), detail(p, now))
		}
	}
	return t
}

// figures are those of a process, "" where there are none.
type figures struct{ pid, uptime, cpu, mem string }

func figuresOf(p gaffer.Process, used use, now time.Time) figures {
	if p.PID == 0 {
		return figures{}
	}
	f := figures{pid: strconv.Itoa(p.PID), uptime: uptime(now, p.Since)}
	if u, ok := used[p.PID]; ok {
		f.cpu, f.mem = percent(u.CPU), size(u.RSS)
	}
	return f
}

// addProcess adds a row of ps.
func (t *table) addProcess(name string, state gaffer.State, p gaffer.Process, f figures, what string) {
	status, restarts := cell{string(state), stateColor(state)}, strconv.Itoa(p.Restarts)
	if len(t.columns) < 8 { // no CPU and MEM
		t.add(text(name), status, text(orDash(f.pid)), text(orDash(f.uptime)), text(restarts), text(what))
		return
	}
	t.add(text(name), status, text(orDash(f.pid)), text(orDash(f.uptime)), text(restarts), text(orDash(f.cpu)), text(orDash(f.mem)), text(what))
}

func orDash(s string) string { return orElse(s, "-") }

// worthARow are the processes that are shown each by itself: those that run or
// end, and the slots that wait for one while others run.
func worthARow(st gaffer.Status) []gaffer.Process {
	if !slices.ContainsFunc(st.Processes, func(p gaffer.Process) bool { return p.PID == 0 }) {
		return st.Processes
	}
	var shown []gaffer.Process
	for _, p := range st.Processes {
		if p.PID != 0 || p.State != gaffer.Stopped && p.State != gaffer.Failed && p.State != gaffer.Done {
			shown = append(shown, p)
		}
	}
	return shown
}

// idle says why nothing of a template runs.
func idle(st gaffer.Status, now time.Time) string {
	if st.Reason == "" && st.Active == "active" && st.MaxProcesses == 0 {
		return "scaled to 0"
	}
	last := exitedLast(st)
	switch {
	case last == nil || strings.HasPrefix(st.Reason, exitInWords(last.LastExit)):
		return st.Reason
	case st.Reason != "":
		return exitInWords(last.LastExit) + "; " + st.Reason
	}
	return ago(now, last.LastExit.Time) + ": " + strings.TrimPrefix(exitInWords(last.LastExit), "stopped: ")
}

// detail says of a slot what is not as it should be.
func detail(p gaffer.Process, now time.Time) string {
	parts := make([]string, 0, 3)
	switch {
	case p.State == gaffer.Running:
		if p.Restarts > 0 && p.LastExit != nil && now.Sub(p.LastExit.Time) < recent {
			return "the one before, " + ago(now, p.LastExit.Time) + ": " + exitInWords(p.LastExit)
		}
		return ""
	case p.Reason != "":
		parts = append(parts, p.Reason)
	case p.LastExit != nil:
		parts = append(parts, exitInWords(p.LastExit))
	}
	if !p.RetryAt.IsZero() {
		parts = append(parts, "next try "+in(now, p.RetryAt))
	}
	return strings.Join(parts, "; ")
}

// recent is how long a crash matters to whoever looks at what runs now.
const recent = time.Hour

// exitInWords is how a process ended.
func exitInWords(e *gaffer.Exit) string {
	if e.Reason != "" {
		return e.Reason
	}
	if e.Signal != 0 {
		return "ended by " + e.Signal.String()
	}
	return "exit status " + strconv.Itoa(e.Status)
}

// ago is "12s ago", or "just now".
func ago(now, then time.Time) string {
	if d := now.Sub(then); d >= time.Second {
		return console.Span(d) + " ago"
	}
	return "just now"
}

// in is "in 4.2s", or "now".
func in(now, then time.Time) string {
	if d := then.Sub(now); d > 0 {
		return "in " + console.Span(d)
	}
	return "now"
}
