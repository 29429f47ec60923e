package proc

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// HeldHost is a Host whose processes are another program's children, so that they
// outlive this one: the Parent starts them, keeps the ends of their streams, and tells
// how they end. What they write, and what they leave behind, is looked after here, as
// by any Host.
//
// mu guards what is below it.
type HeldHost struct {
	direct *direct
	parent Parent
	pipes  string // directory of the streams
	ledger *Ledger

	mu       sync.Mutex
	children map[uint64]*child
	early    map[uint64]Exit // of processes that are still to be adopted
	alone    bool            // the parent is gone
	closed   bool
}

// heldChild is what a child has beside the others when it is held.
//
// kept and quiet belong to the poller; alone is written before the child is watched.
type heldChild struct {
	host  *HeldHost
	id    uint64
	alone bool // its end is watched here
	kept  bool // its end is known for good
	quiet bool // no more output is to come
	gone  bool
}

// Descendants is how what processes start is known to be theirs.
func (h *HeldHost) Descendants() string { return h.direct.Descendants() }

// NewHeldHost returns a host of what parent holds. The streams of processes are in the
// directory pipes, which is this user's alone; what is known of them is in the ledger.
func NewHeldHost(o Options, parent Parent, pipes string, ledger *Ledger) (*HeldHost, error) {
	o.parent = parent.PID()
	d, err := newDirect(o)
	if err != nil {
		return nil, err
	}
	return &HeldHost{direct: d, parent: parent, pipes: pipes, ledger: ledger, children: map[uint64]*child{}, early: map[uint64]Exit{}}, nil
}

// Launch is Start that does not wait: done is called when it is known how it went.
// Starts go on in the order in which they were asked for.
func (h *HeldHost) Launch(spec *Spec, handler Handler, done func(error)) {
	if err := h.launch(spec, handler, done); err != nil {
		done(err)
	}
}

func (h *HeldHost) launch(spec *Spec, handler Handler, done func(error)) error {
	if err := spec.check(); err != nil {
		return err
	}
	h.mu.Lock()
	closed, alone := h.closed, h.alone
	h.mu.Unlock()
	if closed {
		return ErrClosed
	}
	channels, err := h.open(spec)
	if err != nil {
		return err
	}
	limited, leaf, err := limitedLeaf(spec)
	if err != nil {
		h.discard(spec.ID, &channels)
		return err
	}
	spec, channels.leaf = limited, leaf
	if !spec.Detach {
		if err := h.ledger.Intend(spec.ID, spec.Note); err != nil {
			h.discard(spec.ID, &channels)
			return fmt.Errorf("ledger of processes: %w", err)
		}
	}
	if alone {
		pid, pidfd, err := h.direct.spawnAlone(spec, channels.fds)
		h.started(spec, handler, &channels, pid, pidfd, err, done)
		return nil
	}
	order := &Order{ID: spec.ID, Spec: spec, FDs: channels.fds, Keep: channels.ours}
	h.parent.Start(order, func(pid, pidfd int, err error) {
		h.started(spec, handler, &channels, pid, pidfd, err, done)
	})
	return nil
}

// open opens the streams of a process.
func (h *HeldHost) open(spec *Spec) (channels, error) {
	c := channels{fifos: &fifos{dir: h.pipes, id: spec.ID}}
	if spec.changesUser() {
		c.fifos.owner = spec.Cred
	}
	return c, c.open(spec)
}

// discard is for a start that has failed.
func (h *HeldHost) discard(id uint64, c *channels) {
	c.closeTheirs()
	c.closeOurs()
	removeFIFOs(h.pipes, id)
	if c.leaf != nil {
		h.direct.tree.put(c.leaf)
	}
}

// started is called when the parent has answered.
func (h *HeldHost) started(spec *Spec, handler Handler, channels *channels, pid, pidfd int, err error, done func(error)) {
	if errors.Is(err, ErrParentGone) && !spec.Detach {
		if found, fd := h.look(spec, channels); found != 0 {
			pid, pidfd, err = found, fd, nil
		}
	}
	if err != nil {
		h.discard(spec.ID, channels)
		if !spec.Detach {
			h.ledger.Gone(spec.ID)
		}
		done(err)
		return
	}
	channels.closeTheirs()
	c := h.child(spec.ID, spec.Token, pid, pidfd)
	c.leaf = channels.leaf
	c.handler, c.captures, c.inputs, c.started, c.detach = handler, spec.Captures, channels.inputs, time.Now(), spec.Detach
	c.spare = spec.Spare
	if spec.Detach {
		_ = unix.Close(pidfd)
		c.pidfd = -1
		handler.Started(c)
		done(nil)
		return
	}
	if k, ok := readKin(pid); ok && pidfd >= 0 {
		c.birth = k.start
	}
	h.ledger.Born(spec.ID, pid, c.birth)
	handler.Started(c)
	h.watch(c, channels.sources)
	done(nil)
	if pidfd < 0 {
		h.Ended(spec.ID, Exit{Status: -1, Lost: true, Time: time.Now()})
	}
}

