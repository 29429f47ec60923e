//go:build linux

package logs

import (
	"io"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"
)

const (
	// markEvery is how exact the times of what is written without a pause are.
	markEvery = 10 * time.Millisecond
	// waitingBytes is how much of a stream waits in memory while it can't be written.
	waitingBytes = 256 << 10
	// tryAgain is how long a stream that can't be written is left alone.
	tryAgain = time.Second
	// roomyPipe is what a pipe gets that was found fuller than fullPipe: so much can a
	// service write while nobody reads.
	roomyPipe = 1 << 20
	fullPipe  = 48 << 10
)

// Writer is a stream of a slot, over all the processes that are in it one after the
// other. end may be read by anybody; mu guards the rest, and is held by the goroutine
// that takes for as long as that takes.
type Writer struct {
	store   *Store
	source  source
	dir     string
	limit   atomic.Pointer[Limits]
	end     atomic.Int64 // where the stream ends
	lost    atomic.Int64 // bytes that could not be kept
	blocked atomic.Int64 // nanoseconds that processes may have had to wait
	failing atomic.Bool

	mu      sync.Mutex
	log     int // descriptor of the current file; -1: it is not open
	index   *os.File
	base    int64 // of the current file, in the stream
	size    int64 // of the current file
	marks   int64 // size of its index
	latest  mark  // the last one in it
	known   bool  // base and size are
	marked  int64 // time of the latest mark
	by      *Capture
	last    uint64 // id of the process that has written last
	placing int64  // where the bytes begin that are being placed
	midline bool
	unsure  bool   // whether midline is true has to be looked up
	pending []byte // read, and not to be written just now
	dropped int64  // bytes after pending that were not kept
	retry   time.Time
	waking  bool // again is going to be called
	// turnRetry is when another file is tried to be begun; zero: that did not fail.
	turnRetry time.Time
}

// Capture is what one process writes to a stream. It is a proc.Capture.
type Capture struct {
	w     *Writer
	id    uint64
	roomy bool // its pipe is as large as it may get
	ended bool
	room  int   // of its pipe; 0: not known yet; less: it is none
	taken int64 // when something was read last, or could have been
}

// Process is what the process of an id writes to the stream. since is until when it was
// read before, zero for now.
func (w *Writer) Process(id uint64, since time.Time) *Capture {
	if since.IsZero() {
		since = time.Now()
	}
	return &Capture{w: w, id: id, taken: since.UnixNano()}
}

// found notes how full the pipe was.
func (c *Capture) found(fd, n int) {
	now := time.Now().UnixNano()
	if c.room == 0 {
		c.room, _ = unix.FcntlInt(uintptr(fd), unix.F_GETPIPE_SZ, 0)
	}
	// In the last page there may be no room for what was to be written next.
	if c.room > 0 && n > c.room-os.Getpagesize() && now > c.taken {
		c.w.blocked.Add(now - c.taken)
	}
	c.taken = now
	if n >= fullPipe && !c.roomy {
		c.roomy = true
		_, _ = unix.FcntlInt(uintptr(fd), unix.F_SETPIPE_SZ, roomyPipe) // it may be forbidden
		c.room = 0
	}
}

// Take reads at most so many bytes from a descriptor that can be read, and keeps them.
// It returns io.EOF at the end. What can't be kept is lost, and counted: the service
// goes on.
func (c *Capture) Take(fd, most int) (int, error) {
	w := c.w
	w.mu.Lock()
	defer w.mu.Unlock()
	n, err := unix.IoctlGetInt(fd, unix.TIOCINQ)
	if err != nil {
		return 0, err
	}
	if n == 0 {
		if more, err := ahead(fd); !more {
			return 0, err
		}
		n, _ = unix.IoctlGetInt(fd, unix.TIOCINQ) // a terminal knows it only now
	}
	c.found(fd, n)
	if !w.ready() {
		return w.takeIntoMemory(fd)
	}
	c.begin()
	switch n = min(n, most, stagingSize); {
	case n >= nonceSize:
		n, err = w.takeStaged(fd, n)
	case c.room < 0:
		n, err = w.takeShort(fd)
	default:
		n, err = w.splice(fd)
	}
	if n > 0 {
		w.store.changed(w)
	}
	return n, err
}

