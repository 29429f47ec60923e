package state

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"syscall"
	"time"
)

// HeldError says who has the directory already.
type HeldError struct {
	Dir   string
	PID   int       // 0: it has not said so yet
	Start time.Time // since when
	// Orphan says that it is a manager whose daemon has ended: it gives the directory
	// free when it is sent SIGTERM, and services go on.
	Orphan bool
}

func (e *HeldError) Error() string {
	if e.PID == 0 {
		return fmt.Sprintf("state directory %s: another daemon has it", e.Dir)
	}
	return fmt.Sprintf("state directory %s: a daemon has it, pid %d, since %s",
		e.Dir, e.PID, e.Start.Local().Format(time.DateTime))
}

// holder is what is in the lock file.
type holder struct {
	PID    int       `json:"pid"`
	Start  time.Time `json:"start"`
	Orphan bool      `json:"orphan,omitempty"`
}

// takeLock takes the lock of a directory until the file is closed, or the program
// ends in whatever way. The file itself stays: one that is removed could be locked
// by two.
func takeLock(dir string, pid int) (*os.File, error) {
	path := filepath.Join(dir, "lock")
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|syscall.O_NOFOLLOW, fileMode)
	if err != nil {
		return nil, fmt.Errorf("lock: %w", err)
	}
	err = flock(f)
	if errors.Is(err, syscall.EWOULDBLOCK) {
		defer f.Close()
		h := readHolder(f)
		return nil, &HeldError{Dir: dir, PID: h.PID, Start: h.Start, Orphan: h.Orphan}
	}
	if err == nil {
		err = writeHolder(f, holder{PID: pid})
	}
	if err != nil {
		f.Close()
		return nil, fmt.Errorf("lock %s: %w", path, err)
	}
	return f, nil
}

// isLockOf says whether a file is the one that locks a directory.
func isLockOf(f *os.File, dir string) bool {
	open, err := f.Stat()
	if err != nil {
		return false
	}
	named, err := os.Stat(filepath.Join(dir, "lock"))
	return err == nil && os.SameFile(open, named)
}

// A daemon that was killed may leave a lock behind for a moment: until a child that
// it was just starting has become another program.
const (
	lockPatience = 500 * time.Millisecond
	lockRetry    = 5 * time.Millisecond
)

func flock(f *os.File) error {
	for end := time.Now().Add(lockPatience); ; time.Sleep(lockRetry) {
		err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
		if !errors.Is(err, syscall.EWOULDBLOCK) || time.Now().After(end) {
			return err
		}
	}
}

func writeHolder(f *os.File, h holder) error {
	if h.PID == 0 {
		h.PID = os.Getpid()
	}
	h.Start = time.Now().Truncate(time.Second)
	text, err := json.Marshal(h)
	if err != nil {
		return err
	}
	// On a full disk the lock holds all the same, only its holder is not named.
	if err := f.Truncate(0); err != nil && !errors.Is(err, syscall.ENOSPC) {
		return err
	}
	if _, err := f.WriteAt(append(text, '\n'), 0); err != nil && !errors.Is(err, syscall.ENOSPC) {
		return err
	}
	return nil
}

// readHolder reads what may just be being written.
func readHolder(f *os.File) (h holder) {
	text, err := io.ReadAll(io.LimitReader(f, 1<<10))
	if err != nil || json.Unmarshal(text, &h) != nil {
		return holder{}
	}
	return h
}

// Orphaned says that this program is a manager whose daemon has ended, and that the next
// daemon may ask it to leave.
func (s *State) Orphaned() {
	if err := writeHolder(s.lock, holder{Orphan: true}); err != nil {
		s.logger.Error("the next daemon can't be told that it may take over", "error", err)
	}
}
