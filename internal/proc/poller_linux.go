package proc

import (
	"fmt"
	"io"
	"os"
	"sync"
	"syscall"

	"golang.org/x/sys/unix"
)

const (
	// readSize is how much is read from a pipe at a time: what one holds, as a rule.
	readSize = 64 << 10
	// turnSize is how much is read from one pipe before the others get their turn.
	turnSize = 256 << 10
	// batch is how many pipes may have their turn before exits are looked at again.
	batch = 64
)

// What a slot's descriptor is, where it is not the number of a stream.
const (
	roleExit   = -1 - iota // a main process's pidfd
	roleVictim             // the pidfd of something that was killed
	roleExits              // the set of all pidfds
	roleInbox              // the eventfd that wakes the poller for a posted function
)

// noSlot is the number of no slot.
const noSlot = ^uint32(0)

// slot is a descriptor that is being watched. Events carry its index and
// generation, never the descriptor: by the time an event is handled, that may be
// somebody else's.
type slot struct {
	child *child
	fd    int32
	gen   uint32
	role  int16
}

// poller watches the pidfds and pipes of all processes on one goroutine, which
// makes all calls of handlers but Started. There are two epoll sets: one of the
// pidfds, and one of everything else and the first set; so exits are found at
// once however many pipes are ready. The outer set is itself watched by the
// runtime's poller: while nothing happens, no thread waits here.
//
// mu guards what is below it, but the buffers; everything else belongs to the goroutine.
type poller struct {
	file  *os.File // the outer set
	all   int
	exits int
	inbox int
	done  chan struct{} // closed when the goroutine has ended

	mu     sync.Mutex
	slots  []slot
	free   []uint32
	posted []func()
	closed bool // nothing can be posted any more

	buf    []byte
	events [batch]unix.EpollEvent
	ended  [batch]unix.EpollEvent
}

func newPoller() (*poller, error) {
	p := &poller{all: -1, exits: -1, inbox: -1, done: make(chan struct{}), buf: make([]byte, readSize)}
	if err := p.open(); err != nil {
		p.closeAll()
		return nil, fmt.Errorf("poller: %w", err)
	}
	go p.run()
	return p, nil
}

func (p *poller) open() (err error) {
	if p.all, err = unix.EpollCreate1(unix.EPOLL_CLOEXEC); err != nil {
		return err
	}
	if err = unix.SetNonblock(p.all, true); err != nil {
		return err
	}
	p.file = os.NewFile(uintptr(p.all), "epoll")
	if p.exits, err = unix.EpollCreate1(unix.EPOLL_CLOEXEC); err != nil {
		return err
	}
	if p.inbox, err = unix.Eventfd(0, unix.EFD_CLOEXEC|unix.EFD_NONBLOCK); err != nil {
		return err
	}
	if _, err = p.watch(nil, p.exits, roleExits); err != nil {
		return err
	}
	_, err = p.watch(nil, p.inbox, roleInbox)
	return err
}

func (p *poller) closeAll() {
	if p.file != nil {
		_ = p.file.Close()
	}
	for _, fd := range [...]int{p.exits, p.inbox} {
		if fd >= 0 {
			_ = unix.Close(fd)
		}
	}
}

// close ends the goroutine. What is still being watched stays open.
func (p *poller) close() {
	p.mu.Lock()
	p.closed = true
	p.mu.Unlock()
	_ = p.file.Close()
	<-p.done
	for _, fd := range [...]int{p.exits, p.inbox} {
		_ = unix.Close(fd)
	}
	for i := range p.slots { // survivors have these open, which nobody reads any more
		if s := &p.slots[i]; s.child != nil && s.child.over && s.role > 0 {
			_ = unix.Close(int(s.fd))
			s.child.capture(s.role).End()
		}
	}
}

// set is the epoll set that descriptors with that role are in.
func (p *poller) set(role int16) int {
	if role == roleExit || role == roleVictim {
		return p.exits
	}
	return p.all
}

