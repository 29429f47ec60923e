// Package proc is the operating system as gaffer needs it: it starts programs,
// signals and ends whole trees, notices exits, moves what processes write, and
// reads what they use. All build tags of the project live here.
package proc

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"syscall"
	"time"
)

// Spec says what to start. Everything in it is resolved: nothing is looked up,
// expanded or defaulted when it is carried out.
type Spec struct {
	Path string   // the program; with a slash and not absolute, it is relative to Dir
	Args []string // argv, its first word included
	Env  []string // the whole environment, "NAME=value"

	// OwnPID names a variable, which is not in Env, that is to be the process's own
	// number: LISTEN_PID. "": none.
	OwnPID string

	// Token is an entry of Env that no other process of this Host has; alone, or
	// with a slash and more behind it, as a manager below may have made it. Together
	// with the one of Options it finds descendants that left the session and lost
	// their parents. "": they are not looked for by their environment.
	Token string

	Dir  string // working directory; "" is the caller's
	Cred *Cred  // nil: the caller's

	Limits *Limits // nil: the caller's, and nothing is kept from it

	Outputs int  // 0: both discarded, 1: stdout captured and stderr discarded, 2: both captured
	Merge   bool // with Outputs 2: stderr goes into stdout's stream
	Input   bool // stdin is a pipe that Write fills; otherwise the null device
	Streams int  // two-way streams, on the descriptors after 2 and after Files

	// Terminal gives it a pseudo terminal of its own as stdin, stdout and stderr, which
	// also controls its session. What it writes there comes as Stdout, and what is
	// written to Stdin is typed there. Outputs, Merge and Input have no meaning then.
	Terminal bool
	// Stdio are its stdin, stdout and stderr in the place of all that; nil entries are
	// the null device. With Terminal the first is one whose other end somebody else has.
	Stdio *[3]*os.File

	Files []*os.File // descriptors to pass, from 3 on

	// Notify gives it a socket to tell of itself (sd_notify), in NOTIFY_SOCKET; Linux.
	Notify bool
	// ReadyFD is the process's number of a pipe on which it says with a newline that it
	// is ready; 0: none. It comes after all others.
	ReadyFD int

	// Captures take what the process writes to the streams of their numbers, in the
	// place of Handler.Output; nil: that has it.
	Captures []Capture

	// ID numbers the process among all of a HeldHost, over the lives of managers, and
	// Note is what is kept of it for the manager that comes after this one.
	ID   uint64
	Note []byte

	// Detach: started in its own session and left alone. Nothing is captured,
	// nobody waits for it as a service, Exited is never called. It is still
	// reaped when it ends while this program lives.
	Detach bool

	// Spare: what it leaves behind when it ends is left alone, too. Process.Kill ends all
	// that it has started all the same.
	Spare bool
}

// Cred is whom to run as. The supplementary groups are always set.
type Cred struct {
	UID, GID uint32
	Groups   []uint32
}

// The numbers of a process's streams, as Handler.Output and Process.Write use them.
const (
	Stdin  = 0
	Stdout = 1
	Stderr = 2
	Custom = 3 // the first custom stream; the next ones follow

	Notify    = 250 // where it tells of itself; streams are told in a byte
	ReadyPipe = 251 // Spec.ReadyFD
)

// How what a process starts is known to be its own.
const (
	DescendantsByCgroup = "cgroup"      // each process has one
	DescendantsByParent = "subreaper"   // orphans come to gaffer, and their environment and session are looked at
	DescendantsByMark   = "environment" // GAFFER_INSTANCE in their environment, and their session
)

// Capture takes what a process writes to one of its streams. Its methods are called
// by the goroutine that all processes share.
type Capture interface {
	// Take reads at most so many bytes from a descriptor that can be read, and does
	// not wait for more. io.EOF: nobody can write to it any more.
	Take(fd, most int) (int, error)
	// End is called when there is nothing more to take.
	End()
}

// Handler is told what happens to one process: Started once, then any number of
// Output, then Exited once (never when detached). The calls never overlap. No
// method may block: all processes share the goroutine that calls it.
type Handler interface {
	// Started is called by Host.Start itself, before anything else is.
	Started(Process)
	// Output hands over what the process wrote. data is only valid during the call.
	Output(stream int, data []byte)
	// Exited is called when the main process is gone and all that it started has
	// been ended, after the last Output.
	Exited(Exit)
}

// Exit is how a process ended.
type Exit struct {
	Status int            // exit status; -1 when a signal ended it
	Signal syscall.Signal // 0 when it exited
	Core   bool           // a core file was written
	Lost   bool           // nobody saw how it ended
	later  bool           // of a lost one: the kernel may still tell
	Time   time.Time      // when the main process's end was noticed

	// Leftover counts the processes that the main process had started and that
	// had to be killed because they were still there.
	Leftover int
	// Stuck counts those of them that did not go although killed (they hang in
	// the kernel), after waiting for them for a while.
	Stuck int
	// Grouped says that it had a cgroup of its own with limits, and OutOfMemory how many
	// processes the kernel has killed in that for want of memory.
	Grouped     bool
	OutOfMemory int
}

// Later says that how it ended may still become known: look again in LostAgain,
// LostLooks times.
func (e *Exit) Later() bool { return e.later }

// How often, and how far apart, it is looked how a process has ended that somebody else
// is to bury first.
const (
	LostLooks = 300
	LostAgain = 10 * time.Millisecond
)

// Options of a Host. The zero value is good for an embedding program.
type Options struct {
	// Subreaper makes this program the parent of orphaned descendants of its
	// services (Linux), so that none of them can escape. Only those are ever
	// reaped that are known to descend from a service.
	Subreaper bool
	// Alone says that this program starts no processes but through this Host.
	// As subreaper it then waits for every orphan that has ended, also for one that
	// led its own session and was never seen alive.
	Alone bool
	// NoCgroup keeps the host from using cgroups although it could.
	NoCgroup bool
	// Token is an entry of every Spec's Env that tells the processes of this Host
	// from those of other programs; see Spec.Token. "": Spec.Token does that alone.
	Token  string
	Logger *slog.Logger // nil: discard

	engine engine // for tests: which of the ways to do it, when several are there
	parent int    // of a HeldHost: the program that holds its processes
}

// WindowSize is how many characters fit into a window.
type WindowSize struct{ Cols, Rows uint16 }

// DefaultWindow is that of a terminal until somebody says otherwise.
var DefaultWindow = WindowSize{Cols: 80, Rows: 24}

// ErrClosed is what a closed Host or an ended Process answers.
var ErrClosed = errors.New("closed")

// Process is one started process.
type Process interface {
	PID() int
	// Started is when it was started.
	Started() time.Time
	// Signal sends sig to the main process.
	Signal(sig syscall.Signal) error
	// SignalGroup sends sig to its process group.
	SignalGroup(sig syscall.Signal) error
	// Kill ends the process and everything it started, by SIGKILL. It does not wait.
	Kill()
	// Resize says how large the window is that its terminal is shown in. ENOTTY: it has
	// none of ours.
	Resize(size WindowSize) error
	// Write writes all of data to stdin or a custom stream. It waits while the
	// pipe is full, until ctx is done. Writes of several callers do not mix.
	Write(ctx context.Context, stream int, data []byte) (int, error)
}
