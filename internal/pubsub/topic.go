// Package pubsub delivers values to readers of any speed. A Topic never waits
// for a reader: each Sub has a queue of its own with a limit, and a reader that
// falls behind loses the oldest values and is told how many, at the place in the
// order where they are missing.
package pubsub

import (
	"fmt"
	"sync"
)

// Missed is the error that stands in a reader's order for values it will not
// get, because its queue was full when newer ones came. It is how many are
// missing. Reading goes on after it.
type Missed int

func (m Missed) Error() string {
	return fmt.Sprintf("missed %d: read too slowly", int(m))
}

// Topic passes on what is published to everyone subscribed at that moment. All
// subscribers see the same order. The zero Topic is ready to use; a Topic must
// not be copied. Its methods may be called from any goroutine.
type Topic[T any] struct {
	// mu makes one order of all publishing, and guards the fields below. A Sub's
	// own lock may be taken while mu is held, never the other way round.
	mu     sync.Mutex
	subs   []*Sub[T]
	closed bool
	value  T // what is being published, for keep: a local variable would be allocated each time
}

// Publish hands v to every subscriber that keeps it. It never waits for a
// reader. On a closed topic it does nothing.
func (t *Topic[T]) Publish(v T) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.value = v
	for _, s := range t.subs {
		if s.keep == nil || s.keep(&t.value) {
			s.put(v)
		}
	}
	var none T
	t.value = none
}

// Subscribe starts a subscription to what is published from now on. Up to size
// values (at least 1) wait for the reader; the room for them is made as they
// come, so a subscriber that keeps up costs little whatever its size.
//
// keep chooses the values; nil keeps all. It is called by Publish with the topic
// locked, so it must be quick, must not use the topic, and must neither change
// nor retain the value.
//
// On a closed topic the subscription is at its end from the start.
func (t *Topic[T]) Subscribe(size int, keep func(*T) bool) *Sub[T] {
	s := &Sub[T]{topic: t, keep: keep, wake: make(chan struct{}, 1)}
	s.queue.limit = max(size, 1)
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.closed {
		s.state = draining
		return s
	}
	s.index = len(t.subs)
	t.subs = append(t.subs, s)
	return s
}

// Close ends the topic. Readers still get what waits for them, then io.EOF.
// Closing again does nothing.
func (t *Topic[T]) Close() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.closed = true
	for _, s := range t.subs {
		s.end(draining)
	}
	t.subs = nil
}

// remove forgets s, if the topic still knows it.
func (t *Topic[T]) remove(s *Sub[T]) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if s.index >= len(t.subs) || t.subs[s.index] != s {
		return
	}
	last := len(t.subs) - 1
	t.subs[s.index] = t.subs[last]
	t.subs[s.index].index = s.index
	t.subs[last] = nil
	t.subs = t.subs[:last]
}
