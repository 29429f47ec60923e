package output

import (
	"encoding/binary"
	"iter"
	"time"
)

// What comes from the same stream within this time of the first of it is one
// record: the times in a backlog are that exact, and a record's cost is shared.
const coalesce = 10 * time.Millisecond

// tail keeps the last that was written, of all streams of one process, in the
// order in which it came: records of a header and the bytes, in one ring of at
// most a given size. The zero tail is empty and has no ring.
type tail struct {
	ring ring
	last int // bytes of the newest record, when there is one

	// cut has the bits of those streams whose oldest kept byte is not the first
	// of a line.
	cut uint64
}

// header stands before the bytes of each record.
type header struct {
	size   int
	stream int
	time   int64 // nanoseconds since 1970
}

const headerSize = 16

// bit is the place of a stream in a set. A process has two streams and hardly
// ever more than a few; those from 63 on share a bit.
func bit(stream int) uint64 { return 1 << min(stream, 63) }

// write adds data and forgets the oldest, so that nothing is larger than limit.
func (t *tail) write(stream int, data []byte, at int64, limit int) {
	kept := data[max(0, len(data)-max(0, limit-headerSize)):]
	if len(kept) == 0 {
		return
	}
	need := headerSize + len(kept)
	if t.ring.n+need > len(t.ring.buf) {
		t.room(need, limit)
	}
	if lost := len(data) - len(kept); lost > 0 {
		t.lost(stream, data[lost-1])
	}
	if t.ring.n > 0 {
		off := t.ring.n - t.last - headerSize
		h := t.header(off)
		if age := at - h.time; h.stream == stream && age >= 0 && age < int64(coalesce) {
			h.size += len(kept)
			t.setHeader(off, h)
			t.last = h.size
			t.ring.push(kept)
			return
		}
	}
	t.last = len(kept)
	t.ring.n += headerSize
	t.setHeader(t.ring.n-headerSize, header{len(kept), stream, at})
	t.ring.push(kept)
}

// room makes room for need bytes, which are at most limit, by growing as far as
// that and then by forgetting.
func (t *tail) room(need, limit int) {
	t.ring.reserve(min(need, limit-t.ring.n), limit)
	for {
		over := t.ring.n + need - len(t.ring.buf)
		if over <= 0 {
			return
		}
		t.forget(over)
	}
}

// forget drops the oldest bytes: so many of the oldest record, or all of it.
func (t *tail) forget(bytes int) {
	h := t.header(0)
	if bytes >= h.size {
		t.lost(h.stream, t.ring.byteAt(headerSize+h.size-1))
		t.ring.drop(headerSize + h.size)
		return
	}
	t.lost(h.stream, t.ring.byteAt(headerSize+bytes-1))
	h.size -= bytes
	t.ring.drop(bytes)
	t.setHeader(0, h)
	t.last = min(t.last, t.ring.n-headerSize) // it may have been the newest, too
}

// lost notes the newest byte of a stream that is no longer kept.
func (t *tail) lost(stream int, b byte) {
	if b == '\n' {
		t.cut &^= bit(stream)
		return
	}
	t.cut |= bit(stream)
}

// records are what is kept, oldest first. A record that goes round the ring's
// end comes in two parts. The bytes are valid until the next write.
func (t *tail) records() iter.Seq2[header, []byte] {
	return func(yield func(header, []byte) bool) {
		for off := 0; off < t.ring.n; {
			h := t.header(off)
			a, b := t.ring.span(off+headerSize, h.size)
			if len(a) > 0 && !yield(h, a) || len(b) > 0 && !yield(h, b) {
				return
			}
			off += headerSize + h.size
		}
	}
}

func (t *tail) header(off int) header {
	var split [headerSize]byte
	b, rest := t.ring.span(off, headerSize)
	if len(rest) > 0 {
		copy(split[copy(split[:], b):], rest)
		b = split[:]
	}
	return header{
		size:   int(binary.LittleEndian.Uint32(b)),
		stream: int(binary.LittleEndian.Uint32(b[4:])),
		time:   int64(binary.LittleEndian.Uint64(b[8:])),
	}
}

func (t *tail) setHeader(off int, h header) {
	var b [headerSize]byte
	binary.LittleEndian.PutUint32(b[:], uint32(h.size))
	binary.LittleEndian.PutUint32(b[4:], uint32(h.stream))
	binary.LittleEndian.PutUint64(b[8:], uint64(h.time))
	t.ring.overwrite(off, b[:])
}
