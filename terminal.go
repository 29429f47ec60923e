package gaffer

import (
	"context"
	"fmt"

	"github.com/gafferpm/gaffer/internal/proc"
)

// WindowSize is how many characters fit into the window that a terminal is shown in.
type WindowSize struct {
	Cols int `json:"cols"`
	Rows int `json:"rows"`
}

// Check tells what is wrong with a size: each side is 1 to 65535 characters long.
func (w WindowSize) Check() error {
	for _, n := range [...]int{w.Cols, w.Rows} {
		if n < 1 || n > 1<<16-1 {
			return invalidf("window of %dx%d characters: want 1 to 65535 columns and rows", w.Cols, w.Rows)
		}
	}
	return nil
}

func (w WindowSize) proc() proc.WindowSize {
	return proc.WindowSize{Cols: uint16(w.Cols), Rows: uint16(w.Rows)}
}

// defaultTerm is the kind of terminal that programs are told they have, unless their
// template says otherwise: what nearly all terminals understand.
const defaultTerm = "xterm-256color"

// validateTerminal tells what makes no sense beside a terminal.
func (t *Template) validateTerminal(f *faults) {
	if !t.PTY {
		return
	}
	if t.RedirectOutput != nil && len(t.RedirectOutput) != 1 {
		f.add("redirect_output", "%d labels beside pty: a terminal is one stream, and is always captured; leave it out, or give one label", len(t.RedirectOutput))
	}
	if t.Detach {
		f.add("pty", "a detached program has no streams, so nobody would have the other end of its terminal: leave out pty")
	}
}

// Outputs are the labels of what the program writes to stdout and stderr, as far as it
// is captured; with PTY it is one.
func (t *Template) Outputs() []string { return t.outputs() }

// Resize implements Sessions.
func (m *Manager) Resize(ctx context.Context, target Target, size WindowSize) error {
	if err := size.Check(); err != nil {
		return err
	}
	var os proc.Process
	var name string
	err := m.process(ctx, target, func(_ *keeper, p *process) (outcome, error) {
		name = p.name()
		if !p.recipe.PTY {
			return outcome{}, conflictf("%s: it has no terminal; pty = true gives it one", name)
		}
		if p.os == nil {
			return outcome{}, conflictf("%s: it is being started", name)
		}
		os = p.os
		return outcome{}, nil
	})
	if err != nil {
		return err
	}
	if err := os.Resize(size.proc()); err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	return nil
}

// lost says that a process that was found running has a template with a terminal, but not
// the terminal any more: whoever had its other end is gone.
func (p *process) lostTerminal(h *proc.Held) bool {
	if !p.recipe.PTY || h.Exit != nil {
		return false
	}
	for _, k := range h.Keep {
		if k.Stream == proc.Stdout {
			return false
		}
	}
	return true
}
