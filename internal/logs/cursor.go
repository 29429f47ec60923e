//go:build linux

package logs

import (
	"fmt"
	"strconv"
	"strings"
)

// Cursor is a place in what was read: after a line of one stream, and so after all that
// came before it in the others. Lines are in the order of their time, those of one time
// in that of their streams' names, those of one stream in the order of their offsets.
type Cursor struct {
	time   int64
	source source
	offset int64 // in the stream, after the line
}

// IsZero says that it is no place.
func (c Cursor) IsZero() bool { return c == Cursor{} }

// String is TIME@NAME.SLOT/LABEL@OFFSET.
func (c Cursor) String() string {
	if c.IsZero() {
		return ""
	}
	return fmt.Sprintf("%d@%s@%d", c.time, c.source, c.offset)
}

// ParseCursor reads what String has written.
func ParseCursor(text string) (Cursor, error) {
	if text == "" {
		return Cursor{}, nil
	}
	at, rest, ok := strings.Cut(text, "@")
	name, off, ok2 := strings.Cut(rest, "@")
	var c Cursor
	var err1, err2 error
	c.time, err1 = strconv.ParseInt(at, 10, 64)
	c.offset, err2 = strconv.ParseInt(off, 10, 64)
	src, ok3 := parseSource(name)
	c.source = src
	if !ok || !ok2 || !ok3 || err1 != nil || err2 != nil || c.offset < 0 || c.time < 0 {
		return Cursor{}, fmt.Errorf("cursor %q: want TIME@NAME.SLOT/LABEL@OFFSET", text)
	}
	return c, nil
}

// Cursors are where to go on in several streams at once: each in its own, those that
// none is in where the latest of them says.
type Cursors []Cursor

// ParseCursors reads cursors with blanks between.
func ParseCursors(text string) (Cursors, error) {
	var all Cursors
	for one := range strings.FieldsSeq(text) {
		c, err := ParseCursor(one)
		if err != nil {
			return nil, err
		}
		all = append(all, c)
	}
	return all, nil
}

// sorted are the cursors by stream, and the latest of them.
func (all Cursors) sorted() (own map[source]Cursor, latest Cursor) {
	own = map[source]Cursor{}
	for _, c := range all {
		if c.offset >= own[c.source].offset {
			own[c.source] = c
		}
		if latest.IsZero() || c.time > latest.time {
			latest = c
		}
	}
	return own, latest
}

// covers says whether a line is at or before the cursor.
func (c Cursor) covers(at int64, src source, end int64) bool {
	switch {
	case src == c.source:
		return end <= c.offset
	case at != c.time:
		return at < c.time
	}
	return src.String() < c.source.String()
}
