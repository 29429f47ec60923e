package proc

import (
	"context"
	"syscall"
	"time"
)

// Birth is a process as it was noted when it was started. Its number may be
// somebody else's by now.
type Birth struct {
	PID   int
	At    time.Time
	Value string // of Search.Variable, for a process that has it no more
}

// Search says which processes are looked for: those that a Host of a program that
// is gone has left behind.
type Search struct {
	// Mark says whether an entry of a process's environment, "NAME=value", is
	// one that only those have that are looked for.
	Mark func(entry string) bool
	// Births are further ones, which may have overwritten their environment.
	Births []Birth
	// Variable is the name of the one variable whose value is in Stray.Value.
	Variable string
}

// Stray is a process that nobody holds any more. The zero value is none.
type Stray struct {
	PID   int
	Main  bool   // it leads its session: a Host has started it
	Value string // of the variable that was asked for
	start uint64
}

// Strays finds processes that were left behind, their descendants, and all in
// their sessions. This program and those above it are none. Where there is no
// /proc, nothing is found.
func Strays(s Search) []Stray { return strays(s) }

// EndStrays asks those that lead a session to end, as a service is asked, with
// the signal that is theirs; if none does, all. When these have ended, or ctx has,
// it kills whatever is left of all. It tells whom it had to kill for not ending
// when asked.
func EndStrays(ctx context.Context, strays []Stray, signal func(Stray) syscall.Signal) (killed []Stray, err error) {
	return endStrays(ctx, strays, signal)
}
