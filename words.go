package gaffer

import (
	"strings"
)

// SplitWords splits a text into words as a shell does: blanks separate, quotes
// and backslashes protect. No shell is started and no other character is
// special. A dollar that single quotes or a backslash protect comes out as "$$",
// so that the words can go through the expansion of variables, which is a
// template's next step.
func SplitWords(s string) ([]string, error) {
	w := splitter{rest: s}
	for w.rest != "" {
		if err := w.step(); err != nil {
			return nil, err
		}
	}
	if w.braces > 0 {
		return nil, invalidf("%q: a \"${\" is never closed", s)
	}
	w.flush()
	return w.words, nil
}

// splitter is the state of SplitWords between two characters outside quotes.
type splitter struct {
	rest   string
	words  []string
	word   strings.Builder
	begun  bool // a word has begun, even if it is still empty
	braces int  // depth of "${", within which blanks do not separate
}

func (w *splitter) step() error {
	c := w.rest[0]
	switch {
	case c == '\'':
		return w.single()
	case c == '"':
		return w.double()
	case c == '\\':
		return w.backslash()
	case isBlank(c) && w.braces == 0:
		w.flush()
		w.rest = w.rest[1:]
		return nil
	case strings.HasPrefix(w.rest, "${"):
		w.braces++
		w.take(2)
	case c == '}' && w.braces > 0:
		w.braces--
		w.take(1)
	default:
		w.take(1)
	}
	return nil
}

func (w *splitter) take(n int) {
	w.begun = true
	w.word.WriteString(w.rest[:n])
	w.rest = w.rest[n:]
}

func (w *splitter) flush() {
	if !w.begun {
		return
	}
	w.words = append(w.words, w.word.String())
	w.word.Reset()
	w.begun = false
}

func (w *splitter) protect(s string) {
	w.begun = true
	w.word.WriteString(strings.ReplaceAll(s, "$", "$$"))
}

func (w *splitter) single() error {
	text, rest, closed := strings.Cut(w.rest[1:], "'")
	if !closed {
		return invalidf("a single quote is never closed: %s", w.rest)
	}
	w.protect(text)
	w.rest = rest
	return nil
}

func (w *splitter) double() error {
	start := w.rest
	w.rest, w.begun = w.rest[1:], true
	for w.rest != "" {
		switch c := w.rest[0]; {
		case c == '"':
			w.rest = w.rest[1:]
			return nil
		case c == '\\' && len(w.rest) > 1 && strings.IndexByte("\\\"$`\n", w.rest[1]) >= 0:
			if w.rest[1] != '\n' {
				w.protect(w.rest[1:2])
			}
			w.rest = w.rest[2:]
		default:
			w.take(1)
		}
	}
	return invalidf("a double quote is never closed: %s", start)
}

func (w *splitter) backslash() error {
	if len(w.rest) == 1 {
		return invalidf("a backslash at the end protects nothing")
	}
	if w.rest[1] != '\n' { // a line that goes on is no character at all
		w.protect(w.rest[1:2])
	}
	w.rest = w.rest[2:]
	return nil
}

func isBlank(c byte) bool { return c == ' ' || c == '\t' || c == '\n' || c == '\r' }

// expand replaces $NAME, ${NAME} and ${NAME:-default} by what lookup says. "$$"
// is a dollar; a dollar that no name and no brace follows is literal.
func expand(s string, lookup func(string) (string, bool)) (string, error) {
	if strings.IndexByte(s, '$') < 0 {
		return s, nil
	}
	var b strings.Builder
	for {
		before, rest, found := strings.Cut(s, "$")
		b.WriteString(before)
		if !found {
			return b.String(), nil
		}
		value, rest, err := expandOne(rest, lookup)
		if err != nil {
			return "", err
		}
		b.WriteString(value)
		s = rest
	}
}

// expandOne expands what follows a dollar and returns what comes after it.
func expandOne(s string, lookup func(string) (string, bool)) (value, rest string, err error) {
	switch {
	case strings.HasPrefix(s, "$"):
		return "$", s[1:], nil
	case strings.HasPrefix(s, "{"):
		return expandBraces(s, lookup)
	}
	n := nameLength(s)
	if n == 0 {
		return "$", s, nil
	}
	value, ok := lookup(s[:n])
	if !ok {
		return "", "", invalidf("variable %s is not defined", s[:n])
	}
	return value, s[n:], nil
}

func expandBraces(s string, lookup func(string) (string, bool)) (value, rest string, err error) {
	end := closingBrace(s)
	if end < 0 {
		return "", "", invalidf("\"$%s\": the brace is never closed", s)
	}
	inside, rest := s[1:end], s[end+1:]
	n := nameLength(inside)
	name, tail := inside[:n], inside[n:]
	if n == 0 || tail != "" && !strings.HasPrefix(tail, ":-") {
		return "", "", invalidf("\"${%s}\": want ${NAME} or ${NAME:-default}", inside)
	}
	value, ok := lookup(name)
	if tail != "" && value == "" {
		value, err = expand(tail[2:], lookup)
		return value, rest, err
	}
	if !ok {
		return "", "", invalidf("variable %s is not defined", name)
	}
	return value, rest, nil
}

// closingBrace is the place of the brace that closes the one s begins with.
func closingBrace(s string) int {
	depth := 0
	for i := 0; i < len(s); i++ {
		switch {
		case s[i] == '$' && i+1 < len(s) && s[i+1] == '$':
			i++
		case s[i] == '{' && (i == 0 || s[i-1] == '$'):
			depth++
		case s[i] == '}':
			if depth--; depth == 0 {
				return i
			}
		}
	}
	return -1
}

// nameLength is how long the variable's name is that s begins with.
func nameLength(s string) int {
	for i := 0; i < len(s); i++ {
		c := s[i]
		letter := c == '_' || 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z'
		if !letter && (i == 0 || c < '0' || c > '9') {
			return i
		}
	}
	return len(s)
}
