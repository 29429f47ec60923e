package state

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"
)

// copyDaily makes a new copy of the database if the last one is old: a daemon may
// run for years. It is held while records are written.
func (s *State) copyDaily() {
	if time.Since(s.copied) < copyEvery {
		return
	}
	if err := s.copy(); err != nil {
		s.logger.Warn("state database: no copy was made", "error", err)
	}
}

// copy makes a new copy of the database, if that is good. It is held while records
// are written.
func (s *State) copy() error {
	s.copied = time.Now()
	if err := safely(func() error { return check(s.db) }); err != nil {
		return err
	}
	return makeBackup(s.db, filepath.Join(s.dir, backupName))
}

// forget makes sure that what was deleted does not come back with the copy. Without
// room for a new one there is none, until something changes.
func (s *State) forget() error {
	s.writing.Lock()
	defer s.writing.Unlock()
	err := s.copy()
	var damaged *damagedError
	if err == nil {
		return nil
	}
	if errors.As(err, &damaged) { // the copy is all that is left
		return fmt.Errorf("deleted, but not from the copy of the database: %w", err)
	}
	s.logger.Warn("state database: it has no copy for now", "error", err)
	s.copied = time.Time{}
	if err := os.Remove(filepath.Join(s.dir, backupName)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("deleted, but not from the copy of the database: %w", err)
	}
	return syncDir(s.dir)
}
