package main

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/gafferpm/gaffer"
	"github.com/gafferpm/gaffer/config"
)

// longestSocket is how many bytes the path of a unix socket can have.
const longestSocket = 107

// checkSocket says that a path is too long for a socket before anything is done.
func checkSocket(path string) error {
	if len(path) <= longestSocket {
		return nil
	}
	return fmt.Errorf("socket %s: %w: its path has %d bytes, and a unix socket's can have %d; --runtime-dir, or socket in [daemon], names a shorter one",
		path, gaffer.ErrInvalid, len(path), longestSocket)
}

// runtimeDirectory makes the directory of sockets. shared says that others are to
// reach the one in it.
func runtimeDirectory(dir string, shared bool) error {
	if err := config.PrivateDir(dir); err != nil {
		return fmt.Errorf("runtime directory %w", err)
	}
	info, err := os.Stat(dir)
	if err != nil || !shared || info.Mode().Perm() != 0o700 {
		return err
	}
	return os.Chmod(dir, 0o711) // to be walked through, not to be listed
}

// lockSocket decides who may listen at a path, until the file is closed. Two
// daemons with state of their own could else take each other's socket away. kept is what
// a manager before has locked it by, nil if none has.
func lockSocket(path string, pid int, kept *os.File) (*os.File, error) {
	if kept != nil {
		open, err := kept.Stat()
		named, nerr := os.Stat(path + ".lock")
		if err == nil && nerr == nil && os.SameFile(open, named) {
			return kept, nil
		}
	}
	f, err := os.OpenFile(path+".lock", os.O_RDWR|os.O_CREATE|syscall.O_NOFOLLOW|syscall.O_CLOEXEC, 0o600)
	if err != nil {
		return nil, fmt.Errorf("socket %s: %w", path, err)
	}
	err = flockPatiently(f)
	if errors.Is(err, syscall.EWOULDBLOCK) {
		defer f.Close()
		text, _ := io.ReadAll(io.LimitReader(f, 32))
		who := "another daemon"
		if pid, err := strconv.Atoi(strings.TrimSpace(string(text))); err == nil {
			who = fmt.Sprintf("another daemon, pid %d,", pid)
		}
		return nil, fmt.Errorf("socket %s: %s has it; --runtime-dir names another place: %w", path, who, gaffer.ErrConflict)
	}
	if err != nil {
		_ = f.Close()
		return nil, fmt.Errorf("socket %s: lock: %w", path, err)
	}
	// Whose it is, is a comfort: on a full disk the lock holds all the same.
	_ = f.Truncate(0)
	_, _ = f.WriteAt([]byte(strconv.Itoa(pid)+"\n"), 0)
	return f, nil
}

// Whoever waits for the end of a daemon looks at its lock by taking it, and a child
// that a killed daemon was just starting has it: each for a moment.
const (
	lockPatience = 500 * time.Millisecond
	lockRetry    = 5 * time.Millisecond
)

func flockPatiently(f *os.File) error {
	for end := time.Now().Add(lockPatience); ; time.Sleep(lockRetry) {
		err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
		if !errors.Is(err, syscall.EWOULDBLOCK) || time.Now().After(end) {
			return err
		}
	}
}

// errnoIn is an error of a path without the path, which was said.
func errnoIn(err error) error {
	var pe *fs.PathError
	if errors.As(err, &pe) {
		return pe.Err
	}
	return err
}

// writePIDFile writes the daemon's pid to a file, whole or not at all. The
// function it returns removes it, if it is still this one's.
func writePIDFile(path string, pid int) (remove func(), err error) {
	text := strconv.Itoa(pid) + "\n"
	temp, err := os.CreateTemp(filepath.Dir(path), filepath.Base(path)+".*")
	if err != nil {
		return nil, fmt.Errorf("pid file %s: %w", path, errnoIn(err))
	}
	_, err = temp.WriteString(text)
	err = errors.Join(err, temp.Chmod(0o644), temp.Close())
	if err == nil {
		err = os.Rename(temp.Name(), path)
	}
	if err != nil {
		_ = os.Remove(temp.Name())
		return nil, fmt.Errorf("pid file %s: %w", path, err)
	}
	return func() {
		if now, err := os.ReadFile(path); err == nil && string(now) == text {
			_ = os.Remove(path)
		}
	}, nil
}
