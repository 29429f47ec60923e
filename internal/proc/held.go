package proc

import (
	"errors"
	"syscall"
	"time"
)

// Parent is the program that holds services: it is their parent, outlives this one,
// and starts them for it. Its methods may be called from any goroutine.
type Parent interface {
	PID() int
	// Start has a process started. The descriptors of the order may be closed when it
	// has returned. done is called once, in the order of the orders; the descriptor
	// that it is given is the receiver's.
	Start(o *Order, done func(pid, pidfd int, err error))
	// Hold gives it what it does not hold yet.
	Hold(id uint64, pid, pidfd int, keep []Kept)
	// Reap says that the end of a process is known for good: it may be buried.
	Reap(id uint64)
	// Forget says that also nothing more of its output is to come.
	Forget(id uint64)
}

// ErrParentGone is what becomes of a start that was on its way when the parent ended: it
// may have been made.
var ErrParentGone = errors.New("the process that holds services has ended")

// Order is what a Parent is to start.
type Order struct {
	ID   uint64
	Spec *Spec
	FDs  []int // the process's, by its own numbers; -1 is the null device
	Keep []Kept
}

// Kept is one end of a stream that the parent holds, too, so that the stream
// outlives this program.
type Kept struct {
	Stream int
	FD     int
}

// Held is a process that was started for an earlier program.
type Held struct {
	ID      uint64
	Note    []byte // the latest one; nil: none is known
	PID     int
	PIDFD   int // -1: it has ended, and nobody knows how
	Keep    []Kept
	Exit    *Exit     // how it has ended; nil: it has not, or that is told by PIDFD
	Reaped  bool      // its end is known for good: only its output is still read
	Started time.Time // zero: not known
	Token   string    // as in Spec
	Spare   bool      // as in Spec
	Notify  bool      // as in Spec
	Grouped bool      // it was started with limits that need a cgroup
	// Doubtful: it is not known whether it was started. If it was, it has ended.
	Doubtful bool
}

// Release gives up what was found.
func (h *Held) Release() {
	if h.PIDFD >= 0 {
		_ = syscall.Close(h.PIDFD)
	}
	for _, k := range h.Keep {
		_ = syscall.Close(k.FD)
	}
}
