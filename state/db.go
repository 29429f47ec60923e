package state

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
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

// copyEvery is how old the copy may be when something changes.
const copyEvery = 24 * time.Hour

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
		return db, nil
	}
	return shrink(db, path, backup)
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
	binary.BigEndian.PutUint32(sealed, crc32.Checksum(value, castagnoli()))
	return append(sealed, value...)
}

var errSeal = errors.New("damaged value")

// unseal checks a value that was read, and returns the part that seal was given.
func unseal(sealed []byte) ([]byte, error) {
	if len(sealed) < 4 || binary.BigEndian.Uint32(sealed) != crc32.Checksum(sealed[4:], castagnoli()) {
		return nil, errSeal
	}
	return sealed[4:], nil
}
