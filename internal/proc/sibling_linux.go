package proc

import (
	"log/slog"
	"os"

	"golang.org/x/sys/unix"
)

// Siblings starts programs as children of this program's parent. It is not safe for
// concurrent use.
type Siblings struct {
	// Tried is the pidfd of a child that has ended, and that the parent has to bury; 0:
	// there is none.
	Tried   int
	null    *os.File
	spawner spawner
}

// NewSiblings finds out how that can be done here.
func NewSiblings(log *slog.Logger) (*Siblings, error) {
	null, err := os.OpenFile(os.DevNull, os.O_RDWR, 0)
	if err != nil {
		return nil, err
	}
	fd, err := descriptor(null)
	if err != nil {
		return nil, err
	}
	s := &Siblings{null: null}
	s.spawner, err = newVforker(fd, ignoredSignals(), originalLimit(), true)
	if f, ok := s.spawner.(*vforker); ok && err == nil {
		s.Tried = f.tried
	}
	if err != nil {
		log.Debug("starting processes the slow way", "reason", err)
		s.spawner = &forker{null: fd, sibling: true}
	}
	return s, nil
}

// Start starts a program with these descriptors, -1 being the null device. With an
// error there can be a pidfd all the same: of a child that has ended, which the parent
// has to bury.
func (s *Siblings) Start(spec *Spec, fds []int) (pid, pidfd int, err error) {
	l := launch{spec: spec, fds: fds, cgroup: -1}
	if spec.changesUser() {
		dumpable, _ := unix.PrctlRetInt(unix.PR_GET_DUMPABLE, 0, 0, 0, 0)
		defer func() {
			if dumpable == 1 {
				_ = unix.Prctl(unix.PR_SET_DUMPABLE, 1, 0, 0, 0)
			}
		}()
	}
	return l.spawnBy(s.spawner)
}

// PeekPidfd says how the child behind a pidfd has ended, and leaves it to be buried.
// Of one that is not this program's child, or was buried by somebody else, it is what
// the kernel still tells of it. ended is false while it runs.
func PeekPidfd(pidfd int) (exit Exit, ended bool) {
	exit, ended, err := waitid(pidfd, unix.WNOHANG|unix.WNOWAIT)
	if err != nil {
		return lostExit(pidfd), endedPidfd(pidfd)
	}
	return exit, ended
}

// endedPidfd says whether the process behind a pidfd has ended.
func endedPidfd(pidfd int) bool {
	fds := []unix.PollFd{{Fd: int32(pidfd), Events: unix.POLLIN}}
	for {
		n, err := unix.Poll(fds, 0)
		if err != unix.EINTR {
			return n > 0
		}
	}
}

// BuryPidfd buries the child behind a pidfd, if it has ended and is this program's.
func BuryPidfd(pidfd int) { _, _, _ = tryReap(pidfd) }
