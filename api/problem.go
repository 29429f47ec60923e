package api

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strconv"

	"github.com/gafferpm/gaffer"
	"github.com/gafferpm/gaffer/api/internal/feed"
)

// What can be wrong with a request beside what the Controller says, told apart
// with errors.Is.
var (
	ErrUnauthorized = errors.New("unauthorized") // no key, or a wrong one
	ErrForbidden    = errors.New("forbidden")    // the caller may not

	errTooMany     = errors.New("too many requests")
	errTooLarge    = errors.New("body too large")
	errMethod      = errors.New("method not allowed")
	errMedia       = errors.New("unsupported media type")
	errMalformed   = errors.New("malformed")
	errUnsupported = errors.New("not supported here")
	errInternal    = errors.New("internal error")
)

// Problem is what is wrong with a request, as RFC 9457 has it.
type Problem struct {
	Type   string  `json:"type"`
	Title  string  `json:"title"`
	Status int     `json:"status"`
	Detail string  `json:"detail"`
	Code   string  `json:"code"`
	Errors []Fault `json:"errors,omitempty"`
}

// Fault is one thing that is wrong.
type Fault struct {
	Location string `json:"location"` // "body.cmd", "query.wait"
	Message  string `json:"message"`
}

// sorts say how errors are told over HTTP; the first that fits holds.
var sorts = []struct {
	err    error
	status int
	code   string
}{
	{errMalformed, http.StatusBadRequest, "invalid"},
	{ErrUnauthorized, http.StatusUnauthorized, "unauthorized"},
	{ErrForbidden, http.StatusForbidden, "forbidden"},
	{feed.ErrOrigin, http.StatusForbidden, "forbidden"},
	{feed.ErrBody, http.StatusBadRequest, "invalid"},
	{feed.ErrNotAcceptable, http.StatusNotAcceptable, "not_acceptable"},
	{feed.ErrUpgrade, http.StatusUpgradeRequired, "upgrade"},
	{feed.ErrTooMany, http.StatusTooManyRequests, "too_many"},
	{errTooMany, http.StatusTooManyRequests, "too_many"},
	{errTooLarge, http.StatusRequestEntityTooLarge, "too_large"},
	{errMethod, http.StatusMethodNotAllowed, "method"},
	{errMedia, http.StatusUnsupportedMediaType, "media"},
	{errUnsupported, http.StatusNotImplemented, "unsupported"},
	{gaffer.ErrInvalid, http.StatusUnprocessableEntity, "invalid"},
	{gaffer.ErrNotFound, http.StatusNotFound, "not_found"},
	{gaffer.ErrConflict, http.StatusConflict, "conflict"},
	{gaffer.ErrClosed, http.StatusServiceUnavailable, "closed"},
	{context.DeadlineExceeded, http.StatusGatewayTimeout, "timeout"},
	{context.Canceled, http.StatusServiceUnavailable, "closed"},
}

// problemOf is how an error is told.
func problemOf(err error) *Problem {
	var large *http.MaxBytesError
	if errors.As(err, &large) {
		err = fmt.Errorf("body: more than %d bytes: %w", large.Limit, errTooLarge)
	}
	p := &Problem{Type: "about:blank", Status: http.StatusInternalServerError, Code: "internal", Detail: err.Error()}
	for _, s := range sorts {
		if errors.Is(err, s.err) {
			p.Status, p.Code = s.status, s.code
			break
		}
	}
	p.Title = http.StatusText(p.Status)
	var bad *faults
	if errors.As(err, &bad) {
		p.Errors = bad.list
	} else {
		p.Errors = fieldFaults(err, nil)
	}
	return p
}

// fieldFaults are the faults of fields and parameters, wherever they are joined.
func fieldFaults(err error, found []Fault) []Fault {
	switch e := err.(type) { // all of them, not the first that fits
	case *gaffer.FieldError:
		return append(found, Fault{"body." + e.Field, e.Err.Error()})
	case *feed.ParamError:
		return append(found, Fault{e.Location(), e.Err.Error()})
	case interface{ Unwrap() []error }:
		for _, sub := range e.Unwrap() {
			found = fieldFaults(sub, found)
		}
		return found
	case interface{ Unwrap() error }:
		return fieldFaults(e.Unwrap(), found)
	}
	return found
}

// faults is a request that has several things wrong.
type faults struct {
	sort error
	list []Fault
}

func (f *faults) Error() string {
	if len(f.list) == 1 {
		return f.list[0].Location + ": " + f.list[0].Message
	}
	return strconv.Itoa(len(f.list)) + " things are wrong with the request"
}

func (f *faults) Unwrap() error { return f.sort }

func (f *faults) add(location, message string) {
	f.list = append(f.list, Fault{location, message})
}

// err is nil when there is no fault.
func (f *faults) err() error {
	if len(f.list) == 0 {
		return nil
	}
	return f
}

// badQuery is an error about a parameter of a request's query.
func badQuery(name, message string) error {
	return &faults{gaffer.ErrInvalid, []Fault{{"query." + name, message}}}
}

// later is an error that says when to try again.
type later struct {
	error
	seconds int
}

func (l later) Unwrap() error { return l.error }

// writeProblem answers with what is wrong.
func writeProblem(w http.ResponseWriter, r *http.Request, p *Problem, err error) {
	h := w.Header()
	switch p.Status {
	case http.StatusUnauthorized:
		h.Set("WWW-Authenticate", `Bearer realm="gaffer"`)
	case http.StatusUpgradeRequired:
		h.Set("Upgrade", "websocket")
	case http.StatusRequestEntityTooLarge:
		h.Set("Connection", "close")
	}
	var when later
	if errors.As(err, &when) {
		h.Set("Retry-After", strconv.Itoa(when.seconds))
	}
	body, e := json.Marshal(p)
	if e != nil {
		body = []byte(`{"status":500,"code":"internal"}`)
	}
	h.Set("Content-Type", "application/problem+json")
	h.Set("Content-Length", strconv.Itoa(len(body)+1))
	w.WriteHeader(p.Status)
	if r.Method != http.MethodHead {
		_, _ = w.Write(append(body, '\n')) // who has gone needs no answer
	}
}
