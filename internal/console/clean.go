package console

import (
	"bytes"
	"unicode/utf8"
)

// cleaner appends what a process wrote so that it can't do more to a terminal
// than write a line. Colours stay, if they are wanted.
type cleaner struct {
	out   []byte
	color bool
	dirty bool // a colour was switched on
}

// appendClean appends a line, without its newline, to out.
func appendClean(out, line []byte, color bool) []byte {
	line = bytes.TrimRight(line, "\r")
	if i := bytes.LastIndexByte(line, '\r'); i >= 0 {
		line = line[i+1:] // what came before was overwritten
	}
	c := cleaner{out: out, color: color}
	for len(line) > 0 {
		line = line[c.step(line):]
	}
	if c.dirty {
		c.out = append(c.out, reset...)
	}
	return c.out
}

// step appends the character that s begins with and returns its length.
func (c *cleaner) step(s []byte) int {
	switch b := s[0]; {
	case b == esc:
		return c.escape(s)
	case b == '\t' || b >= 0x20 && b < 0x7f:
		c.out = append(c.out, b)
		return 1
	case b < 0x20 || b == 0x7f:
		c.out = append(c.out, '^', b^0x40)
		return 1
	}
	r, n := utf8.DecodeRune(s)
	if r < 0xa0 || misleading(r) { // the controls of Latin-1 act like escape sequences
		r = utf8.RuneError
	}
	c.out = utf8.AppendRune(c.out, r)
	return n
}

const esc = 0x1b

// escape leaves out the escape sequence that s begins with, unless it is a colour.
func (c *cleaner) escape(s []byte) int {
	if len(s) == 1 {
		return 1
	}
	switch s[1] {
	case '[':
		return c.csi(s)
	case ']', 'P', 'X', '^', '_': // a text for the terminal, such as its title
		for i := 2; i < len(s); i++ {
			if s[i] == '\a' {
				return i + 1
			}
			if s[i] == esc && i+1 < len(s) && s[i+1] == '\\' {
				return i + 2
			}
		}
		return len(s)
	}
	n := 1
	for n < len(s) && s[n] >= 0x20 && s[n] < 0x30 {
		n++
	}
	if n < len(s) && s[n] >= 0x30 && s[n] < 0x7f {
		n++
	}
	return n
}

// csi is escape for the sequences that begin with ESC [.
func (c *cleaner) csi(s []byte) int {
	n := 2
	for n < len(s) && s[n] >= 0x20 && s[n] < 0x40 {
		n++
	}
	if n == len(s) || s[n] >= 0x7f || s[n] < 0x40 {
		return n // cut off
	}
	n++
	if s[n-1] == 'm' && c.color && plainNumbers(s[2:n-1]) {
		c.out = append(c.out, s[:n]...)
		c.dirty = true
	}
	return n
}

// plainNumbers tells whether the parameters are those of a colour: with a "?" or
// ">" in front, m means something else.
func plainNumbers(s []byte) bool {
	for _, b := range s {
		if (b < '0' || b > '9') && b != ';' && b != ':' {
			return false
		}
	}
	return true
}

// misleading tells whether a character changes the direction of the text after it.
func misleading(r rune) bool { return r >= 0x202a && r <= 0x202e || r >= 0x2066 && r <= 0x2069 }
