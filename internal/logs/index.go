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
	indexMagic = "gaffidx1"
	markSize   = 32
	// headSize is that of what stands before the marks: the magic, the offset in the
	// stream at which the file begins, and nothing yet.
	headSize = 32
)

func appendMark(b []byte, m *mark) []byte {
	b = binary.LittleEndian.AppendUint64(b, uint64(m.time))
	b = binary.LittleEndian.AppendUint64(b, uint64(m.offset))
	b = binary.LittleEndian.AppendUint64(b, m.id)
	return append(b, m.kind, 0, 0, 0, 0, 0, 0, 0)
}

func parseMark(b []byte) mark {
	return mark{
		time:   int64(binary.LittleEndian.Uint64(b)),
		offset: int64(binary.LittleEndian.Uint64(b[8:])),
		id:     binary.LittleEndian.Uint64(b[16:]),
		kind:   b[24],
	}
}

func indexHead(base int64) []byte {
	b := append(make([]byte, 0, headSize), indexMagic...)
	b = binary.LittleEndian.AppendUint64(b, uint64(base))
	return append(b, make([]byte, headSize-len(b))...)
}

var errIndex = errors.New("not an index")

// readIndex reads an index from a place in it on, 0 being its beginning. next is where
// to go on later.
func readIndex(f io.ReaderAt, from int64) (base int64, marks []mark, next int64, err error) {
	var head [headSize]byte
	if _, err := f.ReadAt(head[:], 0); err != nil || string(head[:8]) != indexMagic {
		return 0, nil, 0, errIndex
	}
	base = int64(binary.LittleEndian.Uint64(head[8:]))
	next = max(from, headSize)
	text, err := io.ReadAll(io.NewSectionReader(f, next, 1<<40))
	if err != nil {
		return base, nil, next, err
	}
	for ; len(text) >= markSize; text = text[markSize:] {
		marks = append(marks, parseMark(text))
		next += markSize
	}
	return base, marks, next, nil
}

func readIndexFile(path string) (base int64, marks []mark, err error) {
	f, err := os.Open(path)
	if err != nil {
		return 0, nil, err
	}
	defer f.Close()
	base, marks, _, err = readIndex(f, 0)
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
