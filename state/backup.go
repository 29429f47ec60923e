package state

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"go.etcd.io/bbolt"
)

// openBackup puts a damaged database aside and opens the copy of it instead; where
// there is no good one, a new database.
func openBackup(path, backup string, damaged error, logger *slog.Logger) (*bbolt.DB, error) {
	aside := path + ".damaged-" + time.Now().UTC().Format("20060102T150405.000")
	if err := os.Link(path, aside); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, errors.Join(damaged, fmt.Errorf("put aside: %w", err))
	}
	fresh := path + ".new"
	err := copyFile(backup, fresh)
	if err == nil {
		var db *bbolt.DB
		if db, err = openFile(fresh, true); err == nil {
			err = errors.Join(db.Close(), os.Rename(fresh, path), syncDir(filepath.Dir(path)))
		}
	}
	if err == nil {
		logger.Error("state database: it is damaged; its copy is used, later changes are lost; API keys may be older, too: look at them",
			"error", damaged, "aside", aside)
		return openFile(path, true)
	}
	var number syscall.Errno
	var bad *damagedError
	if errors.As(err, &number) && !errors.Is(err, fs.ErrNotExist) && !errors.As(err, &bad) {
		return nil, errors.Join(damaged, err) // a full disk, say: the copy may be good
	}
	logger.Error("state database: it is damaged and there is no good copy; what was added at run time is lost",
		"error", damaged, "copy", err, "aside", aside)
	for _, p := range []string{path, fresh} {
		if err := os.Remove(p); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return nil, errors.Join(damaged, err)
		}
	}
	return openFile(path, false)
}

// makeBackup copies a database that was found good, without what is unused in it.
func makeBackup(db *bbolt.DB, backup string) error {
	fresh := backup + ".new"
	if err := os.Remove(fresh); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	copied, err := bbolt.Open(fresh, fileMode, &bbolt.Options{NoSync: true, NoGrowSync: true, NoStatistics: true})
	if err == nil {
		err = safely(func() error { return bbolt.Compact(copied, db, 0) })
		err = errors.Join(err, copied.Sync(), copied.Close())
	}
	if err == nil {
		err = os.Rename(fresh, backup)
	}
	if err != nil {
		return errors.Join(err, os.Remove(fresh))
	}
	return syncDir(filepath.Dir(backup))
}

// A database of which much is unused is replaced by its copy: it never gets smaller
// by itself.
const (
	shrinkFrom = 1 << 20 // bytes
	shrinkBy   = 4       // times
)

func shrink(db *bbolt.DB, path, backup string) (*bbolt.DB, error) {
	large, err := os.Stat(path)
	small, err2 := os.Stat(backup)
	if err != nil || err2 != nil || large.Size() < shrinkFrom || large.Size() < shrinkBy*small.Size() {
		return db, errors.Join(err, err2)
	}
	if err := db.Close(); err != nil {
		return nil, err
	}
	fresh := path + ".new"
	if copyFile(backup, fresh) == nil { // else it stays large
		if err := errors.Join(os.Rename(fresh, path), syncDir(filepath.Dir(path))); err != nil {
			return nil, err
		}
	}
	return openFile(path, true)
}

// copyFile makes a durable copy of a file; of one that fails nothing is left.
func copyFile(from, to string) error {
	in, err := os.Open(from)
	if err != nil {
		return err
	}
	defer in.Close()
	f, err := os.OpenFile(to, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, fileMode)
	if err != nil {
		return err
	}
	_, err = io.Copy(f, in)
	if err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err != nil {
		return errors.Join(err, os.Remove(to))
	}
	return nil
}
