package feed

import (
	"context"
	"errors"
	"io"
	"net/http"
	"strconv"
	"time"

	"github.com/gafferpm/gaffer"
)

const (
	defaultTimeout = 30 * time.Second
	longestTimeout = 5 * time.Minute
	// mostPolled is how many events a long poll answers with.
	mostPolled = 1000
)

// wholeJSON is the format of a long poll's answer, which is written at once.
type wholeJSON struct{ ndjson }

func (wholeJSON) contentType() string { return "application/json" }

func (p *params) readLongPoll(q *eventQuery) {
	for _, name := range []string{"tail", "follow"} {
		if _, given := p.one(name); given {
			p.fault(name, "a long poll has none")
		}
	}
	q.timeout = p.duration("timeout", defaultTimeout)
	if q.timeout > longestTimeout {
		p.fault("timeout", "%s: want at most %s", q.timeout, longestTimeout)
	}
}

// poll is what a long poll has found.
type poll struct {
	last   uint64 // the next poll's since
	missed int
	count  int
	events []byte // in JSON, with commas
}

// longPoll answers with the events that are there, or else with the next, or
// else, after the timeout, with none.
func (f *Feed) longPoll(ctx context.Context, w http.ResponseWriter, events gaffer.Stream[gaffer.Event], since uint64, timeout time.Duration) error {
	found := poll{last: since}
	err := f.collect(ctx, events, &found, timeout)
	if ctx.Err() != nil && !errors.Is(context.Cause(ctx), errEnded) {
		return nil // the client is gone
	}
	if err != nil {
		return err
	}
	a := f.open(w, wholeJSON{}.contentType())
	defer a.close()
	a.buf = found.append(a.buffer())
	a.flush()
	return nil
}

// collect waits for an event, and takes those that wait behind it along.
func (f *Feed) collect(ctx context.Context, events gaffer.Stream[gaffer.Event], found *poll, timeout time.Duration) error {
	wait, cancel := context.WithTimeout(ctx, max(timeout, gatherTime))
	defer cancel()
	err := f.poll(wait, events, found)
	soon, cancel := context.WithTimeout(ctx, gatherTime)
	defer cancel()
	for err == nil && found.count < mostPolled && events.Len() > 0 {
		wait = soon
		err = f.poll(wait, events, found)
	}
	if errors.Is(err, io.EOF) || wait.Err() != nil {
		return nil
	}
	return err
}

// poll takes the next event.
func (f *Feed) poll(ctx context.Context, events gaffer.Stream[gaffer.Event], found *poll) error {
	e, err := events.Next(ctx)
	var missed gaffer.Missed
	if errors.As(err, &missed) {
		// Whatever follows a loss has a greater number than this.
		found.missed += int(missed)
		found.last += uint64(missed)
		return nil
	}
	if err != nil {
		return err
	}
	enc, err := f.events.get(&e)
	if err != nil {
		return err
	}
	if found.count > 0 {
		found.events = append(found.events, ',')
	}
	found.events = append(found.events, enc.json()...)
	found.count++
	found.last = e.Seq
	return nil
}

func (p *poll) append(b []byte) []byte {
	b = append(b, `{"last":`...)
	b = strconv.AppendUint(b, p.last, 10)
	b = append(b, `,"events":[`...)
	b = append(b, p.events...)
	b = append(b, `],"missed":`...)
	b = strconv.AppendInt(b, int64(p.missed), 10)
	return append(b, "}\n"...)
}
