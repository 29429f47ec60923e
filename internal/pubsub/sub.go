package pubsub

import (
	"context"
	"io"
	"sync"
)

// Sub is one subscription. One goroutine at a time may read from it; Close and
// Len may be called from any.
type Sub[T any] struct {
	topic *Topic[T]
	keep  func(*T) bool
	index int           // in topic.subs; guarded by topic.mu
	wake  chan struct{} // holds a token when there may be news for the reader

	mu    sync.Mutex // guards the fields below
	queue queue[T]
	state state
}

type state uint8

const (
	open     state = iota
	draining       // the topic has ended: what waits is still delivered
	closed         // the reader has ended it: nothing more is delivered
)

// Next returns the next value, and waits for it if need be. Its errors are
//
//   - Missed, once for each gap, before the first value after it;
//   - io.EOF when the subscription was closed, or when the topic was closed and
//     all that waited has been read;
//   - the error of ctx when ctx has ended. Nothing is lost by that: a later Next
//     goes on where this one was.
func (s *Sub[T]) Next(ctx context.Context) (T, error) {
	for {
		if err := ctx.Err(); err != nil {
			var none T
			return none, err
		}
		if v, ok, err := s.take(); ok {
			return v, err
		}
		select {
		case <-s.wake:
		case <-ctx.Done():
		}
	}
}

// Len is how many values wait to be read.
func (s *Sub[T]) Len() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.queue.n
}

// Close ends the subscription and frees what waits in it. A Next that is waiting
// returns io.EOF. Closing again does nothing.
func (s *Sub[T]) Close() {
	s.topic.remove(s)
	s.end(closed)
}

// take is Next without waiting; it is not ok when there is nothing to say yet.
func (s *Sub[T]) take() (v T, ok bool, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.queue.missed > 0 {
		err = Missed(s.queue.missed)
		s.queue.missed = 0
		return v, true, err
	}
	if v, ok = s.queue.pop(); ok {
		return v, true, nil
	}
	if s.state != open {
		return v, true, io.EOF
	}
	return v, false, nil
}

func (s *Sub[T]) put(v T) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.state == open {
		s.queue.push(v)
		s.notify()
	}
}

func (s *Sub[T]) end(as state) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.state = as
	if as == closed {
		s.queue = queue[T]{}
	}
	s.notify()
}

// notify leaves a token for the reader. One is enough: the reader looks at
// everything before it waits again.
func (s *Sub[T]) notify() {
	select {
	case s.wake <- struct{}{}:
	default:
	}
}
