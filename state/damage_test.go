package state

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/gafferpm/gaffer"
)

// spoiled is a closed state with one template in its database and another that was
// added after the copy was made.
func spoiled(t *testing.T) (dir string) {
	dir = t.TempDir()
	for i, name := range []string{"old", "new"} {
		s, err := Open(dir, Options{})
		if err != nil {
			t.Fatal(err)
		}
		if err := s.Keep(context.Background(), []gaffer.Kept{kept(uint64(i+1), name, "x", 1, true)}); err != nil {
			t.Fatal(err)
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func TestADamagedDatabaseIsPutAsideAndItsCopyUsed(t *testing.T) {
	ruin := map[string]func(path string, text []byte) error{
		"empty":   func(path string, _ []byte) error { return os.Truncate(path, 0) },
		"gone":    func(path string, _ []byte) error { return os.Remove(path) },
		"short":   func(path string, _ []byte) error { return os.Truncate(path, 5000) },
		"no meta": func(path string, text []byte) error { clear(text[:8192]); return os.WriteFile(path, text, 0o600) },
		"a value": func(path string, text []byte) error {
			return os.WriteFile(path, bytes.ReplaceAll(text, []byte(`"cmd":"x"`), []byte(`"cmd":"y"`)), 0o600)
		},
		"pages": func(path string, text []byte) error {
			copy(text[8192:], bytes.Repeat([]byte{0xff}, len(text)-8192))
			return os.WriteFile(path, text, 0o600)
		},
		"text": func(path string, _ []byte) error {
			return os.WriteFile(path, bytes.Repeat([]byte("no database\n"), 9999), 0o600)
		},
	}
	for what, do := range ruin {
		t.Run(what, func(t *testing.T) {
			dir := spoiled(t)
			path := filepath.Join(dir, dbName)
			text, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			if err := do(path, text); err != nil {
				t.Fatal(err)
			}
			var log bytes.Buffer
			s := open(t, dir, Options{Logger: slog.New(slog.NewTextHandler(&log, nil))})
			if got := recordsText(s); !strings.HasPrefix(got, "old ") {
				t.Errorf("read back: %s", got)
			}
			if !strings.Contains(log.String(), "damaged") {
				t.Errorf("nothing is said: %s", &log)
			}
			aside, err := filepath.Glob(path + ".damaged-*")
			if err != nil || len(aside) != 1 && what != "gone" {
				t.Errorf("put aside: %v (%v)", aside, err)
			}
			if err := s.Keep(context.Background(), []gaffer.Kept{kept(1, "more", "x", 1, true)}); err != nil {
				t.Error(err)
			}
		})
	}
}

func TestWithoutAGoodCopyItBeginsAnew(t *testing.T) {
	dir := spoiled(t)
	for _, name := range []string{dbName, backupName} {
		if err := os.WriteFile(filepath.Join(dir, name), bytes.Repeat([]byte{1}, 70_000), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	var log bytes.Buffer
	s := open(t, dir, Options{Logger: slog.New(slog.NewTextHandler(&log, nil))})
	if got := recordsText(s); got != "" {
		t.Errorf("read back: %s", got)
	}
	if !strings.Contains(log.String(), "is lost") {
		t.Errorf("nothing is said: %s", &log)
	}
}

// Every byte of the database may be wrong: it is opened all the same, with what
// was in it or the copy, or at the least it does not take the program down.
func TestNoDamageOfTheDatabaseEndsTheProgram(t *testing.T) {
	dir := spoiled(t)
	path := filepath.Join(dir, dbName)
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	memory := memoryDir(t)
	for at := 0; at < len(text); at += 97 {
		db, fresh := bytes.Clone(text), filepath.Join(memory, strconv.Itoa(at))
		if err := os.Mkdir(fresh, 0o700); err != nil {
			t.Fatal(err)
		}
		for i := range min(16, len(db)-at) {
			db[at+i] ^= 0xa5
		}
		if err := os.WriteFile(filepath.Join(fresh, dbName), db, 0o600); err != nil {
			t.Fatal(err)
		}
		s, err := Open(fresh, Options{})
		if err != nil {
			t.Logf("byte %d: %v", at, err)
			continue
		}
		_ = s.Keep(context.Background(), []gaffer.Kept{kept(1, "more", "x", 1, true)})
		abandon(t, s)
	}
}

func TestAFormatOfLaterTimesIsLeftAlone(t *testing.T) {
	dir := spoiled(t)
	s, err := Open(dir, Options{})
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, dbName)
	db, err := openFile(path, true)
	if err != nil {
		t.Fatal(err)
	}
	b := &Bucket{s: &State{db: db}, name: []byte(metaBucket)}
	if err := errors.Join(b.Put(formatKey, []byte("2")), db.Close()); err != nil {
		t.Fatal(err)
	}
	before, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := Open(dir, Options{}); err == nil || !strings.Contains(err.Error(), `format "2"`) {
		t.Errorf("error %v", err)
	}
	if after, err := os.ReadFile(path); err != nil || !bytes.Equal(before, after) {
		t.Errorf("the file was changed (%v)", err)
	}
}

func TestACopyIsMadeWhileTheDaemonRuns(t *testing.T) {
	dir := t.TempDir()
	s, err := Open(dir, Options{})
	if err != nil {
		t.Fatal(err)
	}
	s.copied = time.Now().Add(-copyEvery)
	for v, name := range []string{"old", "new"} {
		if err := s.Keep(context.Background(), []gaffer.Kept{kept(uint64(v), name, "x", 1, true)}); err != nil {
			t.Fatal(err)
		}
	}
	abandon(t, s)
	if err := os.Truncate(filepath.Join(dir, dbName), 5000); err != nil {
		t.Fatal(err)
	}
	s = open(t, dir, Options{})
	if got := recordsText(s); !strings.HasPrefix(got, "old ") || strings.Contains(got, "new") {
		t.Errorf("read back: %s", got)
	}
}

func TestWhatWasDeletedDoesNotComeBackWithTheCopy(t *testing.T) {
	dir := t.TempDir()
	s, err := Open(dir, Options{})
	if err != nil {
		t.Fatal(err)
	}
	b := s.Bucket("keys")
	if err := b.Put("kept", nil); err != nil {
		t.Fatal(err)
	}
	s.copied = time.Now().Add(-copyEvery) // the next change goes into the copy
	if err := b.Put("revoked", nil); err != nil {
		t.Fatal(err)
	}
	if err := b.Delete("revoked"); err != nil {
		t.Fatal(err)
	}
	abandon(t, s)
	if err := os.Truncate(filepath.Join(dir, dbName), 5000); err != nil {
		t.Fatal(err)
	}
	b = open(t, dir, Options{}).Bucket("keys")
	if _, err := b.Get("revoked"); !errors.Is(err, gaffer.ErrNotFound) {
		t.Errorf("the revoked key: %v, want not found", err)
	}
	if _, err := b.Get("kept"); err != nil {
		t.Error(err)
	}
}

func TestADeletionThatCanNotBeCopiedLeavesNoCopy(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir, Options{})
	b := s.Bucket("keys")
	fresh := filepath.Join(dir, backupName+".new")
	if err := os.MkdirAll(filepath.Join(fresh, "in the way"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := b.Delete("revoked"); err != nil {
		t.Error(err)
	}
	if fileExists(filepath.Join(dir, backupName)) {
		t.Error("the old copy is there")
	}
	if err := os.RemoveAll(fresh); err != nil {
		t.Fatal(err)
	}
	if err := b.Put("next", nil); err != nil {
		t.Error(err)
	}
	if !fileExists(filepath.Join(dir, backupName)) {
		t.Error("the next change makes no copy")
	}
}

func TestAStateThatWasLargeBecomesSmall(t *testing.T) {
	dir := t.TempDir()
	s, err := Open(dir, Options{})
	if err != nil {
		t.Fatal(err)
	}
	b := s.Bucket("queue")
	err = b.Update(func(tx *Tx) error {
		for i := range 4000 {
			if err := tx.Put(strconv.Itoa(i), bytes.Repeat([]byte{'x'}, 1000)); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i < 4000; i += 400 {
		err := b.Update(func(tx *Tx) error {
			for n := range 399 {
				if err := tx.Delete(strconv.Itoa(i + n)); err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	size := func() int64 {
		info, err := os.Stat(filepath.Join(dir, dbName))
		if err != nil {
			t.Fatal(err)
		}
		return info.Size()
	}
	before := size()
	s = open(t, dir, Options{})
	if after := size(); after > before/10 {
		t.Errorf("%d bytes, were %d", after, before)
	}
	left := 0
	err = s.Bucket("queue").Range("", func(_ string, v []byte) error { left += len(v) / 1000; return nil })
	if err != nil || left != 10 {
		t.Errorf("%d values are left, want 10 (%v)", left, err)
	}
	if err := s.Bucket("queue").Put("more", nil); err != nil {
		t.Error(err)
	}
}
