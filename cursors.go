package gaffer

import (
	"slices"
	"strings"
)

// Cursors remember how far the output of each stream was read, so that reading can go on
// from there: see OutputOptions.After. The zero value is ready to use.
type Cursors struct {
	at   map[string]string // by stream
	last string
}

// ParseCursors reads what After has written. ErrInvalid: one of them is no cursor.
func ParseCursors(text string) (*Cursors, error) {
	c := &Cursors{}
	for one := range strings.FieldsSeq(text) {
		if _, ok := c.add(one); !ok {
			return nil, invalidf("cursor %q: want TIME@NAME.SLOT/LABEL@OFFSET", one)
		}
	}
	return c, nil
}

// Read notes that a line was read, and says of which stream, as NAME.SLOT/LABEL. Output
// without a cursor is passed over.
func (c *Cursors) Read(o Output) (stream string, ok bool) { return c.add(o.Cursor) }

// Add notes what others have noted.
func (c *Cursors) Add(others *Cursors) {
	for _, one := range others.at {
		c.add(one)
	}
	if others.last != "" {
		c.last = others.last
	}
}

func (c *Cursors) add(one string) (stream string, ok bool) {
	parts := strings.Split(one, "@")
	if len(parts) != 3 {
		return "", false
	}
	if c.at == nil {
		c.at = map[string]string{}
	}
	c.at[parts[1]], c.last = one, one
	return parts[1], true
}

// After is for OutputOptions.After: the cursors of all streams, or where they take more
// than so many bytes (0: as many as it takes) the one that was read last. It is empty
// while nothing was read.
func (c *Cursors) After(atMost int) string {
	all := make([]string, 0, len(c.at))
	for _, one := range c.at {
		all = append(all, one)
	}
	slices.Sort(all)
	text := strings.Join(all, " ")
	if atMost > 0 && len(text) > atMost {
		return c.last
	}
	return text
}
