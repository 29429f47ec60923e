package feed

import (
	"fmt"
	"strconv"
	"unicode/utf8"

	"github.com/gafferpm/gaffer"
)

// text is lines as people read them: nothing but what was written, and in front
// of it, if that is wanted, by whom.
type text struct{}

func (text) contentType() string                { return "text/plain; charset=utf-8" }
func (text) event(b []byte, _ *encoding) []byte { return b }
func (text) begin(b []byte, _ string) []byte    { return b }
func (text) finish(b []byte) []byte             { return append(b, '\n') }
func (text) heartbeat(b []byte) []byte          { return b }
func (text) end(b []byte) []byte                { return b }

func (text) missed(b []byte, n int) []byte {
	return fmt.Appendf(b, "[gaffer: %d lines are missing here: they were read too slowly]\n", n)
}

// liner puts output as text. It remembers a line that came in part.
type liner struct {
	prefix bool
	raw    bool // control characters are let through
	open   origin
}

// origin is the stream of a process that output comes from.
type origin struct {
	id    uint64
	label string
}

func (l *liner) put(b []byte, o gaffer.Output) ([]byte, error) {
	from := origin{o.ID, o.Label}
	if l.open != from {
		if l.open != (origin{}) {
			b = append(b, '\n')
		}
		if l.prefix {
			b = appendEscaped(b, []byte(o.Name))
			b = append(b, '.')
			b = strconv.AppendInt(b, int64(o.Slot), 10)
			b = append(b, " | "...)
		}
	}
	data := o.Data
	if n := len(data); !l.raw && !o.Partial && n > 0 && data[n-1] == '\r' {
		data = data[:n-1]
	}
	if l.raw {
		b = append(b, data...)
	} else {
		b = appendEscaped(b, data)
	}
	if o.Partial {
		l.open = from
		return b, nil
	}
	l.open = origin{}
	return append(b, '\n'), nil
}

// appendEscaped appends what was written so that it does nothing to a terminal:
// what controls one, or is not UTF-8, is written as \x1b or \u202e.
func appendEscaped(b, data []byte) []byte {
	const hex = "0123456789abcdef"
	for len(data) > 0 {
		c := data[0]
		if c == '\t' || c >= 0x20 && c < 0x7f {
			b = append(b, c)
			data = data[1:]
			continue
		}
		r, n := utf8.DecodeRune(data)
		switch {
		case r == utf8.RuneError && n == 1 || r < 0x80:
			b = append(b, '\\', 'x', hex[c>>4], hex[c&15])
		case r < 0xa0 || misleading(r):
			b = fmt.Appendf(b, `\u%04x`, r)
		default:
			b = append(b, data[:n]...)
		}
		data = data[n:]
	}
	return b
}

// misleading says whether a character makes a line look like another one: those
// that turn the direction of what follows, or end a line.
func misleading(r rune) bool {
	switch {
	case r == 0x2028, r == 0x2029, r == 0x061c, r == 0x200e, r == 0x200f, r == 0xfeff:
		return true
	case r >= 0x202a && r <= 0x202e, r >= 0x2066 && r <= 0x2069:
		return true
	}
	return false
}
