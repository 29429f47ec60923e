package feed

import (
	"context"
	"errors"
	"io"
	"time"

	"github.com/gafferpm/gaffer"
)

const (
	// fullCount is how many values are looked at before what they gave is written.
	fullCount = 512
	// gatherTime is how long values that should be there are waited for when
	// others are to be written already.
	gatherTime = 5 * time.Millisecond
	// pace is the least time between writes, unless there is much to write: what
	// comes all the time is written, and its reader woken, a hundred times a second
	// and not for each value. What comes after a pause is written at once.
	pace = 10 * time.Millisecond
)

// errSilent says that a stream had nothing to say for the time of a heartbeat.
var errSilent = errors.New("silent")

// pump brings the values of a stream to a client.
type pump[T any] struct {
	answer *answer
	format framing
	stream gaffer.Stream[T]
	ends   bool // nothing of it is yet to come: no time is to be lost
	// put appends a value; it may append nothing.
	put func(b []byte, v T) ([]byte, error)
}

// run goes on until the stream has ended, its context has, or the client takes
// no more. The error is that of the stream, unless that is its end.
func (p *pump[T]) run(ctx context.Context) error {
	for {
		err := p.gather(ctx)
		a := p.answer
		switch {
		case err == nil:
		case ctx.Err() != nil && !errors.Is(context.Cause(ctx), errEnded):
			return nil // the client is gone
		case ctx.Err() != nil || errors.Is(err, io.EOF):
			a.buf = p.format.end(a.buffer())
			a.flush()
			return nil
		case errors.Is(err, errSilent):
			a.buf, a.sent = p.format.heartbeat(a.buffer()), time.Now()
		default:
			a.flush()
			return err
		}
		if len(a.buf) == 0 {
			a.release()
		} else if !a.flush() {
			return nil
		}
	}
}

// gather waits for a value, and takes those along that wait behind it when it is
// time to write.
func (p *pump[T]) gather(ctx context.Context) error {
	beat, cancel := context.WithDeadline(ctx, p.answer.sent.Add(p.answer.feed.opts.Heartbeat))
	defer cancel()
	err := p.take(beat)
	if err != nil && beat.Err() != nil && ctx.Err() == nil && errors.Is(err, context.DeadlineExceeded) {
		return errSilent
	}
	if err != nil {
		return err
	}
	if !p.ends {
		p.rest(ctx)
		if p.stream.Len() == 0 {
			return nil
		}
	}
	soon, cancel := context.WithTimeout(ctx, gatherTime)
	defer cancel()
	for n := 1; n < fullCount && len(p.answer.buf) < fullBatch && (p.ends || p.stream.Len() > 0); n++ {
		err := p.take(soon)
		if soon.Err() != nil && ctx.Err() == nil && errors.Is(err, context.DeadlineExceeded) {
			return nil
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// rest waits until it is time to write.
func (p *pump[T]) rest(ctx context.Context) {
	left := time.Until(p.answer.sent.Add(pace))
	if left <= 0 || len(p.answer.buf) >= fullBatch || p.stream.Len() >= fullCount/4 {
		return
	}
	timer := time.NewTimer(left)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
}

// take appends the next value, or the mark of a loss.
func (p *pump[T]) take(ctx context.Context) error {
	v, err := p.stream.Next(ctx)
	var missed gaffer.Missed
	switch {
	case errors.As(err, &missed):
		p.answer.buf = p.format.missed(p.answer.buffer(), int(missed))
		return nil
	case err != nil:
		return err
	}
	p.answer.buf, err = p.put(p.answer.buffer(), v)
	return err
}