// ahead says whether there is something to read after all; io.EOF: there will be no more.
func ahead(fd int) (bool, error) {
	fds := []unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}
	if _, err := unix.Poll(fds, 0); err != nil {
		return false, nil
	}
	switch {
	case fds[0].Revents&unix.POLLIN != 0:
		return true, nil
	case fds[0].Revents != 0:
		return false, io.EOF
	}
	return false, nil
}

// Write keeps what somebody else than the process itself has to say in its place. It may
// be called from any goroutine.
func (c *Capture) Write(data []byte) (int, error) {
	w := c.w
	w.mu.Lock()
	defer w.mu.Unlock()
	if !w.ready() {
		w.keepWaiting(data)
		return len(data), nil
	}
	c.begin()
	if w.log < 0 { // it could not be begun
		w.keepWaiting(data)
		return len(data), nil
	}
	if err := w.place(data); err != nil {
		w.failed(err)
		done := w.base + w.size - w.placing
		w.keepWaiting(data[min(done, int64(len(data))):])
	}
	w.store.changed(w)
	return len(data), nil
}

// Close is End, of what is written to.
func (c *Capture) Close() error {
	c.End()
	return nil
}

// ready opens the files, and writes what has had to wait. It is false when that can't
// be done just now.
func (w *Writer) ready() bool {
	if w.failing.Load() && time.Now().Before(w.retry) {
		return false
	}
	return w.flush(false)
}

// flush writes what has had to wait. last says that there will be no other time.
func (w *Writer) flush(last bool) bool {
	nothing := len(w.pending) == 0 && w.dropped == 0
	if nothing && (last || w.log >= 0) {
		return true
	}
	err := w.open()
	if err == nil && len(w.pending) > 0 {
		if err = w.place(w.pending); err != nil { // some of it is there
			w.pending = w.pending[min(w.base+w.size-w.placing, int64(len(w.pending))):]
		}
	}
	if err != nil {
		w.failed(err)
		return false
	}
	w.pending = nil
	if w.dropped > 0 {
		w.mark(mark{offset: w.base + w.size, kind: markLoss, id: uint64(w.dropped)})
		w.dropped = 0
	}
	if w.failing.CompareAndSwap(true, false) {
		w.store.logger.Info("what a service writes is kept again", "stream", w.source.String(), "lost", w.lost.Load())
	}
	return true
}

func (w *Writer) failed(err error) {
	w.retry = time.Now().Add(tryAgain)
	if !w.waking {
		w.waking = true
		time.AfterFunc(tryAgain, w.again)
	}
	if w.failing.CompareAndSwap(false, true) {
		w.store.logger.Error("what a service writes can't be kept; the latest of it waits in memory", "stream", w.source.String(), "reason", err)
	}
}

// again writes what waits, if it can be by now: nothing more may come that would have it
// tried.
func (w *Writer) again() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.waking = false
	if !w.failing.Load() || w.store.isClosed() || !w.ready() {
		return
	}
	w.store.changed(w)
	if w.by == nil { // nobody writes any more
		w.closeFiles()
	}
}

// takeIntoMemory reads what can't be written.
func (w *Writer) takeIntoMemory(fd int) (int, error) {
	buf := w.store.staging.buf
	n, err := unix.Read(fd, buf[:min(len(buf), readSize)])
	if n <= 0 {
		return 0, ended(n, err)
	}
	w.keepWaiting(buf[:n])
	return n, nil
}

// readSize is how much is read at a time while nothing can be written.
const readSize = 64 << 10

// ended is the error of a read that has got nothing.
func ended(n int, err error) error {
	switch {
	case err == unix.EAGAIN || err == unix.EINTR:
		return nil
	case err != nil:
		return err
	}
	return io.EOF
}

