package feed

import (
	"context"
	"errors"
	"io"
	"net/http"
	"slices"
	"strconv"
	"time"

	"github.com/gafferpm/gaffer"
)

// eventQuery is what a request for events asks for.
type eventQuery struct {
	target   gaffer.Target
	how      gaffer.EventOptions
	format   framing
	longpoll bool
	timeout  time.Duration // of a long poll
}

// Events serves GET /v1/events: server-sent events, lines of JSON, or the answer
// to a long poll.
func (f *Feed) Events(w http.ResponseWriter, r *http.Request, c gaffer.Controller) error {
	q, err := readEventQuery(r)
	if err != nil {
		return err
	}
	ctx, done, err := f.begin(r)
	if err != nil {
		return err
	}
	defer done()
	// The stream goes on for a moment when the server ends it.
	events, start, err := subscribe(r.Context(), c, q)
	if err != nil {
		return err
	}
	defer events.Close()
	if q.longpoll {
		return f.longPoll(ctx, w, events, start, q.timeout)
	}
	if q.how.Since != nil {
		w.Header().Set("Last-Event-ID", strconv.FormatUint(start, 10))
	}
	a := f.open(w, q.format.contentType())
	defer a.close()
	if r.Method == http.MethodHead {
		return nil
	}
	if q.format == (sse{}) && q.how.Since != nil {
		a.buf = sse{}.position(a.buffer(), start)
		a.flush()
	}
	p := pump[gaffer.Event]{answer: a, format: q.format, stream: events, ends: q.how.NoFollow, put: func(b []byte, e gaffer.Event) ([]byte, error) {
		enc, err := f.events.get(&e)
		if err != nil {
			return b, err
		}
		return q.format.event(b, enc), nil
	}}
	// The client sees no end, and asks again for what comes after the last number
	// it has: what the matter is it is told then.
	_ = p.run(ctx)
	return nil
}

// subscribe begins at a number wherever that can be known, so that a client that
// is cut before its first event can resume: start is that number.
func subscribe(ctx context.Context, c gaffer.Controller, q *eventQuery) (events gaffer.Stream[gaffer.Event], start uint64, err error) {
	if q.how.Since == nil && q.how.Tail == 0 && !q.how.NoFollow {
		if start, err = Latest(ctx, c); err != nil {
			return nil, 0, err
		}
		if start > 0 {
			q.how.Since = &start
		}
	}
	if q.how.Since != nil {
		start = *q.how.Since
	}
	events, err = c.Subscribe(ctx, q.target, q.how)
	return events, start, err
}

// Latest is the number of the latest event there is, 0 when there is none. A
// Controller that shows only some of the events would look for one of those for
// long: it may have a method Latest that asks for the number alone.
func Latest(ctx context.Context, c gaffer.Controller) (uint64, error) {
	type teller interface {
		Latest(context.Context) (uint64, error)
	}
	if teller, ok := c.(teller); ok {
		return teller.Latest(ctx)
	}
	events, err := c.Subscribe(ctx, gaffer.All, gaffer.EventOptions{Tail: 1, NoFollow: true})
	if err != nil {
		return 0, err
	}
	defer events.Close()
	for seq := uint64(0); ; {
		e, err := events.Next(ctx)
		var missed gaffer.Missed
		switch {
		case err == nil:
			seq = e.Seq
		case errors.As(err, &missed):
		case errors.Is(err, io.EOF):
			return seq, nil
		default:
			return 0, err
		}
	}
}

func readEventQuery(r *http.Request) (*eventQuery, error) {
	p := query(r, "target", "kind", "since", "tail", "follow", "feed", "timeout")
	q := &eventQuery{target: p.target()}
	for _, k := range p.list("kind") {
		if !slices.Contains(gaffer.Kinds(), gaffer.Kind(k)) {
			p.fault("kind", "%q: unknown; want some of %v", k, gaffer.Kinds())
		}
		q.how.Kinds = append(q.how.Kinds, gaffer.Kind(k))
	}
	q.how.Since = p.position(r)
	p.readFeed(q)
	if q.longpoll {
		p.readLongPoll(q)
	} else {
		q.how.Tail = p.tail(0)
		q.how.NoFollow = !p.truth("follow", true)
		if _, given := p.one("timeout"); given {
			p.fault("timeout", "only a long poll has one: feed=longpoll")
		}
	}
	if err := p.err(); err != nil {
		return nil, err
	}
	var err error
	if q.longpoll {
		_, err = accepted(r, wholeJSON{})
	} else {
		q.format, err = accepted(r, ndjson{}, sse{})
	}
	return q, err
}

// position is the number after which to begin: that of the Last-Event-ID header,
// else since.
func (p *params) position(r *http.Request) *uint64 {
	var since *uint64
	if value, given := p.one("since"); given {
		n, err := strconv.ParseUint(value, 10, 64)
		if err != nil {
			p.fault("since", "%q: want the number of an event", value)
		}
		since = &n
	}
	if value := r.Header.Get("Last-Event-ID"); value != "" {
		n, err := strconv.ParseUint(value, 10, 64)
		if err != nil {
			p.faults = append(p.faults, &ParamError{"header", "Last-Event-ID", invalidf("%q: want the number of an event", value)})
		}
		since = &n
	}
	return since
}

func (p *params) readFeed(q *eventQuery) {
	switch value, given := p.one("feed"); {
	case !given:
	case value == "longpoll":
		q.longpoll = true
	default:
		p.fault("feed", "%q: want longpoll, or none and an Accept header", value)
	}
}
