package gaffer

import "context"

// Sessions is what a Controller can be besides: a way to where its processes run.
type Sessions interface {
	// Resize says how large the window is that the terminal of the one process that
	// target selects is shown in. Of several who say so the latest is right.
	// ErrConflict: it has no terminal.
	Resize(ctx context.Context, target Target, size WindowSize) error
	// Exec runs a command in the environment of a template: its variables, directory,
	// user and groups, not its limits. target is a template, a slot or a process, and the command has
	// the variables of that slot, or of slot 1. It ends with the Session, and with the
	// manager; it is no process of the template.
	Exec(ctx context.Context, target Target, how ExecOptions) (Session, error)
}

// ExecOptions say what to run.
type ExecOptions struct {
	// Args are the program, which is looked for in the PATH that it will have, and its
	// arguments, all taken as they are. Required.
	Args []string
	// Env beats the template's, but for GAFFER_*.
	Env map[string]string
	// Terminal gives it a terminal with a window of that size as stdin, stdout and
	// stderr. Default: pipes.
	Terminal *WindowSize
	// Input makes stdin what is written to the Session. Default, without a terminal: the
	// null device.
	Input bool
}

// Session is a command that runs, and the streams that connect with it. What it writes
// has to be read: it waits for that. Close ends it, and so does the end of the context it
// was made with: the command is killed then, with all that it has started.
type Session interface {
	// Next waits for what the command writes next. io.EOF: it has ended, and Exit tells
	// how. One goroutine reads.
	Next(ctx context.Context) (SessionOutput, error)
	// Write writes to its stdin, or types on its terminal. It waits until all is taken.
	Write(ctx context.Context, data []byte) error
	// CloseInput says that nothing more will be written. On a terminal it types ^D.
	CloseInput(ctx context.Context) error
	// Resize says how large the window is. ErrConflict: it has no terminal.
	Resize(ctx context.Context, size WindowSize) error
	// Signal sends a signal to the command and those of what it has started that are
	// still in its process group.
	Signal(ctx context.Context, sig Signal) error
	// PID is its number on its machine.
	PID() int
	// Exit is how it has ended; nil before Next has said that it has.
	Exit() *Exit
	// Close ends the session, and returns when nothing is left of it.
	Close()
}

// SessionOutput is a piece of what a command writes.
type SessionOutput struct {
	Stderr bool // else it is stdout's, or the terminal's
	Data   []byte
}
