package main

import (
	"cmp"
	"context"
	"slices"
	"strconv"
	"time"

	"github.com/spf13/cobra"

	"github.com/gafferpm/gaffer"
	"github.com/gafferpm/gaffer/client"
)

// statsFlags are the flags of gaffer stats.
type statsFlags struct {
	follow   bool
	interval time.Duration
	children bool
	json     bool
}

func newStats() *cobra.Command {
	var f statsFlags
	cmd := &cobra.Command{
		Use:   "stats [flags] [TARGET]",
		Short: "Show what processes use",
		Long: `Show what the processes of TARGET use, else all of them: a line for each, with what it
has started, and for templates of several processes their sum. CPU is in percent of
one core, since the start of the process; with -f since the reading before.

--json prints a list; with -f what each template uses in a line of its own.`,
		Example: `  gaffer stats
  gaffer stats -f 'jobs:*'
  gaffer stats -f --interval 5s --json | jq -c '{name, cpu, rss}'`,
		Args:              atMost(1),
		ValidArgsFunction: completeTarget,
		RunE: func(cmd *cobra.Command, args []string) error {
			target, err := oneTarget(args)
			if err != nil {
				return err
			}
			if f.interval < 100*time.Millisecond {
				return usagef("--interval %s: want 100ms at least", f.interval)
			}
			c, err := connect(cmd)
			if err != nil {
				return err
			}
			if err := mustSelect(cmd.Context(), c, target, f.follow); err != nil {
				return err
			}
			if f.follow {
				return f.monitor(cmd, c, target)
			}
			return f.once(cmd, c, target)
		},
	}
	flags := cmd.Flags()
	flags.BoolVarP(&f.follow, "follow", "f", false, "show it again and again")
	f.interval = time.Second
	flags.Var((*durationFlag)(&f.interval), "interval", "`time` between two readings of -f")
	flags.BoolVar(&f.children, "tree", false, "show what processes have started in lines of their own")
	flags.BoolVar(&f.json, "json", false, "print JSON")
	return cmd
}

func (f *statsFlags) once(cmd *cobra.Command, c *client.Client, target gaffer.Target) error {
	list, err := c.Stats(cmd.Context(), target)
	if err != nil {
		return explain(cmd.Context(), c, target, err)
	}
	s := newScreen(cmd)
	if f.json {
		return s.json(list)
	}
	statsTable(list, f.children).print(s)
	return s.Flush()
}

// Sequences for a terminal: to the upper left, to the end of the line and of the
// screen; and the other screen, which leaves what was shown before alone.
const (
	home      = "\x1b[H"
	clearRest = "\x1b[J"
)

func (f *statsFlags) monitor(cmd *cobra.Command, c *client.Client, target gaffer.Target) error {
	s := newScreen(cmd)
	show := s.frame
	switch {
	case f.json:
		show = s.statsRecords
	case !s.terminal:
		show = s.statsBlock
	default:
		_, _ = s.WriteString(home + clearRest)
	}
	readings := &following[[]gaffer.Stats]{
		follow: true, flush: s.Flush,
		open: func(ctx context.Context, _ bool) (gaffer.Stream[[]gaffer.Stats], error) {
			stream, err := c.Monitor(ctx, target, f.interval)
			return stream, explain(ctx, c, target, err)
		},
		show: func(list []gaffer.Stats) error {
			if err := show(list, f.children); err != nil {
				return err
			}
			return s.Flush()
		},
		lost: func(int) error { return nil }, // a newer reading says more than the one that was lost
	}
	return readings.run(cmd.Context(), c)
}

// frame shows a reading in place of the one before.
func (s *screen) frame(list []gaffer.Stats, children bool) error {
	s.resize()
	t := statsTable(list, children)
	hidden := 0
	if s.height > 2 && len(t.rows) > s.height-2 {
		hidden = len(t.rows) - (s.height - 2)
		t.rows = t.rows[:s.height-2]
	}
	_, _ = s.WriteString(home + clearRest)
	t.print(s)
	if hidden > 0 {
		s.paint("… and "+strconv.Itoa(hidden)+" more", faint)
	}
	return nil
}

