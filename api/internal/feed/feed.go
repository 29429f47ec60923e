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
	"errors"
	"fmt"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/gafferpm/gaffer"
)

const (
	defaultHeartbeat = 15 * time.Second
	defaultStall     = 30 * time.Second

	// A stream on which something comes all the time is written after a pause of
	// its own, and its reader woken, not for each value: the more streams there
	// are, the longer it is, so that all together are written 20,000 times a second
	// at most, as long as that does not take more than the longest pause.
	leastPause    = 10 * time.Millisecond
	pauseByStream = 50 * time.Microsecond
	longestPause  = 50 * time.Millisecond
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
	events   encodings
	buffers  sync.Pool    // of *[]byte, for those who have something to write
	readings atomic.Int32 // streams of what processes use

	mu      sync.Mutex    // guards the rest
	running atomic.Int64  // streams; may be read without the lock
	idle    chan struct{} // closed when it drains and the last stream has ended
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
	f := &Feed{opts: opts, idle: make(chan struct{})}
	f.draining, f.drain = context.WithCancel(context.Background())
	return f
}

// Drain ends all streams, each with its end marker, and refuses new ones with
// gaffer.ErrClosed. It waits until the last has ended or ctx has, whose error it
// then returns.
func (f *Feed) Drain(ctx context.Context) error {
	f.mu.Lock()
	if f.draining.Err() == nil {
		f.drain()
		if f.running.Load() == 0 {
			close(f.idle)
		}
	}
	f.mu.Unlock()
	select {
	case <-f.idle:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// errEnded is the cause of a stream's context that ended by the server's will.
var errEnded = errors.New("the stream has ended")

// begin admits a stream. Its context ends when the client is gone and, with
// errEnded as the cause, when the feed drains. done must be called.
func (f *Feed) begin(r *http.Request) (ctx context.Context, done func(), err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.draining.Err() != nil {
		return nil, nil, fmt.Errorf("streams are refused: %w", gaffer.ErrClosed)
	}
	f.running.Add(1)
	ctx, cancel := context.WithCancelCause(r.Context())
	unhook := context.AfterFunc(f.draining, func() { cancel(errEnded) })
	return ctx, func() {
		unhook()
		cancel(nil)
		f.ended()
	}, nil
}

func (f *Feed) ended() {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.running.Add(-1) == 0 && f.draining.Err() != nil {
		close(f.idle)
	}
}

// pause is the least time between two writes to a client.
func (f *Feed) pause() time.Duration {
	return min(max(leastPause, time.Duration(f.running.Load())*pauseByStream), longestPause)
}
