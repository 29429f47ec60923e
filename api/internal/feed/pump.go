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
	// lastTime is how long a stream may go on that the server ends.
	lastTime = time.Second
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

	beat, soon patience
}

// run goes on until the stream has ended, its context has, or the client takes
// no more. The error is that of the stream, unless that is its end.
func (p *pump[T]) run(ctx context.Context) error {
	defer p.beat.end()
	defer p.soon.end()
	for {
		err := p.gather(ctx)
		a := p.answer
		switch {
		case err == nil:
		case ctx.Err() != nil && !errors.Is(context.Cause(ctx), errEnded):
			return nil // the client is gone
		case ctx.Err() != nil || errors.Is(err, io.EOF):
			if err = p.last(); err != nil {
				a.flush()
				return err
			}
			a.buf = p.format.end(a.buffer())
			a.flush()
			return nil
		case errors.Is(err, errSilent):
			if time.Since(a.sent) >= a.feed.opts.Heartbeat {
				a.buf, a.sent = p.format.heartbeat(a.buffer()), time.Now()
			}
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

// last takes along what is there when the server ends the stream: what it has done
// to end is to be heard, too.
func (p *pump[T]) last() error {
	for deadline := time.Now().Add(lastTime); time.Now().Before(deadline); {
		ctx, cancel := context.WithTimeout(context.Background(), gatherTime)
		v, err := p.stream.Next(ctx)
		over := ctx.Err() != nil && errors.Is(err, ctx.Err()) || errors.Is(err, io.EOF)
		cancel()
		if over {
			return nil
		}
		if err := p.add(v, err); err != nil {
			return err
		}
		if len(p.answer.buf) >= fullBatch && !p.answer.flush() {
			return nil
		}
	}
	return nil
}

// gather waits for a value, and takes those along that wait behind it when it is
// time to write.
func (p *pump[T]) gather(ctx context.Context) error {
	v, err := p.stream.Next(p.beat.within(ctx, time.Until(p.answer.sent.Add(p.answer.feed.opts.Heartbeat))))
	if p.beat.lost(ctx, err) {
		return errSilent
	}
	if !p.ends {
		p.rest(ctx, err)
	}
	if err := p.add(v, err); err != nil {
		return err
	}
	if !p.ends && p.stream.Len() == 0 {
		return nil
	}
	soon := p.soon.within(ctx, gatherTime)
	defer p.soon.pause()
	for n := 1; n < fullCount && len(p.answer.buf) < fullBatch && (p.ends || p.stream.Len() > 0); n++ {
		v, err := p.stream.Next(soon)
		if p.soon.lost(ctx, err) {
			return nil
		}
		if err := p.add(v, err); err != nil {
			return err
		}
	}
	return nil
}

// rest waits until it is time to write. There is no buffer yet that would be kept
// from others.
func (p *pump[T]) rest(ctx context.Context, err error) {
	var missed gaffer.Missed
	left := time.Until(p.answer.sent.Add(p.answer.feed.pause()))
	if left <= 0 || p.stream.Len() >= fullCount/4 || err != nil && !errors.As(err, &missed) {
		return
	}
	timer := time.NewTimer(left)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
}

// add appends what a stream has delivered: a value, or the mark of a loss.
func (p *pump[T]) add(v T, err error) error {
	var missed gaffer.Missed
	switch {
	case err == nil:
		p.answer.buf, err = p.put(p.answer.buffer(), v)
	case errors.As(err, &missed):
		p.answer.buf, err = p.format.missed(p.answer.buffer(), int(missed)), nil
	}
	return err
}
