//go:build linux

package main

import (
	"fmt"
	"io"
	"text/tabwriter"

	"github.com/gafferpm/gaffer/bench/internal/report"
)

// bar is a figure that gaffer has to reach.
type bar struct {
	report.Bar
	// figure returns the contestant's, and false when it was not measured.
	figure func(r *result, contestant string) (float64, bool)
}

// ours are the contestants that the bars are for.
var ours = []string{"gaffer", "gaffer-one"}

// bars are what was asked for. Times and rates are relative to the bare loop of
// the same run, so that they hold on any machine.
var bars = []bar{
	most("bring-up of 1,000", "≤ %.1f x", 1.4, (*result).ratio, "bringup/1000"),
	most("bring-up of 5,000", "≤ %.1f x", 1.3, (*result).ratio, "bringup/5000"),
	most("replacement among 1,000, p50", "≤ %.1f x", 1.3, (*result).ratio, "replace-p50/1000"),
	most("replacement among 1,000, p99", "≤ %.1f x", 1.6, (*result).ratio, "replace-p99/1000"),
	most("1,000 killed at once", "≤ %.1f x", 1.2, (*result).ratio, "crash/1000"),
	most("stop of 1,000, all gone", "≤ %.1f x", 1.4, (*result).ratio, "stop-all/1000"),
	least("churn, 1 program", "≥ %.2f x", 0.45, "churn/1"),
	least("churn, 20 programs", "≥ %.2f x", 0.45, "churn/20"),
	{report.Bar{What: "PSS without children", Asked: "≤ 10 MB", Limit: 10}, megabytes},
	// Not its part of PSS: pages of the program's file come and go between the two readings.
	{report.Bar{What: "own memory a child at 1,000", Asked: "≤ 6 KiB", Limit: 6}, func(r *result, c string) (float64, bool) {
		return r.perChild(c, "anonymous", 1000)
	}},
	most("threads at 5,000", "≤ %.0f", 12, (*result).Median, "threads/5000"),
	most("idle at 1,000: switches a minute", "≤ %.0f", idleSwitches, (*result).Median, "idle-switches/1000"),
}

// daemons are the contestants that the bars of the daemon are for.
var daemons = []string{"daemon", "daemon-direct"}

// daemonBars are what was asked for of the daemon, whose services outlive it and whose
// output is in files.
var daemonBars = []bar{
	most("bring-up of 1,000", "≤ %.1f x", 1.6, (*result).ratio, "bringup/1000"),
	most("bring-up of 5,000", "≤ %.1f x", 1.4, (*result).ratio, "bringup/5000"),
	{report.Bar{What: "PSS with 1,000, all its processes", Asked: "≤ 30 MB", Limit: 30}, func(r *result, c string) (float64, bool) {
		kib, ok := r.Median(c, "pss/1000")
		return kib * 1024 / 1e6, ok
	}},
	most("threads with 1,000", "≤ %.0f", 30, (*result).Median, "threads/1000"),
	most("all verbs after kill -9 of the manager, ms", "≤ %.0f", 500, (*result).Median, "takeover-all/1000"),
	least("1 writer into a file", "≥ %.2f x", 0.9, "log-rate/1"),
	least("100 writers into files", "≥ %.2f x", 0.9, "log-rate/100"),
	most("CPU for a GB of 1 writer, s", "≤ %.1f", 0.7, (*result).Median, "log-cpu/1"),
	most("CPU for a GB of 100 writers, s", "≤ %.1f", 0.7, (*result).Median, "log-cpu/100"),
	most("idle at 1,000: switches a minute", "≤ %.0f", idleSwitches, (*result).Median, "idle-switches/1000"),
}

// idleSwitches is what the Go runtime's own housekeeping needs in a minute
// (its monitor thread looks once a minute, and a forced collection every two
// wakes some threads). One timer of ours a second would be 60 and more.
const idleSwitches = 20

type reading func(r *result, contestant, metric string) (float64, bool)

func most(what, asked string, limit float64, f reading, metric string) bar {
	return bar{report.Bar{What: what, Asked: fmt.Sprintf(asked, limit), Limit: limit},
		func(r *result, c string) (float64, bool) { return f(r, c, metric) }}
}

func least(what, asked string, limit float64, metric string) bar {
	b := most(what, asked, limit, (*result).ratio, metric)
	b.AtLeast = true
	return b
}

func megabytes(r *result, c string) (float64, bool) {
	kib, ok := r.Median(c, "pss/0")
	return kib * 1024 / 1e6, ok
}

// judge says how a contestant stands to the bar: its figure, and whether that
// is enough.
func (b bar) judge(r *result, contestant string) (shown, verdict string, met bool) {
	return b.Judge(b.figure(r, contestant))
}

// printBars prints what was asked for, what was measured and whether that is
// enough. Only the first of each kind decides; the other is for comparison.
func (r *result) printBars(w io.Writer) (missed bool) {
	missed = r.printBarsOf(w, "gaffer up", bars, ours)
	return r.printBarsOf(w, "gaffer daemon", daemonBars, daemons) || missed
}

func (r *result) printBarsOf(w io.Writer, what string, bars []bar, of []string) (missed bool) {
	fmt.Fprintf(w, "\nAsked of %s, measured, met\n", what)
	tw := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprint(tw, "  \tasked")
	for _, c := range of {
		fmt.Fprintf(tw, "\t%s\tmet", c)
	}
	fmt.Fprintln(tw)
	for _, b := range bars {
		fmt.Fprintf(tw, "  %s\t%s", b.What, b.Asked)
		for _, c := range of {
			shown, verdict, met := b.judge(r, c)
			fmt.Fprintf(tw, "\t%s\t%s", shown, verdict)
			missed = missed || c == of[0] && !met
		}
		fmt.Fprintln(tw)
	}
	_ = tw.Flush() // what w cannot take, nobody can be told
	return missed
}
