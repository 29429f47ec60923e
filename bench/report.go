//go:build linux

package main

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"text/tabwriter"
	"time"
)

// report collects the figures of a run and prints them.
type report struct {
	settings settings
	when     time.Time
	machine  string
	compiler string
	taking   []contestant
	notes    []string                       // who was left out, what went wrong
	failed   bool                           // something of ours went wrong
	figures  map[string]map[string][]figure // of a contestant, of a metric
	others   map[string][]float64           // shares of the machine around a contestant's measurements
}

// figure is one value of a metric, and how much of the machine others used
// right before or after it was taken.
type figure struct {
	metric string
	Value  float64 `json:"value"`
	Others float64 `json:"others"`
}

func newReport(s settings, p programs) *report {
	return &report{settings: s, when: time.Now(), machine: machine(), compiler: p.compiler,
		figures: make(map[string]map[string][]figure), others: make(map[string][]float64)}
}

func (r *report) add(contestant string, others float64, figures []figure) {
	r.others[contestant] = append(r.others[contestant], others)
	if r.figures[contestant] == nil {
		r.figures[contestant] = make(map[string][]figure)
	}
	for _, f := range figures {
		f.Others = others
		r.figures[contestant][f.metric] = append(r.figures[contestant][f.metric], f)
	}
}

// values are the figures of a metric that count, sorted: those from a quiet
// machine. If there are none, all do, and quiet is false.
func (r *report) values(contestant, metric string) (values []float64, quiet bool) {
	var all []float64
	for _, f := range r.figures[contestant][metric] {
		all = append(all, f.Value)
		if f.Others < quietEnough {
			values = append(values, f.Value)
		}
	}
	quiet = len(values) > 0
	if !quiet {
		values = all
	}
	slices.Sort(values)
	return values, quiet
}

// median of a metric; false when it was not measured.
func (r *report) median(contestant, metric string) (float64, bool) {
	v, _ := r.values(contestant, metric)
	if len(v) == 0 {
		return 0, false
	}
	return middle(v), true
}

func middle(sorted []float64) float64 {
	return (sorted[(len(sorted)-1)/2] + sorted[len(sorted)/2]) / 2
}

// ratio of the medians of a contestant and the baseline.
func (r *report) ratio(contestant, metric string) (float64, bool) {
	own, ok := r.median(contestant, metric)
	base, also := r.median(baseline, metric)
	if !ok || !also || base == 0 {
		return 0, false
	}
	return own / base, true
}

// perChild is what a child adds to a metric, from the medians without children
// and with n.
func (r *report) perChild(contestant, name string, n int) (float64, bool) {
	empty, ok := r.median(contestant, metric(name, 0))
	full, also := r.median(contestant, metric(name, n))
	return (full - empty) / float64(n), ok && also
}

// column is one column of a table: its head, and a contestant's cell in it.
type column struct {
	head string
	cell func(contestant string) string
}

// medians shows the median of a metric and its range, with a ~ when the machine
// was never quiet while it was measured.
func (r *report) medians(head, metric string) column {
	return column{head, func(c string) string {
		v, quiet := r.values(c, metric)
		if len(v) == 0 {
			return "-"
		}
		shown := number(middle(v))
		if !quiet {
			shown = "~" + shown
		}
		if lo, hi := v[0], v[len(v)-1]; lo != hi {
			shown += fmt.Sprintf(" (%s..%s)", number(lo), number(hi))
		}
		return shown
	}}
}

func (r *report) ratios(metric string) column {
	return column{"x bare loop", func(c string) string {
		x, ok := r.ratio(c, metric)
		if !ok {
			return "-"
		}
		return fmt.Sprintf("%.2f", x)
	}}
}

// number shows three digits or all before the point.
func number(v float64) string {
	switch {
	case v >= 100 || v == float64(int(v)):
		return fmt.Sprintf("%.0f", v)
	case v >= 10:
		return fmt.Sprintf("%.1f", v)
	}
	return fmt.Sprintf("%.2f", v)
}

// print writes all tables and says whether a bar was missed.
func (r *report) print(w io.Writer) (missed bool) {
	fmt.Fprintf(w, "\n%s, %s, children built with %s, rounds: %d; median (least..most)\n",
		r.when.Format("2 January 2006"), r.machine, r.compiler, r.settings.rounds)
	for _, c := range r.taking {
		fmt.Fprintf(w, "  %s: %s\n", c.name, c.note)
	}
	for _, note := range r.notes {
		fmt.Fprintf(w, "  ! %s\n", note)
	}
	for _, t := range r.tables() {
		r.printTable(w, t)
	}
	return r.printBars(w)
}

