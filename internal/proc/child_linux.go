package proc

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// child is one started process. It implements Process.
//
// Who owns what: the fields above mu are fixed once Started was called. slots
// belongs to the poller. What is below mu is guarded by it.
type child struct {
	host    *direct
	handler Handler
	started time.Time
	token   string
	birth   uint64 // of a held one: when the kernel says that it began
	pid     int32
	detach  bool
	spare   bool  // what it leaves behind is left alone
	over    bool  // of the poller: it was said to have ended
	leaf    *leaf // its own cgroup; nil: none
	inputs  []*input
	// captures take what is written to the streams of their numbers; nil: the handler.
	captures []Capture
	held     *heldChild // nil: this program is its parent

	slots  []uint32 // of the poller: the exit's first, then those of the sources
	ending *ending  // of the poller: what it left behind is being ended
	looks  int32    // of the poller: for how it ended

	ended bool       // waited for: pid may be somebody else's
	pidfd int32      // -1 when it is closed
	mu    sync.Mutex // guards pidfd, ended and known
	// known are descendants that were seen before the end, outside the session.
	known []descendant
}

var _ Process = (*child)(nil)

func (c *child) PID() int           { return int(c.pid) }
func (c *child) Started() time.Time { return c.started }

func (c *child) Signal(sig syscall.Signal) error {
	c.rememberBefore(sig)
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.ended {
		return ErrClosed
	}
	return c.signalError(sig, signalPidfd(int(c.pidfd), sig))
}

func (c *child) SignalGroup(sig syscall.Signal) error {
	c.rememberBefore(sig)
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.ended {
		return ErrClosed
	}
	return c.signalError(sig, c.signalGroupLocked(sig))
}

// signalGroupLocked sends sig to the group of a process that was not waited for:
// until then its number is nobody else's.
func (c *child) signalGroupLocked(sig syscall.Signal) error {
	err := signalGroup(int(c.pidfd), sig)
	if errors.Is(err, unix.EINVAL) {
		err = unix.Kill(-int(c.pid), sig)
	}
	return err
}

func (c *child) signalError(sig syscall.Signal, err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, unix.ESRCH):
		return ErrClosed
	}
	return fmt.Errorf("process %d: signal %d: %w", c.pid, int(sig), err)
}

func (c *child) Kill() {
	c.host.tree.kill(c)
}

func (c *child) Resize(size WindowSize) error {
	return resizeInput(c.inputs, c.PID(), size)
}

func (c *child) Write(ctx context.Context, stream int, data []byte) (int, error) {
	return writeInput(ctx, c.inputs, c.PID(), stream, data)
}