// How often it is looked for a process that may have been started, and how far apart:
// as long as it is not its program yet, nothing tells whose it is.
const (
	startLooks = 2
	startAgain = 20 * time.Millisecond
	// noPID is more than any process's number can be.
	noPID = 1<<22 + 1
)

// look finds out whether a process was started although the parent has ended and not
// told of it any more. Where there is only what it wrote, it has ended, too: the number
// of that one is nobody's, and there is no pidfd.
func (h *HeldHost) look(spec *Spec, channels *channels) (pid, pidfd int) {
	for range startLooks {
		for _, s := range Strays(Search{Mark: func(entry string) bool { return entry == spec.Token }}) {
			if !s.Main {
				continue
			}
			if pidfd, err := unix.PidfdOpen(s.PID, 0); err == nil {
				return s.PID, pidfd
			}
		}
		time.Sleep(startAgain)
	}
	for _, s := range channels.sources {
		if n, err := unix.IoctlGetInt(s.fd, unix.TIOCINQ); err == nil && n > 0 {
			return noPID, -1
		}
	}
	return 0, -1
}

func (h *HeldHost) child(id uint64, token string, pid, pidfd int) *child {
	c := &child{host: h.direct, token: token, pid: int32(pid), pidfd: int32(pidfd)}
	c.held = &heldChild{host: h, id: id}
	return c
}

// watch begins to watch a child and what it writes.
func (h *HeldHost) watch(c *child, sources []source) {
	h.mu.Lock()
	c.held.alone = h.alone
	err := h.direct.poller.watchChild(c, sources)
	if err != nil {
		c.slots = []uint32{noSlot}
	}
	h.children[c.held.id] = c // its end is told from now on
	exit, early := h.early[c.held.id]
	delete(h.early, c.held.id)
	h.mu.Unlock()
	if err != nil {
		h.direct.log.Error("what a process writes can't be read", "pid", c.pid, "reason", err)
	}
	if early {
		h.Ended(c.held.id, exit)
	}
}

// Adopt takes over a process of an earlier program: its handler is told that it was
// started, then what any handler is. captures are as in Spec.
func (h *HeldHost) Adopt(held *Held, captures []Capture, handler Handler) {
	c := h.child(held.ID, held.Token, held.PID, held.PIDFD)
	c.handler, c.captures, c.started = handler, captures, held.Started
	if held.Grouped {
		c.leaf = limitedLeafOf(held.PID, held.Token)
	}
	c.spare = held.Spare
	if k, ok := readKin(held.PID); ok && held.PIDFD >= 0 {
		c.birth = k.start
	}
	var sources []source
	for _, k := range held.Keep {
		switch {
		case k.Stream == Stdin, isCustom(k.Stream):
			c.setInput(k.Stream, newInput(k.FD, "stream"))
		}
		if k.Stream != Stdin {
			sources = append(sources, source{k.FD, k.Stream})
		}
	}
	if held.Notify && !held.Reaped && !slices.ContainsFunc(sources, func(s source) bool { return s.stream == Notify }) {
		if s, ok := rebind(held.Token); ok {
			sources = append(sources, s)
		}
	}
	if held.Reaped {
		c.ended, c.over, c.held.kept = true, true, true
	} else {
		handler.Started(c)
	}
	h.watch(c, sources)
	switch {
	case held.Reaped:
		h.direct.poller.post(func() { h.direct.poller.finish(c) })
	case held.Exit != nil:
		h.Ended(held.ID, *held.Exit)
	}
}

// setInput notes one of the streams that can be written to.
func (c *child) setInput(stream int, in *input) {
	i := 0
	if stream >= Custom {
		i = 1 + stream - Custom
	}
	for len(c.inputs) <= i {
		c.inputs = append(c.inputs, nil)
	}
	c.inputs[i] = in
}

// Ended is what the parent tells of the end of a process.
func (h *HeldHost) Ended(id uint64, exit Exit) {
	h.mu.Lock()
	c := h.children[id]
	if c == nil {
		h.early[id] = exit
	}
	h.mu.Unlock()
	if c == nil {
		return
	}
	h.direct.poller.post(func() {
		c.mu.Lock()
		was := c.ended
		c.ended = true
		c.mu.Unlock()
		if was {
			return
		}
		if i := c.slots[0]; i != noSlot { // it would be told of once more
			h.direct.poller.drop(i)
			c.slots[0] = noSlot
		}
		c.endedAs(exit)
	})
}

