package output

import (
	"context"
	"io"
	"sync"
	"sync/atomic"
	"time"

	"github.com/gafferpm/gaffer/internal/pubsub"
)

const (
	// MaxRecord is the most bytes in one record; a longer line comes in pieces.
	MaxRecord = 64 << 10
	// DefaultLimit is how much may wait for a follower's reader, in bytes.
	DefaultLimit = 1 << 20
)

// Record is a line, or a piece of raw output, that a process wrote.
type Record[S comparable] struct {
	Source S         // the Log's
	Stream int       // which of the process's streams
	Time   time.Time // when it was read; of a line, its end
	// Data is the line without its '\n' (a '\r' before that is kept), or the
	// bytes as they came. It is valid until the next call of Next.
	Data []byte
	// Partial marks a piece of a line that is longer than MaxRecord: the next
	// record of the same source and stream goes on with it. Its last piece is not
	// marked.
	Partial bool
}

// Follower collects the output of any number of Logs for one reader. What waits
// to be read is bounded, and no writer waits for the reader: when it is full the
// oldest are dropped, and the reader is told, with a pubsub.Missed, how many: in
// a follower of lines records (a line, or a piece of one that is too long), in a
// raw one bytes.
//
// A follower of lines holds the beginning of an unfinished line back until the
// rest has come or the process has ended, however long that takes. Whoever wants
// to see a prompt needs a raw one.
//
// One goroutine at a time may read from it; all else may be done from any.
type Follower[S comparable] struct {
	raw   bool
	limit int           // bytes that may wait
	wake  chan struct{} // holds a token when there may be news for the reader
	shut  atomic.Bool   // closed; the reader asks for each record

	// What the reader has taken, all at once so that it does not contend with the
	// writers for each record. Only it uses these.
	taken   queue[S]
	scratch []byte

	// mu guards the fields below, and the lines of the feeds. It may be taken
	// while a Log's lock is held, never the other way round.
	mu     sync.Mutex
	queue  queue[S]
	extra  int // bytes that may wait beyond limit, because a backlog was larger
	missed int // lost since the reader was last told
	feeds  []*feed[S]
	state  state
}

type state uint8

const (
	open     state = iota
	draining       // nothing more comes: what waits is still delivered
	closed         // the reader has ended it
)

// FollowLines returns a follower that delivers lines, of which at most limit
// bytes (0: DefaultLimit; at least 128 KiB) wait to be read. Each record counts
// 40 bytes beside its own. The reader takes all of them at once, so twice as
// many are in memory at most.
func FollowLines[S comparable](limit int) *Follower[S] { return newFollower[S](limit, false) }

// FollowRaw returns a follower that delivers bytes as they come, in pieces of at
// most MaxRecord bytes. limit is as for FollowLines.
func FollowRaw[S comparable](limit int) *Follower[S] { return newFollower[S](limit, true) }

func newFollower[S comparable](limit int, raw bool) *Follower[S] {
	if limit == 0 {
		limit = DefaultLimit
	}
	return &Follower[S]{raw: raw, limit: max(limit, 2*MaxRecord), wake: make(chan struct{}, 1)}
}

// Next returns the next record, and waits for it if need be. Its errors are
//
//   - pubsub.Missed, once for each gap, before the first record after it;
//   - io.EOF after Close, and after End when all that waited has been read;
//   - the error of ctx when ctx has ended. Nothing is lost by that.
func (f *Follower[S]) Next(ctx context.Context) (Record[S], error) {
	for {
		if err := ctx.Err(); err != nil {
			return Record[S]{}, err
		}
		if f.shut.Load() {
			return Record[S]{}, io.EOF
		}
		if f.taken.n > 0 {
			return f.pop(), nil
		}
		if err := f.fill(); err != nil {
			return Record[S]{}, err
		}
		if f.taken.n > 0 {
			continue
		}
		select {
		case <-f.wake:
		case <-ctx.Done():
		}
	}
}

// Len is how many records wait to be read: a reader that buffers what it writes
// flushes when it is 0. Only the reader may ask.
func (f *Follower[S]) Len() int {
	if f.shut.Load() {
		return 0
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.queue.n + f.taken.n
}

// End detaches the follower from all logs and says that nothing more will come:
// the reader gets what waits, unfinished lines included, then io.EOF. Attaching
// an ended follower does nothing.
func (f *Follower[S]) End() { f.end(draining) }

// Close detaches the follower from all logs and ends it at once: a Next that is
// waiting returns io.EOF. Closing again does nothing.
func (f *Follower[S]) Close() { f.end(closed) }

func (f *Follower[S]) end(as state) {
	for _, fd := range f.release(as) {
		fd.log.remove(fd)
	}
}

// release changes the state and returns the feeds that are to be removed.
func (f *Follower[S]) release(as state) []*feed[S] {
	f.mu.Lock()
	defer f.mu.Unlock()
	if as <= f.state {
		return nil
	}
	f.state = as
	if as == closed {
		f.shut.Store(true)
		f.queue, f.missed = queue[S]{}, 0
	}
	for _, fd := range f.feeds {
		if as == draining {
			f.flush(fd)
		}
	}
	feeds := f.feeds
	f.feeds = nil
	f.notify()
	return feeds
}

// fill takes all that waits; that is nothing when there is nothing to say yet.
func (f *Follower[S]) fill() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.missed > 0 {
		err := pubsub.Missed(f.missed)
		f.missed = 0
		return err
	}
	if f.queue.n == 0 {
		if f.state != open {
			return io.EOF
		}
		return nil
	}
	f.taken.shrink(f.queue.bytes.n, f.queue.n)
	f.taken, f.queue = f.queue, f.taken
	f.extra = 0
	return nil
}

func (f *Follower[S]) pop() Record[S] {
	e, data := f.taken.pop(&f.scratch)
	return Record[S]{
		Source:  e.source,
		Stream:  int(e.stream),
		Time:    time.Unix(0, e.time),
		Data:    data,
		Partial: e.partial,
	}
}

// put adds a record of the bytes a and b, and forgets the oldest for it if need
// be. f.mu is held.
func (f *Follower[S]) put(e entry[S], a, b []byte) {
	for f.queue.cost()+entryCost+len(a)+len(b) > f.limit+f.extra {
		size := f.queue.drop()
		if !f.raw {
			size = 1
		}
		f.missed += size
	}
	if f.raw && f.queue.extend(e, a) {
		return
	}
	f.queue.push(e, a, b)
}

// notify leaves a token for the reader. One is enough: the reader looks at
// everything before it waits again.
func (f *Follower[S]) notify() {
	select {
	case f.wake <- struct{}{}:
	default:
	}
}