// watch begins to watch fd. Events may be handled before it returns.
func (p *poller) watch(c *child, fd int, role int16) (uint32, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	i, err := p.addLocked(c, fd, role)
	if err != nil {
		return 0, err
	}
	return i, nil
}

// watchChild begins to watch a process and what it writes. After an error
// nothing of it is watched.
func (p *poller) watchChild(c *child, sources []source) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	slots := make([]uint32, 1, 1+len(sources))
	for _, s := range sources {
		i, err := p.addLocked(c, s.fd, int16(s.stream))
		if err != nil {
			p.dropLocked(slots[1:])
			return err
		}
		slots = append(slots, i)
	}
	slots[0] = noSlot
	if c.held == nil || c.held.alone {
		exit, err := p.addLocked(c, int(c.pidfd), roleExit)
		if err != nil {
			p.dropLocked(slots[1:])
			return err
		}
		slots[0] = exit
	}
	c.slots = slots
	return nil
}

func (p *poller) addLocked(c *child, fd int, role int16) (uint32, error) {
	var i uint32
	if n := len(p.free); n > 0 {
		i, p.free = p.free[n-1], p.free[:n-1]
	} else {
		i = uint32(len(p.slots))
		p.slots = append(p.slots, slot{})
	}
	s := &p.slots[i]
	s.child, s.fd, s.role = c, int32(fd), role
	event := unix.EpollEvent{Events: unix.EPOLLIN, Fd: int32(i), Pad: int32(s.gen)}
	if err := unix.EpollCtl(p.set(role), unix.EPOLL_CTL_ADD, fd, &event); err != nil {
		p.dropLocked([]uint32{i})
		return 0, err
	}
	return i, nil
}

// drop ends the watching of slots' descriptors, which must still be open.
func (p *poller) drop(slots ...uint32) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.dropLocked(slots)
}

func (p *poller) dropLocked(slots []uint32) {
	for _, i := range slots {
		if i == noSlot {
			continue
		}
		s := &p.slots[i]
		_ = unix.EpollCtl(p.set(s.role), unix.EPOLL_CTL_DEL, int(s.fd), nil)
		*s = slot{fd: -1, gen: s.gen + 1}
		p.free = append(p.free, i)
	}
}

// find is the slot that an event is about, unless it was dropped since.
func (p *poller) find(e *unix.EpollEvent) (slot, bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	s := p.slots[e.Fd]
	return s, s.gen == uint32(e.Pad) && s.fd >= 0
}

// at is slot i, which must be in use.
func (p *poller) at(i uint32) slot {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.slots[i]
}

// post has f called on the poller's goroutine.
func (p *poller) post(f func()) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		return
	}
	p.posted = append(p.posted, f)
	if len(p.posted) == 1 {
		one := [8]byte{0: 1, 7: 1} // not zero in any byte order
		_, _ = unix.Write(p.inbox, one[:])
	}
}

func (p *poller) runPosted() {
	var count [8]byte
	_, _ = unix.Read(p.inbox, count[:])
	p.mu.Lock()
	posted := p.posted
	p.posted = nil
	p.mu.Unlock()
	for _, f := range posted {
		f()
	}
}

func (p *poller) run() {
	defer close(p.done)
	conn, err := p.file.SyscallConn()
	if err != nil {
		return
	}
	n := 0
	wait := func(uintptr) bool {
		n = epollWait(p.all, p.events[:])
		return n != 0
	}
	for conn.Read(wait) == nil { // until it is closed
		if n == len(p.events) {
			p.runExits() // theirs may be among the events that had no room
		}
		for i := range p.events[:n] {
			p.ready(&p.events[i])
		}
	}
}

// epollWait returns how many events there are, without waiting for any.
func epollWait(set int, events []unix.EpollEvent) int {
	for {
		n, err := unix.EpollWait(set, events, 0)
		if err != unix.EINTR {
			return max(n, 0)
		}
	}
}

func (p *poller) ready(e *unix.EpollEvent) {
	s, ok := p.find(e)
	if !ok {
		return
	}
	switch s.role {
	case roleExits:
		p.runExits()
	case roleInbox:
		p.runPosted()
	default:
		p.read(s, uint32(e.Fd))
	}
}

