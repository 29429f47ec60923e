package console

import (
	"fmt"
	"time"

	"github.com/gafferpm/gaffer"
)

// Lines prints what processes write as a Console does, for whoever gets it from
// elsewhere than a manager's streams. It belongs to one goroutine. What is
// written stays in its buffer until Flush, or until there is enough of it.
type Lines struct {
	p    printer
	bare bool
}

// NewLines makes one for the output of the templates given; that of others can
// be printed, too. Bare leaves out the names in front. Hello and OnError of the
// options are not used.
func NewLines(opts Options, infos []gaffer.Info, bare bool) *Lines {
	l := &Lines{bare: bare, p: printer{out: opts.Out, color: opts.Color, terminal: opts.Terminal, timestamps: opts.Timestamps}}
	l.p.learn(infos)
	return l
}

// Line adds a line that a process wrote. Its name and label are shown clean
// wherever they go; its text only on a terminal.
func (l *Lines) Line(o gaffer.Output) {
	if l.bare {
		l.text(o.Data)
		return
	}
	o.Name, o.Label = Clean(o.Name), Clean(o.Label)
	l.p.line(o)
}

func (l *Lines) text(data []byte) {
	if l.p.terminal {
		l.p.buf = appendClean(l.p.buf, data, l.p.color)
	} else {
		l.p.buf = append(l.p.buf, data...)
	}
	l.p.end()
}

// Say adds a line of gaffer's own.
func (l *Lines) Say(format string, a ...any) {
	l.p.say(time.Now(), sentence{fmt.Sprintf(format, a...), 0})
}

// Flush writes what was added. Its error is that of the latest write.
func (l *Lines) Flush() error {
	l.p.flush()
	return l.p.err
}

// Clean is text as it can be shown in one line of a terminal: without escape
// sequences, with other control characters made visible.
func Clean(text string) string {
	for i := range len(text) {
		if b := text[i]; b < 0x20 || b >= 0x7f {
			return string(appendClean(nil, []byte(text), false))
		}
	}
	return text
}

// CleanLine is Clean for what a process wrote. Its colours stay, if they are wanted.
func CleanLine(line []byte, color bool) string { return string(appendClean(nil, line, color)) }

// Span is a duration as people say it: 85ms, 1.2s, 12s, 3m20s, 5h2m, 3d4h.
func Span(d time.Duration) string { return span(d) }
