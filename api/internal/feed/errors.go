package feed

import (
	"errors"
	"fmt"

	"github.com/gafferpm/gaffer"
)

// What a request can ask for that is not given, beside the library's errors.
var (
	// ErrNotAcceptable is the error of a request whose Accept header allows none of
	// the formats: status 406.
	ErrNotAcceptable = errors.New("not acceptable")
	// ErrUpgrade is the error of a request to Attach that is no WebSocket's: status
	// 426.
	ErrUpgrade = errors.New("upgrade required")
	// ErrOrigin is the error of a WebSocket that the page of a strange host wants
	// to open: status 403.
	ErrOrigin = errors.New("origin not allowed")
	// ErrTooMany is the error of a request for a reading of what processes use that
	// is one too many: status 429.
	ErrTooMany = errors.New("too many requests")
	// ErrBody is the error of a request whose body the client does not end: status
	// 400.
	ErrBody = errors.New("the body breaks off")
)

// ParamError is what is wrong with one parameter of a request. It wraps
// gaffer.ErrInvalid.
type ParamError struct {
	In   string // "query" or "header"
	Name string
	Err  error
}

func (e *ParamError) Error() string { return e.Name + ": " + e.Err.Error() }
func (e *ParamError) Unwrap() error { return e.Err }

// Location is where the parameter stands in the request: "query.since".
func (e *ParamError) Location() string { return e.In + "." + e.Name }

// invalid is an error of the sort gaffer.ErrInvalid with a text of its own.
type invalid string

func (e invalid) Error() string        { return string(e) }
func (e invalid) Is(target error) bool { return target == gaffer.ErrInvalid }

func invalidf(format string, a ...any) error { return invalid(fmt.Sprintf(format, a...)) }
