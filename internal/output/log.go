// Package output holds what processes write, in bounded memory: a Log keeps the
// last of one process and passes all of it on to Followers, each of which
// collects lines or raw bytes of any number of processes for one reader. Whoever
// writes to a Log never waits for a reader.
package output

import (
	"slices"
	"sync"
	"time"
)

// DefaultTail is how much a Log keeps, in bytes.
const DefaultTail = 64 << 10

// Log is what one process has written: the last of it, in memory that is made as
// it comes, and the followers that get the rest. The zero Log is ready to use
// and costs nothing more while the process is silent; it must not be copied.
// Its methods may be called from any goroutine, Write and End from one at a time.
type Log[S comparable] struct {
	// Source stands in every record of this log. It must not change once the
	// log is used.
	Source S
	// Limit is how many bytes of memory the tail may take, all streams together
	// and 16 bytes for each record. 0 is DefaultTail, less than 0 keeps nothing.
	// It must not change once the log is used.
	Limit int

	mu    sync.Mutex // guards the fields below; held while a follower's lock is taken
	tail  tail
	feeds []*feed[S]
	ended bool
}

// Write takes what the process wrote to a stream, a number of the caller's, at
// that time. data is only used during the call.
func (l *Log[S]) Write(stream int, data []byte, now time.Time) {
	at := now.UnixNano()
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.ended || len(data) == 0 {
		return
	}
	limit := l.Limit
	if limit == 0 {
		limit = DefaultTail
	}
	l.tail.write(stream, data, at, limit)
	for _, fd := range l.feeds {
		if fd.wants(stream) {
			fd.live(stream, data, at)
		}
	}
}

// Attach delivers to f what was written before, as much as backlog says, and
// then what is written from now on, with nothing lost or repeated in between.
//
// backlog counts lines for a follower of lines, else bytes, over all streams
// that are wanted; -1 is all that is kept. Of a line whose beginning is not kept
// any more nothing is delivered, unless it still goes on. An unfinished line is
// never counted: it is delivered whole, when it ends. The backlog may be larger
// than what otherwise waits for a reader.
//
// want chooses the streams; nil is all of them. It must be quick and must not
// use the log. Attaching a follower that is attached already, or has ended,
// does nothing.
func (l *Log[S]) Attach(f *Follower[S], backlog int, want func(stream int) bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.find(f) >= 0 {
		return
	}
	fd := &feed[S]{log: l, follower: f, want: want}
	if fd.attach(backlog, !l.ended) && !l.ended {
		l.feeds = append(l.feeds, fd)
	}
}

// Detach ends what Attach began. The follower still delivers what it has got,
// unfinished lines included.
func (l *Log[S]) Detach(f *Follower[S]) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if i := l.find(f); i >= 0 {
		l.feeds[i].detach()
		l.feeds = slices.Delete(l.feeds, i, i+1)
	}
}

// End says that the process will write no more: unfinished lines are delivered
// and all followers detached. The tail stays, for Attach. Later writes are lost.
func (l *Log[S]) End() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.ended = true
	for _, fd := range l.feeds {
		fd.detach()
	}
	l.feeds = nil
}

func (l *Log[S]) find(f *Follower[S]) int {
	return slices.IndexFunc(l.feeds, func(fd *feed[S]) bool { return fd.follower == f })
}

// remove forgets a feed that its follower has let go of.
func (l *Log[S]) remove(fd *feed[S]) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if i := slices.Index(l.feeds, fd); i >= 0 {
		l.feeds = slices.Delete(l.feeds, i, i+1)
	}
}
