package feed

import (
	"context"
	"errors"
	"io"
	"slices"
	"time"

	"github.com/gafferpm/gaffer"
)

// arranged is output in which what was written before comes in the order of
// time, not process by process, and without what is not wanted. It belongs to
// its reader.
type arranged struct {
	gaffer.Stream[gaffer.Output]
	q      *logQuery
	before int             // so many of the stream's values were there when it began; -1: all
	missed int             // lost among those
	ready  []gaffer.Output // what was written before, arranged
	read   []gaffer.Output // the part of it that was read
}

func (q *logQuery) arrange(output gaffer.Stream[gaffer.Output]) *arranged {
	s := &arranged{Stream: output, q: q, before: output.Len()}
	if q.how.NoFollow {
		s.before = -1
	}
	return s
}

// Next implements gaffer.Stream.
func (s *arranged) Next(ctx context.Context) (gaffer.Output, error) {
	for s.before != 0 {
		if err := s.readBefore(ctx); err != nil {
			return gaffer.Output{}, err
		}
	}
	if s.missed > 0 {
		n := s.missed
		s.missed = 0
		return gaffer.Output{}, gaffer.Missed(n)
	}
	if len(s.ready) > 0 {
		o := s.ready[0]
		s.ready[0] = gaffer.Output{}
		s.ready = s.ready[1:]
		return o, nil
	}
	for {
		o, err := s.live(ctx)
		if err != nil || s.q.wants(&o) {
			return o, err
		}
	}
}

// live is the next value that is written, which is io.EOF when it is too late
// for any.
func (s *arranged) live(ctx context.Context) (gaffer.Output, error) {
	until := s.q.until
	if until.IsZero() {
		return s.Stream.Next(ctx)
	}
	if soon := time.Now().Add(gatherTime); until.Before(soon) {
		until = soon // what waits was written before
	}
	wait, cancel := context.WithDeadline(ctx, until)
	defer cancel()
	o, err := s.Stream.Next(wait)
	if err != nil && wait.Err() != nil && ctx.Err() == nil || err == nil && o.Time.After(s.q.until) {
		return gaffer.Output{}, io.EOF
	}
	return o, err
}

// Len implements gaffer.Stream.
func (s *arranged) Len() int { return s.Stream.Len() + len(s.ready) }

// readBefore reads a value of before; after the last one it arranges them.
func (s *arranged) readBefore(ctx context.Context) error {
	o, err := s.Stream.Next(ctx)
	var missed gaffer.Missed
	switch {
	case err == nil:
		if s.q.wants(&o) {
			s.read = append(s.read, o)
		}
		s.before = max(s.before-1, -1)
	case errors.As(err, &missed):
		// They were the oldest of what waited.
		s.missed += int(missed)
		if s.before > 0 {
			s.before = max(s.before-int(missed), 0)
		}
	case errors.Is(err, io.EOF):
		s.before = 0
	default:
		return err
	}
	if s.before == 0 {
		s.ready = s.arrangeBefore()
		s.read = nil
	}
	return nil
}

// arrangeBefore sorts what was read, and of each process keeps the tail: the
// stream has as much of it as is asked for only where nothing is left out.
func (s *arranged) arrangeBefore() []gaffer.Output {
	list := s.read
	slices.SortStableFunc(list, func(a, b gaffer.Output) int { return a.Time.Compare(b.Time) })
	if !s.q.filters() || s.q.how.Tail < 0 {
		return list
	}
	return lastOfEach(list, s.q.how.Tail, s.q.how.Raw)
}

// lastOfEach keeps of each process so many lines, or bytes.
func lastOfEach(list []gaffer.Output, n int, raw bool) []gaffer.Output {
	left := map[uint64]int{}
	var kept []gaffer.Output
	for _, o := range slices.Backward(list) {
		if _, seen := left[o.ID]; !seen {
			left[o.ID] = n
		}
		if left[o.ID] <= 0 {
			continue
		}
		if !raw {
			left[o.ID]--
			kept = append(kept, o)
			continue
		}
		o.Data = o.Data[max(0, len(o.Data)-left[o.ID]):]
		left[o.ID] -= len(o.Data)
		kept = append(kept, o)
	}
	slices.Reverse(kept)
	return kept
}