type table struct {
	title   string
	columns []column
}

func (r *report) printTable(w io.Writer, t table) {
	fmt.Fprintf(w, "\n%s\n", t.title)
	tw := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	heads := make([]string, len(t.columns))
	for i, c := range t.columns {
		heads[i] = c.head
	}
	fmt.Fprintf(tw, "  \t%s\n", strings.Join(heads, "\t"))
	for _, c := range r.taking {
		cells := make([]string, len(t.columns))
		for i, col := range t.columns {
			cells[i] = col.cell(c.name)
		}
		fmt.Fprintf(tw, "  %s\t%s\n", c.name, strings.Join(cells, "\t"))
	}
	_ = tw.Flush() // what w cannot take, nobody can be told
}

// tables are those of the tests that were run.
func (r *report) tables() []table {
	var out []table
	n := r.settings.counts[0]
	add := func(test, title string, columns ...column) {
		if r.settings.wants(test) {
			out = append(out, table{title, columns})
		}
	}
	pair := func(head, metric string) []column { return []column{r.medians(head, metric), r.ratios(metric)} }

	var ups, memory, holds []column
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
		memory = append(memory, r.medians(fmt.Sprintf("PSS %d", n), metric("pss", n)), r.medians("anonymous", metric("anonymous", n)))
		if n > 0 {
			memory = append(memory, column{"PSS a child", func(c string) string {
				v, ok := r.perChild(c, "pss", n)
				if !ok {
					return "-"
				}
				return fmt.Sprintf("%.2f", v)
			}})
			for _, what := range []string{"processes", "threads", "descriptors"} {
				holds = append(holds, r.medians(fmt.Sprintf("%s %d", what, n), metric(what, n)))
			}
		}
	}
	add("memory", "Memory of the supervisor's own processes with so many children, KiB", memory...)
	add("memory", "What else they hold with so many children", holds...)
	add("idle", fmt.Sprintf("Idle with %d children, measured for %v, a minute", n, r.settings.idle),
		r.medians("CPU ms", metric("idle-cpu", n)), r.medians("voluntary context switches", metric("idle-switches", n)))
	add("stop", fmt.Sprintf("Graceful stop of %d: signal to the last child's end, and to the supervisor's, ms", n),
		slices.Concat(pair("children", metric("stop-children", n)), pair("all", metric("stop-all", n)))...)
	var churn []column
	for _, n := range churners {
		churn = append(churn, pair(fmt.Sprintf("programs: %d", n), metric("churn", n))...)
	}
	add("churn", "Churn: restarts a second of programs that exit at once", churn...)
	return append(out, r.quietness())
}

// quietness tells how far the figures can be believed.
func (r *report) quietness() table {
	title := fmt.Sprintf("Others on the machine: measurements count if others use less than %.0f %% of it before and after; "+
		"~ marks figures that have none such", 100*quietEnough)
	return table{title, []column{
		{"quiet measurements", func(c string) string {
			quiet := 0
			for _, share := range r.others[c] {
				if share < quietEnough {
					quiet++
				}
			}
			return fmt.Sprintf("%d of %d", quiet, len(r.others[c]))
		}},
		{"others at worst", func(c string) string {
			if len(r.others[c]) == 0 {
				return "-"
			}
			return fmt.Sprintf("%.0f %%", 100*slices.Max(r.others[c]))
		}},
	}}
}

// writeJSON writes every figure to a file.
func (r *report) writeJSON(path string) error {
	all := struct {
		When     time.Time                      `json:"when"`
		Machine  string                         `json:"machine"`
		Compiler string                         `json:"compiler"`
		Rounds   int                            `json:"rounds"`
		Notes    []string                       `json:"notes"`
		Figures  map[string]map[string][]figure `json:"figures"`
	}{r.when, r.machine, r.compiler, r.settings.rounds, r.notes, r.figures}
	text, err := json.MarshalIndent(all, "", "  ")
	if err != nil {
		return fmt.Errorf("json: %w", err)
	}
	if err := os.WriteFile(path, append(text, '\n'), 0o644); err != nil {
		return fmt.Errorf("json: %w", err)
	}
	return nil
}
