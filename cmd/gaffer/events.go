package main

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/gafferpm/gaffer"
)

// eventFlags are the flags of gaffer events.
type eventFlags struct {
	follow bool
	tail   int
	since  uint64
	kinds  []string
	json   bool
}

func newEvents() *cobra.Command {
	var f eventFlags
	cmd := &cobra.Command{
		Use:   "events [flags] [TARGET]",
		Short: "Show what has happened, and what happens",
		Long: `Show the latest events of TARGET, else of all, from the daemon's journal; with -f
those to come, too. Each has a number, which --since takes: it is a way to go on
where one has stopped, without a gap.

--json prints one event per line. Where events are not there any more, or came
faster than they could be shown, a line says how many: {"missed":N}.`,
		Example: `  gaffer events -f
  gaffer events -n 100 --kind exit,flap,fail web
  gaffer events -f --since 4711 --json`,
		Args:              atMost(1),
		ValidArgsFunction: completeTarget,
		RunE: func(cmd *cobra.Command, args []string) error {
			target, err := oneTarget(args)
			if err != nil {
				return err
			}
			how, err := f.options(cmd)
			if err != nil {
				return err
			}
			return f.run(cmd, target, how)
		},
	}
	flags := cmd.Flags()
	flags.BoolVarP(&f.follow, "follow", "f", false, "go on with what happens from now on")
	flags.IntVarP(&f.tail, "tail", "n", 20, "`number` of events that have happened; -1: all that are kept")
	flags.Uint64Var(&f.since, "since", 0, "events after the one of this `number`; 0: all that are kept")
	flags.StringSliceVar(&f.kinds, "kind", nil, "`kinds` of events, as exit,flap,fail (default all)")
	flags.BoolVar(&f.json, "json", false, "print events as JSON, one per line")
	_ = cmd.RegisterFlagCompletionFunc("kind", func(*cobra.Command, []string, string) ([]cobra.Completion, cobra.ShellCompDirective) {
		return kindNames(), cobra.ShellCompDirectiveNoFileComp
	})
	return cmd
}

func (f *eventFlags) options(cmd *cobra.Command) (gaffer.EventOptions, error) {
	how := gaffer.EventOptions{Tail: f.tail, NoFollow: !f.follow}
	if f.tail < -1 {
		return how, usagef("-n %d: want a number from 0, or -1 for all", f.tail)
	}
	if cmd.Flags().Changed("since") {
		how.Since = &f.since
	}
	for _, kind := range f.kinds {
		if !slices.Contains(kindNames(), kind) {
			return how, usagef("--kind %s: want %s", kind, strings.Join(kindNames(), ", "))
		}
		how.Kinds = append(how.Kinds, gaffer.Kind(kind))
	}
	return how, nil
}

func kindNames() []string {
	var names []string
	for _, kind := range gaffer.Kinds() {
		names = append(names, string(kind))
	}
	return names
}

func (f *eventFlags) run(cmd *cobra.Command, target gaffer.Target, how gaffer.EventOptions) error {
	c, err := connect(cmd)
	if err != nil {
		return err
	}
	ctx := cmd.Context()
	if f.follow {
		if err := mustSelect(ctx, c, target, true); err != nil {
			return err
		}
	}
	s := newScreen(cmd)
	show := &following[gaffer.Event]{follow: f.follow, flush: s.Flush}
	last, shown := uint64(0), false
	show.open = func(ctx context.Context, again bool) (gaffer.Stream[gaffer.Event], error) {
		if again && last > 0 {
			how.Since = &last
		}
		return c.Subscribe(ctx, target, how)
	}
	show.show = func(e gaffer.Event) error {
		last, shown = e.Seq, true
		if f.json {
			return s.record(e)
		}
		s.event(e)
		return nil
	}
	show.lost = func(n int) error {
		if f.json {
			return s.record(missedRecord{n})
		}
		s.paint(missing(n, "event"), red)
		return s.WriteByte('\n')
	}
	err = show.run(ctx, c)
	if err == nil && !shown && how.Tail != 0 {
		// A template that is gone may have events; one that never was has none.
		err = mustSelect(ctx, c, target, false)
	}
	return err
}

// missedRecord stands in a stream of JSON where values were lost.
type missedRecord struct {
	Missed int `json:"missed"`
}

// missing says that values were lost.
func missing(n int, what string) string {
	switch n {
	case 0:
		return fmt.Sprintf("some %ss may be missing here", what)
	case 1:
		return fmt.Sprintf("1 %s is missing here", what)
	}
	return fmt.Sprintf("%d %ss are missing here", n, what)
}

// event prints an event in a line.
func (s *screen) event(e gaffer.Event) {
	s.paint(fmt.Sprintf("%6d", e.Seq), faint)
	s.happened(e)
}

// happened prints the rest of the line, without the number.
func (s *screen) happened(e gaffer.Event) {
	name := e.Name
	if e.Slot != 0 {
		name = slotName(e.Name, e.Slot)
	}
	stamp := e.Time.Local()
	layout := "15:04:05.000"
	if stamp.YearDay() != s.now.YearDay() || stamp.Year() != s.now.Year() {
		layout = "2006-01-02 15:04:05.000"
	}
	s.paint("  "+stamp.Format(layout)+"  ", faint)
	s.paint(fmt.Sprintf("%-8s ", string(e.Kind)), kindColor(e))
	s.paint(name, bold)
	if what := eventInWords(e); what != "" {
		s.paint("  "+what, plain)
	}
	_ = s.WriteByte('\n')
}

// kindColor shows what went wrong, and what is well again.
func kindColor(e gaffer.Event) int {
	switch e.Kind {
	case gaffer.KindFail, gaffer.KindFlap:
		return red
	case gaffer.KindBackoff:
		return yellow
	case gaffer.KindSpawn:
		return green
	case gaffer.KindExit:
		if e.Exit != nil && (e.Exit.Status != 0 || e.Exit.Signal != 0) {
			return yellow
		}
	}
	return plain
}

// eventInWords is what an event says beside its kind and name.
func eventInWords(e gaffer.Event) string {
	var parts []string
	if e.By != "" {
		parts = append(parts, "by "+e.By)
	}
	if e.Exit != nil {
		parts = append(parts, exitInWords(e.Exit))
	}
	if e.Message != "" {
		parts = append(parts, e.Message)
	}
	said := strings.Join(parts, "; ")
	if e.PID != 0 {
		said = strings.TrimSpace("pid " + strconv.Itoa(e.PID) + "  " + said)
	}
	return said
}
