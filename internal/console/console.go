// Package console shows a person what services do: their output, merged, aligned
// and coloured, and a sentence for each thing that happens to them.
package console

import (
	"context"
	"fmt"
	"io"
	"sync/atomic"
	"time"

	"github.com/gafferpm/gaffer"
)

// Options of a Console.
type Options struct {
	Out        io.Writer
	Color      bool
	Terminal   bool        // Out is a terminal: what could wreck it is left out
	Timestamps bool        // the time in front of each line
	Hello      string      // the first line, of gaffer's own; "" for none
	OnError    func(error) // told when writing to Out begins to fail; what is written then is lost
}

// Console is an App that prints. It is slower than nobody: when Out is, lines are
// left out, and it says how many.
type Console struct {
	opts Options
	m    atomic.Pointer[merger] // nil before Start

	events gaffer.Stream[gaffer.Event]
	output gaffer.Stream[gaffer.Output]
}

var _ gaffer.App = (*Console)(nil)

// New makes a console.
func New(opts Options) *Console {
	if opts.OnError == nil {
		opts.OnError = func(error) {}
	}
	return &Console{opts: opts}
}

// patience is how long Stop waits for a terminal that takes nothing.
const patience = 2 * time.Second

// Start implements gaffer.App.
func (c *Console) Start(ctx context.Context, m *gaffer.Manager) error {
	// The streams go on until Stop, which is after the end of ctx.
	ctx = context.WithoutCancel(ctx)
	infos, err := m.List(ctx, gaffer.All)
	if err != nil {
		return err
	}
	if c.events, err = m.Subscribe(ctx, gaffer.All, gaffer.EventOptions{}); err != nil {
		return err
	}
	if c.output, err = m.Output(ctx, gaffer.All, gaffer.OutputOptions{Tail: -1}); err != nil {
		c.events.Close()
		return err
	}
	p := &printer{out: c.opts.Out, color: c.opts.Color, terminal: c.opts.Terminal, timestamps: c.opts.Timestamps}
	p.learn(infos)
	if c.opts.Hello != "" {
		p.say(time.Now(), sentence{c.opts.Hello, 0})
	}
	merger := newMerger(p, c.events, c.output, c.opts.OnError)
	merger.start()
	c.m.Store(merger)
	return nil
}

// Restart implements gaffer.App. There is nothing to do.
func (c *Console) Restart(context.Context) error { return nil }

// Stop implements gaffer.App: it prints what is left.
func (c *Console) Stop(context.Context) error {
	c.m.Load().stop(patience)
	c.events.Close()
	c.output.Close()
	return nil
}

// Say prints a line of gaffer's own. It never waits. Before Start and after Stop
// it does nothing.
func (c *Console) Say(format string, a ...any) {
	if m := c.m.Load(); m != nil {
		m.say(sentence{fmt.Sprintf(format, a...), 0})
	}
}
