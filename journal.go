package gaffer

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"github.com/gafferpm/gaffer/internal/pubsub"
)

const (
	// waitingEvents is how many events may wait for a subscriber before it is
	// served from the journal.
	waitingEvents = 256
	// recentEvents is how many events stay in memory.
	recentEvents = 4096
)

// Journal keeps events for those who come later, and beyond the manager's end.
type Journal interface {
	// Append keeps events, whose numbers follow each other. It is called before
	// anyone else sees them, and by one goroutine at a time. Events of which it
	// returns an error are published all the same, and missing later.
	Append(events []Event) error
	// Read returns up to limit events with numbers greater than after, in order. It
	// begins with the oldest there is when those before it are gone. It is called
	// from any goroutine.
	Read(after uint64, limit int) ([]Event, error)
	// Last is the greatest number that was, or may have been, given to an event,
	// and to a process: those to come are greater.
	Last() (seq, id uint64)
}

// events numbers events, has them kept and hands them to subscribers.
type events struct {
	node   string
	kept   Journal // nil: only memory
	logger *slog.Logger
	box    mailbox              // appends to kept, beside the keepers
	topic  pubsub.Topic[*Event] // they are not changed any more

	mu      sync.Mutex // guards the rest, and makes the order of numbers that of delivery
	seq     uint64     // the last number given out
	shown   uint64     // the last one that was published; those after it are pending
	pending []Event    // numbered and not yet kept
	then    []func()   // to be called when what is pending was kept
	past    memory     // what was published, by template and slot
	recent  []*Event   // the latest that were published; a ring once it is full
	next    int        // in the ring: the place of the oldest, which is overwritten next
	failing bool       // the last append failed

	archivedAt uint64 // the last event that is in the archive; belongs to box
}

func (j *events) write(e Event) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.seq++
	e.Seq, e.Time, e.Node = j.seq, time.Now(), j.node
	if j.kept == nil {
		j.publish(e)
		return
	}
	j.pending = append(j.pending, e)
	if len(j.pending) == 1 {
		j.box.post(j.flush)
	}
}

// after calls f when what was written so far is kept.
func (j *events) after(f func()) {
	j.mu.Lock()
	now := len(j.pending) == 0
	if !now {
		j.then = append(j.then, f)
	}
	j.mu.Unlock()
	if now { // it may be on its way into the journal: f comes after that
		j.box.post(f)
	}
}

// publish shows an event to everybody. The lock is held.
func (j *events) publish(e Event) {
	j.shown = e.Seq
	j.past.note(&e)
	if len(j.recent) < recentEvents {
		j.recent = append(j.recent, &e)
	} else {
		j.recent[j.next] = &e
		j.next = (j.next + 1) % len(j.recent)
	}
	j.topic.Publish(&e)
}

// flush keeps what is pending and then publishes it. It runs in the box.
func (j *events) flush() {
	j.mu.Lock()
	batch, then := j.pending, j.then
	j.pending, j.then = nil, nil
	j.mu.Unlock()
	for _, f := range then {
		defer f()
	}
	if len(batch) == 0 {
		return
	}
	err := j.kept.Append(batch)
	if err != nil && !j.failing {
		j.logger.Error("events are not kept", "error", err)
	}
	j.mu.Lock()
	j.failing = err != nil
	for _, e := range batch {
		j.publish(e)
	}
	j.mu.Unlock()
	if batch[len(batch)-1].Seq-j.archivedAt >= keepPastEvery {
		j.archive()
	}
}

// settle returns when all that was written is published.
func (j *events) settle(ctx context.Context) error {
	if j.kept == nil {
		return nil
	}
	return j.box.do(ctx, j.flush)
}

func (j *events) close() {
	_ = j.settle(context.Background()) // the context does not end
	if j.kept != nil {
		_ = j.box.do(context.Background(), j.archive)
	}
	j.topic.Close()
}

// read returns up to limit events after a number, from memory where they are
// there.
func (j *events) read(after uint64, limit int) ([]Event, error) {
	if list, ok := j.remembered(after, limit); ok || j.kept == nil {
		return list, nil
	}
	return j.kept.Read(after, limit)
}

// remembered are events after a number out of memory. ok says that none is
// missing.
func (j *events) remembered(after uint64, limit int) (list []Event, ok bool) {
	j.mu.Lock()
	defer j.mu.Unlock()
	n := len(j.recent)
	if n == 0 {
		return nil, after >= j.seq
	}
	at := func(i int) *Event { return j.recent[(j.next+i)%n] }
	oldest := at(0).Seq
	skip := 0
	if after >= oldest {
		skip = int(min(after-oldest+1, uint64(n)))
	}
	for i := skip; i < n && len(list) < limit; i++ {
		list = append(list, *at(i))
	}
	return list, after+1 >= oldest
}

// last is the number of the latest event that was given out, and of the latest that
// was published.
func (j *events) last() (given, shown uint64) {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.seq, j.shown
}

// Audit publishes an event that says who asked for a change, of what, and for
// what.
func (m *Manager) Audit(by, name, message string) {
	m.events.write(Event{Kind: KindAudit, By: by, Name: name, Message: message})
}
