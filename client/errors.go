package client

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net"
	"net/http"
	"strings"
	"syscall"

	"github.com/gafferpm/gaffer"
)

// What can go wrong on the way to a daemon, told apart with errors.Is. All else is
// told by the errors of package gaffer.
var (
	// ErrNoDaemon: nothing answers at the host.
	ErrNoDaemon = errors.New("no daemon")
	// ErrUnauthorized: the daemon wants a key, or another one.
	ErrUnauthorized = errors.New("unauthorized")
	// ErrForbidden: whoever calls may not do this.
	ErrForbidden = errors.New("forbidden")
	// ErrTooMany: the daemon has more to do than it allows; later it may.
	ErrTooMany = errors.New("too many requests")
	// ErrNoAnswer: an order was given, and not answered although that was due. It may
	// have been carried out, or yet be.
	ErrNoAnswer = errors.New("no answer")
	// ErrLost: the connection that a session goes over broke, or the daemon ended. What it
	// is attached to goes on, what it has executed is killed.
	ErrLost = errors.New("connection lost")
	// ErrUnsupported: the daemon has no such thing.
	ErrUnsupported = errors.ErrUnsupported
)

// sorts are the errors that the codes of problem documents stand for.
var sorts = map[string]error{
	"not_found":    gaffer.ErrNotFound,
	"conflict":     gaffer.ErrConflict,
	"invalid":      gaffer.ErrInvalid,
	"too_large":    gaffer.ErrInvalid,
	"closed":       gaffer.ErrClosed,
	"timeout":      context.DeadlineExceeded,
	"unauthorized": ErrUnauthorized,
	"forbidden":    ErrForbidden,
	"too_many":     ErrTooMany,
	"unsupported":  ErrUnsupported,
}

// statuses are the errors that an answer without a code stands for.
var statuses = map[int]error{
	http.StatusBadRequest:            gaffer.ErrInvalid,
	http.StatusUnauthorized:          ErrUnauthorized,
	http.StatusForbidden:             ErrForbidden,
	http.StatusNotFound:              gaffer.ErrNotFound,
	http.StatusConflict:              gaffer.ErrConflict,
	http.StatusRequestEntityTooLarge: gaffer.ErrInvalid,
	http.StatusUnprocessableEntity:   gaffer.ErrInvalid,
	http.StatusTooManyRequests:       ErrTooMany,
	http.StatusNotImplemented:        ErrUnsupported,
}

// refusal is an error that a daemon answered: what it says, and what it is.
type refusal struct {
	text   string
	causes []error
	status int // of the answer; 0: there was none
}

func (r *refusal) Error() string   { return r.text }
func (r *refusal) Unwrap() []error { return r.causes }

// ofTemplate is the error of a request with a template in it: what is wrong with
// its fields reads as it does where templates are checked.
func ofTemplate(name string, err error) error {
	var r *refusal
	if !errors.As(err, &r) || strings.HasPrefix(r.text, "template ") {
		return err
	}
	var fields []error
	for _, cause := range r.causes {
		if field, ok := cause.(*gaffer.FieldError); ok {
			fields = append(fields, field)
		}
	}
	if len(fields) == 0 {
		return err
	}
	return &refusal{text: fmt.Sprintf("template %s: %v", name, errors.Join(fields...)), causes: r.causes, status: r.status}
}

func invalidf(format string, a ...any) error {
	return &refusal{text: fmt.Sprintf(format, a...), causes: []error{gaffer.ErrInvalid}}
}

// final says that asking the same again will have the same answer.
func (r *refusal) final() bool {
	switch r.status {
	case http.StatusRequestTimeout, http.StatusTooManyRequests:
		return false
	}
	return 300 <= r.status && r.status < 500
}

// problem is an RFC 9457 document.
type problem struct {
	Title  string `json:"title"`
	Detail string `json:"detail"`
	Code   string `json:"code"`
	Errors []struct {
		Location string `json:"location"`
		Message  string `json:"message"`
	} `json:"errors"`
}

