package proc

import "log/slog"

// Host starts processes and tells their handlers what becomes of them.
// Its methods may be called from any goroutine.
type Host struct {
	starter
}

// Launch is Start for those who do not wait for all hosts.
func (h *Host) Launch(spec *Spec, handler Handler, done func(error)) { done(h.Start(spec, handler)) }

// starter is one way of being a Host: through pidfds on Linux, through waiting
// goroutines where there are none.
type starter interface {
	// Start starts what spec says. It returns when the program has been executed
	// and h.Started was called, or when it could not be: then the error names
	// what was in the way and unwraps to the system's error number, and nothing
	// is left behind. After Close it answers ErrClosed.
	Start(spec *Spec, h Handler) error

	// Close ends the watching of processes. All services must have ended before:
	// those that have not go on, and their handlers hear no more of them. Detached
	// processes are left alone.
	Close() error
}

// engine says how a Host does its work.
type engine int

const (
	engineBest     engine = iota // the first of the others that works here
	engineVfork                  // own system calls between clone and exec, pidfds
	engineForkExec               // the syscall package's fork, pidfds
	enginePortable               // the os package's processes, a goroutine for each
)

// NewHost returns a Host.
func NewHost(o Options) (*Host, error) {
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	s, err := newStarter(o)
	if err != nil {
		return nil, err
	}
	return &Host{s}, nil
}
