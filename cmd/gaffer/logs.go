package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"regexp"
	"slices"
	"strconv"
	"time"

	"github.com/spf13/cobra"

	"github.com/gafferpm/gaffer"
	"github.com/gafferpm/gaffer/client"
	"github.com/gafferpm/gaffer/internal/console"
)

// logFlags are the flags of gaffer logs.
type logFlags struct {
	follow     bool
	tail       string
	streams    []string
	since      string
	until      string
	grep       string
	text       string
	fields     []string
	after      string
	cursorFile string
	before     *gaffer.Cursors // what the cursor file had
	gone       bool
	noPrefix   bool
	timestamps bool
	json       bool
}

func newLogs() *cobra.Command {
	var f logFlags
	cmd := &cobra.Command{
		Use:   "logs [flags] [TARGET]",
		Short: "Show what processes wrote, and write",
		Long: `Show the last lines that the processes of TARGET wrote, else of all, each with its name
in front; with -f those to come, too, also when the daemon is started again
meanwhile. After the name comes | for stdout, ! for stderr, and the label of a
custom stream.

TIME is 10m, 2h30m or 3d for that long ago, 15:04 or 15:04:05 for today, or as
2026-01-31 or 2026-01-31T15:04:05Z.

A CONDITION is on lines that are JSON objects: KEY (is there), KEY=VALUE, KEY!=VALUE,
KEY~REGEXP, or KEY<NUMBER with <, <=, > or >=; a.b is the field b of the object a.
Given several times, all must hold.

A CURSOR is what --json shows of a line. With --cursor-file each run shows what was
written since the one before, once: the file is read first and written at the end.

On a terminal nothing a process wrote can do more than write a line: colours stay,
other control characters do not. Elsewhere bytes are left alone.`,
		Example: `  gaffer logs -f
  gaffer logs -n 100 web
  gaffer logs -f --stream stderr --grep 'panic|fatal' 'jobs:*'
  gaffer logs --field level=error --field 'status>=500' web
  gaffer logs --cursor-file seen --no-prefix web | mail -E -s errors me
  gaffer logs --since 1h --no-prefix web.2 > web.log`,
		Args:              atMost(1),
		ValidArgsFunction: completeTarget,
		RunE: func(cmd *cobra.Command, args []string) error {
			target, err := oneTarget(args)
			if err != nil {
				return err
			}
			how, err := f.options(cmd, time.Now())
			if err != nil {
				return err
			}
			if err := f.readCursor(cmd, &how); err != nil {
				return err
			}
			return f.run(cmd, target, how)
		},
	}
	flags := cmd.Flags()
	flags.BoolVarP(&f.follow, "follow", "f", false, "go on with what is written from now on")
	flags.StringVarP(&f.tail, "tail", "n", "10", "`number` of lines of each process, or all (with --since the default is all)")
	flags.StringSliceVar(&f.streams, "stream", nil, "`labels` of streams, as stdout,stderr (default all)")
	flags.StringVar(&f.since, "since", "", "lines written after that `time`")
	flags.StringVar(&f.until, "until", "", "lines written before that `time`")
	flags.StringVar(&f.grep, "grep", "", "lines that a regular `expression` matches")
	flags.StringVar(&f.text, "text", "", "lines that contain this `text`")
	flags.StringArrayVar(&f.fields, "field", nil, "lines of JSON of which this `condition` holds; again for more")
	flags.StringVar(&f.after, "after", "", "lines after the one with this `cursor`")
	flags.StringVar(&f.cursorFile, "cursor-file", "", "lines after those that were shown with this `file` before")
	flags.BoolVar(&f.gone, "gone", false, "what slots and templates wrote that are there no more, too")
	flags.BoolVar(&f.noPrefix, "no-prefix", false, "do not put names in front of lines")
	flags.BoolVarP(&f.timestamps, "timestamps", "t", false, "show the time of each line")
	flags.BoolVar(&f.json, "json", false, "print lines as JSON, one per line")
	return cmd
}

func (f *logFlags) options(cmd *cobra.Command, now time.Time) (gaffer.OutputOptions, error) {
	how := gaffer.OutputOptions{
		NoFollow: !f.follow, Labels: f.streams, Grep: f.grep, Text: f.text, Fields: f.fields, After: f.after, Gone: f.gone,
	}
	var err error
	if how.Tail, err = lineCount(f.tail); err != nil {
		return how, err
	}
	if f.since != "" {
		if how.Since, err = parseTime(f.since, now); err != nil {
			return how, usagef("--since %s: %w", f.since, err)
		}
		if !cmd.Flags().Changed("tail") {
			how.Tail = -1
		}
	}
	if f.until != "" {
		if how.Until, err = parseTime(f.until, now); err != nil {
			return how, usagef("--until %s: %w", f.until, err)
		}
	}
	if !how.Since.IsZero() && !how.Until.IsZero() && how.Until.Before(how.Since) {
		return how, usagef("--until %s is before --since %s: nothing was written then", f.until, f.since)
	}
	if _, err := regexp.Compile(f.grep); err != nil {
		return how, usagef("--grep: %w", err)
	}
	if f.after != "" && f.cursorFile != "" {
		return how, usagef("--after stands beside --cursor-file; want one of them")
	}
	if slices.Contains(f.streams, "") {
		return how, usagef("--stream: want labels, as stdout,stderr")
	}
	return how, nil
}

