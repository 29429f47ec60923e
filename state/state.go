package state

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"sync"
	"time"

	"go.etcd.io/bbolt"

	"github.com/gafferpm/gaffer"
)

// Options of a State. The zero value is good.
type Options struct {
	// Logger is told what was lost, or had to be repaired. Default: nothing is logged.
	Logger *slog.Logger
	// PID is what whoever finds the directory taken is told. Default: this program's.
	PID int
	// JournalSegments is how many files the journal has, at least 2. Default 8.
	JournalSegments int
	// JournalSegmentBytes is the size of each. Default 1 MiB.
	JournalSegmentBytes int64

	// Lock is a file, as of State.Lock, by which somebody of this daemon has locked the
	// directory. It is taken over if it is still the directory's.
	Lock *os.File

	// Of tests.
	boot         string
	writeJournal func(f *os.File, b []byte, offset int64) (int, error)
	syncJournal  func(f *os.File) error
}

// State is what is kept in a directory. It is the Store of a manager, and may be
// used from any goroutine.
type State struct {
	dir     string
	logger  *slog.Logger
	lock    *os.File
	db      *bbolt.DB
	journal *Journal

	applying chan struct{} // holds a value while something is being applied
	writing  sync.Mutex    // held while records are written; guards copied
	copied   time.Time     // when the copy of the database was made

	mu       sync.Mutex // guards the rest; never held while something is written
	records  map[string]*record
	versions map[string]uint64     // of the latest change of a name that the manager has told
	gone     []removal             // the latest, whose names are still in versions
	coming   map[string]definition // what is being applied
	unsaved  map[string]bool       // records that are not in the database as they are here
	order    uint64                // the last one given out
	batch    *batch                // which the next changes join
}

var _ gaffer.Store = (*State)(nil)

// Open takes a directory, which is made if need be, and reads what is kept there.
// The error is a *HeldError when another daemon has it.
func Open(dir string, opts Options) (*State, error) {
	if err := privateDir(dir); err != nil {
		return nil, err
	}
	lock := opts.Lock
	if lock == nil || !isLockOf(lock, dir) {
		var err error
		if lock, err = takeLock(dir, opts.PID); err != nil {
			return nil, err
		}
	}
	s := &State{
		dir: dir, logger: opts.Logger, lock: lock, copied: time.Now(), applying: make(chan struct{}, 1),
		versions: map[string]uint64{}, coming: map[string]definition{}, unsaved: map[string]bool{},
	}
	if s.logger == nil {
		s.logger = slog.New(slog.DiscardHandler)
	}
	if err := s.open(dir, opts); err != nil {
		if s.db != nil {
			err = errors.Join(err, s.db.Close())
		}
		return nil, errors.Join(fmt.Errorf("state directory %s: %w", dir, err), lock.Close())
	}
	return s, nil
}

func (s *State) open(dir string, opts Options) (err error) {
	if s.db, err = openDB(dir, s.logger); err != nil {
		return err
	}
	if err := s.readRecords(); err != nil {
		return err
	}
	s.journal, err = openJournal(dir, opts.journal(), s.logger)
	return err
}

// journal are the options of the journal, with their defaults.
func (o *Options) journal() journalOptions {
	j := journalOptions{
		segments: o.JournalSegments, segmentBytes: o.JournalSegmentBytes,
		boot: o.boot, write: o.writeJournal, sync: o.syncJournal,
	}
	if j.segments == 0 {
		j.segments = 8
	}
	j.segments = max(j.segments, 2)
	if j.segmentBytes <= 0 {
		j.segmentBytes = 1 << 20
	}
	if j.boot == "" {
		j.boot = bootID()
	}
	if j.write == nil {
		j.write = (*os.File).WriteAt
	}
	if j.sync == nil {
		j.sync = (*os.File).Sync
	}
	return j
}

// Lock is the file by which the directory is locked: until all who have it open have
// closed it.
func (s *State) Lock() *os.File { return s.lock }

// Journal is that of the events.
func (s *State) Journal() *Journal { return s.journal }

// Close waits until nothing is being applied any more, ends the journal properly
// and gives the directory free. The manager has to be closed before.
func (s *State) Close() error {
	_ = s.begin(context.Background()) // the context does not end
	err := s.save()                   // what could not be kept before
	return errors.Join(err, s.journal.close(), s.db.Close(), s.lock.Close())
}