// text is what a problem says. The details, where they say more than the whole
// does, are told one in a line, as a template's faults are.
func (p *problem) text() string {
	complete := p.Detail != ""
	var lines []string
	for _, e := range p.Errors {
		place, field, _ := strings.Cut(e.Location, ".")
		line := e.Message
		if field != "" && place != "path" && !strings.HasPrefix(line, field) {
			line = field + ": " + line
		}
		lines = append(lines, line)
		complete = complete && strings.Contains(p.Detail, line) && !strings.HasPrefix(p.Detail, e.Location)
	}
	switch {
	case !complete && len(lines) > 0:
		return strings.Join(lines, "\n")
	case p.Detail != "":
		return p.Detail
	}
	return p.Title
}

// refusal is the error that a problem is.
func (p *problem) refusal(status int) *refusal {
	r := &refusal{text: p.text(), status: status}
	if sort := sorts[p.Code]; sort != nil {
		r.causes = append(r.causes, sort)
	} else if sort := statuses[status]; sort != nil {
		r.causes = append(r.causes, sort)
	}
	for _, e := range p.Errors {
		if field, ok := strings.CutPrefix(e.Location, "body."); ok {
			fault := &refusal{text: e.Message, causes: []error{gaffer.ErrInvalid}}
			r.causes = append(r.causes, &gaffer.FieldError{Field: field, Err: fault})
		}
	}
	return r
}

// largestProblem is how much of an error's answer is read, in bytes.
const largestProblem = 1 << 20

// refused is the error of an answer that is not what was asked for.
func (c *Client) refused(resp *http.Response) error {
	body, err := io.ReadAll(io.LimitReader(resp.Body, largestProblem))
	var p problem
	kind, _, _ := mime.ParseMediaType(resp.Header.Get("Content-Type"))
	if err != nil || !strings.HasSuffix(kind, "json") || json.Unmarshal(body, &p) != nil {
		p = problem{}
	}
	r := p.refusal(resp.StatusCode)
	if r.text == "" {
		r.text = fmt.Sprintf("%s: answered %s", c.host, resp.Status)
		if resp.StatusCode == http.StatusBadRequest && bytes.Contains(body, []byte("to an HTTPS server")) {
			r.text = c.host + ": it speaks TLS; use https://"
		}
	}
	return r
}

// unreached is the error of a request that had no answer.
func (c *Client) unreached(ctx context.Context, err error) error {
	if c.life.Err() != nil {
		return fmt.Errorf("%s: %w", c.host, net.ErrClosed)
	}
	if e := ctx.Err(); e != nil {
		return e
	}
	if errors.Is(err, http.ErrSchemeMismatch) {
		return &refusal{text: c.host + ": it does not speak TLS; use http://", causes: []error{err}}
	}
	var dial *net.OpError
	if !errors.As(err, &dial) || dial.Op != "dial" {
		return fmt.Errorf("%s: %w", c.host, bare(err))
	}
	cause := bare(dial.Err)
	switch {
	case errors.Is(err, syscall.EACCES):
		return &refusal{text: fmt.Sprintf("%s: %v", c.host, cause), causes: []error{ErrForbidden, err}}
	case strings.HasPrefix(c.host, "unix:"):
		return &refusal{
			text:   fmt.Sprintf("no daemon at %s: %v; `gaffer daemon --background` starts one", c.host, cause),
			causes: []error{ErrNoDaemon, err},
		}
	}
	return &refusal{text: fmt.Sprintf("no daemon at %s: %v", c.host, cause), causes: []error{ErrNoDaemon, err}}
}

// bare is the innermost error, without the addresses and system calls that those
// around it tell again.
func bare(err error) error {
	for {
		inner := errors.Unwrap(err)
		if inner == nil {
			return err
		}
		err = inner
	}
}
