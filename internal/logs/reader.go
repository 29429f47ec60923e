//go:build linux

package logs

import (
	"context"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"
)

// Query says what to read.
type Query struct {
	// Sources chooses streams; nil is all.
	Sources func(name string, slot int, label string) bool
	// Since and Until bound the times of what is delivered; zero is no bound.
	Since, Until time.Time
	// Tail is how many of the latest lines of each slot come first, or bytes of each
	// stream with Raw; -1 is all.
	Tail int
	// Match chooses lines; nil is all.
	Match func(line []byte) bool
	// IDs chooses lines by the process that has ended them; nil is all.
	IDs func(id uint64) bool
	// Raw delivers bytes as they were read instead of lines.
	Raw bool
	// Follow goes on with what is written from now on.
	Follow bool
	// After resumes after lines that were delivered, each stream after its own; Tail does
	// not count then. Since is for streams that no cursor is in: without it they go on
	// where the latest cursor says.
	After Cursors
}

// Record is a line, or bytes as they were read.
type Record struct {
	Name    string
	Slot    int
	Label   string
	ID      uint64 // of the process that has written it; of a line, its end
	Time    time.Time
	Data    []byte // a line without its newline
	Partial bool   // the line goes on in the next record of the stream
	Offset  int64  // of the first byte in the stream
	Cursor  Cursor // where to go on after it
}

// Reader delivers what a query asks for. One goroutine reads; who follows is told of
// what is new by the store.
//
// mu guards what is below it; the rest belongs to the reading goroutine.
type Reader struct {
	store *Store
	query Query
	tapes []*tape
	ready []*Record // to be delivered before anything else
	last  bool      // that nothing more comes was taken notice of
	begun bool
	gone  <-chan struct{} // closed when nobody waits for the Next that reads, or the latest one
	busy  sync.Mutex      // held while the tapes are used

	wake chan struct{}
	mu   sync.Mutex
	// dirty are streams that have grown, or appeared.
	dirty map[source]bool
	over  bool // nothing more comes
	shut  bool // it was closed
}

// Read begins to read.
func (s *Store) Read(q Query) *Reader {
	r := &Reader{store: s, query: q, wake: make(chan struct{}, 1), dirty: map[source]bool{}}
	s.mu.Lock()
	if q.Follow && !s.closed {
		s.readers[r] = struct{}{}
		s.reading.Add(1)
	} else {
		r.over = true
	}
	known := map[source]*Writer{}
	for src, w := range s.writers {
		known[src] = w
	}
	s.mu.Unlock()
	for _, src := range sources(s.root) {
		if known[src] == nil {
			known[src] = nil
		}
	}
	for src, w := range known {
		if r.wants(src) {
			r.tapes = append(r.tapes, &tape{source: src, dir: src.dir(s.root), writer: w, until: -1})
		}
	}
	slices.SortFunc(r.tapes, func(a, b *tape) int { return strings.Compare(a.source.String(), b.source.String()) })
	for _, t := range r.tapes {
		if !q.Follow {
			t.until = t.end()
		}
	}
	r.place()
	return r
}

func (r *Reader) wants(src source) bool {
	return r.query.Sources == nil || r.query.Sources(src.name, src.slot, src.label)
}

// place goes to where the query says.
func (r *Reader) place() {
	q := &r.query
	own, latest := q.After.sorted()
	for _, t := range r.tapes {
		c, resumes := own[t.source]
		switch {
		case resumes:
			t.at, t.whole = c.offset, true // what is gone of it shows when it is read
			if c.offset > t.end() {        // it was begun anew since
				t.at = t.first()
			}
		case len(own) > 0 && q.Since.IsZero():
			t.after = latest
			t.seek(latest.time)
		case !q.Since.IsZero():
			t.seek(q.Since.UnixNano())
		case q.Tail < 0 || q.Match != nil || q.IDs != nil:
			t.at = t.first()
		case q.Tail == 0:
			t.at = t.end()
			if !q.Raw {
				t.at = t.lineBefore(t.at, t.first())
				if t.at != t.end() { // the line that is being written is delivered when it ends
					break
				}
			}
		default:
			t.back(q.Tail, q.Raw)
		}
	}
}

// begin reads the last lines of each slot, if it is these that are wanted.
func (r *Reader) begin() {
	if r.begun {
		return
	}
	r.begun = true
	if r.query.Tail >= 0 && len(r.query.After) == 0 {
		r.tail()
	}
}

