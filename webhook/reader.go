package webhook

import (
	"context"
	"errors"
	"io"
	"time"

	"github.com/gafferpm/gaffer"
)

// source is where events come from.
type source interface {
	Subscribe(ctx context.Context, target gaffer.Target, how gaffer.EventOptions) (gaffer.Stream[gaffer.Event], error)
}

// begin makes the sender of a new hook start with what happens from now on.
func (s *sender) begin(ctx context.Context, from source) error {
	s.mu.Lock()
	begun := s.begun
	s.mu.Unlock()
	if begun {
		return nil
	}
	latest, err := from.Subscribe(ctx, gaffer.All, gaffer.EventOptions{Tail: 1, NoFollow: true})
	if err != nil {
		return err
	}
	defer latest.Close()
	e, err := latest.Next(ctx)
	if err != nil && !errors.Is(err, io.EOF) {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.cursor, s.begun = e.Seq, true
	s.save(time.Now(), true)
	return nil
}

// read takes in events until ctx ends or there are no more. What is not there any
// more is told; what can't be read is tried again.
func (s *sender) read(ctx context.Context, from source) {
	for attempt := 1; ; attempt++ {
		some, err := s.follow(ctx, from)
		if some {
			attempt = 1
		}
		if ctx.Err() != nil || errors.Is(err, io.EOF) || errors.Is(err, gaffer.ErrClosed) {
			return
		}
		s.logger.Error("events can't be read", "error", err)
		select {
		case <-ctx.Done():
			return
		case <-time.After(delay(attempt)):
		}
	}
}

// follow reads events from the cursor on, and says whether there were some.
func (s *sender) follow(ctx context.Context, from source) (some bool, err error) {
	events, err := s.open(ctx, from, false)
	if err != nil {
		return false, err
	}
	defer events.Close()
	for {
		a, err := next(ctx, events)
		if err != nil {
			return some, err
		}
		select {
		case s.arrivals <- a: // waits as long as the queue is full
			some = true
		case <-ctx.Done():
			return some, ctx.Err()
		}
	}
}

// arrival is an event, or the number of those that were missed before the next one.
type arrival struct {
	event  gaffer.Event
	missed uint64
}

func next(ctx context.Context, events gaffer.Stream[gaffer.Event]) (arrival, error) {
	e, err := events.Next(ctx)
	var missed gaffer.Missed
	if errors.As(err, &missed) {
		return arrival{missed: uint64(missed)}, nil
	}
	return arrival{event: e}, err
}

// open subscribes to what comes after the cursor. A cursor beyond the last event is
// that of another journal.
func (s *sender) open(ctx context.Context, from source, noFollow bool) (gaffer.Stream[gaffer.Event], error) {
	s.mu.Lock()
	since := s.cursor
	s.mu.Unlock()
	events, err := from.Subscribe(ctx, gaffer.All, gaffer.EventOptions{Since: &since, NoFollow: noFollow})
	if !errors.Is(err, gaffer.ErrInvalid) {
		return events, err
	}
	s.logger.Warn("the journal is another one: beginning with what it has", "cursor", since)
	s.mu.Lock()
	s.cursor = 0
	s.mu.Unlock()
	since = 0
	return from.Subscribe(ctx, gaffer.All, gaffer.EventOptions{Since: &since, NoFollow: noFollow})
}

// catchUp takes in what has happened so far, once the reader has ended. What there
// is no room for waits in the journal.
func (s *sender) catchUp(ctx context.Context, from source) error {
	for len(s.arrivals) > 0 {
		<-s.arrivals // comes again
	}
	events, err := s.open(ctx, from, true)
	if err != nil {
		return err
	}
	defer events.Close()
	for {
		a, err := next(ctx, events)
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		s.mu.Lock()
		full := s.full()
		if !full {
			s.take(&a, time.Now())
		}
		s.mu.Unlock()
		if full {
			return nil
		}
	}
}
