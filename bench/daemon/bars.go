//go:build linux

package main

import (
	"fmt"
	"io"
	"text/tabwriter"

	"github.com/gafferpm/gaffer/bench/internal/report"
)

// bar is a figure that the daemon has to reach.
type bar struct {
	report.Bar
	aim    bool // shown, but no run is judged by it: the machine decides as much
	figure func(r *result) (float64, bool)
}

// bars are what was asked for. The limits are meant for 1,000 templates and as
// many subscribers.
func bars(s settings) []bar {
	n, all := s.templates, float64(s.subscribers)
	return []bar{
		{report.Bar{What: "status: requests, x bare handler", Asked: "≥ 0.8 x", Limit: 0.8, AtLeast: true}, false, ratio(daemon, bare, "status-rate")},
		{report.Bar{What: "status: p99, ms", Asked: "< 4", Limit: 4}, false, scaled(daemon, "status-p99", 1e-3)},
		{report.Bar{What: "status: requests a second", Asked: "aim: ≥ 100000", Limit: 100_000, AtLeast: true}, true, scaled(daemon, "status-rate", 1)},
		{report.Bar{What: "status: the daemon's CPU, µs", Asked: "aim: ≤ 10", Limit: 10}, true, scaled(daemon, "status-cpu", 1)},
		{report.Bar{What: fmt.Sprintf("ps --no-stats of %d, ms", n), Asked: "≤ 6", Limit: 6}, false, scaled(psQuick, "ps-wall", 1)},
		{report.Bar{What: fmt.Sprintf("ps of %d, ms", n), Asked: "≤ 15", Limit: 15}, false, scaled(psStats, "ps-wall", 1)},
		{report.Bar{What: "subscribers that have all, or know what they lost", Asked: "all", Limit: all, AtLeast: true}, false, scaled(daemon, "events-complete", 1)},
		{report.Bar{What: fmt.Sprintf("PSS with %d children and the API in use, MB", n), Asked: "≤ 22", Limit: 22}, false, scaled(among, "status-pss", 1024/1e6)},
		{report.Bar{What: fmt.Sprintf("idle with %d: switches a minute", n), Asked: "≤ 20", Limit: idleSwitches}, false, scaled(daemon, "idle-switches", 1)},
	}
}

// idleSwitches leaves room for the Go runtime's own housekeeping, and none for a
// timer of a second.
const idleSwitches = 20

func ratio(contestant, base, metric string) func(*result) (float64, bool) {
	return func(r *result) (float64, bool) { return r.Ratio(contestant, base, metric) }
}

func scaled(contestant, metric string, by float64) func(*result) (float64, bool) {
	return func(r *result) (float64, bool) {
		v, ok := r.Median(contestant, metric)
		return v * by, ok
	}
}

// printBars prints what was asked for, what was measured and whether that is
// enough.
func (r *result) printBars(w io.Writer) (missed bool) {
	fmt.Fprintln(w, "\nAsked, measured, met")
	tw := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(tw, "  \tasked\tgaffer\tmet")
	for _, b := range bars(r.settings) {
		shown, verdict, met := b.Judge(b.figure(r))
		fmt.Fprintf(tw, "  %s\t%s\t%s\t%s\n", b.What, b.Asked, shown, verdict)
		missed = missed || !met && !b.aim
	}
	_ = tw.Flush() // what w cannot take, nobody can be told
	return missed
}
