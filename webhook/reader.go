package webhook

import (
	"context"
	"errors"
	"io"
	"time"

	"github.com/gafferpm/gaffer"
)

// readAtOnce is how many events are taken in together.
const readAtOnce = 256

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
		err := s.follow(ctx, from)
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

// follow reads events from the cursor on.
func (s *sender) follow(ctx context.Context, from source) error {
	events, err := s.open(ctx, from, false)
	if err != nil {
		return err
	}
	defer events.Close()
	for {
		if !s.take(nil) {
			select {
			case <-ctx.Done():
				return ctx.Err()
			case <-s.room:
			}
			continue
		}
		if err := s.batch(ctx, events); err != nil {
			return err
		}
	}
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

// batch takes in the next event, and those that wait behind it.
func (s *sender) batch(ctx context.Context, events gaffer.Stream[gaffer.Event]) error {
	var list []gaffer.Event
	for len(list) == 0 || len(list) < readAtOnce && events.Len() > 0 {
		e, err := events.Next(ctx)
		var missed gaffer.Missed
		switch {
		case errors.As(err, &missed):
			s.mu.Lock()
			s.lose(uint64(missed), "the journal does not have them any more")
			s.mu.Unlock()
			continue
		case err != nil:
			s.take(list)
			return err
		}
		list = append(list, e)
	}
	s.take(list)
	return nil
}

// catchUp takes in what has happened so far.
func (s *sender) catchUp(ctx context.Context, from source) error {
	events, err := s.open(ctx, from, true)
	if err != nil {
		return err
	}
	defer events.Close()
	for s.take(nil) {
		if err := s.batch(ctx, events); err != nil {
			if errors.Is(err, io.EOF) {
				return nil
			}
			return err
		}
	}
	return nil // the rest waits in the journal
}
