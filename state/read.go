package state

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"sort"

	"github.com/gafferpm/gaffer"
)

// Read implements gaffer.Journal. Reading waits for no writing.
func (j *Journal) Read(after uint64, limit int) ([]gaffer.Event, error) {
	if limit <= 0 {
		return nil, nil
	}
	var list []gaffer.Event
	for _, part := range j.parts(after) {
		found, err := part.read(after, limit-len(list))
		list = append(list, found...)
		if err != nil {
			return list, fmt.Errorf("event journal: %w", err)
		}
		if len(list) >= limit {
			break
		}
	}
	return list, nil
}

// part is what of a segment is to be read, as it was at one time.
type part struct {
	j       *Journal
	segment *segment
	from    int64
	to      int64 // -1: the whole file, of which there is no index yet
}

// parts are those in which there may be events after a number.
func (j *Journal) parts(after uint64) []part {
	j.mu.Lock()
	defer j.mu.Unlock()
	begin := sort.Search(len(j.segments), func(i int) bool { return j.segments[i].first > after })
	begin = max(begin-1, 0)
	list := make([]part, 0, len(j.segments)-begin)
	for _, s := range j.segments[begin:] {
		p := part{j: j, segment: s, to: -1}
		if s.index != nil {
			p.from, p.to = s.from(after), s.size
		}
		list = append(list, p)
	}
	return list
}

func (p part) read(after uint64, limit int) (list []gaffer.Event, err error) {
	if p.to < 0 {
		p, err = p.indexed(after)
	}
	if err == nil && p.from < p.to {
		list, err = p.readFile(after, limit)
	}
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil // it was the oldest, and is gone by now
	}
	return list, err
}

// indexed looks at a segment for the first time.
func (p part) indexed(after uint64) (part, error) {
	found, err := scanFile(p.segment.path)
	if err != nil {
		return p, err
	}
	p.j.mu.Lock()
	defer p.j.mu.Unlock()
	p.segment.size, p.segment.index = found.size, found.index
	p.from, p.to = p.segment.from(after), found.size
	return p, nil
}

func (p part) readFile(after uint64, limit int) ([]gaffer.Event, error) {
	f, err := os.Open(p.segment.path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	var list []gaffer.Event
	err = lines(f, p.from, p.to, func(l line) bool {
		if l.seq <= after {
			return true
		}
		if e, err := l.event(); err == nil { // else it is missing, as a damaged line is
			list = append(list, e)
		}
		return len(list) < limit
	})
	return list, err
}