// tail reads what there is, and keeps the last lines of each slot.
func (r *Reader) tail() {
	slots := map[source][]*tape{}
	for _, t := range r.tapes {
		key := source{name: t.source.name, slot: t.source.slot}
		if r.query.Raw {
			key = t.source
		}
		slots[key] = append(slots[key], t)
	}
	for _, tapes := range slots {
		var last []*Record
		size := 0
		for {
			rec := r.merge(tapes)
			if rec == nil {
				break
			}
			last = append(last, rec)
			size += r.cost(rec)
			for len(last) > 0 && size-r.cost(last[0]) >= r.query.Tail && size > r.query.Tail {
				size -= r.cost(last[0])
				last[0] = nil
				last = last[1:]
			}
		}
		r.ready = append(r.ready, last...)
	}
	slices.SortStableFunc(r.ready, func(a, b *Record) int { return a.Cursor.compare(b.Cursor) })
}

// cost is what a record counts of Tail.
func (r *Reader) cost(rec *Record) int {
	if r.query.Raw {
		return len(rec.Data)
	}
	return 1
}

func (c Cursor) compare(d Cursor) int {
	switch {
	case c.source == d.source:
		return int(min(max(c.offset-d.offset, -1), 1))
	case c.time != d.time:
		return int(min(max(c.time-d.time, -1), 1))
	}
	return strings.Compare(c.source.String(), d.source.String())
}

// merge is the next record of some tapes that is wanted.
func (r *Reader) merge(tapes []*tape) *Record {
	for seen := 0; ; seen++ {
		if seen%lookUp == 0 && r.given() {
			return nil
		}
		var best *tape
		for _, t := range tapes {
			if t.head == nil && !t.idle {
				t.head = r.next(t)
				t.idle = t.head == nil
			}
			if t.idle && (!r.query.Follow || len(r.tapes) > openTapes) { // it may be opened again
				t.close()
			}
			if t.head != nil && (best == nil || t.head.Cursor.compare(best.head.Cursor) < 0) {
				best = t
			}
		}
		if best == nil {
			return nil
		}
		rec := best.head
		best.head = nil
		if r.matches(best, rec) {
			return rec
		}
	}
}

const (
	// lookUp is after how many records that are not wanted it is looked whether any are.
	lookUp = 256
	// openTapes is of how many streams the files stay open while there is nothing to read.
	openTapes = 32
)

// given says that nobody waits for what is being read any more.
func (r *Reader) given() bool {
	select {
	case <-r.gone:
		return true
	default:
		return r.closed()
	}
}

// next is the next record of a tape.
func (r *Reader) next(t *tape) *Record {
	var rec *Record
	if r.query.Raw {
		rec = t.bytes()
	} else {
		rec = t.line(r.ended())
	}
	if rec != nil {
		t.at = rec.Cursor.offset
	}
	return rec
}

func (r *Reader) ended() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.over
}

func (r *Reader) matches(t *tape, rec *Record) bool {
	q := &r.query
	if !t.after.IsZero() && t.after.covers(rec.Cursor.time, rec.Cursor.source, rec.Cursor.offset) {
		return false
	}
	t.after = Cursor{} // a clock that was set back later on hides nothing
	return (t.whole || q.Since.IsZero() || !rec.Time.Before(q.Since)) &&
		(q.Until.IsZero() || !rec.Time.After(q.Until)) &&
		(q.IDs == nil || q.IDs(rec.ID)) &&
		(q.Match == nil || q.Raw || q.Match(rec.Data))
}

// Next returns the next record, and waits for it if need be. The error is io.EOF when
// nothing more comes, a *Gap where files were given up before they were read, that of
// ctx, or why a file can't be read.
func (r *Reader) Next(ctx context.Context) (Record, error) {
	r.busy.Lock()
	defer r.leave()
	r.gone = ctx.Done()
	for {
		if err := ctx.Err(); err != nil {
			return Record{}, err
		}
		r.begin()
		over := r.look()
		if over && r.closed() {
			return Record{}, io.EOF
		}
		if gap := r.gap(); gap != nil {
			return Record{}, gap
		}
		rec := r.pop()
		if r.lost() { // which is told first
			if rec != nil {
				r.ready = slices.Insert(r.ready, 0, rec)
			}
			continue
		}
		if rec != nil {
			return *rec, nil
		}
		if err := r.fault(); err != nil {
			return Record{}, err
		}
		if r.given() {
			continue
		}
		if over {
			return Record{}, io.EOF
		}
		select {
		case <-r.wake:
		case <-ctx.Done():
		}
	}
}

