package state

import (
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"github.com/gafferpm/gaffer"
)

// Journal keeps the latest events in files of a bounded size. What was appended
// survives a kill; it is on the disk a second later, while events come, at most.
type Journal struct {
	dir    string // of the segments
	opts   journalOptions
	logger *slog.Logger
	dirty  chan struct{} // wakes the syncer
	quit   chan struct{} // ends it
	ended  chan struct{}

	mu       sync.Mutex // guards the rest
	numbers  *numbers
	boot     string
	sameBoot bool       // the one before was written since this system was booted
	segments []*segment // oldest first; the last one is written to
	file     *os.File   // of the last one
	seq, id  uint64     // the greatest that were, or may have been, given out
	holes    bool       // the latest events could not be kept
	buf      []byte     // lines on their way to the last segment
	places   []place    // where they will be
	closed   bool
	gapAfter uint64 // the last number in the journal when it was opened
	opened   uint64 // and the last that may have been given out
	torn     bool   // an fsync has failed: what it was to write may never be on the disk
}

// journalOptions bound the journal.
type journalOptions struct {
	segments     int   // how many
	segmentBytes int64 // of each
	boot         string
	write        func(f *os.File, b []byte, offset int64) (int, error)
	sync         func(f *os.File) error
}

const (
	// seqStep and idStep are how far a ceiling is above what was given out when it
	// is written: that many events need no fsync.
	seqStep = 1 << 16
	idStep  = 1 << 13
	// idSlack is how many processes may have been started, and so have an id, of
	// which no event has reached the journal, by each that had it open.
	idSlack = 1 << 10
	// syncEvery is the least time between two fsyncs of events.
	syncEvery = time.Second
	// maxBuffer is how much memory for lines is kept for the next ones.
	maxBuffer = 64 << 10
)

var errClosed = errors.New("event journal: closed")

var _ gaffer.Journal = (*Journal)(nil)

// openJournal opens the journal in a directory. What was torn by a kill or a power
// failure is cut off.
func openJournal(dir string, opts journalOptions, logger *slog.Logger) (*Journal, error) {
	j := &Journal{
		dir: filepath.Join(dir, "events"), opts: opts, logger: logger, boot: opts.boot,
		dirty: make(chan struct{}, 1), quit: make(chan struct{}), ended: make(chan struct{}),
	}
	if err := j.open(dir); err != nil {
		return nil, errors.Join(fmt.Errorf("event journal: %w", err), j.closeFiles())
	}
	go j.syncer()
	return j, nil
}

func (j *Journal) open(dir string) (err error) {
	if err := privateDir(j.dir); err != nil {
		return err
	}
	if j.numbers, err = openNumbers(dir); err != nil {
		return err
	}
	if j.segments, err = findSegments(j.dir); err != nil {
		return err
	}
	seen, err := j.openLast()
	if err != nil {
		return err
	}
	j.recall(seen)
	if j.file == nil {
		if err := j.begin(j.seq + 1); err != nil {
			return err
		}
	}
	if err := j.raise(); err != nil {
		return err
	}
	return syncDir(dir)
}

// openLast opens the segment that is written to, if there is one.
func (j *Journal) openLast() (scanned, error) {
	if len(j.segments) == 0 {
		return scanned{damaged: true}, nil
	}
	s := j.segments[len(j.segments)-1]
	found, err := scanFile(s.path)
	if err != nil {
		return found, err
	}
	j.file, err = os.OpenFile(s.path, os.O_RDWR, fileMode)
	if err != nil {
		return found, err
	}
	s.size, s.index = found.size, found.index
	found.seq, found.id = max(found.seq, s.first-1), max(found.id, s.before)
	return found, j.file.Truncate(s.size)
}

// recall works out the greatest numbers that were given out, from what was found
// in the journal and what is known for certain.
func (j *Journal) recall(seen scanned) {
	known := j.numbers.last
	j.sameBoot = known.Write != 0 && known.Boot == j.boot && j.boot != ""
	j.seq, j.id = seen.seq, seen.id
	defer func() { j.gapAfter, j.opened = seen.seq, j.seq }()
	switch {
	case known.Write == 0 && len(j.segments) == 0 && !j.numbers.damaged: // a new one
	case known.Write == 0:
		j.logger.Error("event journal: the file of the last numbers is damaged or gone; there is a gap in the numbers of events",
			"after", j.seq)
		j.seq, j.id = j.seq+seqStep, j.id+idStep
	case known.Clean:
		j.seq, j.id = max(j.seq, known.Seq), max(j.id, known.ID)
	case known.Boot == j.boot && j.boot != "" && !known.Holes && !seen.damaged:
		// Whoever had it open before began after known.ID-idStep, and may have given out ids
		// from there on of which nothing has reached the journal.
		j.id = max(j.id, known.ID-min(idStep, known.ID)) + idSlack
	default:
		if known.Seq > j.seq {
			j.logger.Warn("event journal: the end came unexpectedly, the latest events may be lost; there is a gap in the numbers of events",
				"after", j.seq, "next", known.Seq+1)
		}
		j.seq, j.id = max(j.seq, known.Seq), max(j.id, known.ID)
	}
}

// raise makes it durable that greater numbers are about to be given out.
func (j *Journal) raise() error {
	return j.numbers.write(ceiling{Boot: j.boot, Holes: j.holes, Seq: j.seq + seqStep, ID: j.id + idStep})
}

// Gap is what was skipped when the journal was opened, for it may have been given out and
// lost: the numbers between the two.
func (j *Journal) Gap() (after, next uint64) {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.gapAfter, j.opened + 1
}

