package pubsub

// Rings up to keptRing are kept when a queue has been read empty; larger ones
// were needed for a burst and are given back.
const (
	firstRing = 4
	keptRing  = 256
)

// queue is a ring of up to limit values that grows as they come. When it is full
// a new value takes the place of the oldest, so whatever is missing is missing
// just before the first value.
type queue[T any] struct {
	ring   []T
	first  int // index of the oldest value
	n      int // values in the ring
	limit  int
	missed int // values lost since this was last read
}

func (q *queue[T]) push(v T) {
	if q.n == len(q.ring) && q.n < q.limit {
		q.grow()
	}
	if q.n == len(q.ring) { // at the limit
		q.ring[q.first] = v
		q.first = (q.first + 1) % len(q.ring)
		q.missed++
		return
	}
	q.ring[(q.first+q.n)%len(q.ring)] = v
	q.n++
}

func (q *queue[T]) pop() (v T, ok bool) {
	if q.n == 0 {
		return v, false
	}
	var none T
	v, q.ring[q.first] = q.ring[q.first], none
	q.first = (q.first + 1) % len(q.ring)
	q.n--
	if q.n == 0 && len(q.ring) > keptRing {
		q.ring, q.first = nil, 0
	}
	return v, true
}

func (q *queue[T]) grow() {
	ring := make([]T, min(max(firstRing, 2*len(q.ring)), q.limit))
	n := copy(ring, q.ring[q.first:])
	copy(ring[n:], q.ring[:q.first])
	q.ring, q.first = ring, 0
}
