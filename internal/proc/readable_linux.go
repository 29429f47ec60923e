package proc

import (
	"errors"
	"os"
	"sync"

	"golang.org/x/sys/unix"
)

// Readable tells when sockets have something to accept or to read. It has one goroutine
// while any is watched, and nothing else. The zero value is ready.
//
// mu guards the fields.
type Readable struct {
	mu      sync.Mutex
	poll    *os.File // an epoll instance; nil: nothing is watched
	watched map[int32]func()
}

// CanWatch says whether sockets can be watched on this system.
const CanWatch = true

// Watch calls ready once, on a goroutine of its own that it must not hold up, when a
// socket has something. The returned function ends that; ready may be called once more
// while it does.
func (r *Readable) Watch(socket *os.File, ready func()) (stop func(), err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.poll == nil {
		if err := r.open(); err != nil {
			return nil, err
		}
	}
	fd := -1 // a number of its own: several may watch one socket
	err = control(socket, func(n int) error {
		fd, err = unix.FcntlInt(uintptr(n), unix.F_DUPFD_CLOEXEC, 3)
		return err
	})
	if err == nil {
		event := unix.EpollEvent{Events: unix.EPOLLIN | unix.EPOLLONESHOT, Fd: int32(fd)}
		err = control(r.poll, func(poll int) error { return unix.EpollCtl(poll, unix.EPOLL_CTL_ADD, fd, &event) })
	}
	if err != nil {
		if fd >= 0 {
			_ = unix.Close(fd)
		}
		r.closeIdle()
		return nil, err
	}
	r.watched[int32(fd)] = ready
	return sync.OnceFunc(func() { r.unwatch(int32(fd)) }), nil
}

func (r *Readable) open() error {
	fd, err := unix.EpollCreate1(unix.EPOLL_CLOEXEC)
	if err != nil {
		return err
	}
	if err := unix.SetNonblock(fd, true); err != nil { // so that waiting for it takes no thread
		_ = unix.Close(fd)
		return err
	}
	r.poll, r.watched = os.NewFile(uintptr(fd), "epoll"), map[int32]func(){}
	go r.run(r.poll)
	return nil
}

func (r *Readable) unwatch(fd int32) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.watched, fd)
	_ = control(r.poll, func(poll int) error { return unix.EpollCtl(poll, unix.EPOLL_CTL_DEL, int(fd), nil) })
	_ = unix.Close(int(fd))
	r.closeIdle()
}

// closeIdle ends the goroutine when nothing is watched any more.
func (r *Readable) closeIdle() {
	if r.poll != nil && len(r.watched) == 0 {
		_ = r.poll.Close()
		r.poll = nil
	}
}

func (r *Readable) run(poll *os.File) {
	conn, err := poll.SyscallConn()
	if err != nil {
		return
	}
	events := make([]unix.EpollEvent, 64)
	for {
		n := 0
		err := conn.Read(func(fd uintptr) bool {
			n, err = unix.EpollWait(int(fd), events, 0)
			return n > 0 || err != nil && !errors.Is(err, unix.EINTR)
		})
		if err != nil { // it was closed
			return
		}
		for _, e := range events[:max(n, 0)] {
			r.mu.Lock()
			ready := r.watched[e.Fd]
			if r.poll != poll {
				ready = nil
			}
			r.mu.Unlock()
			if ready != nil {
				ready()
			}
		}
	}
}
