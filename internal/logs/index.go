//go:build linux

package logs

import (
	"encoding/binary"
	"errors"
	"io"
	"io/fs"
	"os"
	"sort"
)

// What a mark says of the bytes from its offset on.
const (
	markData    = 0 // read at that time from the process of that id
	markEnd     = 1 // the process of that id has ended
	markNewline = 2 // the byte there is a newline that nobody has written: its line was not finished
	markSplit   = 3 // the line before goes on here: it was too long for a file
	markLoss    = 4 // so many bytes, the mark's id, were lost here
	markRotated = 5 // here the file ends, and the next one begins
)

// mark is a record of an index: when the bytes from an offset on were read.
type mark struct {
	time   int64 // nanoseconds since 1970
	offset int64 // in the stream
	id     uint64
	kind   uint8
}

const (
	indexMagic = "gaffidx2"
	// headSize is that of what stands before the marks: the magic, the offset in the
	// stream at which the file begins, and nothing yet.
	headSize = 32
	// markID says that a mark's id is another one than the mark's before it.
	markID = 1 << 7
	// checkSeed is where the sum of a mark begins: no zeros are a mark.
	checkSeed = 0x5a
)

// appendMark writes a mark as what is different from the one before it: its kind, its
// time, its offset, its id if that is another one, and a sum of these bytes. That is six
// to eight bytes where 32 would be needed.
func appendMark(b []byte, before, m *mark) []byte {
	start := len(b)
	kind := m.kind
	if m.id != before.id {
		kind |= markID
	}
	b = append(b, kind)
	b = binary.AppendVarint(b, m.time-before.time)
	b = binary.AppendVarint(b, m.offset-before.offset)
	if m.id != before.id {
		b = binary.AppendUvarint(b, m.id)
	}
	return append(b, checkOf(b[start:]))
}

func checkOf(b []byte) byte {
	sum := byte(checkSeed)
	for _, c := range b {
		sum = sum*31 + c
	}
	return sum
}

// parseMark reads a mark, of so many bytes; 0: there is none, or none as a whole.
func parseMark(b []byte, before *mark) (m mark, size int) {
	if len(b) == 0 {
		return m, 0
	}
	m.kind, m.id = b[0]&^markID, before.id
	at := 1
	var numbers [2]int64
	for i := range numbers {
		n, size := binary.Varint(b[at:])
		if size <= 0 {
			return m, 0
		}
		numbers[i] = n
		at += size
	}
	m.time, m.offset = before.time+numbers[0], before.offset+numbers[1]
	if b[0]&markID != 0 {
		id, size := binary.Uvarint(b[at:])
		if size <= 0 {
			return m, 0
		}
		m.id = id
		at += size
	}
	if at >= len(b) || b[at] != checkOf(b[:at]) {
		return m, 0
	}
	return m, at + 1
}

// firstBefore stands for the mark before the first one of a file.
func firstBefore(base int64) mark { return mark{offset: base} }

// indexText is a whole index, and the last mark in it.
func indexText(base int64, marks []mark) (text []byte, last mark) {
	text = append(make([]byte, 0, headSize), indexMagic...)
	text = binary.LittleEndian.AppendUint64(text, uint64(base))
	text = append(text, make([]byte, headSize-len(text))...)
	last = firstBefore(base)
	for i := range marks {
		text = appendMark(text, &last, &marks[i])
		last = marks[i]
	}
	return text, last
}

var errIndex = errors.New("not an index")

// readIndex reads an index from its beginning. next is where to go on later.
func readIndex(f io.ReaderAt) (base int64, marks []mark, next int64, err error) {
	var head [headSize]byte
	if _, err := f.ReadAt(head[:], 0); err != nil || string(head[:8]) != indexMagic {
		return 0, nil, 0, errIndex
	}
	base = int64(binary.LittleEndian.Uint64(head[8:]))
	marks, next, err = readMarks(f, headSize, firstBefore(base))
	return base, marks, next, err
}

// readMarks reads the marks from a place in an index on. What is no whole mark may be
// one later.
func readMarks(f io.ReaderAt, from int64, before mark) (marks []mark, next int64, err error) {
	text, err := io.ReadAll(io.NewSectionReader(f, from, 1<<40))
	if err != nil {
		return nil, from, err
	}
	next = from
	for {
		m, size := parseMark(text, &before)
		if size == 0 {
			return marks, next, nil
		}
		marks = append(marks, m)
		text, next, before = text[size:], next+int64(size), m
	}
}

func readIndexFile(path string) (base int64, marks []mark, err error) {
	f, err := os.Open(path)
	if err != nil {
		return 0, nil, err
	}
	defer f.Close()
	base, marks, _, err = readIndex(f)
	return base, marks, err
}

// covering is the mark that says when the byte at an offset was read, and by whom it
// was written.
func covering(marks []mark, offset int64) (mark, bool) {
	i := sort.Search(len(marks), func(i int) bool { return marks[i].offset > offset })
	for i--; i >= 0; i-- {
		switch marks[i].kind {
		case markData, markNewline, markSplit:
			return marks[i], true
		}
	}
	return mark{}, false
}

// repaired is an index that agrees with a file of that size. end is where the stream
// was known to end before the file, from 0 on.
func repaired(path string, end, size, modified int64) (base int64, marks []mark, fault string) {
	base, marks, err := readIndexFile(path)
	switch {
	case errors.Is(err, fs.ErrNotExist) && size == 0:
		return end, nil, ""
	case errors.Is(err, fs.ErrNotExist):
		fault = "it is missing"
	case err != nil:
		fault = "it can't be read"
	case base < end:
		fault = "it begins before the file does"
	}
	if fault != "" {
		return end, []mark{{time: modified, offset: end}}, fault
	}
	for i, m := range marks {
		if m.offset < base || i > 0 && m.offset < marks[i-1].offset {
			return base, append(marks[:i:i], mark{time: modified, offset: base + size}), "it is out of order"
		}
		if m.offset > base+size {
			// The file was cut: what comes now must not have an offset twice.
			base = marks[len(marks)-1].offset - size
			return base, []mark{{time: modified, offset: base}}, "the file is shorter than it says"
		}
	}
	return base, marks, ""
}
