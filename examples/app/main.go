// App shows an App of one's own: a clerk who writes down each crash and hands in
// a report at the end. Apps are stopped after all processes, so that it misses
// nothing.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"os/signal"
	"slices"
	"syscall"

	"github.com/gafferpm/gaffer"
)

func main() {
	ctx, cancel := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer cancel()
	if err := run(ctx, os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "app:", err)
		os.Exit(1)
	}
}

// run keeps a good and a bad program alive until the bad one has been given up,
// or until ctx ends.
func run(ctx context.Context, out io.Writer) error {
	manager, err := gaffer.New(gaffer.Options{})
	if err != nil {
		return err
	}
	templates := []gaffer.Template{
		{Name: "good", Cmd: "sleep 3600"},
		{Name: "bad", Cmd: "exit 3", Shell: true, Flapping: &gaffer.Flapping{Attempts: 3, Window: 5e9, MaxRetry: new(0)}},
	}
	for _, t := range templates {
		if err := manager.Add(ctx, t); err != nil {
			return errors.Join(err, manager.Close())
		}
	}
	ctx, enough := context.WithCancel(ctx)
	defer enough()
	return manager.Run(ctx, &clerk{out: out, enough: enough})
}

// clerk is an App. Its goroutine owns crashes; Stop reads them when it has ended.
type clerk struct {
	out    io.Writer
	enough func() // called when a template has failed

	events  gaffer.Stream[gaffer.Event]
	done    chan struct{}
	crashes map[string]int // by template
}

var _ gaffer.App = (*clerk)(nil)

// Start implements gaffer.App. It is called before any process is started, so
// that no event is missed.
func (c *clerk) Start(ctx context.Context, m *gaffer.Manager) error {
	// The subscription has to outlive ctx, whose end is the beginning of the stop.
	events, err := m.Subscribe(context.WithoutCancel(ctx), gaffer.All, gaffer.EventOptions{Kinds: []gaffer.Kind{gaffer.KindExit, gaffer.KindFail}})
	if err != nil {
		return err
	}
	c.events, c.done, c.crashes = events, make(chan struct{}), map[string]int{}
	go c.write()
	return nil
}

// write writes down what happens until the subscription ends.
func (c *clerk) write() {
	defer close(c.done)
	for {
		event, err := c.events.Next(context.Background())
		switch {
		case err != nil:
			return
		case event.Kind == gaffer.KindFail:
			fmt.Fprintf(c.out, "%s has failed: %s\n", event.Name, event.Message)
			c.enough()
		case event.Exit.Status > 0:
			c.crashes[event.Name]++
		}
	}
}

// Restart implements gaffer.App. The list goes on.
func (c *clerk) Restart(context.Context) error { return nil }

// Stop implements gaffer.App.
func (c *clerk) Stop(context.Context) error {
	c.events.Close()
	<-c.done
	for _, name := range slices.Sorted(maps.Keys(c.crashes)) {
		fmt.Fprintf(c.out, "report: %s crashed %d times\n", name, c.crashes[name])
	}
	return nil
}
