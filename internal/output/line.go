package output

import (
	"bytes"
	"slices"
)

const keptLine = 4 << 10 // a larger buffer of an unfinished line is not kept for the next

// line is the unfinished line of one stream, at most MaxRecord bytes of it.
type line struct {
	stream int
	skip   int   // lines to leave out before anything is delivered
	time   int64 // of the newest bytes in buf
	buf    []byte
}

// line is the unfinished line of a stream.
func (fd *feed[S]) line(stream int) *line {
	for i := range fd.lines {
		if fd.lines[i].stream == stream {
			return &fd.lines[i]
		}
	}
	fd.lines = append(fd.lines, line{stream: stream})
	return &fd.lines[len(fd.lines)-1]
}

// add takes what a process wrote to a stream. f.mu is held, as in all methods
// here.
func (f *Follower[S]) add(fd *feed[S], stream int, data []byte, at int64) {
	e := entry[S]{source: fd.log.Source, stream: int32(stream), time: at}
	if !f.raw {
		f.addLines(fd.line(stream), e, data)
		return
	}
	for len(data) > 0 {
		n := min(len(data), MaxRecord)
		f.put(e, data[:n], nil)
		data = data[n:]
	}
}

// addLines delivers the lines that data completes and holds the rest.
func (f *Follower[S]) addLines(l *line, e entry[S], data []byte) {
	for len(data) > 0 {
		end := bytes.IndexByte(data, '\n')
		if end < 0 {
			if l.skip == 0 {
				l.hold(f.pieces(l, e, data), e.time)
			}
			return
		}
		if l.skip > 0 {
			l.skip--
		} else {
			rest := f.pieces(l, e, data[:end])
			f.put(e, l.buf, rest)
			l.empty()
		}
		data = data[end+1:]
	}
}

// pieces delivers all of a line that is surely not its last piece, and returns
// what is left of data. With what l holds that is at most MaxRecord bytes.
func (f *Follower[S]) pieces(l *line, e entry[S], data []byte) []byte {
	e.partial = true
	for len(l.buf)+len(data) > MaxRecord {
		n := MaxRecord - len(l.buf)
		f.put(e, l.buf, data[:n])
		l.empty()
		data = data[n:]
	}
	return data
}

// flush delivers unfinished lines, because no more of them comes.
func (f *Follower[S]) flush(fd *feed[S]) {
	slices.SortFunc(fd.lines, func(a, b line) int { return a.stream - b.stream })
	for i := range fd.lines {
		l := &fd.lines[i]
		if len(l.buf) > 0 {
			e := entry[S]{source: fd.log.Source, stream: int32(l.stream), time: l.time}
			f.put(e, l.buf, nil)
		}
	}
	fd.lines = nil
}

func (l *line) hold(data []byte, at int64) {
	l.buf = append(l.buf, data...)
	l.time = at
}

func (l *line) empty() {
	l.buf = l.buf[:0]
	if cap(l.buf) > keptLine {
		l.buf = nil
	}
}
