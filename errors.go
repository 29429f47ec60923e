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
