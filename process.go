package gaffer

import (
	"context"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/gafferpm/gaffer/internal/output"
	"github.com/gafferpm/gaffer/internal/proc"
)

// process is one process of a template, from the decision to start it to its
// end. Its fields belong to its keeper, but for those said to be anybody's.
type process struct {
	// Set once, before anybody else sees the process.
	k      *keeper
	recipe *recipe
	id     uint64
	slot   int
	log    output.Log[*process]

	os    proc.Process // nil until it was started
	state State        // Starting, Running, Stopping
	since time.Time    // of the state
	why   string       // why it was told to stop, "" as long as it was not
	leave Kind         // the event that says so
	// killed says that it did not stop when asked and was killed.
	killed string
	stored []stored // copies of what is kept for the slot, until it was started
	watch
	attended
	// patience ends the time that it has to stop.
	patience *time.Timer
	fault    failing // of its own, because of which it was told to stop
	gone     bool    // it has left its slot
	readied  bool    // an earlier manager had it ready
	bare     bool    // it was found running without the terminal that it should have

	withdrawn atomic.Bool // anybody's: it need not be started any more
}

// The handler's side: called by the host, which shares one goroutine among all.

func (p *process) Started(os proc.Process) {
	p.k.box.hand(func() { p.k.launched(p, os) })
}

func (p *process) Output(stream int, data []byte) {
	if stream == proc.ReadyPipe {
		p.saidReady(data)
		return
	}
	p.log.Write(stream, data, time.Now())
}

func (p *process) Exited(e proc.Exit) {
	if p.recipe.Hooks == nil { // else there is more to come
		p.log.End()
	}
	p.k.box.hand(func() { p.k.exited(p, e) })
}

// runs says that the process does its work.
func (p *process) runs() bool { return p.state == Running && p.ready }

// leaving says that the process was told to stop, or will be as soon as it runs, or has
// ended.
func (p *process) leaving() bool { return p.why != "" || p.ended != nil }

// label is the name of one of its streams, "" when that is not captured.
func (p *process) label(stream int) string {
	own := p.recipe.labels
	switch hook := stream - len(own); {
	case stream < 0 || hook >= len(hookLabels):
		return ""
	case hook >= 0:
		return hookLabels[hook]
	}
	return own[stream]
}

// stream is the number of the stream that can be written to under that label.
func (p *process) stream(label string) (int, error) {
	if label == "stdin" {
		if !p.recipe.RedirectInput && !p.recipe.PTY {
			return 0, conflictf("%s: its input is not redirected; redirect_input = true makes it a pipe", p.name())
		}
		return proc.Stdin, nil
	}
	for i, l := range p.recipe.CustomStreams {
		if l == label {
			return proc.Custom + i, nil
		}
	}
	return 0, notFoundf("%s: stream %q: not found", p.name(), label)
}

func (p *process) name() string { return fmt.Sprintf("%s.%d", p.recipe.Name, p.slot) }

// exit is how the process ended, in words too.
func (p *process) exit(e proc.Exit) *Exit {
	out := &Exit{Status: e.Status, Signal: Signal(e.Signal), Time: e.Time, Reason: describe(e)}
	if p.why != "" {
		out.Reason = p.why + ": " + out.Reason
	}
	switch {
	case p.killed != "":
		out.Reason += ", " + p.killed
	case p.killedByKernel(e):
		out.Reason += ", " + p.outOfMemory(e)
	case e.OutOfMemory > 0:
		out.Reason += fmt.Sprintf("; the kernel has killed %s of it for want of memory", plural(e.OutOfMemory, "process", "processes"))
		if limit := p.memoryLimit(); limit > 0 {
			out.Reason += fmt.Sprintf(" (limits.memory is %s)", limit)
		}
	}
	if e.Leftover > 0 {
		out.Reason += fmt.Sprintf("; killed %s it had left behind", plural(e.Leftover, "process", "processes"))
	}
	if e.Stuck > 0 {
		out.Reason += fmt.Sprintf("; %s can't be killed and still hang in the kernel", plural(e.Stuck, "process", "processes"))
	}
	return out
}

func describe(e proc.Exit) string {
	if e.Lost {
		return "exit status unknown: nobody saw it end"
	}
	if e.Signal == 0 {
		return fmt.Sprintf("exit status %d", e.Status)
	}
	name := proc.SignalName(e.Signal)
	if name == "" {
		name = fmt.Sprintf("signal %d", e.Signal)
	}
	if e.Core {
		return fmt.Sprintf("ended by %s (core dumped)", name)
	}
	return "ended by " + name
}

func plural(n int, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return fmt.Sprintf("%d %s", n, many)
}

// write writes to one of its streams.
func (p *process) write(ctx context.Context, os proc.Process, stream int, data []byte) error {
	_, err := os.Write(ctx, stream, data)
	if err != nil {
		return fmt.Errorf("%s: %w", p.name(), err)
	}
	return nil
}
