package proc

import (
	"fmt"
	"os"
	"strconv"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// own says who may use a unix socket. It is the socket that is changed, whatever
// somebody has put into its place meanwhile.
func own(path string, uid, gid int, mode os.FileMode) error {
	fd, err := unix.Open(path, unix.O_PATH|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if err != nil {
		return fmt.Errorf("its file: %w", err)
	}
	defer unix.Close(fd)
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		return err
	}
	if st.Mode&unix.S_IFMT != unix.S_IFSOCK {
		return fmt.Errorf("its file was replaced: %w", syscall.ENOTSOCK)
	}
	if uid >= 0 && uint32(uid) != st.Uid || gid >= 0 && uint32(gid) != st.Gid {
		if err := unix.Fchownat(fd, "", uid, gid, unix.AT_EMPTY_PATH); err != nil {
			return fmt.Errorf("owner %d:%d: %w", uid, gid, err)
		}
	}
	if err := os.Chmod("/proc/self/fd/"+strconv.Itoa(fd), mode); err != nil {
		return fmt.Errorf("mode %#o: %w", mode, errnoOf(err))
	}
	return nil
}

// Borrowed is a process whose listening sockets can be taken a copy of.
type Borrowed struct {
	pidfd int
	pid   int
}

// Borrow keeps a process in view, until it is given back. It is nil for one that has
// ended.
func (h *Held) Borrow() *Borrowed {
	if h.PIDFD < 0 || h.Exit != nil {
		return nil
	}
	fd, err := unix.FcntlInt(uintptr(h.PIDFD), unix.F_DUPFD_CLOEXEC, 3)
	if err != nil {
		return nil
	}
	return &Borrowed{fd, h.PID}
}

// Return is the end of the borrowing.
func (b *Borrowed) Return() { _ = unix.Close(b.pidfd) }

// firstPassed is the first descriptor that a process has been passed.
const firstPassed = 3

// Socket is a copy of the process's own such socket, nil where it has none, or where it
// can't be looked at: that takes what tracing it would.
func (b *Borrowed) Socket(l *Listen) *os.File {
	dir := fmt.Sprintf("/proc/%d/fd", b.pid)
	list, err := os.ReadDir(dir)
	if err != nil {
		return nil
	}
	for _, e := range list {
		n, err := strconv.Atoi(e.Name())
		if err != nil || n < firstPassed {
			continue
		}
		if text, err := os.Readlink(dir + "/" + e.Name()); err != nil || !strings.HasPrefix(text, "socket:") {
			continue
		}
		fd, err := unix.PidfdGetfd(b.pidfd, n, 0)
		if err != nil {
			continue
		}
		if l.is(fd) {
			return os.NewFile(uintptr(fd), l.Address)
		}
		_ = unix.Close(fd)
	}
	return nil
}
