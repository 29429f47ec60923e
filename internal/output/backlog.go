package output

import (
	"bytes"
	"iter"
	"math"
)

// backlog passes on the last n lines or bytes of the tail, all of it if n < 0.
// The follower's lock is held, as in all methods here.
func (fd *feed[S]) backlog(n int) {
	f := fd.follower
	skip := 0
	if f.raw {
		skip = fd.skipBytes(n)
	} else {
		fd.skipLines(n)
	}
	extra, before := f.extra, f.queue.cost()
	f.extra = math.MaxInt / 2 // nothing is dropped for a backlog
	for h, data := range fd.log.tail.records() {
		if !fd.wants(h.stream) {
			continue
		}
		left := min(skip, len(data))
		skip -= left
		f.add(fd, h.stream, data[left:], h.time)
	}
	f.extra = extra + f.queue.cost() - before
}

// skipBytes is how many of the tail's wanted bytes come before the last n.
func (fd *feed[S]) skipBytes(n int) int {
	if n < 0 {
		return 0
	}
	total := 0
	for h, data := range fd.log.tail.records() {
		if fd.wants(h.stream) {
			total += len(data)
		}
	}
	return max(0, total-n)
}

// skipLines says for each stream how many of the line ends in the tail come
// before the last n lines, and makes it leave out so many. The end of a line
// whose beginning is not kept is always left out.
func (fd *feed[S]) skipLines(n int) {
	lines := 0
	for stream, ends := range fd.lineEnds() {
		if ends < 0 {
			fd.line(stream).skip++
			continue
		}
		lines += ends
	}
	if n < 0 {
		return
	}
	skip := lines - n
	for stream, ends := range fd.lineEnds() {
		if k := min(skip, ends); k > 0 {
			fd.line(stream).skip += k
			skip -= k
		}
	}
}

// lineEnds counts the lines that end in the tail, in their order, by stream. The
// end of a line whose beginning is not kept counts -1, by itself.
func (fd *feed[S]) lineEnds() iter.Seq2[int, int] {
	return func(yield func(stream, ends int) bool) {
		t := &fd.log.tail
		cut := t.cut
		for h, data := range t.records() {
			ends := bytes.Count(data, []byte{'\n'})
			if ends == 0 || !fd.wants(h.stream) {
				continue
			}
			if cut&bit(h.stream) != 0 {
				cut &^= bit(h.stream)
				ends--
				if !yield(h.stream, -1) {
					return
				}
			}
			if !yield(h.stream, ends) {
				return
			}
		}
	}
}
