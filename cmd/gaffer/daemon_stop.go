package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"github.com/gafferpm/gaffer"
	"github.com/gafferpm/gaffer/client"
)

func newDaemonStop() *cobra.Command {
	var wait time.Duration
	cmd := &cobra.Command{
		Use:     "stop [flags]",
		Short:   "Stop the daemon and all that it runs",
		Example: `  gaffer daemon stop`,
		Long: `Stop all services in order, then the daemon, and wait until it is gone. What was
wanted is kept: the next daemon starts it again.

Exit status: 0 it is gone; 1 it is not; 4 there is none.`,
		Args: atMost(0),
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, err := connect(cmd)
			if err != nil {
				return err
			}
			ctx := cmd.Context()
			if wait > 0 {
				var cancel context.CancelFunc
				ctx, cancel = context.WithTimeoutCause(ctx, wait, fmt.Errorf("the daemon still stops its services after %v", wait))
				defer cancel()
			}
			if err := stopDaemon(ctx, c); err != nil {
				if cause := context.Cause(ctx); cause != nil {
					return cause
				}
				return err
			}
			return nil
		},
	}
	cmd.Flags().DurationVar(&wait, "wait", 0, "how long to wait for it (default: as long as it takes)")
	return cmd
}

// lookForEnd is how often it is looked whether a daemon is gone that has ended all
// its streams: what is left to do then takes no time.
const lookForEnd = 10 * time.Millisecond

// stopDaemon asks a daemon to end and waits until it does not answer any more.
func stopDaemon(ctx context.Context, c *client.Client) error {
	// A stream of nothing ends when the daemon does.
	end, err := c.Subscribe(ctx, "none", gaffer.EventOptions{Kinds: []gaffer.Kind{gaffer.KindFail}})
	if err != nil {
		return err
	}
	defer end.Close()
	if err := c.Shutdown(ctx); err != nil {
		return err
	}
	for err == nil || errors.As(err, new(gaffer.Missed)) {
		_, err = end.Next(ctx)
	}
	beat := time.NewTicker(lookForEnd)
	defer beat.Stop()
	for ctx.Err() == nil && !(errors.Is(c.Ping(ctx), client.ErrNoDaemon) && socketFree(c.Host())) {
		select {
		case <-beat.C:
		case <-ctx.Done():
		}
	}
	return ctx.Err()
}

// socketFree says that no daemon has the socket any more, as far as that can be
// seen from here: its lock is the last thing that a daemon gives up.
func socketFree(host string) bool {
	path, unix := strings.CutPrefix(host, "unix://")
	if !unix {
		return true
	}
	lock, err := os.Open(path + ".lock")
	if err != nil {
		return true
	}
	defer lock.Close()
	return syscall.Flock(int(lock.Fd()), syscall.LOCK_SH|syscall.LOCK_NB) == nil
}
