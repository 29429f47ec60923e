package gaffer

import (
	"context"
	"sync"
)

// mailbox runs what is put into it one at a time and in order, on a goroutine
// that exists only while there is something to run: ten thousand idle owners
// cost no goroutine. What belongs to the owner of a mailbox is touched only by
// what the mailbox runs.
type mailbox struct {
	after func() // runs after each letter, as part of it; may be nil

	mu    sync.Mutex // guards the rest
	queue []letter
	busy  bool // something runs
}

// letter is what a mailbox runs; done is closed when it has run, unless nil.
type letter struct {
	run  func()
	done chan struct{}
}

// post puts f into the box and returns at once.
func (b *mailbox) post(f func()) { b.put(letter{run: f}) }

// hand runs f now if the box is idle, else when its turn comes. It is for callers
// who may as well do the work themselves: it saves waking another goroutine, which
// on an idle system takes longer than the work.
func (b *mailbox) hand(f func()) {
	if !b.inline(f) {
		b.post(f)
	}
}

func (b *mailbox) put(l letter) {
	b.mu.Lock()
	b.queue = append(b.queue, l)
	start := !b.busy
	b.busy = true
	b.mu.Unlock()
	if start {
		go b.drain()
	}
}

// do runs f in the box and waits until it has run; a context that ends first
// ends the waiting only. An idle box is run by the caller itself.
func (b *mailbox) do(ctx context.Context, f func()) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if b.inline(f) {
		return nil
	}
	l := letter{run: f, done: make(chan struct{})}
	b.put(l)
	select {
	case <-l.done:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// settle waits until what runs now, or is to, has run. An idle box costs nothing.
func (b *mailbox) settle(ctx context.Context) error {
	b.mu.Lock()
	busy := b.busy
	b.mu.Unlock()
	if !busy {
		return nil
	}
	return b.do(ctx, func() {})
}

// inline runs f on the caller's goroutine if the box is idle.
func (b *mailbox) inline(f func()) bool {
	b.mu.Lock()
	if b.busy {
		b.mu.Unlock()
		return false
	}
	b.busy = true
	b.mu.Unlock()
	b.open(letter{run: f})
	b.mu.Lock()
	b.busy = len(b.queue) > 0
	more := b.busy
	b.mu.Unlock()
	if more {
		go b.drain()
	}
	return true
}

func (b *mailbox) open(l letter) {
	l.run()
	if b.after != nil {
		b.after()
	}
	if l.done != nil {
		close(l.done)
	}
}

func (b *mailbox) drain() {
	for {
		b.mu.Lock()
		if len(b.queue) == 0 {
			b.queue, b.busy = nil, false
			b.mu.Unlock()
			return
		}
		batch := b.queue
		b.queue = nil
		b.mu.Unlock()
		for _, l := range batch {
			b.open(l)
		}
	}
}
