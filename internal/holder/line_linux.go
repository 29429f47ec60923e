package holder

import (
	"errors"
	"io"
	"os"
	"sync"
	"syscall"

	"golang.org/x/sys/unix"
)

// line is a connection over which frames go both ways. Any goroutine may send; one
// receives.
//
// mu guards what is below it; the rest belongs to the receiver.
type line struct {
	file *os.File
	conn syscall.RawConn

	buf   []byte // received and not yet taken
	fds   []int  // likewise
	oob   []byte
	ended error

	mu      sync.Mutex
	queue   []parcel
	sending bool
	sent    []chan struct{} // closed when the queue is empty
	broken  error
}

// parcel is a frame on its way, with descriptors of its own.
type parcel struct {
	text []byte
	fds  []int
}

// newLine takes over a socket.
func newLine(fd int) (*line, error) {
	unix.CloseOnExec(fd)
	if err := unix.SetNonblock(fd, true); err != nil {
		return nil, err
	}
	f := os.NewFile(uintptr(fd), "line")
	conn, err := f.SyscallConn()
	if err != nil {
		return nil, err
	}
	return &line{file: f, conn: conn, oob: make([]byte, unix.CmsgSpace(4*maxFDs))}, nil
}

// send puts a frame on its way and does not wait for the other side. The descriptors
// are sent before it returns, or else copies of them are kept.
func (l *line) send(f *frame) {
	p := parcel{appendHeader(make([]byte, 0, headerSize+len(f.body)), f), f.fds}
	p.text = append(p.text, f.body...)
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.broken != nil {
		return
	}
	if !l.sending {
		l.sendNow(&p)
		if l.broken != nil || len(p.text) == 0 {
			return
		}
	}
	copies := make([]int, 0, len(p.fds))
	for _, fd := range p.fds {
		c, err := unix.FcntlInt(uintptr(fd), unix.F_DUPFD_CLOEXEC, 3)
		if err != nil {
			l.breakLocked(err)
			return
		}
		copies = append(copies, c)
	}
	p.fds = copies
	l.queue = append(l.queue, p)
	if !l.sending {
		l.sending = true
		go l.drain()
	}
}

// sendNow sends as much of a parcel as can be sent without waiting. The lock is held.
func (l *line) sendNow(p *parcel) {
	var err error
	cerr := l.conn.Control(func(fd uintptr) { err = p.sendTo(int(fd)) })
	if cerr != nil {
		err = cerr
	}
	if err != nil && !errors.Is(err, unix.EAGAIN) {
		l.breakLocked(err)
	}
}

// sendTo sends until nothing is left or the socket is full.
func (p *parcel) sendTo(fd int) error {
	for len(p.text) > 0 {
		var oob []byte
		if len(p.fds) > 0 {
			oob = unix.UnixRights(p.fds...)
		}
		n, err := unix.SendmsgN(fd, p.text, oob, nil, unix.MSG_NOSIGNAL)
		if err == unix.EINTR {
			continue
		}
		if err != nil {
			return err
		}
		p.text, p.fds = p.text[n:], nil
	}
	return nil
}

// drain sends what has had to wait.
func (l *line) drain() {
	for {
		l.mu.Lock()
		if len(l.queue) == 0 || l.broken != nil {
			l.sending = false
			for _, c := range l.sent {
				close(c)
			}
			l.sent = nil
			l.mu.Unlock()
			return
		}
		p := l.queue[0]
		l.queue = l.queue[1:]
		l.mu.Unlock()
		fds := p.fds
		var err error
		werr := l.conn.Write(func(fd uintptr) bool {
			err = p.sendTo(int(fd))
			return !errors.Is(err, unix.EAGAIN)
		})
		closeAll(fds)
		if err == nil {
			err = werr
		}
		if err != nil {
			l.mu.Lock()
			l.breakLocked(err)
			l.mu.Unlock()
		}
	}
}

// breakLocked gives up sending: the receiver hears of the end, too.
func (l *line) breakLocked(err error) {
	if l.broken != nil {
		return
	}
	l.broken = err
	for _, p := range l.queue {
		closeAll(p.fds)
	}
	l.queue = nil
	_ = l.file.Close()
}

// receive waits for the next frame. io.EOF: the other side is gone.
func (l *line) receive() (frame, error) {
	for {
		if len(l.buf) >= headerSize {
			f, size, fds, err := parseHeader(l.buf)
			if err != nil {
				l.buf, l.ended = nil, err
				continue
			}
			if len(l.buf) >= headerSize+size {
				if len(l.fds) < fds {
					l.buf, l.ended = nil, errTorn
					continue
				}
				f.body = append([]byte(nil), l.buf[headerSize:headerSize+size]...)
				f.fds = append([]int(nil), l.fds[:fds]...)
				l.fds = l.fds[fds:]
				l.take(headerSize + size)
				return f, nil
			}
		}
		if l.ended != nil {
			closeAll(l.fds) // of a frame that did not become whole
			l.fds = nil
			return frame{}, l.ended
		}
		if err := l.fill(); err != nil {
			l.ended = err
		}
	}
}

// take forgets the first n bytes of the buffer.
func (l *line) take(n int) {
	l.buf = l.buf[:copy(l.buf, l.buf[n:])]
	if len(l.buf) == 0 && cap(l.buf) > 1<<18 {
		l.buf = nil
	}
}

// receiveSize is how much is read at a time.
const receiveSize = 32 << 10

func (l *line) fill() error {
	if cap(l.buf)-len(l.buf) < receiveSize {
		buf := make([]byte, len(l.buf), 2*len(l.buf)+2*receiveSize)
		copy(buf, l.buf)
		l.buf = buf
	}
	space := l.buf[len(l.buf):cap(l.buf)]
	var n, oobn, flags int
	var err error
	rerr := l.conn.Read(func(fd uintptr) bool {
		n, oobn, flags, _, err = unix.Recvmsg(int(fd), space, l.oob, unix.MSG_CMSG_CLOEXEC)
		return err != unix.EAGAIN && err != unix.EINTR
	})
	switch {
	case rerr != nil:
		return rerr
	case err != nil:
		return err
	case flags&unix.MSG_CTRUNC != 0:
		return errTorn // the process has no more room for descriptors
	case n == 0:
		return io.EOF
	}
	l.buf = l.buf[:len(l.buf)+n]
	return l.takeRights(l.oob[:oobn])
}

func (l *line) takeRights(oob []byte) error {
	if len(oob) == 0 {
		return nil
	}
	messages, err := unix.ParseSocketControlMessage(oob)
	if err != nil {
		return err
	}
	for i := range messages {
		fds, err := unix.ParseUnixRights(&messages[i])
		if err != nil {
			return err
		}
		l.fds = append(l.fds, fds...)
	}
	return nil
}

// close ends the line: a receive that waits returns.
func (l *line) close() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.breakLocked(os.ErrClosed)
}

func closeAll(fds []int) {
	for _, fd := range fds {
		_ = unix.Close(fd)
	}
}

// newPair makes the two ends of a line. The second is for another program.
func newPair() (ours *line, theirs int, err error) {
	p, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, -1, err
	}
	if ours, err = newLine(p[0]); err != nil {
		closeAll(p[:])
		return nil, -1, err
	}
	return ours, p[1], nil
}

// flush waits until all that was sent is on its way, or can't be.
func (l *line) flush() {
	l.mu.Lock()
	if !l.sending || l.broken != nil {
		l.mu.Unlock()
		return
	}
	sent := make(chan struct{})
	l.sent = append(l.sent, sent)
	l.mu.Unlock()
	<-sent
}
