package forward

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"math/rand/v2"
	"slices"
	"sync"
	"time"

	"github.com/gafferpm/gaffer"
)

// What is sent at a time, at most. More than that of one destination is never in memory,
// beside what waits of streams that are not kept in files.
const (
	batchLines = 1000
	batchBytes = 512 << 10
)

const (
	// gather is how long lines wait for others, where there is one request for many.
	gather = 500 * time.Millisecond
	// keepEvery is how often it is kept how far a destination is, at most: what was sent
	// since may be sent again by the next program, if this one is killed.
	keepEvery = time.Second
	// quiet is how long nothing comes any more once everything has ended.
	quiet = 100 * time.Millisecond

	firstDelay = time.Second
	maxDelay   = time.Minute
	jitter     = 0.2
)

// sink is a way to one destination. It belongs to its runner.
type sink interface {
	// send sends lines. The first done of them need not be sent again: they were taken, or
	// as many of them as lost were refused for good. An error says why there are others.
	send(ctx context.Context, lines []gaffer.Output) (done, lost int, err error)
	close()
}

// pausing is an error of a receiver that asks for a pause.
type pausing struct {
	error
	pause time.Duration
}

// runner reads the output that a destination wants, and sends it.
type runner struct {
	name   string
	opts   *Options
	logger *slog.Logger
	place  *place

	ended chan struct{}      // closed when run has ended; nil: it was not started
	abort context.CancelFunc // ends all at once
	stop  chan struct{}      // closed when everything has ended, and the rest is to be sent
	wake  chan struct{}      // holds a token when it is to be tried again at once

	// run's alone.
	sink      sink
	of        Destination // the sink's
	pending   []gaffer.Output
	kept      time.Time // when place was kept last
	delay     time.Duration
	told      bool      // that it can't be reached
	refused   int       // lines that were, and it was not said
	refusedAt time.Time // when it was said last
	unkept    bool      // it was said that places can't be kept

	mu   sync.Mutex // guards the rest
	d    Destination
	st   Status
	read context.CancelFunc // ends the stream that is read, so that another is opened
}

func newRunner(d Destination, places Places, opts *Options) *runner {
	return &runner{
		name: d.Name, opts: opts, logger: opts.Logger.With("forward", d.Name), d: d,
		place: &place{name: d.Name, store: places}, stop: make(chan struct{}), wake: make(chan struct{}, 1),
	}
}

func (r *runner) destination() Destination {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.d
}

// configure has a destination be another one.
func (r *runner) configure(d Destination) {
	r.mu.Lock()
	before := r.d
	r.d = d
	read := r.read
	r.mu.Unlock()
	if before.Target != d.Target || !slices.Equal(before.Streams, d.Streams) {
		r.place.anew(time.Now())
		if read != nil {
			read()
		}
	}
	poke(r.wake)
}

