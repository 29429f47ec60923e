package gaffer

import (
	"context"
	"sync"
	"time"

	"github.com/gafferpm/gaffer/internal/pubsub"
)

// waitingEvents is how many events may wait for a subscriber.
const waitingEvents = 4096

// journal numbers events and hands them to subscribers.
type journal struct {
	mu    sync.Mutex // guards seq, and makes the order of numbers that of delivery
	seq   uint64
	topic pubsub.Topic[Event]
}

func (j *journal) write(node string, e Event) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.seq++
	e.Seq, e.Time, e.Node = j.seq, time.Now(), node
	j.topic.Publish(e)
}

func (j *journal) close() { j.topic.Close() }

// Subscribe implements Controller. Templates that do not exist yet can be
// subscribed to. What waits to be read is bounded by 4096 events.
func (m *Manager) Subscribe(ctx context.Context, target Target, kinds ...Kind) (Stream[Event], error) {
	sel, err := target.parse()
	if err != nil {
		return nil, err
	}
	wanted, err := kindSet(kinds)
	if err != nil {
		return nil, err
	}
	sub := m.journal.topic.Subscribe(waitingEvents, func(e *Event) bool {
		return (wanted == nil || wanted[e.Kind]) && sel.process(e.Name, e.Slot, e.ID)
	})
	return withContext(ctx, sub), nil
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