// ParentGone says that the parent has ended: from now on this program sees itself how
// processes end, and starts them itself.
func (h *HeldHost) ParentGone() {
	h.mu.Lock()
	h.alone = true
	all := make([]*child, 0, len(h.children))
	for _, c := range h.children {
		all = append(all, c)
	}
	h.mu.Unlock()
	p := h.direct.poller
	p.post(func() {
		for _, c := range all {
			if c.ended || c.held.alone || c.pidfd < 0 {
				continue
			}
			c.held.alone = true
			exit, err := p.watch(c, int(c.pidfd), roleExit)
			if err != nil {
				h.direct.log.Error("the end of a process won't be noticed", "pid", c.pid, "reason", err)
				continue
			}
			c.slots[0] = exit
		}
	})
}

// Kept says that the end of a process has been recorded: it need not be remembered
// here and by the parent any more.
func (h *HeldHost) Kept(id uint64) {
	h.mu.Lock()
	c := h.children[id]
	h.mu.Unlock()
	if c == nil {
		h.parent.Forget(id)
		removeFIFOs(h.pipes, id)
		h.ledger.Gone(id)
		return
	}
	h.direct.poller.post(func() {
		c.held.kept = true
		if c.held.quiet {
			c.held.leave()
			return
		}
		h.parent.Reap(id)
	})
}

// Note replaces what is kept of a process.
func (h *HeldHost) Note(id uint64, note []byte) { h.ledger.Note(id, note) }

// silent is called by the poller when no more output of the process is to come.
func (c *heldChild) silent() {
	c.quiet = true
	if c.kept {
		c.leave()
	}
}

// leave is the end of it all.
func (c *heldChild) leave() {
	if c.gone {
		return
	}
	c.gone = true
	h := c.host
	h.mu.Lock()
	delete(h.children, c.id)
	h.mu.Unlock()
	h.parent.Forget(c.id)
	removeFIFOs(h.pipes, c.id)
	h.ledger.Gone(c.id)
}

// Close ends the watching of processes, which go on.
func (h *HeldHost) Close() error {
	h.mu.Lock()
	h.closed = true
	h.mu.Unlock()
	return errors.Join(h.direct.Close(), h.ledger.Close())
}

// spawnAlone starts a process here, for want of the parent.
func (d *direct) spawnAlone(spec *Spec, fds []int) (pid, pidfd int, err error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.closed {
		return 0, -1, ErrClosed
	}
	return d.spawnOffMainThread(&launch{spec: spec, fds: fds, cgroup: -1})
}

// fifos are the streams of one process as files, so that they can be opened again
// when all who held them are gone.
type fifos struct {
	dir   string
	id    uint64
	owner *Cred // nil: this user
}

func fifoPath(dir string, id uint64, stream int) string {
	return filepath.Join(dir, strconv.FormatUint(id, 10)+"."+strconv.Itoa(stream))
}

// make makes the file of a stream. The process gets it open for both directions: so
// it is never told that nobody is at the other end. mode is how our end is open.
func (f *fifos) make(stream, mode int) (theirs, ours int, err error) {
	path := fifoPath(f.dir, f.id, stream)
	err = unix.Mkfifo(path, 0o600)
	if errors.Is(err, unix.EEXIST) { // of somebody who was killed
		_ = os.Remove(path)
		err = unix.Mkfifo(path, 0o600)
	}
	if err != nil {
		return -1, -1, fmt.Errorf("%s: %w", path, err)
	}
	if theirs, err = unix.Open(path, unix.O_RDWR|unix.O_CLOEXEC, 0); err != nil {
		return -1, -1, fmt.Errorf("%s: %w", path, err)
	}
	if f.owner != nil {
		err = unix.Fchown(theirs, int(f.owner.UID), int(f.owner.GID))
	}
	if err == nil {
		ours, err = unix.Open(path, mode|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
	}
	if err != nil {
		_ = unix.Close(theirs)
		return -1, -1, fmt.Errorf("%s: %w", path, err)
	}
	return theirs, ours, nil
}

// SweepPipes removes the pipes of processes that are none any more: of a daemon that was
// killed while it started or ended them.
func SweepPipes(dir string, live func(id uint64) bool) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return
	}
	for _, e := range entries {
		name, stream, _ := strings.Cut(e.Name(), ".")
		id, err := strconv.ParseUint(name, 10, 64)
		if _, serr := strconv.Atoi(stream); err == nil && serr == nil && e.Type() == os.ModeNamedPipe && !live(id) {
			_ = os.Remove(filepath.Join(dir, e.Name())) // or the next time
		}
	}
}

// filed are the streams that can be files.
var filed = [...]int{Stdin, Stdout, Stderr, ReadyPipe}

func removeFIFOs(dir string, id uint64) {
	for _, stream := range filed {
		_ = unix.Unlink(fifoPath(dir, id, stream))
	}
}
