//go:build linux

package main

import (
	"fmt"
	"io"
	"time"

	"github.com/gafferpm/gaffer/bench/internal/machine"
	"github.com/gafferpm/gaffer/bench/internal/report"
)

// result is what a run has found, and prints it.
type result struct {
	*report.Figures

	settings settings
	when     time.Time
	machine  string
	compiler string
	notes    []string // what went wrong
}

func newResult(s settings, compiler string) *result {
	return &result{settings: s, when: time.Now(), machine: machine.Describe(), compiler: compiler, Figures: report.New()}
}

// all is what a file of figures holds.
func (r *result) all() any {
	return struct {
		When     time.Time       `json:"when"`
		Machine  string          `json:"machine"`
		Compiler string          `json:"compiler"`
		Rounds   int             `json:"rounds"`
		Notes    []string        `json:"notes"`
		Figures  *report.Figures `json:"figures"`
	}{r.when, r.machine, r.compiler, r.settings.rounds, r.notes, r.Figures}
}

// print writes all tables and says whether a bar was missed.
func (r *result) print(w io.Writer) (missed bool) {
	fmt.Fprintf(w, "\n%s, %s, clients built with %s, rounds: %d; median (least..most)\n",
		r.when.Format("2 January 2006"), r.machine, r.compiler, r.settings.rounds)
	for _, note := range r.notes {
		fmt.Fprintf(w, "  ! %s\n", note)
	}
	r.printStatus(w)
	r.printPs(w)
	r.printEvents(w)
	r.printMemory(w)
	r.Quietness().Print(w, []string{bare, daemon, among, nothing, emptyGo, psQuick, psStats})
	return r.printBars(w)
}

func (r *result) printStatus(w io.Writer) {
	if !r.settings.wants("status") {
		return
	}
	report.Table{
		Title: fmt.Sprintf("Status of one process over the unix socket, %d keep-alive connections, for %v (many: %d templates)",
			r.settings.connections, r.settings.loadTime, r.settings.templates),
		Columns: []report.Column{
			r.Medians("requests a second", "status-rate"), r.Ratios("x bare", bare, "status-rate"),
			r.Medians("p50 µs", "status-p50"), r.Medians("p99 µs", "status-p99"),
			r.Medians("server's CPU µs a request", "status-cpu"), r.Ratios("x bare", bare, "status-cpu"),
			r.Medians("PSS at most, KiB", "status-pss"),
		},
	}.Print(w, []string{bare, daemon, among})
}

func (r *result) printPs(w io.Writer) {
	if !r.settings.wants("ps") {
		return
	}
	report.Table{
		Title: fmt.Sprintf("The table of %d templates: medians of %d runs, ms", r.settings.templates, r.settings.runs),
		Columns: []report.Column{
			r.Medians("wall", "ps-wall"), r.Medians("its CPU", "ps-cpu"), r.Medians("the daemon's CPU", "ps-server"),
		},
	}.Print(w, commands)
}

func (r *result) printEvents(w io.Writer) {
	if !r.settings.wants("events") {
		return
	}
	report.Table{
		Title: fmt.Sprintf("%d events to %d subscribers (SSE), and one that never reads", r.settings.eventCount, r.settings.subscribers),
		Columns: []report.Column{
			r.Medians("all happened, ms", "events-asked"), r.Medians("everybody has them, ms", "events-all"),
			r.Ratios("x bare", bare, "events-all"), r.Medians("server's CPU ms", "events-cpu"),
			r.Medians("received %", "events-received"), r.Medians("told lost", "events-told"),
			r.Medians("PSS at most, KiB", "events-peak"), r.Medians("PSS afterwards", "events-after"),
		},
	}.Print(w, []string{bare, daemon})
}

func (r *result) printMemory(w io.Writer) {
	if r.settings.wants("memory") {
		report.Table{
			Title: fmt.Sprintf("Memory of the daemon, PSS in KiB; many: %d templates with a child each", r.settings.templates),
			Columns: []report.Column{
				r.Medians("empty", "pss-empty"), r.Medians("many", "pss-many"),
				{Head: "many, asked for status", Cell: func(string) string { return r.Medians("", "status-pss").Cell(among) }},
				r.Medians("threads", "threads-many"),
				{Head: "threads, asked", Cell: func(string) string { return r.Medians("", "threads-used").Cell(among) }},
				r.Medians("descriptors", "descriptors-many"),
			},
		}.Print(w, []string{daemon})
	}
	if r.settings.wants("idle") {
		report.Table{
			Title: fmt.Sprintf("Idle with %d templates and a keep-alive connection, measured for %v, a minute",
				r.settings.templates, r.settings.idle),
			Columns: []report.Column{r.Medians("CPU ms", "idle-cpu"), r.Medians("voluntary context switches", "idle-switches")},
		}.Print(w, []string{daemon})
	}
}