// Last implements gaffer.Journal.
func (j *Journal) Last() (seq, id uint64) {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.seq, j.id
}

// Append implements gaffer.Journal. On a full disk it returns an error and these
// events are missing; later ones are kept again once there is room.
func (j *Journal) Append(events []gaffer.Event) error {
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.closed {
		return errClosed
	}
	err := j.append(events)
	if failed := err != nil; failed != j.holes {
		j.holes = failed
		err = errors.Join(err, j.raise())
	}
	if err != nil {
		return fmt.Errorf("event journal: %w", err)
	}
	return nil
}

func (j *Journal) append(events []gaffer.Event) error {
	for i := range events {
		if events[i].Seq <= j.seq {
			return fmt.Errorf("number %d after %d", events[i].Seq, j.seq)
		}
		j.seq, j.id = events[i].Seq, max(j.id, events[i].ID)
	}
	var raised error
	if j.seq > j.numbers.last.Seq || j.id+idSlack > j.numbers.last.ID {
		raised = j.raise()
	}
	for i := range events {
		if err := j.add(&events[i]); err != nil {
			return errors.Join(raised, err)
		}
	}
	return errors.Join(raised, j.flush())
}

// add puts an event into the buffer, having made room for it.
func (j *Journal) add(e *gaffer.Event) error {
	start := len(j.buf)
	buf, err := appendLine(j.buf, e)
	if err != nil {
		return err
	}
	s := j.segments[len(j.segments)-1]
	if size := s.size + int64(start); size > 0 && s.size+int64(len(buf)) > j.opts.segmentBytes {
		next := append([]byte(nil), buf[start:]...)
		if err := j.flush(); err != nil {
			return err
		}
		if err := j.begin(e.Seq); err != nil {
			return err
		}
		j.buf, j.places = append(j.buf, next...), append(j.places, place{e.Seq, 0})
		return nil
	}
	j.buf, j.places = buf, append(j.places, place{e.Seq, s.size + int64(start)})
	return nil
}

// flush writes the buffer to the last segment: all of it, or nothing.
func (j *Journal) flush() error {
	s := j.segments[len(j.segments)-1]
	buf, places := j.buf, j.places
	j.buf, j.places = j.buf[:0], j.places[:0]
	if len(buf) == 0 {
		return nil
	}
	if _, err := j.opts.write(j.file, buf, s.size); err != nil {
		// What is left there is overwritten by the next event, or cut off.
		return errors.Join(err, j.file.Truncate(s.size))
	}
	s.size += int64(len(buf))
	for _, p := range places {
		s.noted(p.seq, p.offset)
	}
	if cap(j.buf) > maxBuffer {
		j.buf = nil
	}
	select {
	case j.dirty <- struct{}{}:
	default:
	}
	return nil
}

// begin starts a segment with the event of a number. It gives up the oldest one
// before, so that a full disk is no reason to keep old events and lose new ones.
func (j *Journal) begin(first uint64) error {
	for len(j.segments) >= j.opts.segments {
		if err := os.Remove(j.segments[0].path); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		j.segments = j.segments[1:]
	}
	s := newSegment(j.dir, first, j.id)
	f, err := os.OpenFile(s.path, os.O_RDWR|os.O_CREATE|os.O_TRUNC, fileMode)
	if err != nil {
		return err
	}
	old := j.file
	j.file, j.segments = f, append(slices.Clone(j.segments), s)
	if old != nil {
		err = errors.Join(j.opts.sync(old), old.Close())
		j.torn = j.torn || err != nil
	}
	return errors.Join(err, syncDir(j.dir))
}

// syncer brings to the disk what was appended, again and again until that works.
// While nothing is, it waits without a timer.
func (j *Journal) syncer() {
	defer close(j.ended)
	failing := false
	for {
		select {
		case <-j.dirty:
		case <-j.quit:
			return
		}
		err := j.syncFile()
		if err != nil && !failing {
			j.logger.Error("event journal: not on the disk", "error", err)
		}
		failing = err != nil
		select {
		case <-time.After(syncEvery):
		case <-j.quit:
			return
		}
	}
}

// syncFile brings the last segment to the disk. Where that fails it is dirty again.
func (j *Journal) syncFile() error {
	j.mu.Lock()
	f := j.file
	j.mu.Unlock()
	err := j.opts.sync(f)
	if err == nil || errors.Is(err, fs.ErrClosed) { // that was brought to the disk before
		return nil
	}
	j.mu.Lock()
	j.torn = true
	j.mu.Unlock()
	select {
	case j.dirty <- struct{}{}:
	default:
	}
	return err
}

// close ends the journal properly: its numbers go on without a gap. After an fsync
// that has failed they don't: one that works later says nothing of what was lost.
func (j *Journal) close() error {
	close(j.quit)
	<-j.ended
	j.mu.Lock()
	defer j.mu.Unlock()
	j.closed = true
	err := j.opts.sync(j.file)
	if err == nil && !j.torn {
		err = j.numbers.write(ceiling{Boot: j.boot, Clean: true, Seq: j.seq, ID: j.id})
	}
	if err = errors.Join(err, j.closeFiles()); err != nil {
		return fmt.Errorf("event journal: %w", err)
	}
	return nil
}

func (j *Journal) closeFiles() error {
	var errs []error
	if j.file != nil {
		errs = append(errs, j.file.Close())
	}
	if j.numbers != nil {
		errs = append(errs, j.numbers.file.Close())
	}
	return errors.Join(errs...)
}
