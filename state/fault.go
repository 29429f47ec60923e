package state

import (
	"fmt"

	"github.com/gafferpm/gaffer"
)

// fault is an error of one sort of the library's, with a text of its own.
type fault struct {
	text string
	sort error
}

func (f *fault) Error() string { return f.text }
func (f *fault) Unwrap() error { return f.sort }

func invalidf(format string, a ...any) error {
	return &fault{fmt.Sprintf(format, a...), gaffer.ErrInvalid}
}

func conflictf(format string, a ...any) error {
	return &fault{fmt.Sprintf(format, a...), gaffer.ErrConflict}
}