// statsBlock shows a reading below the one before.
func (s *screen) statsBlock(list []gaffer.Stats, children bool) error {
	statsTable(list, children).print(s)
	return s.WriteByte('\n')
}

func (s *screen) statsRecords(list []gaffer.Stats, _ bool) error {
	for _, st := range list {
		if err := s.record(st); err != nil {
			return err
		}
	}
	return nil
}

// statsTable is a row for each process, below a row with the sum where there are
// several.
func statsTable(list []gaffer.Stats, children bool) *table {
	t := &table{columns: []column{
		{head: "NAME"}, {head: "PID", right: true}, {head: "CPU", right: true}, {head: "MEM", right: true}, {head: "%MEM", right: true},
		{head: "VIRT", right: true}, {head: "THREADS", right: true}, {head: "FDS", right: true}, {head: "READ", right: true}, {head: "WRITTEN", right: true},
		{head: "TIME", right: true}, {head: "USER"}, {head: "COMMAND"},
	}}
	slices.SortStableFunc(list, func(a, b gaffer.Stats) int { return naturally(a.Name, b.Name) })
	for _, st := range list {
		if len(st.Processes) != 1 {
			t.add(sumRow(st)...)
		}
		slices.SortFunc(st.Processes, func(a, b gaffer.ProcessStats) int { return cmp.Compare(a.Slot, b.Slot) })
		for _, p := range st.Processes {
			if !children {
				p = withFamily(p)
			}
			t.add(statsRow(slotName(st.Name, p.Slot), p)...)
			if children {
				t.addChildren(p.Children, "")
			}
		}
	}
	return t
}

func (t *table) addChildren(children []gaffer.ProcessStats, indent string) {
	for i, child := range children {
		branch, below := "├─ ", "│  "
		if i == len(children)-1 {
			branch, below = "└─ ", "   "
		}
		t.add(statsRow(indent+branch+child.Command, child)...)
		t.addChildren(child.Children, indent+below)
	}
}

func sumRow(st gaffer.Stats) []cell {
	row := []cell{{st.Name, bold}, text(strconv.Itoa(len(st.Processes)) + "×"), text(percent(st.CPU)), text(size(st.RSS)), text(percent(st.Mem))}
	if len(st.Processes) == 0 {
		row = []cell{text(st.Name), text("-"), text("-"), text("-"), text("-")}
	}
	for len(row) < 13 {
		row = append(row, text(""))
	}
	return row
}

func statsRow(name string, p gaffer.ProcessStats) []cell {
	return []cell{
		text(name), text(strconv.Itoa(p.PID)), text(percent(p.CPU)), text(size(p.RSS)), text(percent(p.Mem)),
		text(size(p.VMS)), text(strconv.Itoa(p.Threads)), text(known(int64(p.FDs), strconv.Itoa(p.FDs))),
		text(known(p.Read, size(uint64(max(p.Read, 0))))), text(known(p.Written, size(uint64(max(p.Written, 0))))),
		text(cpuTime(time.Duration(p.CPUTime))), text(p.User), text(p.Command),
	}
}

// known is a number's text, or "?" where the number could not be read.
func known(n int64, text string) string {
	if n < 0 {
		return "?"
	}
	return text
}

// cpuTime is a time that a processor worked: "0:07", "12:30", "1:02:03".
func cpuTime(d time.Duration) string {
	seconds := int(d.Seconds())
	two := func(n int) string {
		if n < 10 {
			return "0" + strconv.Itoa(n)
		}
		return strconv.Itoa(n)
	}
	if seconds < 3600 {
		return strconv.Itoa(seconds/60) + ":" + two(seconds%60)
	}
	return strconv.Itoa(seconds/3600) + ":" + two(seconds/60%60) + ":" + two(seconds%60)
}
