package output

const firstBuf = 128 // bytes of a ring's first buffer

// ring is a queue of bytes in one buffer, which is made when the first byte
// comes and doubles when it is full. Offsets count from the oldest byte.
type ring struct {
	buf   []byte
	first int // index in buf of the oldest byte
	n     int // bytes in the ring
}

// reserve makes the buffer large enough for k more bytes, and at most limit
// bytes. What is in the ring and k together must not be more than that.
func (r *ring) reserve(k, limit int) {
	if r.n+k <= len(r.buf) {
		return
	}
	size := max(2*len(r.buf), firstBuf)
	for size < r.n+k {
		size *= 2
	}
	buf := make([]byte, min(size, limit))
	a, b := r.span(0, r.n)
	copy(buf[copy(buf, a):], b)
	r.buf, r.first = buf, 0
}

// push adds b, for which there is room.
func (r *ring) push(b []byte) {
	r.n += len(b)
	r.overwrite(r.n-len(b), b)
}

// overwrite puts b in the place of what is at off.
func (r *ring) overwrite(off int, b []byte) {
	to, wrapped := r.span(off, len(b))
	copy(wrapped, b[copy(to, b):])
}

// span is the n bytes at off: one slice, and a second one if they go on at the
// buffer's beginning.
func (r *ring) span(off, n int) (a, b []byte) {
	i := r.first + off
	if i >= len(r.buf) {
		i -= len(r.buf)
	}
	if end := i + n; end <= len(r.buf) {
		return r.buf[i:end], nil
	}
	return r.buf[i:], r.buf[:i+n-len(r.buf)]
}

// byteAt is the byte at off.
func (r *ring) byteAt(off int) byte {
	a, _ := r.span(off, 1)
	return a[0]
}

// drop forgets the k oldest bytes.
func (r *ring) drop(k int) {
	r.n -= k
	r.first += k
	if r.first >= len(r.buf) {
		r.first -= len(r.buf)
	}
	if r.n == 0 {
		r.first = 0
	}
}