// keepWaiting keeps bytes in memory, as far as there is room.
func (w *Writer) keepWaiting(data []byte) {
	room := waitingBytes - len(w.pending)
	if w.dropped > 0 {
		room = 0
	}
	kept := min(room, len(data))
	w.pending = append(w.pending, data[:kept]...)
	w.dropped += int64(len(data) - kept)
	w.lost.Add(int64(len(data) - kept))
}

// begin makes the capture the one that writes. Of two that write at a time none goes on
// in the other's line.
func (c *Capture) begin() {
	w := c.w
	if w.by != nil && w.by != c || w.by == nil && w.last != 0 && w.last != c.id {
		w.finishLine()
	}
	w.last = c.id
	now := w.store.now()
	if now-w.marked >= int64(markEvery) && w.takenAway() {
		w.closeFiles()
		w.known = false
		if err := w.open(); err != nil {
			w.failed(err)
			return
		}
		w.by = nil
	}
	if w.by != c || now-w.marked >= int64(markEvery) || now < w.marked || w.store.staging.last.Load() != w {
		w.mark(mark{time: now, offset: w.base + w.size, id: c.id})
		w.marked = now
	}
	w.by = c
	w.store.staging.last.Store(w)
}

// takeStaged reads exactly n bytes, through the staging buffer.
func (w *Writer) takeStaged(fd, n int) (int, error) {
	s := w.store.staging
	s.begin(w.source.String(), w.base+w.size, w.limit.Load().withDefaults().MaxSize, n)
	got, err := unix.Read(fd, s.buf[:n])
	if got <= 0 {
		s.clear()
		return 0, ended(got, err)
	}
	if got < n { // somebody else reads: what was promised is not there any more
		s.clear()
	}
	if err := w.place(s.buf[:got]); err != nil {
		w.failed(err)
		done := w.base + w.size - w.placing
		w.keepWaiting(s.buf[min(done, int64(got)):got])
	}
	s.clear()
	return got, nil
}

// takeShort reads a few bytes from what they can't be moved out of, a terminal or a
// socket. They are lost if this program is killed before the next thing that it does.
func (w *Writer) takeShort(fd int) (int, error) {
	buf := w.store.staging.buf[:nonceSize]
	n, err := unix.Read(fd, buf)
	if n <= 0 {
		return 0, ended(n, err)
	}
	if err := w.place(buf[:n]); err != nil {
		w.failed(err)
		done := w.base + w.size - w.placing
		w.keepWaiting(buf[min(done, int64(n)):n])
	}
	return n, nil
}

// splice moves a few bytes straight into the file: that is done or not, there is no
// in between.
func (w *Writer) splice(fd int) (int, error) {
	offset := w.size
	n, err := unix.Splice(fd, nil, w.log, &offset, nonceSize, unix.SPLICE_F_NONBLOCK)
	switch {
	case n > 0:
		w.grow(int64(n))
		w.unsure = true
		return int(n), w.turnIfFull()
	case err == nil, err == unix.EAGAIN, err == unix.EINTR:
		return 0, ended(int(n), err)
	case err != unix.EINVAL: // that is a file system that can't
		w.failed(err)
	}
	return w.takeIntoMemory(fd)
}

// End is called when nothing more comes from the process.
func (c *Capture) End() {
	w := c.w
	w.mu.Lock()
	defer w.mu.Unlock()
	if c.ended {
		return
	}
	c.ended = true
	if w.by == nil && !w.known && !w.there() {
		return // nobody has written anything
	}
	if !w.flush(false) && len(w.pending) > 0 {
		if w.pending[len(w.pending)-1] != '\n' { // its newline comes after what waits
			w.keepWaiting([]byte{'\n'})
		}
		w.by, w.last = nil, 0
		w.store.changed(w)
		return
	}
	if w.by == c || w.by == nil {
		if w.open() == nil {
			w.finishLine()
			w.mark(mark{time: w.store.now(), offset: w.base + w.size, kind: markEnd, id: c.id})
		}
		w.by = nil
	}
	w.store.changed(w)
	if len(w.pending) == 0 {
		w.closeFiles()
	}
}
