package webhook

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"time"
)

// lane is what waits of one template. Its first letter is posted, or waits for its
// next attempt; the others wait for that one.
type lane struct {
	letters []*letter
	flying  bool
	next    time.Time // of the next attempt
}

// enqueue adds a letter to its lane, in the order of numbers.
func (s *sender) enqueue(l *letter) {
	q := s.lanes[l.name]
	if q == nil {
		q = &lane{}
		s.lanes[l.name] = q
	}
	i, _ := slices.BinarySearchFunc(q.letters, l.seq, func(o *letter, seq uint64) int { return cmp.Compare(o.seq, seq) })
	switch {
	case i == 0 && q.flying:
		i = 1 // what is under way stays first
	case i == 0:
		q.next = time.Time{}
	}
	q.letters = slices.Insert(q.letters, i, l)
	s.pending++
}

func earlier(a, b time.Time) time.Time {
	if a.IsZero() || b.Before(a) {
		return b
	}
	return a
}

// dispatch starts posts, the oldest events first, and says when the next lane that
// waits is due; zero: none is.
func (s *sender) dispatch(ctx context.Context, now time.Time) (due time.Time) {
	if s.disabled || ctx.Err() != nil {
		return due
	}
	if s.notBefore.After(now) {
		return s.notBefore
	}
	var ready []*lane
	for _, q := range s.lanes {
		switch {
		case q.flying:
		case s.draining && !q.next.IsZero(): // has failed: not at once
		case q.next.After(now):
			due = earlier(due, q.next)
		default:
			ready = append(ready, q)
		}
	}
	slices.SortFunc(ready, func(a, b *lane) int { return cmp.Compare(a.letters[0].seq, b.letters[0].seq) })
	for _, q := range ready {
		if s.flying == parallel {
			break // the end of a post wakes
		}
		s.send(ctx, q)
	}
	return due
}

// send posts the first letter of a lane.
func (s *sender) send(ctx context.Context, q *lane) {
	hook, client, l := s.hook, s.client, q.letters[0]
	q.flying = true
	s.flying++
	s.posts.Go(func() {
		o := post(ctx, client, &hook, s.agent, l)
		s.mu.Lock()
		defer s.mu.Unlock()
		q.flying = false
		s.flying--
		if o.err == nil || ctx.Err() == nil {
			s.posted(q, l, o, time.Now())
		}
		poke(s.wake)
	})
}

// posted notes what became of the first letter of a lane.
func (s *sender) posted(q *lane, l *letter, o outcome, now time.Time) {
	if o.err == nil {
		s.delivered++
		s.leave(q)
		s.forget(l)
		return
	}
	s.failed++
	l.Attempts++
	l.Error = o.err.Error()
	s.lastError, s.lastTime = l.Error, now
	if o.retryAfter > 0 {
		s.notBefore = now.Add(o.retryAfter)
	}
	switch {
	case o.gone:
		s.disabled = true
		s.logger.Warn("the receiver is gone: nothing is posted until the configuration is read again")
	case l.Attempts >= s.hook.MaxAttempts || now.Sub(l.Since) >= s.hook.MaxAge:
		s.leave(q)
		s.bury(l, now)
		return
	}
	q.next = now.Add(delay(l.Attempts))
	s.logger.Debug("event is not taken", "seq", l.seq, "attempts", l.Attempts, "error", l.Error)
	s.keep(l)
}

// leave takes the first letter out of its lane.
func (s *sender) leave(q *lane) {
	l := q.letters[0]
	q.letters = q.letters[1:]
	q.next = time.Time{}
	s.pending--
	if len(q.letters) == 0 {
		delete(s.lanes, l.name)
	}
}

// bury makes a letter a dead one.
func (s *sender) bury(l *letter, now time.Time) {
	l.Dead = now
	s.logger.Error("event is given up", "seq", l.seq, "kind", l.kind, "name", l.name, "attempts", l.Attempts, "error", l.Error)
	s.dead = append(s.dead, l)
	s.keep(l)
	if len(s.dead) > maxDead {
		s.forget(s.dead[0])
		s.dead = slices.Delete(s.dead, 0, 1)
		s.lose(1, "too many dead letters")
	}
}

// retry queues all dead letters again, and says how many. The error says that this
// is done, and not kept yet.
func (s *sender) retry(now time.Time) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	n := len(s.dead)
	for _, l := range s.dead {
		l.Dead, l.Attempts, l.Since = time.Time{}, 0, now
		s.enqueue(l)
		s.keep(l)
	}
	s.dead = nil
	poke(s.wake)
	if err := s.store(now, true); err != nil {
		return n, fmt.Errorf("webhook %s: queued again, but not kept: %w", s.hook.Name, err)
	}
	return n, nil
}
