package holder

import (
	"os"

	"golang.org/x/sys/unix"
)

// exits tells when processes end. Each is told once; forget it then.
type exits struct {
	file *os.File
	set  int
}

func newExits(ended func(key uint64)) (*exits, error) {
	set, err := unix.EpollCreate1(unix.EPOLL_CLOEXEC)
	if err != nil {
		return nil, err
	}
	if err := unix.SetNonblock(set, true); err != nil {
		return nil, err
	}
	e := &exits{file: os.NewFile(uintptr(set), "exits"), set: set}
	conn, err := e.file.SyscallConn()
	if err != nil {
		return nil, err
	}
	go func() {
		var events [64]unix.EpollEvent
		n := 0
		wait := func(uintptr) bool {
			for {
				var err error
				n, err = unix.EpollWait(set, events[:], 0)
				if err != unix.EINTR {
					return n != 0
				}
			}
		}
		for conn.Read(wait) == nil {
			for i := range events[:max(n, 0)] {
				ended(uint64(uint32(events[i].Fd)) | uint64(uint32(events[i].Pad))<<32)
			}
		}
	}()
	return e, nil
}

func (e *exits) watch(pidfd int, key uint64) error {
	event := unix.EpollEvent{Events: unix.EPOLLIN | unix.EPOLLONESHOT, Fd: int32(uint32(key)), Pad: int32(uint32(key >> 32))}
	return unix.EpollCtl(e.set, unix.EPOLL_CTL_ADD, pidfd, &event)
}

// watchChild watches a child that has just been started. One that can't be watched is
// ended.
func (e *exits) watchChild(c child, key uint64) error {
	err := e.watch(c.pidfd, key)
	if err != nil {
		_ = unix.Kill(-c.pid, unix.SIGKILL)
		_ = unix.Close(c.pidfd) // it is buried as a stranger
	}
	return err
}

// forget is called before the descriptor is closed.
func (e *exits) forget(pidfd int) { _ = unix.EpollCtl(e.set, unix.EPOLL_CTL_DEL, pidfd, nil) }
