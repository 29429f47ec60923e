//go:build linux

package logs

import (
	"cmp"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"
)

// Limits bound the files of a stream. The zero value is the defaults.
type Limits struct {
	MaxSize  int64         // of a file; 0: 10 MiB
	MaxFiles int           // the current one included; 0: 5
	MaxTotal int64         // of all of a stream's files on the disk; 0: no bound of its own
	MaxAge   time.Duration // of a file that is written no more; 0: any
	Plain    bool          // files are not compressed
}

// The defaults of Limits.
const (
	DefaultMaxSize  = 10 << 20
	DefaultMaxFiles = 5
)

func (l Limits) withDefaults() Limits {
	if l.MaxSize <= 0 {
		l.MaxSize = DefaultMaxSize
	}
	if l.MaxFiles <= 0 {
		l.MaxFiles = DefaultMaxFiles
	}
	return l
}

// Options of a Store.
type Options struct {
	// Staging is a file for what was read and is not written yet: it is to live as long
	// as the processes do whose output is read, so it belongs where nothing outlives the
	// system.
	Staging string
	Logger  *slog.Logger // nil: discard

	// Of tests.
	pwrite    func(fd int, b []byte, offset int64) (int, error)
	packAfter time.Duration // 0: packAfter
}

// Store is a directory of log files. All Takes of its captures are made by one
// goroutine; all else may be done from any.
//
// mu guards what is below it.
type Store struct {
	root    string
	logger  *slog.Logger
	staging *staging
	pwrite  func(fd int, b []byte, offset int64) (int, error)
	wait    time.Duration // before a file is compressed
	clock   atomic.Int64  // the latest time that was given out
	reading atomic.Int32  // readers that follow
	opened  atomic.Int32  // writers whose files are open
	most    int32         // how many may be

	mu      sync.Mutex
	writers map[source]*Writer
	readers map[*Reader]struct{}
	tasks   []func() error // that nobody waits for
	tidying bool
	closed  bool
	timer   *time.Timer          // rings at expiry
	expiry  time.Time            // when the next file is too old; zero: none will be
	before  map[string][]source  // by template, those that had files; nil: not looked for yet
	packs   map[string]time.Time // files that are to be compressed, and when
	packing *time.Timer          // rings for them; nil: there are none
	beside  sync.WaitGroup
}

// Open opens a store. What an earlier one had read, and not written when it was killed,
// is written first.
func Open(root string, o Options) (*Store, error) {
	s := &Store{
		root: root, logger: o.Logger, pwrite: o.pwrite, wait: cmp.Or(o.packAfter, packAfter),
		writers: map[source]*Writer{}, readers: map[*Reader]struct{}{}, packs: map[string]time.Time{},
	}
	if s.logger == nil {
		s.logger = slog.New(slog.DiscardHandler)
	}
	if s.pwrite == nil {
		s.pwrite = unix.Pwrite
	}
	s.most = mostOpen()
	if err := os.MkdirAll(root, dirMode); err != nil {
		return nil, fmt.Errorf("logs: %w", err)
	}
	var err error
	if s.staging, err = openStaging(o.Staging); err != nil {
		return nil, fmt.Errorf("logs: %w", err)
	}
	if err := s.recover(); err != nil {
		s.logger.Error("what was read last from a service could not be written", "reason", err)
	}
	return s, nil
}

// recover writes what was read and not written.
func (s *Store) recover() error {
	name, offset, data := s.staging.left()
	if data == nil {
		return nil
	}
	src, ok := parseSource(name)
	if !ok {
		s.staging.clear()
		return fmt.Errorf("%q: not a stream", name)
	}
	w := s.Writer(src.name, src.slot, src.label, Limits{MaxSize: s.staging.limit(), MaxFiles: 1 << 30, Plain: true})
	w.mu.Lock()
	defer w.mu.Unlock()
	if err := w.open(); err != nil {
		return err
	}
	if err := w.replace(data, offset); err != nil {
		return err
	}
	s.staging.clear()
	return nil
}

// Writer is the stream of a slot with that label. It is the same for all who ask.
func (s *Store) Writer(name string, slot int, label string, l Limits) *Writer {
	src := source{name, slot, label}
	s.mu.Lock()
	w := s.writers[src]
	fresh := w == nil
	if fresh {
		w = &Writer{store: s, source: src, dir: src.dir(s.root), log: -1}
		s.writers[src] = w
	}
	var readers []*Reader
	if fresh {
		for r := range s.readers {
			readers = append(readers, r)
		}
	}
	w.limit.Store(&l)
	if fresh && l.MaxAge > 0 {
		s.weed(w)
	}
	s.mu.Unlock()
	for _, r := range readers {
		r.appeared(src)
	}
	return w
}