// lineCount reads a number of lines, or "all".
func lineCount(text string) (int, error) {
	if text == "all" {
		return -1, nil
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < -1 {
		return 0, usagef("-n %s: want a number from 0, or all", text)
	}
	return n, nil
}

// parseTime reads a time: so long ago, today at, or a date with or without a time.
func parseTime(text string, now time.Time) (time.Time, error) {
	if d, err := time.ParseDuration(text); err == nil && d >= 0 {
		return now.Add(-d), nil
	}
	if days, found := cutLast(text, 'd'); found {
		if n, err := strconv.Atoi(days); err == nil && n >= 0 {
			return now.AddDate(0, 0, -n), nil
		}
	}
	for _, layout := range []string{"15:04", "15:04:05"} {
		if at, err := time.ParseInLocation(layout, text, now.Location()); err == nil {
			return time.Date(now.Year(), now.Month(), now.Day(), at.Hour(), at.Minute(), at.Second(), 0, now.Location()), nil
		}
	}
	for _, layout := range []string{time.RFC3339Nano, "2006-01-02T15:04:05", "2006-01-02 15:04:05", "2006-01-02 15:04", "2006-01-02"} {
		if at, err := time.ParseInLocation(layout, text, now.Location()); err == nil {
			return at, nil
		}
	}
	return time.Time{}, fmt.Errorf("want a time as 10m, 15:04, 2026-01-31 or 2026-01-31T15:04:05Z")
}

// cutLast cuts off the last byte, if it is that one.
func cutLast(s string, last byte) (string, bool) {
	if s == "" || s[len(s)-1] != last {
		return s, false
	}
	return s[:len(s)-1], true
}

func (f *logFlags) run(cmd *cobra.Command, target gaffer.Target, how gaffer.OutputOptions) error {
	c, err := connect(cmd)
	if err != nil {
		return err
	}
	ctx := cmd.Context()
	if !f.gone {
		if err := mustSelect(ctx, c, target, false); err != nil {
			return err
		}
	}
	if f.follow {
		if err := f.checkStreams(cmd, c, target); err != nil {
			return err
		}
	}
	if err := f.checkCursors(ctx, c, target); err != nil {
		return err
	}
	s := newScreen(cmd)
	show := &following[gaffer.Output]{follow: f.follow, until: how.Until}
	if f.json {
		show.flush, show.show = s.Flush, s.output
		show.lost = func(n int) error { return s.record(missedRecord{n}) }
	} else {
		lines, err := f.lines(cmd, c, s, target)
		if err != nil {
			return err
		}
		show.flush = lines.Flush
		show.show = func(o gaffer.Output) error { lines.Line(o); return nil }
		show.lost = func(n int) error { lines.Say("%s", missingLines(n)); return nil }
	}
	shown, line := false, show.show
	show.show = func(o gaffer.Output) error {
		shown = true
		return line(o)
	}
	was := resumeLogs(show, &how, func(ctx context.Context) (gaffer.Stream[gaffer.Output], error) {
		stream, err := c.Output(ctx, target, how)
		return stream, explain(ctx, c, target, err)
	})
	err = show.run(ctx, c)
	if err == nil || ctx.Err() != nil { // else nobody has seen the last lines
		if kept := f.keepCursor(&was.cursors); err == nil {
			err = kept
		}
	}
	if err != nil || shown || f.follow {
		return err
	}
	if f.gone {
		if err := mustSelect(ctx, c, target, false); errors.Is(err, gaffer.ErrNotFound) {
			return fmt.Errorf("%s: nothing that it wrote is left, or none of it is wanted: %w", target, gaffer.ErrNotFound)
		}
		return nil
	}
	// Labels that were in use before may have lines; those that never were have none.
	return f.checkStreams(cmd, c, target)
}

// lines prints lines with names that are aligned and coloured.
func (f *logFlags) lines(cmd *cobra.Command, c *client.Client, s *screen, target gaffer.Target) (*console.Lines, error) {
	infos, err := c.List(cmd.Context(), gaffer.All)
	if err != nil {
		return nil, err
	}
	infos = slices.DeleteFunc(infos, func(i gaffer.Info) bool { return !mayBeOf(target, i.Template.Name) })
	return console.NewLines(console.Options{
		Out: cmd.OutOrStdout(), Color: s.color, Terminal: s.terminal, Timestamps: f.timestamps,
	}, infos, f.noPrefix), nil
}

// resumption is how far output was shown.
type resumption struct {
	how     *gaffer.OutputOptions
	cursors gaffer.Cursors
	exact   bool // all that was shown has cursors
	latest  time.Time
	seen    map[uint64]time.Time // of each process, the latest line
	before  map[uint64]time.Time // the same, while there may be lines again
}

// largestAfter is how many bytes of cursors a request has at most.
const largestAfter = 8 << 10

// resumeLogs makes show go on after what was shown last, when the daemon or the
// connection to it has ended meanwhile: by cursors where output is in log files, else by
// time. Of each process no line is shown then that is not newer than the latest one.
func resumeLogs(show *following[gaffer.Output], how *gaffer.OutputOptions, open func(ctx context.Context) (gaffer.Stream[gaffer.Output], error)) *resumption {
	r := &resumption{how: how, exact: true, seen: map[uint64]time.Time{}}
	if before, err := gaffer.ParseCursors(how.After); err == nil { // else the daemon says what is wrong
		r.cursors.Add(before)
	}
	begun := time.Now()
	show.open = func(ctx context.Context, again bool) (gaffer.Stream[gaffer.Output], error) {
		switch {
		case !again:
		case !r.latest.IsZero():
			r.again()
		case r.how.After == "": // nothing was shown yet, and nothing is to be missed from now on
			r.how.Tail = -1
			if r.how.Since.Before(begun) {
				r.how.Since = begun
			}
		}
		return open(ctx)
	}
	line, lost := show.show, show.lost
	show.show = func(o gaffer.Output) error {
		if !o.Time.After(r.before[o.ID]) {
			return nil
		}
		r.note(o)
		return line(o)
	}
	show.lost = func(n int) error {
		if n == 0 && !r.latest.IsZero() {
			return errAgain // what came meanwhile is there, unless it was very much
		}
		return lost(n)
	}
	return r
}

// again makes the options those for what comes after what was shown.
func (r *resumption) again() {
	if r.exact {
		r.how.After = r.cursors.After(largestAfter)
		return
	}
	r.before = maps.Clone(r.seen)
	r.how.Since, r.how.After, r.how.Tail = r.latest, "", -1
}

func (r *resumption) note(o gaffer.Output) {
	r.cursors.Read(o)
	r.exact = r.exact && o.Cursor != ""
	r.seen[o.ID] = o.Time
	if o.Time.After(r.latest) {
		r.latest = o.Time
	}
}

// readCursor takes up what a run before has kept in the cursor file.
func (f *logFlags) readCursor(cmd *cobra.Command, how *gaffer.OutputOptions) error {
	if f.cursorFile == "" {
		return nil
	}
	if !cmd.Flags().Changed("tail") {
		how.Tail = -1
	}
	text, err := os.ReadFile(f.cursorFile)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("--cursor-file: %w", err)
	}
	f.before, err = gaffer.ParseCursors(string(text))
	if err != nil {
		return fmt.Errorf("--cursor-file %s: %w", f.cursorFile, err)
	}
	// It is no use to show lines and then fail.
	next, err := os.OpenFile(f.cursorFile+".new", os.O_WRONLY|os.O_CREATE, 0o600)
	if err != nil {
		return fmt.Errorf("--cursor-file: %w", err)
	}
	if err := errors.Join(next.Close(), os.Remove(next.Name())); err != nil {
		return fmt.Errorf("--cursor-file: %w", err)
	}
	how.After = f.before.After(largestAfter)
	return nil
}

