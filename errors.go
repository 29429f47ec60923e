package gaffer

import (
	"errors"
	"fmt"

	"github.com/gafferpm/gaffer/internal/pubsub"
)

// What can go wrong, told apart with errors.Is, near and far. Errors wrap one
// of these with the thing first: "template web: not found".
var (
	ErrNotFound = errors.New("not found")
	ErrConflict = errors.New("conflict") // a name that is taken, or something its state does not allow
	ErrInvalid  = errors.New("invalid")
	ErrClosed   = errors.New("manager closed")
)

// Missed is the error of a Stream whose reader was too slow: so many values were
// lost at this place. The stream goes on: call Next again.
type Missed = pubsub.Missed

// OutputGap is the Missed of output that log files did not keep for long enough: nobody
// knows how many lines that was.
type OutputGap struct {
	Name  string
	Slot  int
	Label string
	Bytes int64
}

func (g *OutputGap) Error() string {
	return fmt.Sprintf("%s.%d/%s: %d bytes were given up before they were read", g.Name, g.Slot, g.Label, g.Bytes)
}

// As makes it a Missed of 1.
func (g *OutputGap) As(target any) bool {
	m, ok := target.(*Missed)
	if ok {
		*m = 1
	}
	return ok
}

// fault is an error of one sort with a text of its own.
type fault struct {
	text string
	sort error
}

func (f *fault) Error() string { return f.text }
func (f *fault) Unwrap() error { return f.sort }

func invalidf(format string, a ...any) error {
	return &fault{fmt.Sprintf(format, a...), ErrInvalid}
}

func conflictf(format string, a ...any) error {
	return &fault{fmt.Sprintf(format, a...), ErrConflict}
}

func notFoundf(format string, a ...any) error {
	return &fault{fmt.Sprintf(format, a...), ErrNotFound}
}