func (r *Reader) pop() *Record {
	if len(r.ready) > 0 {
		rec := r.ready[0]
		r.ready = r.ready[1:]
		return rec
	}
	return r.merge(r.tapes)
}

// Gap is what was given up of a stream before it was read.
type Gap struct {
	Name  string
	Slot  int
	Label string
	Bytes int64
}

func (g *Gap) Error() string {
	return fmt.Sprintf("%s.%d/%s: %d bytes were given up before they were read", g.Name, g.Slot, g.Label, g.Bytes)
}

// lost says that there is a gap to tell of.
func (r *Reader) lost() bool {
	return slices.ContainsFunc(r.tapes, func(t *tape) bool { return t.lost > 0 })
}

// gap tells once of each.
func (r *Reader) gap() *Gap {
	for _, t := range r.tapes {
		if n := t.lost; n > 0 {
			t.lost = 0
			return &Gap{t.source.name, t.source.slot, t.source.label, n}
		}
	}
	return nil
}

// fault tells once why one of the streams can't be read.
func (r *Reader) fault() error {
	for _, t := range r.tapes {
		if err := t.fault; err != nil {
			t.fault = nil
			return fmt.Errorf("%s: %w", t.source, err)
		}
	}
	return nil
}

// leave ends the use of the tapes. Their files are closed by whoever is the last to
// use them after the reader was closed.
func (r *Reader) leave() {
	r.busy.Unlock()
	r.closeTapes()
}

func (r *Reader) closeTapes() {
	if !r.closed() || !r.busy.TryLock() {
		return
	}
	defer r.busy.Unlock()
	for _, t := range r.tapes {
		t.close()
	}
}

// look takes notice of streams that have appeared, and says whether nothing more comes.
func (r *Reader) look() (over bool) {
	r.mu.Lock()
	dirty, over := slices.Collect(maps.Keys(r.dirty)), r.over
	clear(r.dirty)
	r.mu.Unlock()
	// The store is asked without the lock, which it takes when it tells what is new.
	for _, src := range dirty {
		i := slices.IndexFunc(r.tapes, func(t *tape) bool { return t.source == src })
		if i < 0 {
			r.tapes = append(r.tapes, &tape{source: src, dir: src.dir(r.store.root), writer: r.store.writer(src), until: -1})
			continue
		}
		r.tapes[i].idle = false
		if r.tapes[i].writer == nil {
			r.tapes[i].writer = r.store.writer(src)
		}
	}
	if over && !r.last {
		r.last = true
		for _, t := range r.tapes { // unfinished lines are delivered now
			t.idle = false
		}
	}
	return over
}

func (s *Store) writer(src source) *Writer {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.writers[src]
}

// grew is called by the store.
func (r *Reader) grew(src source) { r.appeared(src) }

func (r *Reader) appeared(src source) {
	if !r.wants(src) {
		return
	}
	r.mu.Lock()
	r.dirty[src] = true
	r.mu.Unlock()
	r.notify()
}

func (r *Reader) notify() {
	select {
	case r.wake <- struct{}{}:
	default:
	}
}

// Len is 1 when something is known to wait.
func (r *Reader) Len() int {
	r.busy.Lock()
	defer r.leave()
	r.gone = nil // that the latest Next is not waited for any more means nothing here
	r.begin()
	r.look() // what has just been written waits, too
	if len(r.ready) == 0 && !r.closed() {
		if rec := r.merge(r.tapes); rec != nil {
			r.ready = append(r.ready, rec)
		}
	}
	return len(r.ready)
}

// End says that nothing more will come: what there is is still delivered, unfinished
// lines included.
func (r *Reader) End() { r.finish() }

func (r *Reader) finish() {
	r.mu.Lock()
	r.over = true
	r.mu.Unlock()
	r.notify()
}

func (r *Reader) closed() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.shut
}

// Close ends it: a Next that waits returns io.EOF.
func (r *Reader) Close() {
	r.store.mu.Lock()
	if _, follows := r.store.readers[r]; follows {
		delete(r.store.readers, r)
		r.store.reading.Add(-1)
	}
	r.store.mu.Unlock()
	r.mu.Lock()
	r.over, r.shut = true, true
	r.mu.Unlock()
	r.notify()
	r.closeTapes()
}
