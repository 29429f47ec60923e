package state

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// segment is one file of the journal. Its fields are guarded by the journal's
// lock, but for those that never change.
type segment struct {
	path   string
	first  uint64  // no event in it has a smaller number
	before uint64  // the greatest id that was known when it was begun
	size   int64   // of whole lines
	index  []place // where to begin reading; nil while the file was not looked at
}

// place is where in a segment an event is.
type place struct {
	seq    uint64
	offset int64
}

// indexEvery is how many bytes are between two places of an index.
const indexEvery = 8 << 10

// The name of a segment says what it begins with, so that most need not be read.
const segmentName = "%020d-%020d.log"

func newSegment(dir string, first, before uint64) *segment {
	return &segment{
		path:  filepath.Join(dir, fmt.Sprintf(segmentName, first, before)),
		first: first, before: before, index: []place{},
	}
}

// findSegments lists the segments of a directory, oldest first.
func findSegments(dir string) ([]*segment, error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, err
	}
	var list []*segment
	for _, e := range entries {
		var first, before uint64
		if _, err := fmt.Sscanf(e.Name(), segmentName, &first, &before); err != nil || !strings.HasSuffix(e.Name(), ".log") {
			continue // not ours
		}
		list = append(list, &segment{path: filepath.Join(dir, e.Name()), first: first, before: before})
	}
	return list, nil // ReadDir sorts, and the names sort as their numbers do
}

// noted adds a line at an offset to the index, if it is time.
func (s *segment) noted(seq uint64, offset int64) {
	if n := len(s.index); n == 0 || offset-s.index[n-1].offset >= indexEvery {
		s.index = append(s.index, place{seq, offset})
	}
}

// scanned is what is found in a segment.
type scanned struct {
	seq, id uint64 // the greatest
	size    int64  // up to the end of the last good line
	damaged bool   // there are whole lines that are not good
	index   []place
}

// scanFile looks at all lines of a segment.
func scanFile(path string) (scanned, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return scanned{}, err
	}
	return scan(text), nil
}

func scan(text []byte) (s scanned) {
	found := segment{index: []place{}}
	for offset := 0; ; {
		n := bytes.IndexByte(text[offset:], '\n')
		if n < 0 {
			break
		}
		l, err := parseLine(text[offset : offset+n])
		if err != nil || l.seq <= s.seq {
			s.damaged = true
		} else {
			found.noted(l.seq, int64(offset))
			s.seq, s.id, s.size = l.seq, max(s.id, l.id), int64(offset+n+1)
		}
		offset += n + 1
	}
	s.index = found.index
	return s
}

// from is where to begin reading for the event after a number.
func (s *segment) from(after uint64) int64 {
	i, found := slices.BinarySearchFunc(s.index, after+1, func(p place, seq uint64) int {
		switch {
		case p.seq < seq:
			return -1
		case p.seq > seq:
			return 1
		}
		return 0
	})
	if !found {
		i--
	}
	if i < 0 {
		return 0
	}
	return s.index[i].offset
}

// chunk is how much of a segment is read at once.
const chunk = 16 << 10

// lines calls f with each good line between two offsets of a file, until f
// returns false.
func lines(f io.ReaderAt, from, to int64, each func(line) bool) error {
	buf := make([]byte, 0, min(chunk, to-from))
	for from < to || len(buf) > 0 {
		end := bytes.LastIndexByte(buf, '\n') + 1
		for rest := buf[:end]; len(rest) > 0; {
			text, after, _ := bytes.Cut(rest, []byte{'\n'})
			rest = after
			if l, err := parseLine(text); err == nil && !each(l) {
				return nil
			}
		}
		buf = buf[:copy(buf, buf[end:])]
		if from >= to {
			return nil
		}
		n := min(int64(chunk), to-from)
		buf = slices.Grow(buf, int(n))
		read, err := f.ReadAt(buf[len(buf):len(buf)+int(n)], from)
		if read == 0 && err != nil {
			if err == io.EOF {
				return nil // somebody has cut it off
			}
			return err
		}
		buf, from = buf[:len(buf)+read], from+int64(read)
	}
	return nil
}
