//go:build linux

package logs

import (
	"bytes"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"sort"
	"time"
)

const (
	// MaxLine is the most that is delivered at a time: a longer line comes in pieces.
	MaxLine = 64 << 10
	// blockSize is how much is read from a file at a time.
	blockSize = 64 << 10
)

// tape is one stream as a reader goes through it, from file to file. It belongs to the
// reader.
type tape struct {
	source source
	dir    string
	writer *Writer // nil: nobody has written to it in this program's time

	at    int64 // where the next line begins, in the stream
	until int64 // where it is read to; -1: wherever it ends

	file   io.ReaderAt
	closer io.Closer
	base   int64 // of the file
	index  *os.File
	marks  []mark
	next   int64 // where to go on reading the index
	block  []byte
	start  int64 // of the block, in the stream

	head *Record // the next line; nil: it is not known
	idle bool    // there is nothing to read before it grows
	lost int64   // bytes that were given up before they were read
	hole int64   // bytes that can't be read where the tape was to go on

	fault error // why it can't be read; nil: it can

	whole bool   // delivered from where it is at, whatever its time
	after Cursor // lines up to there are passed over; zero: none are
}

// limits of the stream that can be read just now.
func (t *tape) end() int64 {
	end := int64(0)
	if t.writer != nil {
		end = t.writer.end.Load()
	}
	if t.writer == nil || end == 0 {
		end = t.endOnDisk()
	}
	if t.until >= 0 {
		end = min(end, t.until)
	}
	return end
}

func (t *tape) endOnDisk() int64 {
	before := int64(0)
	if list := segments(t.dir, t.source.label); len(list) > 0 {
		before = list[len(list)-1].end(t.source.label)
	}
	info, err := os.Stat(currentPath(t.dir, t.source.label))
	if err != nil {
		return before
	}
	if base, _, err := readIndexFile(currentIndex(t.dir, t.source.label)); err == nil {
		before = max(before, base)
	}
	return before + info.Size()
}

func (t *tape) close() {
	if t.closer != nil {
		_ = t.closer.Close()
	}
	if t.index != nil {
		_ = t.index.Close()
	}
	t.file, t.closer, t.index, t.marks, t.block = nil, nil, nil, nil, nil
}

// open opens the file that holds the byte at an offset, or the first one after it. Where
// the index of the current file is missing or none, it is being made or renamed, unless
// that goes on for longer: with repair, the file is read without it.
func (t *tape) open(repair bool) error {
	if t.file != nil {
		return nil
	}
	label := t.source.label
	list := segments(t.dir, label)
	i := sort.Search(len(list), func(i int) bool { return list[i].base > t.at }) - 1
	if i >= 0 && t.at < list[i].end(label) {
		return t.openOrSkip(list, i)
	}
	if i+1 < len(list) { // what is in between is gone
		t.at = list[i+1].base
		return t.openOrSkip(list, i+1)
	}
	f, err := os.Open(currentPath(t.dir, label))
	if err != nil {
		return err
	}
	index, base, marks, next, err := t.openIndex()
	if err != nil && repair {
		if i >= 0 {
			base = list[i].end(label)
		}
		t.at = max(t.at, base)
		t.file, t.closer, t.base, t.marks = f, f, base, []mark{{time: modified(f.Name()), offset: base}}
		return nil
	}
	if err == nil && i >= 0 && base > list[i].end(label) {
		// There is a file in between now, or there was one that somebody has removed.
		if again := segments(t.dir, label); len(again) > 0 && again[len(again)-1].base != list[i].base {
			err = errAgain
		}
	}
	if err != nil {
		_ = f.Close()
		if index != nil {
			_ = index.Close()
		}
		return errors.Join(err, errAgain)
	}
	t.at = max(t.at, base)
	t.file, t.closer, t.index, t.base, t.marks, t.next = f, f, index, base, marks, next
	return nil
}

// openIndex opens the current file's.
func (t *tape) openIndex() (f *os.File, base int64, marks []mark, next int64, err error) {
	if f, err = os.Open(currentIndex(t.dir, t.source.label)); err != nil {
		return nil, 0, nil, 0, err
	}
	if base, marks, next, err = readIndex(f); err != nil {
		_ = f.Close()
		return nil, 0, nil, 0, err
	}
	return f, base, marks, next, nil
}

// errAgain is for what is being renamed just now.
var errAgain = errors.New("to be looked at again")