func (p *poller) runExits() {
	for {
		n := epollWait(p.exits, p.ended[:])
		for i := range p.ended[:n] {
			e := &p.ended[i]
			s, ok := p.find(e)
			if !ok {
				continue
			}
			if s.role == roleExit {
				s.child.exited()
			} else {
				s.child.ending.gone(uint32(e.Fd), int(s.fd))
			}
		}
		if n < len(p.ended) {
			return
		}
	}
}

// read hands over what one pipe holds, and forgets the pipe at its end.
func (p *poller) read(s slot, i uint32) {
	most := readSize
	if s.child.capture(s.role) != nil {
		most = turnSize // it has a place of its own for it
	}
	for left := turnSize; left > 0; left -= most {
		n, err := p.take(s, most)
		if n == 0 && err != nil {
			p.closeSource(s.child, s, i)
		}
		if n < most {
			return
		}
	}
}

// take hands over what one source holds, at most so much of it. It is 0 and no error
// when there is nothing just now.
func (p *poller) take(s slot, most int) (int, error) {
	c := s.child
	if s.role == Notify {
		p.notified(s)
		return 0, nil
	}
	if capture := c.capture(s.role); capture != nil {
		return capture.Take(int(s.fd), most)
	}
	n, err := unix.Read(int(s.fd), p.buf[:min(most, len(p.buf))])
	switch {
	case n > 0:
		c.handler.Output(int(s.role), p.buf[:n])
		return n, nil
	case err == nil:
		return 0, io.EOF
	case err == syscall.EAGAIN || err == syscall.EINTR:
		return 0, nil
	}
	return 0, err
}

// capture is what takes the stream of that number, nil if the handler does.
func (c *child) capture(stream int16) Capture {
	if stream < 0 || int(stream) >= len(c.captures) {
		return nil
	}
	return c.captures[stream]
}

// closeSource forgets one of c's sources.
func (p *poller) closeSource(c *child, s slot, i uint32) {
	p.drop(i)
	if !isCustom(int(s.role)) { // the others are closed with their input
		_ = unix.Close(int(s.fd))
	}
	if capture := c.capture(s.role); capture != nil {
		capture.End()
	}
	for k, other := range c.slots {
		if other == i && k > 0 {
			c.slots = append(c.slots[:k], c.slots[k+1:]...)
			break
		}
	}
	if c.over {
		c.silent()
	}
}

// silent is called by the poller when a process that has ended has a source less.
func (c *child) silent() {
	if c.held != nil && len(c.slots) <= 1 {
		c.held.silent()
	}
}

// drain hands over what c's sources hold now. Somebody else may go on writing to
// them: so no more is read than was there when it began.
func (p *poller) drain(c *child) {
	for _, i := range c.slots[1:] {
		s := p.at(i)
		if s.role == Stdout && isTerminal(int(s.fd)) {
			p.drainTerminal(s)
			continue
		}
		left, err := unix.IoctlGetInt(int(s.fd), unix.TIOCINQ)
		for err == nil && left > 0 {
			var n int
			if n, err = p.take(s, left); n == 0 {
				break
			}
			left -= n
		}
	}
}

// drainTerminal is drain for a terminal, of which the kernel does not tell all that it
// holds. Most of it is a few pages.
func (p *poller) drainTerminal(s slot) {
	for left := turnSize; left > 0; {
		n, err := p.take(s, left)
		if n == 0 || err != nil {
			return
		}
		left -= n
	}
}

// finish hands over what c's descendants have written before they ended, and closes
// the sources. One that is captured and that somebody still has is read to its end.
func (p *poller) finish(c *child) {
	p.drain(c)
	for k := len(c.slots) - 1; k > 0; k-- {
		i := c.slots[k]
		s := p.at(i)
		if c.capture(s.role) != nil {
			if n, err := p.take(s, readSize); n > 0 || err == nil {
				continue
			}
		}
		p.closeSource(c, s, i)
	}
	c.silent()
}
