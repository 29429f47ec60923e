package config

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"
	"unicode/utf8"
)

// MaxFileSize is how large a configuration file may be, in bytes.
const MaxFileSize = 1 << 20

// source is a file that was read and is text.
type source struct {
	path string // as it was given, for messages
	dir  string // absolute: what relative paths in it are relative to
	text string // without a byte order mark

	starts []int // of the lines, in bytes; made when the first one is asked for
}

// line is the number of the line, from 1, that a byte stands in, and where that
// line begins.
func (s *source) line(at int) (number, start int) {
	if s.starts == nil {
		s.starts = []int{0}
		for i := range len(s.text) {
			if s.text[i] == '\n' {
				s.starts = append(s.starts, i+1)
			}
		}
	}
	i, found := slices.BinarySearch(s.starts, at)
	if !found {
		i--
	}
	return i + 1, s.starts[i]
}

// readSource reads a file that may be trusted and that is text.
func (l *loader) readSource(path string) (*source, error) {
	data, err := l.trust.read(path)
	if err != nil {
		return nil, err
	}
	return newSource(path, data)
}

// newSource checks that data is text.
func newSource(path string, data []byte) (*source, error) {
	data = bytes.TrimPrefix(data, []byte("\xef\xbb\xbf"))
	s := &source{path: path, text: string(data)}
	if bytes.HasPrefix(data, []byte("\xff\xfe")) || bytes.HasPrefix(data, []byte("\xfe\xff")) {
		return nil, s.wholeFault("is in UTF-16; save it as UTF-8")
	}
	if i := strings.IndexByte(s.text, 0); i >= 0 {
		return nil, s.fault(span{i, i + 1}, "a NUL byte: this is not a text file")
	}
	if !utf8.ValidString(s.text) {
		i := invalidAt(s.text)
		return nil, s.fault(span{i, i + 1}, "byte 0x%02x is not UTF-8; save the file as UTF-8", s.text[i])
	}
	return s, nil
}

// invalidAt is where a text stops being UTF-8.
func invalidAt(s string) int {
	for i := 0; i < len(s); {
		r, n := utf8.DecodeRuneInString(s[i:])
		if r == utf8.RuneError && n == 1 {
			return i
		}
		i += n
	}
	return len(s)
}

// pathError is an error about a path, the path first.
func pathError(path string, err error) error {
	var pe *fs.PathError
	if errors.As(err, &pe) {
		err = pe.Err
	}
	return fmt.Errorf("%s: %w", path, err)
}