// openOrSkip opens a segment, or goes to the one after it if that can't be read.
func (t *tape) openOrSkip(list []segment, i int) error {
	err := t.openSegment(list[i])
	if err == nil || errors.Is(err, errAgain) {
		return err
	}
	if errors.Is(err, fs.ErrNotExist) { // it was given up meanwhile
		return errAgain
	}
	if i+1 < len(list) {
		t.base = list[i+1].base
	} else if base, _, e := readIndexFile(currentIndex(t.dir, t.source.label)); e == nil {
		t.base = max(t.at, base)
	}
	t.hole = max(t.base-max(t.at, list[i].base), 0)
	t.at = t.base
	return err
}

func (t *tape) openSegment(s segment) error {
	_, marks, err := readIndexFile(filepath.Join(t.dir, rotatedIndex(t.source.label, s.base)))
	if err != nil {
		marks = []mark{{time: modified(s.path), offset: s.base}}
	}
	t.base, t.marks, t.next = s.base, marks, 0
	if s.packed {
		p, err := openPacked(s.path)
		if err != nil {
			return err
		}
		p.whole = s.end(t.source.label) - s.base
		t.file, t.closer = p, p
		return nil
	}
	f, err := os.Open(s.path)
	if errors.Is(err, fs.ErrNotExist) { // compressed, or given up, meanwhile
		return errAgain
	}
	if err != nil {
		return err
	}
	t.file, t.closer = f, f
	return nil
}

func modified(path string) int64 {
	info, err := os.Stat(path)
	if err != nil {
		return time.Now().UnixNano()
	}
	return info.ModTime().UnixNano()
}

// refresh reads what the index says of what has come since.
func (t *tape) refresh() {
	if t.index == nil {
		return
	}
	before := firstBefore(t.base)
	if n := len(t.marks); n > 0 {
		before = t.marks[n-1]
	}
	if marks, next, err := readMarks(t.index, t.next, before); err == nil {
		t.marks, t.next = append(t.marks, marks...), next
	}
}

// How often it is looked for what is being renamed, a millisecond apart, and how often
// before it is taken for damaged.
const (
	looks        = 100
	patientLooks = 20
)

// read is what is in the file at an offset of the stream, at least a byte and at most a
// block. It is nothing where the stream ends for now.
func (t *tape) read(at, end int64) []byte {
	for try := range looks {
		if at >= end {
			return nil
		}
		if at >= t.start && at < t.start+int64(len(t.block)) {
			return t.block[at-t.start : min(end-t.start, int64(len(t.block)))]
		}
		if t.file == nil {
			switch err := t.openAt(at, try > patientLooks); {
			case errors.Is(err, errAgain):
				time.Sleep(time.Millisecond)
				continue
			case err != nil:
				return nil
			}
		}
		if cap(t.block) < blockSize {
			t.block = make([]byte, blockSize)
		}
		n, err := t.file.ReadAt(t.block[:blockSize], at-t.base)
		t.block, t.start = t.block[:n], at
		var lost *damaged
		if errors.As(err, &lost) {
			t.lost += t.base + lost.next - max(t.at, t.base)
			t.at = t.base + lost.next
			return nil
		}
		if n == 0 && err != nil && !errors.Is(err, io.EOF) {
			t.fault = err
			return nil
		}
		if n == 0 { // it goes on in the next file
			t.close()
		}
	}
	return nil
}

// openAt opens the file that holds the byte at an offset. errMoved: it is gone, and the
// tape goes on later.
func (t *tape) openAt(at int64, repair bool) error {
	was := t.at
	t.at = at
	err := t.open(repair)
	moved := t.at != at
	t.at = was
	switch {
	case t.hole > 0:
		t.lost, t.hole = t.lost+t.hole, 0
		t.at = max(t.at, t.base)
		return errMoved
	case moved:
		t.skip(t.base)
		return errMoved
	case err != nil && !errors.Is(err, errAgain) && !errors.Is(err, fs.ErrNotExist):
		t.fault = err
	}
	return err
}

// errMoved is for what is gone.
var errMoved = errors.New("it goes on later")

// skip goes on at a later offset, since what is before it is gone. What began at 0 has not
// lost what was given up before it began.
func (t *tape) skip(to int64) {
	if t.at > 0 {
		t.lost += max(to-t.at, 0)
	}
	t.at = max(to, t.at)
}

