package api

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"os/user"
	"path/filepath"
	"strconv"
	"syscall"
	"time"

	"github.com/gafferpm/gaffer"
	"github.com/gafferpm/gaffer/api/internal/peer"
)

// listenUnix opens a unix socket. A socket that is there and that nobody answers
// is left over, and removed.
func listenUnix(path string, mode os.FileMode) (net.Listener, error) {
	if mode == 0 {
		mode = 0o600
	}
	if !filepath.IsAbs(path) {
		return nil, fmt.Errorf("%q: want an absolute path: %w", path, gaffer.ErrInvalid)
	}
	if err := checkDirectory(filepath.Dir(path)); err != nil {
		return nil, err
	}
	if err := removeStale(path); err != nil {
		return nil, err
	}
	// The mode is set before the file is there, so that nobody slips in between.
	config := net.ListenConfig{Control: func(_, _ string, raw syscall.RawConn) error {
		var err error
		if e := raw.Control(func(fd uintptr) { err = syscall.Fchmod(int(fd), uint32(mode.Perm())) }); e != nil {
			return e
		}
		return err
	}}
	l, err := config.Listen(context.Background(), "unix", path)
	if err != nil {
		return nil, err
	}
	if err := os.Chmod(path, mode.Perm()); err != nil { // the umask may have taken some away
		l.Close()
		return nil, err
	}
	return l, nil
}

// checkDirectory refuses a directory in which others could put a socket of theirs
// in place of ours.
func checkDirectory(dir string) error {
	info, err := os.Stat(dir)
	if err != nil {
		return err
	}
	if !info.IsDir() {
		return &fs.PathError{Op: "listen", Path: dir, Err: syscall.ENOTDIR}
	}
	owner, ok := ownerOf(info)
	if ok && owner != 0 && owner != os.Geteuid() {
		return fmt.Errorf("directory %s: belongs to uid %d: %w", dir, owner, gaffer.ErrInvalid)
	}
	if info.Mode().Perm()&0o022 != 0 && info.Mode()&fs.ModeSticky == 0 {
		return fmt.Errorf("directory %s: others can write to it (mode %#o): %w", dir, info.Mode().Perm(), gaffer.ErrInvalid)
	}
	return nil
}

func ownerOf(info fs.FileInfo) (uid int, ok bool) {
	st, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return 0, false
	}
	return int(st.Uid), true
}

// inodeOf tells a file from another that was put in its place.
func inodeOf(info fs.FileInfo) uint64 {
	st, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return 0
	}
	return st.Ino
}

// removeStale removes a socket of ours that nobody answers.
func removeStale(path string) error {
	info, err := os.Lstat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil
	case err != nil:
		return err
	case info.Mode().Type() != fs.ModeSocket:
		return fmt.Errorf("%s: is there, and no socket: %w", path, gaffer.ErrConflict)
	}
	if owner, ok := ownerOf(info); ok && owner != os.Geteuid() {
		return fmt.Errorf("%s: belongs to uid %d: %w", path, owner, gaffer.ErrConflict)
	}
	c, err := net.DialTimeout("unix", path, time.Second)
	if err == nil {
		c.Close()
		return fmt.Errorf("%s: somebody answers there: %w", path, gaffer.ErrConflict)
	}
	if !errors.Is(err, syscall.ECONNREFUSED) {
		return fmt.Errorf("%s: somebody may be there: %w", path, err)
	}
	return os.Remove(path)
}

// errNoSocket says that a connection is not one of a unix socket.
var errNoSocket = errors.New("not a unix socket")

// credentials are the kernel's of who is at the other end of a unix socket.
func credentials(c net.Conn) (peer.Cred, error) {
	unix, ok := plain(c).(*net.UnixConn)
	if !ok {
		return peer.Cred{}, errNoSocket
	}
	return peer.Of(unix)
}

// peer is the caller who has the credentials, or of whom they are not known.
func (e *endpoint) peer(cred peer.Cred, err error) *Caller {
	if errors.Is(err, peer.ErrUnknown) && e.opts.Users == nil && e.opts.Groups == nil && e.opts.Mode&0o077 == 0 {
		// Only the mode of the file decides then, and it lets only our user in.
		return &Caller{By: "uid " + strconv.Itoa(os.Geteuid()), Role: Admin}
	}
	if err != nil {
		return &Caller{By: "somebody"}
	}
	caller := &Caller{By: "uid " + strconv.Itoa(cred.UID), Role: e.roleOf(cred)}
	if u, err := user.LookupId(strconv.Itoa(cred.UID)); err == nil {
		caller.By += " (" + u.Username + ")"
	}
	return caller
}

// roleOf is what a user may do.
func (e *endpoint) roleOf(cred peer.Cred) Role {
	if cred.UID == 0 || cred.UID == os.Geteuid() {
		return Admin
	}
	role := Nobody
	for name, r := range e.opts.Users {
		if name == strconv.Itoa(cred.UID) || uidOf(name) == strconv.Itoa(cred.UID) {
			role = max(role, r)
		}
	}
	for name, r := range e.opts.Groups {
		for _, gid := range append(cred.Groups, cred.GID) {
			if name == strconv.Itoa(gid) || gidOf(name) == strconv.Itoa(gid) {
				role = max(role, r)
			}
		}
	}
	return role
}

func uidOf(name string) string {
	u, err := user.Lookup(name)
	if err != nil {
		return ""
	}
	return u.Uid
}

func gidOf(name string) string {
	g, err := user.LookupGroup(name)
	if err != nil {
		return ""
	}
	return g.Gid
}
