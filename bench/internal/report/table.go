//go:build linux

package report

import (
	"fmt"
	"io"
	"slices"
	"strings"
	"text/tabwriter"

	"github.com/gafferpm/gaffer/bench/internal/machine"
)

// Column is one column of a table: its head, and a contestant's cell in it.
type Column struct {
	Head string
	Cell func(contestant string) string
}

// Table has a row for each contestant.
type Table struct {
	Title   string
	Columns []Column
}

// Print writes the table with a row for each of the contestants.
func (t Table) Print(w io.Writer, contestants []string) {
	fmt.Fprintf(w, "\n%s\n", t.Title)
	tw := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	heads := make([]string, len(t.Columns))
	for i, c := range t.Columns {
		heads[i] = c.Head
	}
	fmt.Fprintf(tw, "  \t%s\n", strings.Join(heads, "\t"))
	for _, c := range contestants {
		cells := make([]string, len(t.Columns))
		for i, col := range t.Columns {
			cells[i] = col.Cell(c)
		}
		fmt.Fprintf(tw, "  %s\t%s\n", c, strings.Join(cells, "\t"))
	}
	_ = tw.Flush() // what w cannot take, nobody can be told
}

// Medians shows the median of a metric and its range, with a ~ when the machine
// was never quiet while it was measured.
func (f *Figures) Medians(head, metric string) Column {
	return Column{head, func(c string) string {
		v, quiet := f.Values(c, metric)
		if len(v) == 0 {
			return "-"
		}
		shown := Number(middle(v))
		if !quiet {
			shown = "~" + shown
		}
		if lo, hi := v[0], v[len(v)-1]; lo != hi {
			shown += fmt.Sprintf(" (%s..%s)", Number(lo), Number(hi))
		}
		return shown
	}}
}

// Ratios shows the ratio of a metric to that of the contestant base.
func (f *Figures) Ratios(head, base, metric string) Column {
	return Column{head, func(c string) string {
		x, ok := f.Ratio(c, base, metric)
		if !ok {
			return "-"
		}
		return fmt.Sprintf("%.2f", x)
	}}
}

// Number shows three digits or all before the point.
func Number(v float64) string {
	switch {
	case v >= 100 || v == float64(int(v)):
		return fmt.Sprintf("%.0f", v)
	case v >= 10:
		return fmt.Sprintf("%.1f", v)
	}
	return fmt.Sprintf("%.2f", v)
}

// Quietness tells how far the figures can be believed.
func (f *Figures) Quietness() Table {
	title := fmt.Sprintf("Others on the machine: measurements count if others use less than %.0f %% of it before and after; "+
		"~ marks figures that have none such", 100*machine.QuietEnough)
	return Table{title, []Column{
		{"quiet measurements", func(c string) string {
			quiet := 0
			for _, share := range f.others[c] {
				if share < machine.QuietEnough {
					quiet++
				}
			}
			return fmt.Sprintf("%d of %d", quiet, len(f.others[c]))
		}},
		{"others at worst", func(c string) string {
			if len(f.others[c]) == 0 {
				return "-"
			}
			return fmt.Sprintf("%.0f %%", 100*slices.Max(f.others[c]))
		}},
	}}
}
