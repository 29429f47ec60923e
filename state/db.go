package state

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"runtime/debug"
	"syscall"
	"time"

	"go.etcd.io/bbolt"
	berrors "go.etcd.io/bbolt/errors"
)

// The names of the files of the database.
const (
	dbName     = "state.db"
	backupName = "state.db.backup"
)

// The buckets of the database. Those of others have othersPrefix before their name.
const (
	metaBucket      = "meta"
	templatesBucket = "templates"
	othersPrefix    = "bucket/"
)

// formatKey is where in the metaBucket the version of the format is.
const (
	formatKey     = "format"
	formatVersion = "1"
)

// damagedError says that a file is no database, or not a whole one.
type damagedError struct{ err error }

func (e *damagedError) Error() string { return e.err.Error() }
func (e *damagedError) Unwrap() error { return e.err }

// openDB opens the database of a directory. One that is damaged is put aside and
// the copy that was made when a daemon started last takes its place.
func openDB(dir string, logger *slog.Logger) (*bbolt.DB, error) {
	path, backup := filepath.Join(dir, dbName), filepath.Join(dir, backupName)
	db, err := openFile(path, fileExists(backup))
	var damaged *damagedError
	if errors.As(err, &damaged) {
		db, err = openBackup(path, backup, damaged, logger)
	}
	if err != nil {
		return nil, err
	}
	if err := makeBackup(db, backup); err != nil {
		logger.Warn("state database: no copy was made", "error", err)
	}
	return db, nil
}

// openFile opens a database and looks at all that is in it.
func openFile(path string, existed bool) (db *bbolt.DB, err error) {
	info, err := os.Stat(path)
	if existed && (errors.Is(err, fs.ErrNotExist) || err == nil && info.Size() == 0) {
		return nil, &damagedError{fmt.Errorf("%s: it is gone", path)}
	}
	err = safely(func() error {
		db, err = bbolt.Open(path, fileMode, &bbolt.Options{
			Timeout: time.Second, FreelistType: bbolt.FreelistMapType, NoStatistics: true,
		})
		return err
	})
	var number syscall.Errno
	var damaged *damagedError
	switch {
	case errors.As(err, &number), errors.As(err, &damaged), errors.Is(err, berrors.ErrTimeout):
		return nil, err
	case err != nil:
		return nil, &damagedError{fmt.Errorf("%s: %w", path, err)}
	}
	if err := safely(func() error { return check(db) }); err != nil {
		return nil, errors.Join(err, db.Close())
	}
	if err := safely(func() error { return known(db) }); err != nil {
		return nil, errors.Join(err, db.Close())
	}
	return db, nil
}

// known makes the buckets of a new database, and knows the format of an old one.
func known(db *bbolt.DB) error {
	version := formatVersion
	err := db.View(func(tx *bbolt.Tx) error {
		meta := tx.Bucket([]byte(metaBucket))
		if meta == nil {
			version = ""
			return nil
		}
		v, err := unseal(meta.Get([]byte(formatKey)))
		version = string(v)
		return err
	})
	switch {
	case err != nil:
		return &damagedError{fmt.Errorf("%s: format: %w", dbName, err)}
	case version == "":
		return db.Update(prepare)
	case version != formatVersion:
		return fmt.Errorf("%s: format %q; this gaffer knows %q", dbName, version, formatVersion)
	}
	return nil
}

// check reads all that is in a database.
func check(db *bbolt.DB) error {
	return db.View(func(tx *bbolt.Tx) error {
		return tx.ForEach(func(name []byte, b *bbolt.Bucket) error {
			return b.ForEach(func(key, value []byte) error {
				if _, err := unseal(value); err != nil {
					return &damagedError{fmt.Errorf("%s: %s, %q: %w", dbName, name, key, err)}
				}
				return nil
			})
		})
	})
}

// prepare makes the buckets of a new database.
func prepare(tx *bbolt.Tx) error {
	meta, err := tx.CreateBucket([]byte(metaBucket))
	if err != nil {
		return err
	}
	if _, err := tx.CreateBucketIfNotExists([]byte(templatesBucket)); err != nil {
		return err
	}
	return meta.Put([]byte(formatKey), seal([]byte(formatVersion)))
}

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
		logger.Error("state database: it is damaged; the copy of the last start is used, later changes are lost",
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

// makeBackup copies a database that was found good.
func makeBackup(db *bbolt.DB, backup string) error {
	fresh := backup + ".new"
	f, err := os.OpenFile(fresh, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, fileMode)
	if err != nil {
		return err
	}
	err = db.View(func(tx *bbolt.Tx) error { _, err := tx.WriteTo(f); return err })
	return finish(f, err, backup)
}

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
	return finish(f, err, to)
}

// finish makes a file durable and gives it its name; of one with an error nothing
// is left.
func finish(f *os.File, err error, name string) error {
	if err == nil {
		err = f.Sync()
	}
	err = errors.Join(err, f.Close())
	if err == nil && f.Name() != name {
		err = os.Rename(f.Name(), name)
	}
	if err != nil {
		return errors.Join(err, os.Remove(f.Name()))
	}
	return nil
}

func fileExists(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.Size() > 0
}

// safely runs f, which reads a database. Where that is damaged it may panic, or
// reach for memory that is not there.
func safely(f func() error) (err error) {
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer func() {
		if r := recover(); r != nil {
			err = &damagedError{fmt.Errorf("%s: %v", dbName, r)}
		}
	}()
	return f()
}

// seal puts a checksum before a value: the database has none of its own.
func seal(value []byte) []byte {
	sealed := make([]byte, 4, 4+len(value))
	binary.BigEndian.PutUint32(sealed, crc32.Checksum(value, castagnoli))
	return append(sealed, value...)
}

var errSeal = errors.New("damaged value")

// unseal checks a value that was read, and returns the part that seal was given.
func unseal(sealed []byte) ([]byte, error) {
	if len(sealed) < 4 || binary.BigEndian.Uint32(sealed) != crc32.Checksum(sealed[4:], castagnoli) {
		return nil, errSeal
	}
	return sealed[4:], nil
}
