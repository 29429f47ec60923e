package gaffer

import (
	"context"
	"errors"
	"io"
	"slices"
	"sync/atomic"

	"github.com/gafferpm/gaffer/internal/pubsub"
)

// readAtOnce is how many events are read from the journal at a time.
const readAtOnce = 128

// tailReach is how far back events are looked for that a tail wants.
const tailReach = 1 << 16

// subscription delivers events: from the journal as long as it is behind, then as
// they come. A reader that is too slow for those is behind again, so that it
// misses only what the journal does not have any more. It belongs to its reader.
type subscription struct {
	j      *events
	live   *pubsub.Sub[*Event] // nil when nothing to come is wanted
	keep   func(*Event) bool
	last   uint64      // up to this one all is in back, was delivered, or is not wanted
	until  uint64      // without live: the last one to deliver
	back   []Event     // read from the journal, not yet delivered
	behind bool        // the journal may have more of it
	closed atomic.Bool // anybody's
}

// Subscribe implements Controller. Templates that do not exist yet can be
// subscribed to.
func (m *Manager) Subscribe(ctx context.Context, target Target, how EventOptions) (Stream[Event], error) {
	sel, err := target.parse()
	if err != nil {
		return nil, err
	}
	wanted, err := kindSet(how.Kinds)
	if err != nil {
		return nil, err
	}
	if how.Tail < -1 {
		return nil, invalidf("tail %d: want -1 (all), 0 or more", how.Tail)
	}
	if err := m.events.settle(ctx); err != nil {
		return nil, err
	}
	s := &subscription{j: &m.events, keep: func(e *Event) bool {
		return (wanted == nil || wanted[e.Kind]) && sel.process(e.Name, e.Slot, e.ID)
	}}
	if !how.NoFollow {
		s.live = m.events.topic.Subscribe(waitingEvents, func(e **Event) bool { return s.keep(*e) })
	}
	if err := s.rewind(how); err != nil {
		s.Close()
		return nil, err
	}
	return withContext[Event](ctx, s), nil
}

// rewind goes back to where the subscription is to begin.
func (s *subscription) rewind(how EventOptions) error {
	given, shown := s.j.last()
	s.until, s.last = shown, shown
	switch {
	case how.Since != nil && *how.Since > given:
		return invalidf("since %d: the last event is %d", *how.Since, given)
	case how.Since != nil:
		s.last, s.behind = *how.Since, true
	case how.Tail == -1:
		oldest, err := s.j.oldest()
		if err != nil {
			return err
		}
		s.last, s.behind = oldest-1, true
	case how.Tail > 0:
		if err := s.tail(how.Tail); err != nil {
			return err
		}
	}
	if s.behind {
		return nil
	}
	return s.passOver(context.Background()) // which does not wait
}

// oldest is the number of the oldest event there is, or will be.
func (j *events) oldest() (uint64, error) {
	list, err := j.read(0, 1)
	if err != nil || len(list) == 0 {
		_, shown := j.last()
		return shown + 1, err
	}
	return list[0].Seq, nil
}

// tail goes back as many events as that. It can't know how many of them are wanted,
// so it looks at ever more of the journal, up to tailReach.
func (s *subscription) tail(n int) error {
	reach := s.until - min(tailReach, s.until)
	window := uint64(min(max(n, readAtOnce), tailReach))
	for end := s.until; end > reach && len(s.back) < n; window *= 2 {
		from := end - min(window, end-reach)
		found, there, err := s.between(from, end)
		if err != nil {
			return err
		}
		s.back = append(found, s.back...)
		if !there {
			break
		}
		end = from
	}
	s.back = slices.Clone(s.back[max(0, len(s.back)-n):])
	return nil
}

