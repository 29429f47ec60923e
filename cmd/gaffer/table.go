package main

import (
	"strings"
	"unicode/utf8"

	"github.com/gafferpm/gaffer/internal/console"
)

// table is rows under heads. The last column may be of any length: on a terminal
// it is cut where the line ends, so that no line ever wraps.
type table struct {
	columns []column
	rows    [][]cell
	indent  int
	cells   []cell // of all rows
}

type column struct {
	head  string
	right bool // numbers are aligned at their end
}

type cell struct {
	text  string
	color int
}

// text is a cell without a colour.
func text(s string) cell { return cell{text: s} }

// expect makes room for so many rows at once: for one at a time, and again when
// there are more, takes longer than to fill them.
func (t *table) expect(rows int) {
	t.rows = make([][]cell, 0, rows)
	t.cells = make([]cell, 0, rows*len(t.columns))
}

// add adds a row. What it says is shown clean.
func (t *table) add(cells ...cell) {
	first := len(t.cells)
	t.cells = append(t.cells, cells...)
	row := t.cells[first:len(t.cells):len(t.cells)]
	for i := range row {
		row[i].text = console.Clean(row[i].text)
	}
	t.rows = append(t.rows, row)
}

// print prints heads and rows.
func (t *table) print(s *screen) {
	heads := make([]cell, len(t.columns))
	for i, c := range t.columns {
		heads[i] = cell{c.head, faint}
	}
	t.line(s, heads, t.widths())
	t.body(s)
}

// body prints the rows.
func (t *table) body(s *screen) {
	widths := t.widths()
	for _, row := range t.rows {
		t.line(s, row, widths)
	}
}

func (t *table) widths() []int {
	widths := make([]int, len(t.columns))
	for i, c := range t.columns {
		widths[i] = len(c.head)
		for _, row := range t.rows {
			widths[i] = max(widths[i], cellsOf(row[i].text))
		}
	}
	return widths
}

// gap is what is between two columns.
const gap = 2

func (t *table) line(s *screen, row []cell, widths []int) {
	last := len(row) - 1
	for last >= 0 && row[last].text == "" {
		last--
	}
	left := -1 // any number
	if s.width > 0 {
		left = max(s.width-t.indent, 0)
	}
	_, _ = s.WriteString(strings.Repeat(" ", t.indent))
	for i := 0; i <= last && left != 0; i++ {
		if i > 0 {
			left = pad(s, gap, left)
		}
		empty := widths[i] - cellsOf(row[i].text)
		if t.columns[i].right {
			left = pad(s, empty, left)
		}
		shown := row[i].text
		if left >= 0 {
			shown = cut(shown, left)
			left -= cellsOf(shown)
		}
		s.paint(shown, row[i].color)
		if !t.columns[i].right && i < last {
			left = pad(s, empty, left)
		}
	}
	_ = s.WriteByte('\n')
}

// pad prints n blanks, but not more than are left of the line; it returns what
// is left then.
func pad(s *screen, n, left int) int {
	if left >= 0 {
		n = min(n, left)
		left -= n
	}
	for range n {
		_ = s.WriteByte(' ')
	}
	return left
}

// cut is as much of a text as fits, with a mark where something is missing.
func cut(s string, room int) string {
	if cellsOf(s) <= room {
		return s
	}
	if room <= 0 {
		return ""
	}
	used := 1 // the mark
	for i, r := range s {
		used += width(r)
		if used > room {
			return s[:i] + "…"
		}
	}
	return s
}

// cellsOf is how many characters wide a terminal shows a text.
func cellsOf(s string) int {
	n := 0
	for i := range len(s) {
		if s[i] >= utf8.RuneSelf {
			return n + wide(s[i:])
		}
		n++
	}
	return n
}

func wide(s string) int {
	n := 0
	for _, r := range s {
		n += width(r)
	}
	return n
}

// width is how many characters wide a terminal shows one: those of East Asia and
// pictures take two, marks on other characters none.
func width(r rune) int {
	switch {
	case r >= 0x300 && r <= 0x36f, r == 0x200d, r >= 0xfe00 && r <= 0xfe0f:
		return 0
	case r >= 0x1100 && r <= 0x115f, r >= 0x2e80 && r <= 0xa4cf, r >= 0xac00 && r <= 0xd7a3,
		r >= 0xf900 && r <= 0xfaff, r >= 0xfe30 && r <= 0xfe6f, r >= 0xff00 && r <= 0xff60,
		r >= 0xffe0 && r <= 0xffe6, r >= 0x1f300 && r <= 0x1faff, r >= 0x20000 && r <= 0x3fffd:
		return 2
	}
	return 1
}
