//go:build linux

package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/gafferpm/gaffer/bench/internal/machine"
	"github.com/gafferpm/gaffer/bench/internal/program"
)

const (
	upLimit    = 2 * time.Minute // for all children to be up or back
	stopLimit  = time.Minute     // for all to be gone after a stop
	lookEvery  = 5 * time.Millisecond
	aliveEvery = 200 * time.Millisecond
	quoted     = 20 // lines of a supervisor's output that an error shows
)

// session is one supervisor with its children, from its start to its end. It is
// used by one goroutine; gone is closed by another when the supervisor ended.
type session struct {
	contestant
	work  work
	board *program.Board
	dir   string
	cmd   *exec.Cmd
	began int64
	gone  chan struct{}
}

// start starts c with n children. Nothing is left in dir from before.
func start(c contestant, b *program.Board, dir string, w work) (*session, error) {
	s := &session{contestant: c, work: w, board: b, dir: filepath.Join(dir, c.name), gone: make(chan struct{})}
	if err := errors.Join(os.RemoveAll(s.dir), os.Mkdir(s.dir, 0o700)); err != nil {
		return nil, fmt.Errorf("%s: %w", c.name, err)
	}
	argv, err := c.prepare(s.dir, w)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", c.name, err)
	}
	output, err := os.Create(s.output())
	if err != nil {
		return nil, fmt.Errorf("%s: %w", c.name, err)
	}
	defer output.Close()
	b.Clear()
	s.cmd = exec.Command(argv[0], argv[1:]...) // ended by its session, not by a context
	s.cmd.Dir = s.dir
	s.cmd.Stdout, s.cmd.Stderr = output, output
	s.cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true} // a Ctrl-C is for the harness alone
	s.began = machine.Now()
	if err := s.cmd.Start(); err != nil {
		return nil, fmt.Errorf("%s: %w", c.name, err)
	}
	go func() {
		defer close(s.gone)
		_ = s.cmd.Wait() // how it ended says nothing: we end it
	}()
	return s, nil
}

func (s *session) output() string { return filepath.Join(s.dir, "output") }

// end kills what is left of the session and removes its files.
func (s *session) end() error {
	if err := machine.EndFamily(s.work.child); err != nil {
		return fmt.Errorf("%s: %w", s.name, err)
	}
	<-s.gone
	machine.ReapAll()
	run, err := filepath.EvalSymlinks(runtimeOf(s.dir))
	if err != nil {
		run = s.dir // it has none
	}
	return errors.Join(os.RemoveAll(run), os.RemoveAll(s.dir))
}

// family lists the supervisor's processes and the children.
func (s *session) family() (supervisors, children []machine.Relative) {
	return machine.Family(s.work.child)
}

// awaitStarts waits until the board counts n starts.
func (s *session) awaitStarts(ctx context.Context, n int) error {
	deadline, look := time.Now().Add(upLimit), time.Now().Add(aliveEvery)
	for s.board.Started() < n {
		switch t := time.Now(); {
		case ctx.Err() != nil:
			return ctx.Err()
		case t.After(deadline):
			return fmt.Errorf("%s: %d of %d starts after %v%s", s.name, s.board.Started(), n, upLimit, s.lastWords())
		case t.After(look):
			look = t.Add(aliveEvery)
			if s.dead() {
				return fmt.Errorf("%s: gone after %d of %d starts%s", s.name, s.board.Started(), n, s.lastWords())
			}
		}
		time.Sleep(lookEvery)
	}
	return nil
}

func (s *session) dead() bool {
	select {
	case <-s.gone:
		return true
	default:
		return false
	}
}

// lastWords is the end of what the supervisor printed, for an error.
func (s *session) lastWords() string {
	text, err := os.ReadFile(s.output())
	if err != nil || len(text) == 0 {
		return ""
	}
	return "; its last words:\n" + lastLines(string(text), quoted)
}

// lastLines returns the last n lines of text.
func lastLines(text string, n int) string {
	lines := strings.Split(strings.TrimRight(text, "\n"), "\n")
	return strings.Join(lines[max(len(lines)-n, 0):], "\n")
}