// between reads the wanted events after a number up to another one, and says whether
// there were any at all.
func (s *subscription) between(after, until uint64) (found []Event, there bool, err error) {
	for after < until {
		list, err := s.j.read(after, readAtOnce)
		if err != nil {
			return nil, false, err
		}
		if len(list) == 0 || list[0].Seq > until {
			break
		}
		there = true
		for i := range list {
			if list[i].Seq <= until && s.keep(&list[i]) {
				found = append(found, list[i])
			}
		}
		after = list[len(list)-1].Seq
	}
	return found, there, nil
}

// Next implements Stream.
func (s *subscription) Next(ctx context.Context) (Event, error) {
	for {
		switch {
		case s.closed.Load():
			return Event{}, io.EOF
		case len(s.back) > 0:
			e := s.back[0]
			s.back = s.back[1:]
			return e, nil
		case s.behind:
			if err := s.catchUp(ctx); err != nil {
				return Event{}, err
			}
			continue
		case s.live == nil:
			return Event{}, io.EOF
		}
		e, err := s.live.Next(ctx)
		var missed Missed
		switch {
		case errors.As(err, &missed) && s.has(s.last+1):
			s.behind = true
		case err != nil:
			return Event{}, err
		case e.Seq > s.last:
			s.last = e.Seq
			return *e, nil
		}
	}
}

func (s *subscription) has(seq uint64) bool {
	oldest, err := s.j.oldest()
	return err == nil && oldest <= seq
}

// catchUp reads on in the journal. What is not there any more is Missed.
func (s *subscription) catchUp(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	list, err := s.j.read(s.last, readAtOnce)
	if err != nil {
		return err
	}
	if s.live == nil {
		list = slices.DeleteFunc(list, func(e Event) bool { return e.Seq > s.until })
	}
	if len(list) == 0 {
		s.behind = false
		return s.passOver(ctx)
	}
	if gap := list[0].Seq - s.last - 1; gap > 0 {
		s.last = list[0].Seq - 1
		return Missed(gap)
	}
	end := list[len(list)-1].Seq
	for i := range list {
		// A number that is missing in between was never kept.
		if i > 0 && list[i].Seq != list[i-1].Seq+1 {
			list, end = list[:i], list[i-1].Seq
			break
		}
	}
	s.back = slices.DeleteFunc(list, func(e Event) bool { return !s.keep(&e) })
	s.last = end
	return nil
}

// passOver takes out of live what was delivered from the journal already.
func (s *subscription) passOver(ctx context.Context) error {
	for s.live != nil && s.live.Len() > 0 {
		e, err := s.live.Next(ctx)
		var missed Missed
		switch {
		case errors.As(err, &missed) && s.has(s.last+1):
			s.behind = true
			return nil
		case err != nil:
			return err
		case e.Seq > s.last:
			s.last, s.back = e.Seq, append(s.back, *e)
			return nil
		}
	}
	return nil
}

// Len implements Stream.
func (s *subscription) Len() int {
	if s.live == nil || s.behind {
		return len(s.back) // what else there is shows only when it is read
	}
	return len(s.back) + s.live.Len()
}

// Close implements Stream.
func (s *subscription) Close() {
	s.closed.Store(true)
	if s.live != nil {
		s.live.Close()
	}
}

func kindSet(kinds []Kind) (map[Kind]bool, error) {
	if len(kinds) == 0 {
		return nil, nil
	}
	known := map[Kind]bool{}
	for _, k := range Kinds() {
		known[k] = true
	}
	wanted := map[Kind]bool{}
	for _, k := range kinds {
		if !known[k] {
			return nil, invalidf("event kind %q: unknown; want one of %v", k, Kinds())
		}
		wanted[k] = true
	}
	return wanted, nil
}

// withContext closes a stream when the context ends that it was made with.
func withContext[T any](ctx context.Context, s Stream[T]) Stream[T] {
	return &bound[T]{s, context.AfterFunc(ctx, s.Close)}
}

type bound[T any] struct {
	Stream[T]
	unbind func() bool
}

func (b *bound[T]) Close() {
	b.unbind()
	b.Stream.Close()
}
