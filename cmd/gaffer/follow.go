package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/gafferpm/gaffer"
	"github.com/gafferpm/gaffer/client"
)

// following shows a stream, and where it is followed, goes on with that of the
// next daemon when this one ends.
type following[T any] struct {
	follow bool
	// open opens the stream: again says that there was one before, after which
	// to go on.
	open  func(ctx context.Context, again bool) (gaffer.Stream[T], error)
	show  func(T) error
	lost  func(n int) error // n values are missing here; 0: nobody knows how many
	flush func() error
	// until is when the stream ends by itself; zero: with the daemon.
	until time.Time
}

// errAgain, from lost, says that the stream is to be opened again: it then has
// what is missing.
var errAgain = errors.New("again")

func (f *following[T]) run(ctx context.Context, c *client.Client) error {
	for again := false; ; again = true {
		stream, err := f.open(ctx, again)
		if err == nil {
			err = pour(ctx, stream, f.flush, f.show, f.lost)
			stream.Close()
		}
		switch {
		case errors.Is(err, errAgain):
			continue
		case errors.Is(err, client.ErrNoDaemon) && again:
		case err != nil || !f.follow || !f.until.IsZero() && !time.Now().Before(f.until):
			return err
		}
		if err := awaitDaemon(ctx, c, complain); err != nil {
			return err
		}
	}
}

// Pauses between two tries to reach a daemon that has ended.
const (
	shortPause = 100 * time.Millisecond
	longPause  = 2 * time.Second
)

// complain says something that is none of what was asked for.
func complain(text string) { fmt.Fprintf(os.Stderr, "gaffer: %s\n", text) }

// awaitDaemon waits for the next daemon, and says so if there is none at once.
func awaitDaemon(ctx context.Context, c *client.Client, say func(string)) error {
	for pause := shortPause; ; pause = min(2*pause, longPause) {
		timer := time.NewTimer(pause)
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return ctx.Err()
		}
		err := c.Ping(ctx)
		if err == nil {
			return nil
		}
		if pause == shortPause {
			say("the daemon has ended; waiting for the next one")
		}
	}
}

// pour shows all that a stream has. It flushes when nothing more waits.
func pour[T any](ctx context.Context, stream gaffer.Stream[T], flush func() error, show func(T) error, lost func(int) error) error {
	for {
		if stream.Len() == 0 {
			if err := flush(); err != nil {
				return err
			}
		}
		value, err := stream.Next(ctx)
		var missed gaffer.Missed
		switch {
		case err == nil:
			err = show(value)
		case errors.As(err, &missed):
			err = lost(int(missed))
		case errors.Is(err, io.EOF):
			return flush()
		}
		if err != nil {
			return errors.Join(err, flush())
		}
	}
}
