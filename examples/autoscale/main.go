// Autoscale shows how to act on events: waiters are scaled with the number of
// guests, one for every two, as guests come and go.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/gafferpm/gaffer"
)

func main() {
	ctx, cancel := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer cancel()
	if err := run(ctx, os.Stdout, time.Second); err != nil {
		fmt.Fprintln(os.Stderr, "autoscale:", err)
		os.Exit(1)
	}
}

// run plays an evening: guests come, then go. It ends when nobody is left, or
// with ctx.
func run(ctx context.Context, out io.Writer, pace time.Duration) error {
	manager, err := gaffer.New(gaffer.Options{})
	if err != nil {
		return err
	}
	for _, name := range []string{"guest", "waiter"} {
		err := manager.Add(ctx, gaffer.Template{Name: name, Cmd: "sleep 3600", NumProcesses: new(0)})
		if err != nil {
			return errors.Join(err, manager.Close())
		}
	}
	// Subscribed before anything runs, so that no guest is missed.
	guests, err := manager.Subscribe(context.WithoutCancel(ctx), "guest", gaffer.EventOptions{Kinds: []gaffer.Kind{gaffer.KindSpawn, gaffer.KindExit}})
	if err != nil {
		return errors.Join(err, manager.Close())
	}
	defer guests.Close()
	ctx, closing := context.WithCancel(ctx)
	defer closing()
	house := gaffer.AppFunc(func(ctx context.Context, m *gaffer.Manager) error {
		defer closing()
		return serve(ctx, m, guests, out)
	})
	door := gaffer.AppFunc(func(ctx context.Context, m *gaffer.Manager) error { return evening(ctx, m, pace) })
	return manager.Run(ctx, house, door)
}

// serve keeps one waiter for every two guests, until the last guest has gone.
func serve(ctx context.Context, m *gaffer.Manager, guests gaffer.Stream[gaffer.Event], out io.Writer) error {
	here := 0
	for {
		event, err := guests.Next(ctx)
		if err != nil {
			return nil // the app is stopped
		}
		if event.Kind == gaffer.KindSpawn {
			here++
		} else {
			here--
		}
		wanted, err := m.Scale(ctx, "waiter", gaffer.Change{Op: '=', N: (here + 1) / 2})
		if err != nil {
			return ignoreEnd(ctx, err)
		}
		fmt.Fprintf(out, "guests %d, waiters %d\n", here, wanted["waiter"])
		if here == 0 {
			return nil
		}
	}
}

// evening lets guests come and go, one after the other.
func evening(ctx context.Context, m *gaffer.Manager, pace time.Duration) error {
	// Apps are started before templates: without this, the first guests could
	// have come and gone before there is anybody to open the door.
	if err := m.Start(ctx, gaffer.All); err != nil {
		return ignoreEnd(ctx, err)
	}
	for _, change := range []string{"+1", "+1", "+1", "+1", "-1", "-1", "-1", "-1"} {
		c, err := gaffer.ParseChange(change)
		if err != nil {
			return err
		}
		if _, err := m.Scale(ctx, "guest", c); err != nil {
			return ignoreEnd(ctx, err)
		}
		select {
		case <-time.After(pace):
		case <-ctx.Done():
			return nil
		}
	}
	<-ctx.Done()
	return nil
}

// ignoreEnd forgives what fails because it is over.
func ignoreEnd(ctx context.Context, err error) error {
	if ctx.Err() != nil || errors.Is(err, gaffer.ErrClosed) {
		return nil
	}
	return err
}
