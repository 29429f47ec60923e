package output

// Buffers up to these are always kept for what comes next.
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

// pop takes the oldest record. Its bytes are valid until the next push, and in
// buf, which is grown for it, if they had to be put together.
func (q *queue[S]) pop(buf *[]byte) (entry[S], []byte) {
	e := q.entries[q.first]
	data, rest := q.bytes.span(0, int(e.size))
	if len(rest) > 0 {
		*buf = append(append((*buf)[:0], data...), rest...)
		data = *buf
	}
	q.drop()
	return e, data[:len(data):len(data)]
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

// shrink gives back the buffers of an empty queue that are much larger than what
// was needed for bytes and entries lately.
func (q *queue[S]) shrink(bytes, entries int) {
	if n := len(q.bytes.buf); n > keptBytes && n > 4*bytes {
		q.bytes = ring{}
	}
	if n := len(q.entries); n > keptEntries && n > 4*entries {
		q.entries, q.first = nil, 0
	}
}