// checkCursors refuses a cursor file for output that has no cursors.
func (f *logFlags) checkCursors(ctx context.Context, c *client.Client, target gaffer.Target) error {
	if f.cursorFile == "" {
		return nil
	}
	infos, err := c.List(ctx, gaffer.All)
	if err != nil {
		return err
	}
	for _, info := range infos {
		if l := info.Template.Logs; l != nil && l.To == gaffer.LogsToMemory && mayBeOf(target, info.Template.Name) {
			return usagef("--cursor-file: what %s writes is kept in memory, where lines have no cursors; name other templates", info.Template.Name)
		}
	}
	return nil
}

// missingLines says that lines are missing: of those that log files gave up nobody knows
// how many they were.
func missingLines(n int) string {
	text := missing(n, "line")
	if n > 0 {
		text = "at least " + text
	}
	return text
}

// keepCursor keeps how far was read for the next run. Streams that wrote nothing
// meanwhile are where they were.
func (f *logFlags) keepCursor(shown *gaffer.Cursors) error {
	if f.cursorFile == "" || shown.After(0) == "" {
		return nil
	}
	f.before.Add(shown)
	next := f.cursorFile + ".new"
	if err := os.WriteFile(next, []byte(f.before.After(0)+"\n"), 0o600); err != nil {
		return fmt.Errorf("--cursor-file: %w", err)
	}
	return os.Rename(next, f.cursorFile)
}

// mayBeOf tells whether a target may select processes of a template.
func mayBeOf(target gaffer.Target, name string) bool {
	if target.Matches(name, 0, 0) {
		return true
	}
	if target[0] >= '0' && target[0] <= '9' {
		return true
	}
	return len(target) > len(name) && string(target[:len(name)]) == name && target[len(name)] == '.'
}

// output prints a line that a process wrote as a record.
func (s *screen) output(o gaffer.Output) error {
	b, err := json.Marshal(o)
	if err != nil {
		return err
	}
	_, _ = s.Write(append(b, '\n'))
	return nil
}
