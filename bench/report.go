//go:build linux

package main

import (
	"fmt"
	"io"
	"slices"
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
	taking   []contestant
	notes    []string // who was left out, what went wrong
	failed   bool     // something of ours went wrong
}

func newResult(s settings, p programs) *result {
	return &result{settings: s, when: time.Now(), machine: machine.Describe(), compiler: p.compiler, Figures: report.New()}
}

// ratio is that to the bare loop.
func (r *result) ratio(contestant, metric string) (float64, bool) {
	return r.Ratio(contestant, baseline, metric)
}

// perChild is what a child adds to a metric, from the medians without children
// and with n.
func (r *result) perChild(contestant, name string, n int) (float64, bool) {
	empty, ok := r.Median(contestant, metric(name, 0))
	full, also := r.Median(contestant, metric(name, n))
	return (full - empty) / float64(n), ok && also
}

func (r *result) ratios(metric string) report.Column {
	return r.Ratios("x bare loop", baseline, metric)
}

// print writes all tables and says whether a bar was missed.
func (r *result) print(w io.Writer) (missed bool) {
	fmt.Fprintf(w, "\n%s, %s, children built with %s, rounds: %d; median (least..most)\n",
		r.when.Format("2 January 2006"), r.machine, r.compiler, r.settings.rounds)
	for _, c := range r.taking {
		fmt.Fprintf(w, "  %s: %s\n", c.name, c.note)
	}
	for _, note := range r.notes {
		fmt.Fprintf(w, "  ! %s\n", note)
	}
	rows := make([]string, len(r.taking))
	for i, c := range r.taking {
		rows[i] = c.name
	}
	for _, t := range r.tables() {
		t.Print(w, rows)
	}
	return r.printBars(w)
}

// tables are those of the tests that were run.
func (r *result) tables() []report.Table {
	var out []report.Table
	n := r.settings.counts[0]
	add := func(test, title string, columns ...report.Column) {
		if r.settings.wants(test) {
			out = append(out, report.Table{Title: title, Columns: columns})
		}
	}
	pair := func(head, metric string) []report.Column {
		return []report.Column{r.Medians(head, metric), r.ratios(metric)}
	}

	var ups, memory, holds []report.Column
	for _, n := range r.settings.counts {
		ups = append(ups, pair(fmt.Sprintf("children: %d", n), metric("bringup", n))...)
	}
	add("bringup", "Bring-up: supervisor's start to the last child's first instruction, ms", ups...)
	add("replace", fmt.Sprintf("Replacement with %d children: kill -9 to the replacement's first instruction, ms, %d kills %v apart, %v at most",
		n, min(kills, n), killsApart, killsLimit),
		slices.Concat(pair("p50", metric("replace-p50", n)), pair("p99", metric("replace-p99", n)))...)
	add("crash", fmt.Sprintf("All %d killed at once: first kill to the last replacement's first instruction, ms", n),
		pair("all back", metric("crash", n))...)
	for _, n := range append([]int{0}, r.settings.counts...) {
		memory = append(memory, r.Medians(fmt.Sprintf("PSS %d", n), metric("pss", n)), r.Medians("anonymous", metric("anonymous", n)))
		if n > 0 {
			memory = append(memory, report.Column{Head: "PSS a child", Cell: func(c string) string {
				v, ok := r.perChild(c, "pss", n)
				if !ok {
					return "-"
				}
				return fmt.Sprintf("%.2f", v)
			}})
			for _, what := range []string{"processes", "threads", "descriptors"} {
				holds = append(holds, r.Medians(fmt.Sprintf("%s %d", what, n), metric(what, n)))
			}
		}
	}
	add("memory", "Memory of the supervisor's own processes with so many children, KiB", memory...)
	add("memory", "What else they hold with so many children", holds...)
	add("idle", fmt.Sprintf("Idle with %d children, measured for %v, a minute", n, r.settings.idle),
		r.Medians("CPU ms", metric("idle-cpu", n)), r.Medians("voluntary context switches", metric("idle-switches", n)))
	add("stop", fmt.Sprintf("Graceful stop of %d: signal to the last child's end, and to the supervisor's, ms", n),
		slices.Concat(pair("children", metric("stop-children", n)), pair("all", metric("stop-all", n)))...)
	var churn []report.Column
	for _, n := range churners {
		churn = append(churn, pair(fmt.Sprintf("programs: %d", n), metric("churn", n))...)
	}
	add("churn", "Churn: restarts a second of programs that exit at once", churn...)
	var logs []report.Column
	for _, n := range writers {
		logs = append(logs, pair(fmt.Sprintf("writers: %d, MB/s", n), metric("log-rate", n))...)
		logs = append(logs, r.Medians("CPU s/GB", metric("log-cpu", n)), r.Medians("PSS after, KiB", metric("log-pss", n)))
	}
	add("logs", fmt.Sprintf("Output into files: %d lines of %d bytes, from the first child's start to the last line in a file", logLines, lineSize), logs...)
	add("takeover", fmt.Sprintf("kill -9 of the manager with %d children: till the first verb was answered, and all of them, one after the other, ms", n),
		r.Medians("first", metric("takeover-first", n)), r.Medians("all", metric("takeover-all", n)))
	return append(out, r.Quietness())
}

// writeJSON writes every figure to a file.
func (r *result) writeJSON(path string) error {
	return report.Write(path, struct {
		When     time.Time       `json:"when"`
		Machine  string          `json:"machine"`
		Compiler string          `json:"compiler"`
		Rounds   int             `json:"rounds"`
		Notes    []string        `json:"notes"`
		Figures  *report.Figures `json:"figures"`
	}{r.when, r.machine, r.compiler, r.settings.rounds, r.notes, r.Figures})
}
