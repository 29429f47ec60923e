package config

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/gafferpm/gaffer"
)

// Fault is one thing that is wrong in a file, with the place.
type Fault struct {
	File    string // the path as it was given
	Line    int    // from 1; 0: the file as a whole
	Col     int    // in characters, from 1; 0: the line as a whole
	Message string // what is wrong and what was expected
	excerpt string // the line, with the word underlined; "" when there is none
}

func (f *Fault) Error() string {
	at := f.File
	if f.Line > 0 {
		at = fmt.Sprintf("%s:%d", at, f.Line)
	}
	if f.Col > 0 {
		at = fmt.Sprintf("%s:%d", at, f.Col)
	}
	if f.excerpt == "" {
		return at + ": " + f.Message
	}
	return at + ": " + f.Message + "\n" + f.excerpt
}

// Unwrap makes every fault an invalid one for errors.Is.
func (f *Fault) Unwrap() error { return gaffer.ErrInvalid }

// Faults is everything that is wrong with a configuration, in the order of the
// files and lines.
type Faults []*Fault

func (fs Faults) Error() string {
	var b strings.Builder
	for i, f := range fs {
		if i > 0 {
			b.WriteByte('\n')
		}
		b.WriteString(f.Error())
	}
	return b.String()
}

// Unwrap gives each fault to errors.Is and errors.As.
func (fs Faults) Unwrap() []error {
	errs := make([]error, len(fs))
	for i, f := range fs {
		errs[i] = f
	}
	return errs
}

// err is nil when there are none: a Faults of length 0 would be an error.
func (fs Faults) err() error {
	if len(fs) == 0 {
		return nil
	}
	return fs
}

// sorted puts faults in the order of the files that were read, and of their lines.
func (fs Faults) sorted(files []string) Faults {
	slices.SortStableFunc(fs, func(a, b *Fault) int {
		return cmp.Or(
			cmp.Compare(slices.Index(files, a.File), slices.Index(files, b.File)),
			cmp.Compare(a.Line, b.Line), cmp.Compare(a.Col, b.Col))
	})
	return fs
}

// span is a range of bytes of a source.
type span struct{ from, to int }

// spot is a span of one of several sources.
type spot struct {
	src *source
	span
}

// line counts from 1.
func (s spot) line() int {
	number, _ := s.src.line(s.from)
	return number
}

// fault describes what is wrong with the bytes of at.
func (s *source) fault(at span, format string, a ...any) *Fault {
	from := min(max(at.from, 0), len(s.text))
	number, start := s.line(from)
	end := len(s.text)
	if i := strings.IndexByte(s.text[from:], '\n'); i >= 0 {
		end = from + i
	}
	line := strings.TrimSuffix(s.text[start:end], "\r")
	from = min(from, start+len(line))
	to := min(max(at.to, from), start+len(line))

	f := &Fault{
		File:    s.path,
		Line:    number,
		Col:     utf8.RuneCountInString(s.text[start:from]) + 1,
		Message: fmt.Sprintf(format, a...),
	}
	if !secretive(line) {
		f.excerpt = excerpt(number, line, from-start, to-start)
	}
	return f
}

// secretive tells whether a line looks as if there were a secret in it, which then
// is not shown: faults end up in logs.
func secretive(line string) bool {
	line = strings.ToLower(line)
	return slices.ContainsFunc([]string{"secret", "passw", "token", "authorization", "api_key", "apikey", "private_key"}, func(word string) bool {
		return strings.Contains(line, word)
	})
}

// wholeFault describes what is wrong with the file as a whole.
func (s *source) wholeFault(format string, a ...any) *Fault {
	return &Fault{File: s.path, Message: fmt.Sprintf(format, a...)}
}

// Excerpts show at most this many characters of a long line: a few before the
// word in question, the rest from there on.
const (
	excerptWidth  = 100
	excerptBefore = 40
)

// excerpt shows a line with the bytes from..to underlined.
func excerpt(number int, line string, from, to int) string {
	before, word, after := clip(line[:from], -excerptBefore), line[from:to], line[to:]
	word = clip(word, excerptWidth-utf8.RuneCountInString(before))
	after = clip(after, excerptWidth-utf8.RuneCountInString(before+word))

	// A tab stays one in the padding, so that the underline is below the word
	// whatever the terminal's tab stops are.
	pad := strings.Map(func(r rune) rune {
		if r == '\t' {
			return r
		}
		return ' '
	}, before)
	gutter := fmt.Sprintf("%5d", number)
	underline := strings.Repeat("~", max(1, utf8.RuneCountInString(word)))
	return fmt.Sprintf("%s | %s%s%s\n%s | %s%s", gutter, printable(before), printable(word), printable(after),
		strings.Repeat(" ", len(gutter)), pad, underline)
}

// clip keeps the first n characters of s, or the last -n, and marks the cut.
func clip(s string, n int) string {
	r := []rune(s)
	switch {
	case n < 0 && len(r) > -n:
		return "…" + string(r[len(r)+n+1:])
	case n >= 0 && len(r) > n:
		return string(r[:max(0, n-1)]) + "…"
	}
	return s
}

// printable replaces what could wreck the terminal that an excerpt is shown on.
func printable(s string) string {
	return strings.Map(func(r rune) rune {
		if r != '\t' && (r < 0x20 || r >= 0x7f && r < 0xa0) {
			return utf8.RuneError
		}
		return r
	}, s)
}