// Bound says what the limits of a template's streams are from now on.
func (s *Store) Bound(name string, l Limits) {
	for _, src := range s.resting(name, l) {
		s.Writer(src.name, src.slot, src.label, l)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for src, w := range s.writers {
		if src.name == name {
			w.limit.Store(&l)
			s.weed(w)
		}
	}
}

// resting are the streams of a template that had files when the store was opened, and to
// which nobody has written since: what is too old of them has to go, too.
func (s *Store) resting(name string, l Limits) []source {
	if l.MaxAge <= 0 {
		return nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.before == nil {
		s.before = map[string][]source{}
		for _, src := range sources(s.root) {
			s.before[src.name] = append(s.before[src.name], src)
		}
	}
	list := s.before[name]
	s.before[name] = nil // from now on they have writers
	return list
}

// weed removes files that are too many or too old by new limits, or by now. mu is held.
func (s *Store) weed(w *Writer) {
	s.post(func() error {
		w.mu.Lock()
		defer w.mu.Unlock()
		w.retire()
		return nil
	})
}

// expires has old files looked for at a time, or before.
func (s *Store) expires(at time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed || !s.expiry.IsZero() && !at.Before(s.expiry) {
		return
	}
	s.expiry = at
	if s.timer == nil {
		s.timer = time.AfterFunc(time.Until(at), s.expired)
		return
	}
	s.timer.Reset(time.Until(at))
}

func (s *Store) expired() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.expiry = time.Time{}
	for _, w := range s.writers {
		if w.limit.Load().MaxAge > 0 {
			s.weed(w)
		}
	}
}

// mostOpen is how many streams may have their files open: two descriptors each, a
// quarter of what this program may have.
func mostOpen() int32 {
	var limit unix.Rlimit
	if unix.Getrlimit(unix.RLIMIT_NOFILE, &limit) != nil {
		return 128
	}
	return int32(min(max(limit.Cur/8, 16), 1<<16))
}

// makeRoom closes the files of others when there are too many: they are opened again
// when they are needed.
func (s *Store) makeRoom(but *Writer) {
	if s.opened.Load() < s.most {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, w := range s.writers {
		if w != but && w.mu.TryLock() {
			w.closeFiles()
			w.mu.Unlock()
		}
	}
}

// now is the time, which is never the same twice, and goes back only with the clock.
func (s *Store) now() int64 {
	for {
		now, last := time.Now().UnixNano(), s.clock.Load()
		if now <= last && last-now < int64(time.Millisecond) {
			now = last + 1
		}
		if s.clock.CompareAndSwap(last, now) {
			return now
		}
	}
}

func (s *Store) isClosed() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.closed
}

// changed tells those who follow that a stream has grown.
func (s *Store) changed(w *Writer) {
	if s.reading.Load() == 0 {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for r := range s.readers {
		r.grew(w.source)
	}
}

// Trouble is what could not be kept of a template's streams, in bytes, and for how long
// processes may have had to wait because their pipes were full.
func (s *Store) Trouble(name string) (lost int64, blocked time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for src, w := range s.writers {
		if src.name == name {
			lost += w.lost.Load()
			blocked += time.Duration(w.blocked.Load())
		}
	}
	return lost, blocked
}

// EndReaders ends all following: what there is is still delivered.
func (s *Store) EndReaders() {
	s.mu.Lock()
	readers := make([]*Reader, 0, len(s.readers))
	for r := range s.readers {
		readers = append(readers, r)
	}
	s.mu.Unlock()
	for _, r := range readers {
		r.End()
	}
}

// Close ends the use of the store. Readers come to their end.
func (s *Store) Close() error {
	s.mu.Lock()
	if s.closed {
		s.mu.Unlock()
		return nil
	}
	s.closed = true
	for _, timer := range []*time.Timer{s.timer, s.packing} {
		if timer != nil {
			timer.Stop()
		}
	}
	writers, readers := s.writers, s.readers
	s.writers, s.readers = map[source]*Writer{}, map[*Reader]struct{}{}
	s.mu.Unlock()
	for r := range readers {
		r.finish()
	}
	for _, w := range writers {
		w.mu.Lock()
		if n := len(w.pending); !w.flush(true) && n > 0 {
			w.lost.Add(int64(len(w.pending)))
			s.logger.Error("what waited in memory is lost", "stream", w.source.String(), "bytes", len(w.pending))
			w.pending = nil
		}
		w.closeFiles()
		w.mu.Unlock()
	}
	s.beside.Wait()
	return errors.Join(s.staging.close())
}
