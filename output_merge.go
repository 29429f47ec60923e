package gaffer

import (
	"context"
	"errors"
	"io"
	"slices"
	"sync"
	"sync/atomic"
)

// arranged is output from memory in which what was written before comes in the order of
// time, not process by process, and without what was not asked for. It belongs to its
// reader.
type arranged struct {
	Stream[Output]
	how    OutputOptions
	match  matcher
	ready  []Output
	missed int // lost of what was there before
	closed atomic.Bool
}

func arrange(ctx context.Context, s Stream[Output], how OutputOptions, match matcher) *arranged {
	a := &arranged{Stream: s, how: how, match: match}
	for n := s.Len(); n > 0; n-- {
		o, err := s.Next(ctx)
		var missed Missed
		switch {
		case errors.As(err, &missed): // they were the oldest of what waited
			a.missed += int(missed)
			n -= int(missed)
			continue
		case err != nil:
			n = 0
			continue
		}
		if a.wants(&o) {
			a.ready = append(a.ready, o)
		}
	}
	slices.SortStableFunc(a.ready, func(a, b Output) int { return a.Time.Compare(b.Time) })
	if how.Tail >= 0 && how.narrowed(match) { // else there is no more of it than was asked for
		a.ready = lastOfEach(a.ready, how.Tail, how.Raw)
	}
	return a
}

// narrowed says that not all lines are wanted.
func (how *OutputOptions) narrowed(match matcher) bool {
	return match != nil || !how.Since.IsZero() || !how.Until.IsZero()
}

func (a *arranged) wants(o *Output) bool {
	return (a.how.Since.IsZero() || !o.Time.Before(a.how.Since)) &&
		(a.how.Until.IsZero() || !o.Time.After(a.how.Until)) && (a.match == nil || a.match(o.Data))
}

// lastOfEach keeps of each process so many lines, or bytes.
func lastOfEach(list []Output, n int, raw bool) []Output {
	left := map[uint64]int{}
	var kept []Output
	for _, o := range slices.Backward(list) {
		if _, seen := left[o.ID]; !seen {
			left[o.ID] = n
		}
		if left[o.ID] <= 0 {
			continue
		}
		if raw {
			o.Data = o.Data[max(0, len(o.Data)-left[o.ID]):]
			left[o.ID] -= len(o.Data)
		} else {
			left[o.ID]--
		}
		kept = append(kept, o)
	}
	slices.Reverse(kept)
	return kept
}

// Next implements Stream.
func (a *arranged) Next(ctx context.Context) (Output, error) {
	if a.closed.Load() {
		return Output{}, io.EOF
	}
	if n := a.missed; n > 0 {
		a.missed = 0
		return Output{}, Missed(n)
	}
	if len(a.ready) > 0 {
		o := a.ready[0]
		a.ready[0] = Output{}
		a.ready = a.ready[1:]
		return o, nil
	}
	for {
		o, err := a.Stream.Next(ctx)
		if err != nil || a.wants(&o) {
			return o, err
		}
	}
}

// Len implements Stream. What waits may be unwanted.
func (a *arranged) Len() int {
	if a.how.narrowed(a.match) {
		return len(a.ready)
	}
	return len(a.ready) + a.Stream.Len()
}

// Close implements Stream.
func (a *arranged) Close() {
	a.closed.Store(true)
	a.Stream.Close()
}

// both is what is in files and what is in memory as one stream: what was written before
// in the order of time, then what comes. It belongs to its reader.
type both struct {
	files  Stream[Output]
	memory *arranged
	head   *Output // of the files, not delivered yet

	ctx    context.Context
	cancel context.CancelFunc
	values chan valueOf // nil: what was written before is not through
	ended  sync.WaitGroup
}

type valueOf struct {
	o   Output
	err error
}

func joined(files Stream[Output], memory *arranged) Stream[Output] {
	b := &both{files: files, memory: memory}
	b.ctx, b.cancel = context.WithCancel(context.Background())
	return b
}

// before is the next of what was written before; nothing, when that is through.
func (b *both) before(ctx context.Context) (o Output, ok bool, err error) {
	if b.memory.missed > 0 {
		o, err = b.memory.Next(ctx)
		return o, true, err
	}
	if b.head == nil && b.files.Len() > 0 {
		o, err := b.files.Next(ctx)
		if err != nil {
			return o, !errors.Is(err, io.EOF), err
		}
		b.head = &o
	}
	ready := b.memory.ready
	switch {
	case b.head != nil && (len(ready) == 0 || !ready[0].Time.Before(b.head.Time)):
		o, b.head = *b.head, nil
		return o, true, nil
	case len(ready) > 0:
		o, err = b.memory.Next(ctx)
		return o, true, err
	}
	return Output{}, false, nil
}

// live begins to deliver what comes from both, as it comes.
func (b *both) live() {
	b.values = make(chan valueOf, 64)
	for _, part := range []Stream[Output]{b.files, b.memory} {
		b.ended.Go(func() { b.pump(part) })
	}
	go func() {
		b.ended.Wait()
		close(b.values)
	}()
}

func (b *both) pump(part Stream[Output]) {
	for {
		o, err := part.Next(b.ctx)
		var missed Missed
		if err != nil && !errors.As(err, &missed) {
			return
		}
		select {
		case b.values <- valueOf{o, err}:
		case <-b.ctx.Done():
			return
		}
	}
}

// Next implements Stream.
func (b *both) Next(ctx context.Context) (Output, error) {
	if err := ctx.Err(); err != nil {
		return Output{}, err
	}
	if b.ctx.Err() != nil {
		return Output{}, io.EOF
	}
	if b.values == nil {
		if o, ok, err := b.before(ctx); ok {
			return o, err
		}
		b.live()
	}
	select {
	case v, ok := <-b.values:
		if !ok {
			return Output{}, io.EOF
		}
		return v.o, v.err
	case <-ctx.Done():
		return Output{}, ctx.Err()
	}
}

// Len implements Stream.
func (b *both) Len() int {
	if b.values != nil {
		return len(b.values)
	}
	n := b.files.Len() + b.memory.Len()
	if b.head != nil {
		n++
	}
	return n
}

// Close implements Stream.
func (b *both) Close() {
	b.files.Close()
	b.memory.Close()
	b.cancel()
}
