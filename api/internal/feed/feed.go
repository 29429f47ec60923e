// Package feed serves what does not end by itself over HTTP: events, readings of
// what processes use, what they write, and the two-way connection to one of them.
//
// Each method of a Feed answers one request, out of a Controller that shows only
// what the caller may see. An error that it returns comes before anything was
// written, and is to be answered by the caller. After that the Feed ends the
// stream itself, and returns nil.
package feed

import (
	"context"
	"net/http"
	"sync"
	"time"

	"github.com/gafferpm/gaffer"
)

const (
	defaultHeartbeat = 15 * time.Second
	defaultStall     = 30 * time.Second
)

// Options are the settings of a Feed. The zero value has the defaults.
type Options struct {
	// Heartbeat is how long a stream may be silent before it says that it is still
	// there. 0 is 15s.
	Heartbeat time.Duration
	// Stall is how long a client may take nothing of what is sent to it before it
	// is cut, and a process nothing of what a request writes to it. 0 is 30s.
	Stall time.Duration
	// Origins are patterns of hosts whose pages may open WebSockets, beside the host
	// that was asked: "example.com", "*.example.com", "https://example.com".
	Origins []string
}

// Feed serves streams to any number of clients. Its methods may be called from
// any goroutine.
type Feed struct {
	opts     Options
	draining context.Context // ends when Drain is called
	drain    context.CancelFunc

	mu      sync.Mutex // guards the rest
	running int        // streams
	idle    chan struct{}
}

// New returns a Feed. It has no goroutine of its own, and nothing to close when
// no stream is left.
func New(opts Options) *Feed {
	if opts.Heartbeat <= 0 {
		opts.Heartbeat = defaultHeartbeat
	}
	if opts.Stall <= 0 {
		opts.Stall = defaultStall
	}
	f := &Feed{opts: opts}
	f.draining, f.drain = context.WithCancel(context.Background())
	return f
}

// Drain ends all streams, each with its end marker, and refuses new ones with
// gaffer.ErrClosed. It waits until the last has ended or ctx has, whose error it
// then returns.
func (f *Feed) Drain(ctx context.Context) error { return nil }

// Events serves GET /v1/events.
func (f *Feed) Events(w http.ResponseWriter, r *http.Request, c gaffer.Controller) error {
	return gaffer.ErrClosed
}

// Stats serves GET /v1/stats.
func (f *Feed) Stats(w http.ResponseWriter, r *http.Request, c gaffer.Controller) error {
	return gaffer.ErrClosed
}

// Logs serves GET /v1/logs.
func (f *Feed) Logs(w http.ResponseWriter, r *http.Request, c gaffer.Controller) error {
	return gaffer.ErrClosed
}

// Raw serves GET /v1/processes/{target}/streams/{label}: the bytes that one
// process writes, as they come, until it ends.
func (f *Feed) Raw(w http.ResponseWriter, r *http.Request, c gaffer.Controller, target gaffer.Target, label string) error {
	return gaffer.ErrClosed
}

// Write serves POST /v1/processes/{target}/streams/{label}: the body goes to
// stdin or to a custom stream of one process, as it comes. The answer is 200
// {"written":BYTES}.
func (f *Feed) Write(w http.ResponseWriter, r *http.Request, c gaffer.Controller, target gaffer.Target, label string) error {
	return gaffer.ErrClosed
}

// Attach serves the WebSocket GET /v1/processes/{target}/attach: input goes in,
// output comes out, until the process ends.
func (f *Feed) Attach(w http.ResponseWriter, r *http.Request, c gaffer.Controller, target gaffer.Target) error {
	return gaffer.ErrClosed
}
