package output

// A queue that was read empty gives its buffers back when they are larger than
// these: a burst needed them.
const (
	keptBytes   = 16 << 10
	keptEntries = 256
)

// entryCost is what a record counts beside its bytes when a queue is measured.
const entryCost = 40

// entry is a record in a queue; its bytes are in the queue's ring.
type entry[S comparable] struct {
	source  S
	time    int64
	size    int32
	stream  int32
	partial bool
}

// queue is records waiting for a reader, oldest first.
type queue[S comparable] struct {
	bytes   ring
	entries []entry[S] // a ring
	first   int        // index of the oldest entry
	n       int        // entries in the ring
}

// cost is the memory that the queue accounts for, in bytes.
func (q *queue[S]) cost() int { return q.bytes.n + q.n*entryCost }

// push adds a record whose bytes are a and b.
func (q *queue[S]) push(e entry[S], a, b []byte) {
	if q.n == len(q.entries) {
		q.grow()
	}
	e.size = int32(len(a) + len(b))
	q.entries[q.index(q.n)] = e
	q.n++
	q.pushBytes(a, b)
}

// extend adds b to the newest record if that is of the same source, stream and
// time, more or less, and does not become too long. It reports whether it did.
func (q *queue[S]) extend(e entry[S], b []byte) bool {
	if q.n == 0 {
		return false
	}
	last := &q.entries[q.index(q.n-1)]
	age := e.time - last.time
	if last.source != e.source || last.stream != e.stream || age < 0 || age >= int64(coalesce) ||
		int(last.size)+len(b) > MaxRecord {
		return false
	}
	last.size += int32(len(b))
	q.pushBytes(b, nil)
	return true
}

// pop takes the oldest record and puts its bytes into buf, which it returns,
// grown if need be.
func (q *queue[S]) pop(buf []byte) (entry[S], []byte) {
	e := q.entries[q.first]
	a, b := q.bytes.span(0, int(e.size))
	buf = append(append(buf[:0], a...), b...)
	q.drop()
	if q.n == 0 {
		q.shrink()
	}
	return e, buf
}

// drop forgets the oldest record.
func (q *queue[S]) drop() (size int) {
	size = int(q.entries[q.first].size)
	q.entries[q.first] = entry[S]{}
	q.bytes.drop(size)
	q.n--
	q.first++
	if q.first == len(q.entries) {
		q.first = 0
	}
	return size
}

func (q *queue[S]) index(i int) int {
	if i += q.first; i >= len(q.entries) {
		i -= len(q.entries)
	}
	return i
}

func (q *queue[S]) pushBytes(a, b []byte) {
	size := len(a) + len(b)
	q.bytes.reserve(size, 2*(q.bytes.n+size))
	q.bytes.push(a)
	q.bytes.push(b)
}

func (q *queue[S]) grow() {
	entries := make([]entry[S], max(4, 2*len(q.entries)))
	n := copy(entries, q.entries[q.first:])
	copy(entries[n:], q.entries[:q.first])
	q.entries, q.first = entries, 0
}

func (q *queue[S]) shrink() {
	if len(q.bytes.buf) > keptBytes {
		q.bytes = ring{}
	}
	if len(q.entries) > keptEntries {
		q.entries, q.first = nil, 0
	}
}
