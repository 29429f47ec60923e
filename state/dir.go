package state

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
)

// The modes of what is kept.
const (
	dirMode  fs.FileMode = 0o700
	fileMode fs.FileMode = 0o600
)

// privateDir makes a directory, with those above it, that is ours alone. One that
// is there already must belong to this user and must not be writable by others;
// that they could read it is ended.
func privateDir(dir string) error {
	if err := os.MkdirAll(filepath.Dir(dir), 0o755); err != nil {
		return fmt.Errorf("directory %s: %w", dir, err)
	}
	if err := os.Mkdir(dir, dirMode); err != nil && !errors.Is(err, fs.ErrExist) {
		return fmt.Errorf("directory %s: %w", dir, err)
	}
	info, err := os.Stat(dir)
	if err != nil {
		return fmt.Errorf("directory %s: %w", dir, err)
	}
	if !info.IsDir() {
		return fmt.Errorf("directory %s: it is no directory", dir)
	}
	if uid, known := owner(info); known && uid != os.Geteuid() {
		return fmt.Errorf("directory %s: it belongs to user %d; want one of our own, user %d", dir, uid, os.Geteuid())
	}
	mode := info.Mode().Perm()
	if mode&0o022 != 0 {
		return fmt.Errorf("directory %s: others can write it (mode %04o); want %04o", dir, mode, dirMode)
	}
	if mode == dirMode {
		return nil
	}
	if err := os.Chmod(dir, dirMode); err != nil {
		return fmt.Errorf("directory %s: %w", dir, err)
	}
	return nil
}

// owner is the user whom a file belongs to, where that can be known.
func owner(info fs.FileInfo) (uid int, known bool) {
	stat, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return 0, false
	}
	return int(stat.Uid), true
}

// syncDir makes durable which files are in a directory.
func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer d.Close()
	return d.Sync()
}
