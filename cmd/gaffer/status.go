package main

import (
	"cmp"
	"context"
	"fmt"
	"os"
	"slices"
	"sync"
	"time"

	"github.com/spf13/cobra"

	"github.com/gafferpm/gaffer"
	"github.com/gafferpm/gaffer/client"
)

func newStatus() *cobra.Command {
	var asJSON bool
	var lines, history int
	cmd := &cobra.Command{
		Use:   "status [flags] [TARGET...]",
		Short: "Show how a template is, and why",
		Long: `Show on one screen how the template of TARGET is: its state and the reason for it,
when it is tried again, how its last process ended and what that one wrote last,
its processes with all they have started, what has happened to it last, and where it
is defined. Without TARGET it
is the list that ` + "`gaffer ps`" + ` shows.

Exit status: 0 all run as wanted; 3 something does not run; 5 something is in
back-off, flapping or failed.`,
		Example: `  gaffer status web
  gaffer status web.2 -n 50
  gaffer status > /dev/null || echo something is down`,
		ValidArgsFunction: completeTargets,
		RunE: func(cmd *cobra.Command, args []string) error {
			targets, err := targetsOf(args)
			if err != nil {
				return err
			}
			if lines < 0 {
				return usagef("-n %d: want a number from 0", lines)
			}
			if history < 0 {
				return usagef("--history %d: want a number from 0", history)
			}
			c, err := connect(cmd)
			if err != nil {
				return err
			}
			if len(args) > 0 && !asJSON {
				return showReports(cmd, c, targets, lines, history)
			}
			return showStatuses(cmd, c, targets, asJSON)
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print a list of statuses")
	cmd.Flags().IntVarP(&lines, "lines", "n", 10, "`number` of last lines to show")
	cmd.Flags().IntVar(&history, "history", 5, "`number` of the latest starts, ends and changes to show")
	return cmd
}

// showStatuses is ps with an exit status that tells how all is.
func showStatuses(cmd *cobra.Command, c *client.Client, targets []gaffer.Target, asJSON bool) error {
	all, used, err := statusesAndUse(cmd.Context(), c, targets, !asJSON)
	if err != nil {
		return err
	}
	s := newScreen(cmd)
	switch {
	case asJSON:
		err = s.json(all)
	case len(all) == 0:
		fmt.Fprintln(os.Stderr, nothingDefined)
	default:
		psTable(all, used, s.now, true).print(s)
		err = s.Flush()
	}
	if err != nil {
		return err
	}
	return verdict(all, targets...)
}

// verdict is the error whose exit status says how templates are. Of those that
// only single processes were asked for, it is these that count.
func verdict(all []gaffer.Status, targets ...gaffer.Target) error {
	status := exitOK
	for _, st := range all {
		whole := len(targets) == 0 || slices.ContainsFunc(targets, func(t gaffer.Target) bool { return t.Matches(st.Name, 0, 0) })
		if whole || len(st.Processes) == 0 {
			status = max(status, truth(st))
			continue
		}
		for _, p := range st.Processes {
			status = max(status, truthOf(p.State))
		}
	}
	if status != exitOK {
		return statusError(status)
	}
	return nil
}

func showReports(cmd *cobra.Command, c *client.Client, targets []gaffer.Target, lines, history int) error {
	all, err := statuses(cmd.Context(), c, targets)
	if err != nil {
		return err
	}
	s := newScreen(cmd)
	for i, st := range all {
		if i > 0 {
			_ = s.WriteByte('\n')
		}
		r, err := askAbout(cmd.Context(), c, st, lines, history)
		if err != nil {
			return err
		}
		r.show(s)
	}
	if err := s.Flush(); err != nil {
		return err
	}
	return verdict(all, targets...)
}

// report is all that tells how a template is, and why.
type report struct {
	status   gaffer.Status
	template gaffer.Template
	used     map[int]gaffer.ProcessStats // by pid
	origin   *gaffer.Origin              // nil: not told
	lost     uint64                      // bytes of output
	blocked  time.Duration               // because pipes were full
	family   string                      // how what it starts is known
	history  []gaffer.Event
	lines    []gaffer.Output
	of       string // whose lines they are
}

// askAbout asks for everything at once. What whoever calls may not see is left out.
func askAbout(ctx context.Context, c *client.Client, st gaffer.Status, lines, history int) (*report, error) {
	r := &report{status: st, used: map[int]gaffer.ProcessStats{}}
	target := gaffer.Target(st.Name)
	var asking sync.WaitGroup
	asking.Go(func() {
		if list, err := c.Stats(ctx, target); err == nil {
			for _, stats := range list {
				r.lost, r.blocked = stats.LostOutput, time.Duration(stats.Blocked)
				for _, p := range stats.Processes {
					r.used[p.PID] = p
				}
			}
		}
	})
	asking.Go(func() {
		if list, err := c.Origins(ctx, target); err == nil && len(list) == 1 {
			r.origin = &list[0]
		}
	})
	asking.Go(func() {
		if v, err := c.Version(ctx); err == nil {
			r.family = v.Descendants
		}
	})
	asking.Go(func() {
		if list, err := c.History(ctx, target); err == nil {
			list = slices.DeleteFunc(list, func(e gaffer.Event) bool { return e.Kind == gaffer.KindCreate || e.Kind == gaffer.KindAudit })
			r.history = list[max(0, len(list)-history):]
		}
	})
	var told error
	asking.Go(func() {
		infos, err := c.List(ctx, target)
		if err != nil || len(infos) != 1 {
			told = err
			return
		}
		r.template = infos[0].Template
		r.lines, r.of = lastLines(ctx, c, r.template, st, lines)
	})
	asking.Wait()
	return r, told
}

// lastLines are the last lines of the process that ended last, of its stderr if it
// wrote any there; where all is well, the last lines of all that run.
func lastLines(ctx context.Context, c *client.Client, t gaffer.Template, st gaffer.Status, n int) (lines []gaffer.Output, whose string) {
	if n == 0 {
		return nil, ""
	}
	stream, err := c.Output(ctx, gaffer.Target(st.Name), gaffer.OutputOptions{Tail: max(n, 100), NoFollow: true})
	if err != nil {
		return nil, ""
	}
	defer stream.Close()
	_ = pour(ctx, stream, func() error { return nil },
		func(o gaffer.Output) error { lines = append(lines, o); return nil },
		func(int) error { return nil })
	slices.SortStableFunc(lines, func(a, b gaffer.Output) int { return a.Time.Compare(b.Time) })
	ended := endedLast(st)
	if ended == nil {
		return lines[max(0, len(lines)-n):], "last lines"
	}
	lines = slices.DeleteFunc(lines, func(o gaffer.Output) bool { return o.Slot != ended.Slot || o.ID == ended.ID })
	last := uint64(0)
	for _, o := range lines {
		last = max(last, o.ID)
	}
	lines = slices.DeleteFunc(lines, func(o gaffer.Output) bool { return o.ID != last })
	stderr, whose := "stderr", "last lines of "+slotName(st.Name, ended.Slot)
	if len(t.RedirectOutput) > 1 {
		stderr = t.RedirectOutput[1]
	}
	isErr := func(o gaffer.Output) bool { return o.Label == stderr }
	if slices.ContainsFunc(lines, isErr) {
		lines = slices.DeleteFunc(lines, func(o gaffer.Output) bool { return !isErr(o) })
		whose += " (" + stderr + ")"
	}
	return lines[max(0, len(lines)-n):], whose
}

// endedLast is the slot whose process ended last, nil when nothing is wrong.
func endedLast(st gaffer.Status) *gaffer.Process {
	if st.State == gaffer.Running {
		return nil
	}
	return exitedLast(st)
}

// facts are what the screen says line by line.
type facts [][2]string

func (f *facts) add(what, said string) {
	if said != "" {
		*f = append(*f, [2]string{what, said})
	}
}

// show prints the screen.
func (r *report) show(s *screen) {
	st := r.status
	s.paint(st.Name, bold)
	_, _ = s.WriteString(" ")
	state, meaning := r.inWords(s.now)
	s.paint(state, stateColor(st.State))
	s.paint(meaning, plain)
	_ = s.WriteByte('\n')
	t := &table{indent: 2, columns: []column{{}, {}}}
	for _, fact := range r.facts(s) {
		t.add(cell{fact[0], faint}, text(fact[1]))
	}
	t.body(s)
	if len(worthARow(st)) > 0 {
		_ = s.WriteByte('\n')
		r.tree(s).print(s)
	}
	if len(r.history) > 0 {
		_ = s.WriteByte('\n')
		s.paint("  what happened last", faint)
		_ = s.WriteByte('\n')
		for _, e := range r.history {
			_, _ = s.WriteString("  ")
			s.happened(e)
		}
	}
	if len(r.lines) > 0 {
		_ = s.WriteByte('\n')
		s.paint("  "+r.of, faint)
		_ = s.WriteByte('\n')
		s.quote(r.lines)
	}
}

// tree is a row for each process, with what it has started below it.
func (r *report) tree(s *screen) *table {
	t := &table{indent: 2, columns: []column{
		{head: "PROCESS"}, {head: "STATE"}, {head: "PID", right: true}, {head: "UPTIME", right: true}, {head: "CPU", right: true}, {head: "MEM", right: true}, {head: "DETAIL"},
	}}
	shown := worthARow(r.status)
	slices.SortFunc(shown, func(a, b gaffer.Process) int { return cmp.Compare(a.Slot, b.Slot) })
	used := use{}
	for pid, p := range r.used { // without children, which have rows of their own
		used[pid] = gaffer.Use{CPU: p.CPU, RSS: p.RSS}
	}
	for _, p := range shown {
		f, what := figuresOf(p, used, s.now), detail(p, s.now)
		u, known := r.used[p.PID]
		if known && p.State == gaffer.Running {
			what = u.Command
		}
		t.add(text(slotName(r.status.Name, p.Slot)), cell{string(p.State), stateColor(p.State)},
			text(orDash(f.pid)), text(orDash(f.uptime)), text(orDash(f.cpu)), text(orDash(f.mem)), text(what))
		if known {
			t.family(u.Children, "")
		}
	}
	return t
}

// family adds what a process has started.
func (t *table) family(children []gaffer.ProcessStats, indent string) {
	for i, child := range children {
		branch, below := "├─ ", "│  "
		if i == len(children)-1 {
			branch, below = "└─ ", "   "
		}
		t.add(cell{indent + branch + child.Command, faint}, text(""), text(fmt.Sprint(child.PID)), text(""),
			text(percent(child.CPU)), text(size(child.RSS)), text(""))
		t.family(child.Children, indent+below)
	}
}