// line finds the next line that ends before end; with last, one that has no end, too.
func (t *tape) line(last bool) *Record {
	end := t.end()
	var text []byte
	at := t.at
	for {
		b := t.read(at, end)
		if at == t.at && len(text) == 0 && t.at > at {
			at = t.at
			continue
		}
		if len(b) == 0 {
			if t.at > at { // what was there is gone
				at, text = t.at, nil
				continue
			}
			break
		}
		if i := bytes.IndexByte(b, '\n'); i >= 0 && len(text)+i <= MaxLine {
			text = append(text, b[:i]...)
			return t.record(text, at+int64(i), at+int64(i)+1, false)
		}
		if len(text)+len(b) >= MaxLine {
			n := MaxLine - len(text)
			text = append(text, b[:n]...)
			return t.record(text, at+int64(n)-1, at+int64(n), true)
		}
		text = append(text, b...)
		at += int64(len(b))
	}
	if last && len(text) > 0 {
		return t.record(text, at-1, at, false)
	}
	return nil
}

// record is a line whose last byte is at an offset.
func (t *tape) record(text []byte, at, after int64, partial bool) *Record {
	m, ok := covering(t.marks, at)
	if t.index != nil && (!ok || len(t.marks) == 0 || t.marks[len(t.marks)-1].offset <= at) {
		t.refresh()
		m, _ = covering(t.marks, at)
	}
	return &Record{
		Name: t.source.name, Slot: t.source.slot, Label: t.source.label, ID: m.id,
		Time: time.Unix(0, m.time), Data: text, Partial: partial, Offset: after - int64(len(text)),
		Cursor: Cursor{m.time, t.source, after},
	}
}

// bytes are what was read at one time.
func (t *tape) bytes() *Record {
	end := t.end()
	b := t.read(t.at, end)
	if len(b) == 0 {
		return nil
	}
	t.refresh()
	i := sort.Search(len(t.marks), func(i int) bool { return t.marks[i].offset > t.at })
	if i < len(t.marks) {
		b = b[:min(int64(len(b)), t.marks[i].offset-t.at)]
	}
	r := t.record(bytes.Clone(b), t.at, t.at+int64(len(b)), false)
	r.Offset = t.at
	return r
}

// seek goes to where what was written at a time or later begins, or a little before.
func (t *tape) seek(since int64) {
	label := t.source.label
	list := segments(t.dir, label)
	for i := len(list) - 1; i >= 0; i-- {
		_, marks, err := readIndexFile(filepath.Join(t.dir, rotatedIndex(label, list[i].base)))
		if err == nil && len(marks) > 0 && marks[len(marks)-1].time < since {
			t.at = list[i].end(label)
			break
		}
		t.at = list[i].base
	}
	base, marks, err := readIndexFile(currentIndex(t.dir, label))
	if err != nil || t.at < base {
		return
	}
	i := sort.Search(len(marks), func(i int) bool { return marks[i].time >= since })
	if i == 0 {
		return
	}
	t.at = max(t.at, t.lineBefore(marks[i-1].offset, base))
}

// lineBefore is where the line begins that a byte is in, not before a limit.
func (t *tape) lineBefore(at, limit int64) int64 {
	for at > limit {
		from := max(limit, at-blockSize)
		var b []byte
		for off := from; off < at; {
			part := t.read(off, at)
			if len(part) == 0 {
				return at
			}
			b = append(b, part...)
			off += int64(len(part))
		}
		if i := bytes.LastIndexByte(b, '\n'); i >= 0 {
			return from + int64(i) + 1
		}
		at = from
	}
	return limit
}

// first is where the stream begins that is still there.
func (t *tape) first() int64 {
	if list := segments(t.dir, t.source.label); len(list) > 0 {
		return list[0].base
	}
	base, _, err := readIndexFile(currentIndex(t.dir, t.source.label))
	if err != nil {
		return 0
	}
	if list := segments(t.dir, t.source.label); len(list) > 0 { // the first file was full meanwhile
		return list[0].base
	}
	return base
}

// back goes to where the last n lines begin, or bytes.
func (t *tape) back(n int, raw bool) {
	end, first := t.end(), t.first()
	t.at = first
	if raw {
		t.at = max(first, end-int64(n))
		return
	}
	stop := end
	for at := end; at > first; {
		from := max(first, at-blockSize)
		b := make([]byte, 0, at-from)
		for off := from; off < at; {
			part := t.read(off, at)
			if len(part) == 0 {
				t.at = stop
				return
			}
			b = append(b, part...)
			off += int64(len(part))
		}
		for i := len(b) - 1; i >= 0; i-- {
			if b[i] != '\n' || from+int64(i)+1 == end {
				continue
			}
			if n--; n <= 0 {
				t.at = from + int64(i) + 1
				return
			}
			stop = from + int64(i) + 1
		}
		at = from
		t.close() // the block is of another place
		t.block = nil
	}
}
