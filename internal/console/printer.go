package console

import (
	"io"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/gafferpm/gaffer"
)

// The column of names is as wide as the longest of them, up to this; a longer
// name pushes its own lines to the right.
const widestColumn = 28

// What is between the name and the text: of stdout and other streams, of
// stderr, of gaffer itself.
const (
	outMark = " | "
	errMark = " ! "
)

// printer writes lines with the name of who wrote them in front. It belongs to
// one goroutine. What is written stays in its buffer until flush.
type printer struct {
	out        io.Writer
	color      bool
	terminal   bool
	timestamps bool

	width  int
	colors map[string]int      // of templates
	marks  map[string][]string // labels of templates that are not those of stdout
	buf    []byte
	err    error // of the latest write; what was not written is lost
}

// Bytes in the buffer after which they are written although more is to come.
const enough = 32 << 10

// own is what stands in the column of names for gaffer's own lines.
const own = "gaffer"

// learn prepares for the lines of templates.
func (p *printer) learn(infos []gaffer.Info) {
	p.width = len(own)
	p.colors = colors(infos)
	p.marks = map[string][]string{}
	for _, info := range infos {
		t := info.Template
		longest := len(t.Name) + 1 + len(strconv.Itoa(max(1, info.Status.MaxProcesses)))
		if longest <= widestColumn {
			p.width = max(p.width, longest)
		}
		out := t.Outputs()
		if len(out) > 0 && !slices.Equal(out, []string{"stdout", "stderr"}) {
			p.marks[t.Name] = out
		}
	}
}

// line adds a line that a process wrote.
func (p *printer) line(o gaffer.Output) {
	name := o.Name + "." + strconv.Itoa(o.Slot)
	p.prefix(o.Time, name, p.colorOf(o.Name), p.mark(o))
	if p.terminal {
		p.buf = appendClean(p.buf, o.Data, p.color)
	} else {
		p.buf = append(p.buf, o.Data...)
	}
	p.end()
}

func (p *printer) colorOf(name string) int {
	if c, ok := p.colors[name]; ok {
		return c
	}
	return palette[favourite(name)]
}

// mark tells streams apart: stderr has its own mark, custom streams their label.
func (p *printer) mark(o gaffer.Output) string {
	out := p.marks[o.Name]
	switch {
	case len(out) > 0 && out[0] == o.Label, out == nil && o.Label == "stdout":
		return outMark
	case len(out) > 1 && out[1] == o.Label, out == nil && o.Label == "stderr":
		return errMark
	}
	return outMark + "[" + o.Label + "] "
}

// say adds a line of gaffer's own.
func (p *printer) say(at time.Time, s sentence) {
	p.prefix(at, own, bold, outMark)
	text := string(appendClean(nil, []byte(strings.ReplaceAll(s.text, "\n", " ")), false))
	if p.color && s.color != 0 {
		text = sgr(s.color) + text + reset
	}
	p.buf = append(p.buf, text...)
	p.end()
}

func (p *printer) prefix(at time.Time, name string, color int, mark string) {
	if p.timestamps {
		if p.color {
			p.buf = append(p.buf, sgr(faint)...)
		}
		p.buf = at.AppendFormat(p.buf, "15:04:05.000 ")
		if p.color {
			p.buf = append(p.buf, reset...)
		}
	}
	if p.color {
		p.buf = append(p.buf, sgr(color)...)
	}
	p.buf = append(p.buf, name...)
	for range p.width - len(name) {
		p.buf = append(p.buf, ' ')
	}
	if p.color && mark == errMark {
		p.buf = append(p.buf, sgr(red)...)
	}
	p.buf = append(p.buf, mark...)
	if p.color {
		p.buf = append(p.buf, reset...)
	}
}

func (p *printer) end() {
	p.buf = append(p.buf, '\n')
	if len(p.buf) >= enough {
		p.flush()
	}
}

// flush writes what is in the buffer. It waits while the terminal is stopped.
func (p *printer) flush() {
	if len(p.buf) > 0 {
		_, p.err = p.out.Write(p.buf)
	}
	p.buf = p.buf[:0]
	if cap(p.buf) > 4*enough { // one very long line is no reason to keep so much
		p.buf = nil
	}
}
