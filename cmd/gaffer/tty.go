package main

import (
	"os"
	"os/signal"
	"sync"
	"syscall"

	"github.com/gafferpm/gaffer"
	"github.com/gafferpm/gaffer/internal/console"
	"github.com/gafferpm/gaffer/internal/proc"
)

// tty is the terminal that a person sits at, whose keys go elsewhere as they are. It is
// restored whatever happens but for SIGKILL.
type tty struct {
	out     *os.File
	resized func(gaffer.WindowSize)

	signals chan os.Signal
	done    chan struct{}
	mu      sync.Mutex        // guards raw
	raw     *proc.RawTerminal // nil: it is restored
}

// endSignals are those that end a command.
var endSignals = []os.Signal{syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP, syscall.SIGQUIT}

// openTTY makes a terminal raw. resized is called with each new size of its window.
func openTTY(in, out *os.File, resized func(gaffer.WindowSize)) (*tty, error) {
	raw, err := proc.MakeRaw(in)
	if err != nil {
		return nil, err
	}
	t := &tty{out: out, resized: resized, raw: raw, signals: make(chan os.Signal, 8), done: make(chan struct{})}
	signal.Notify(t.signals, append([]os.Signal{syscall.SIGWINCH, syscall.SIGCONT}, endSignals...)...)
	go t.listen()
	return t, nil
}

func (t *tty) listen() {
	defer close(t.done)
	for s := range t.signals {
		switch s {
		case syscall.SIGCONT: // whoever had the terminal meanwhile has it as he likes
			t.again()
			fallthrough
		case syscall.SIGWINCH:
			t.resized(t.size())
		default:
			t.leave()
			os.Exit(128 + int(s.(syscall.Signal)))
		}
	}
}

// again makes it raw again.
func (t *tty) again() {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.raw != nil {
		_ = t.raw.Again() // or it is gone
	}
}

// size is that of the window; of one that does not know, the usual.
func (t *tty) size() gaffer.WindowSize {
	size, err := proc.Window(t.out)
	if err != nil || size.Cols == 0 || size.Rows == 0 {
		size = proc.DefaultWindow
	}
	return gaffer.WindowSize{Cols: int(size.Cols), Rows: int(size.Rows)}
}

// leave restores the terminal.
func (t *tty) leave() {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.raw != nil {
		_ = t.raw.Restore() // or it is gone
		t.raw = nil
	}
}

// close restores the terminal, and ends the listening to signals.
func (t *tty) close() {
	t.leave()
	signal.Stop(t.signals)
	close(t.signals)
	<-t.done
}

// guard is deferred by a goroutine while a terminal is raw: a fault of this program is to
// be readable.
func (t *tty) guard() {
	if t == nil {
		return
	}
	if p := recover(); p != nil {
		t.leave()
		panic(p)
	}
}

// isTerminal tells whether a stream of a command is one.
func isTerminal(stream any) (*os.File, bool) {
	f, ok := stream.(*os.File)
	return f, ok && console.IsTerminal(f)
}

// exitStatus is the exit status that stands for how a program has ended.
func exitStatus(e *gaffer.Exit) int {
	switch {
	case e == nil:
		return exitError
	case e.Signal != 0:
		return 128 + int(e.Signal)
	}
	return max(e.Status, 0)
}