func poke(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

func (r *runner) start(from source) {
	ctx, abort := context.WithCancel(context.Background())
	r.abort, r.ended = abort, make(chan struct{})
	go func() {
		defer close(r.ended)
		r.run(ctx, from)
	}()
}

// end sends what there is until ctx ends.
func (r *runner) end(ctx context.Context) {
	if r.ended == nil {
		return
	}
	close(r.stop)
	select {
	case <-r.ended:
	case <-ctx.Done():
	}
	r.abort()
	<-r.ended
}

// drop ends a destination that is not wanted any more.
func (r *runner) drop() {
	gone, cancel := context.WithCancel(context.Background())
	cancel()
	r.end(gone)
	if err := r.place.forget(); err != nil {
		r.logger.Error("it is not forgotten how far it was", "reason", err)
	}
}

func (r *runner) stopping() bool {
	select {
	case <-r.stop:
		return true
	default:
		return false
	}
}

// line is a line, or a gap of so many in front of the next one.
type line struct {
	gaffer.Output
	gap error
}

// readAhead is how many lines are read before they can be sent.
const readAhead = 64

// run reads and sends until it is told to end.
func (r *runner) run(ctx context.Context, from source) {
	defer func() {
		if r.sink != nil {
			r.sink.close()
		}
		r.keep()
	}()
	for more := true; more && ctx.Err() == nil; {
		reading, cancel := context.WithCancel(ctx)
		r.mu.Lock()
		d := r.d
		r.read = cancel // by who changes it from now on
		r.mu.Unlock()
		how := r.place.open(time.Now())
		how.Labels = d.Streams
		r.keep() // where it begins
		stream, err := from.Output(reading, d.Target, how)
		if err != nil && reading.Err() != nil { // another destination is wanted, or none
		} else if err != nil {
			r.failed(err)
			more = !r.stopping()
			r.wait(ctx, 0)
		} else {
			more = r.follow(ctx, reading, cancel, stream)
		}
		cancel()
	}
}

// follow sends what a stream has until that ends. It says whether there may be another.
func (r *runner) follow(ctx, reading context.Context, end func(), stream gaffer.Stream[gaffer.Output]) (more bool) {
	lines, ended := make(chan line, readAhead), make(chan error, 1)
	go func() {
		err := pump(reading, stream, lines)
		close(lines)
		ended <- err
	}()
	over := func() error {
		end()
		stream.Close()
		return <-ended
	}
	for more = true; more; {
		more = r.collect(ctx, lines)
		for len(r.pending) > 0 {
			if !r.deliver(ctx) {
				_ = over() // nothing more is wanted of it
				return false
			}
		}
	}
	another := reading.Err() != nil // it was ended from outside
	err := over()
	if !another && err != nil && !errors.Is(err, io.EOF) && !errors.Is(err, context.Canceled) {
		r.failed(err)
		return r.wait(ctx, 0)
	}
	return another && ctx.Err() == nil
}

// pump reads until the stream ends, and says why it did.
func pump(reading context.Context, stream gaffer.Stream[gaffer.Output], lines chan<- line) error {
	for {
		o, err := stream.Next(reading)
		var missed gaffer.Missed
		if err != nil && !errors.As(err, &missed) {
			return err
		}
		select {
		case lines <- line{o, err}:
		case <-reading.Done():
			return reading.Err()
		}
	}
}

// collect takes lines until there are enough, or as many as come soon. It says whether
// more may come.
func (r *runner) collect(ctx context.Context, lines <-chan line) (more bool) {
	size := 0
	take := func(l line) {
		if l.gap != nil {
			r.missed(l.gap)
			return
		}
		r.pending = append(r.pending, l.Output)
		size += len(l.Data)
	}
	var soon <-chan time.Time
	for len(r.pending) < batchLines && size < batchBytes {
		select {
		case l, ok := <-lines:
			if !ok {
				return false
			}
			take(l)
			continue
		default:
		}
		patience := r.patience()
		if len(r.pending) > 0 && patience == 0 {
			return true
		}
		if len(r.pending) > 0 && soon == nil {
			soon = time.After(patience)
		}
		stop, idle := (<-chan struct{})(r.stop), (<-chan time.Time)(nil)
		if r.stopping() {
			stop, idle = nil, time.After(quiet)
		}
		select {
		case l, ok := <-lines:
			if !ok {
				return false
			}
			take(l)
		case <-soon:
			return true
		case <-idle:
			return false
		case <-stop:
		case <-r.toKeep():
			r.keep()
		case <-ctx.Done():
			return false
		}
	}
	return true
}

// patience is how long a line may wait for others.
func (r *runner) patience() time.Duration {
	if t := r.destination().Type; t == Loki || t == OTLP {
		return gather
	}
	return 0
}

// toKeep tells when it is time to keep how far the destination is.
func (r *runner) toKeep() <-chan time.Time {
	if !r.place.dirty() {
		return nil
	}
	return time.After(time.Until(r.kept.Add(keepEvery)))
}

func (r *runner) keep() {
	r.kept = time.Now()
	err := r.place.keep()
	if err != nil && !r.unkept {
		r.logger.Error("it is not kept how far it is", "reason", err)
	}
	r.unkept = err != nil
}

// deliver sends what is pending, or a part of it. It waits where that can't be, and says
// whether to go on.
func (r *runner) deliver(ctx context.Context) bool {
	d := r.destination()
	if r.sink == nil || !same(&d, &r.of) {
		if r.sink != nil {
			r.sink.close()
		}
		r.sink, r.of = r.opts.newSink(&d, r.opts), d
	}
	r.waits(r.pending[0].Time)
	done, lost, err := r.sink.send(ctx, r.pending)
	r.place.sent(r.pending[:done])
	r.count(done-lost, lost)
	r.pending = slices.Delete(r.pending, 0, done)
	if len(r.pending) == 0 {
		r.waits(time.Time{})
	}
	if time.Since(r.kept) > keepEvery {
		r.keep()
	}
	if done > 0 {
		r.delay = 0
	}
	switch {
	case ctx.Err() != nil:
		return false
	case err == nil:
		if r.told {
			r.logger.Info("it takes lines again")
		}
		r.told = false
		return true
	}
	r.failed(err)
	if r.stopping() {
		return false
	}
	var p *pausing
	pause := time.Duration(0)
	if errors.As(err, &p) {
		pause = p.pause
	}
	return r.wait(ctx, pause)
}

// wait waits until the next attempt, for ever longer; at least for a pause that was asked
// for. It says whether there is to be one.
func (r *runner) wait(ctx context.Context, pause time.Duration) bool {
	r.delay = min(max(2*r.delay, firstDelay), maxDelay)
	delay := time.Duration(float64(r.delay) * (1 + jitter*(2*rand.Float64()-1)))
	t := time.NewTimer(max(delay, pause))
	defer t.Stop()
	select {
	case <-t.C:
	case <-r.wake:
	case <-r.stop: // one more time
	case <-ctx.Done():
		return false
	}
	return true
}

func (r *runner) failed(err error) {
	r.mu.Lock()
	r.st.LastError, r.st.LastErrorAt = err.Error(), time.Now()
	r.mu.Unlock()
	if !r.told {
		r.logger.Warn("lines wait", "reason", err)
	}
	r.told = true
}

func (r *runner) waits(since time.Time) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.st.Behind = since
}

func (r *runner) count(sent, lost int) {
	r.mu.Lock()
	r.st.Sent += uint64(sent)
	r.st.Lost += uint64(lost)
	r.mu.Unlock()
	r.refused += lost
	if r.refused > 0 && time.Since(r.refusedAt) > tellEvery {
		r.logger.Warn("lines were refused", "lost", r.refused)
		r.refused, r.refusedAt = 0, time.Now()
	}
}

// tellEvery is how often it is said that lines are refused, at most.
const tellEvery = time.Minute

// missed counts what was gone before it was read.
func (r *runner) missed(err error) {
	var gap *gaffer.OutputGap
	var missed gaffer.Missed
	r.mu.Lock()
	if errors.As(err, &gap) {
		r.st.LostBytes += gap.Bytes
	} else if errors.As(err, &missed) {
		r.st.Lost += uint64(missed)
	}
	r.mu.Unlock()
	r.logger.Warn("lines are lost", "reason", err)
}

func (r *runner) status() Status {
	r.mu.Lock()
	defer r.mu.Unlock()
	st := r.st
	st.Name, st.Type, st.URL, st.Target, st.Streams = r.d.Name, r.d.Type, r.d.shown(), r.d.Target, append([]string{}, r.d.Streams...)
	return st
}
