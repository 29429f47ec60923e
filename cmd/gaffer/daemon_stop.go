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
				ctx, cancel = context.WithTimeout(ctx, wait)
				defer cancel()
			}
			switch err := c.Shutdown(ctx); {
			case err != nil && ctx.Err() != nil:
				return fmt.Errorf("%s: no answer after %v; it may still stop", c.Host(), wait)
			case err != nil:
				return err
			}
			if awaitGone(ctx, c) != nil {
				return fmt.Errorf("the daemon still stops its services after %v", wait)
			}
			return nil
		},
	}
	cmd.Flags().Var((*durationFlag)(&wait), "wait", "how long to wait for it (default: as long as it takes)")
	return cmd
}

// How often it is looked whether a daemon is gone: where that is seen without asking
// it, and where it is not.
const (
	lookNear = 10 * time.Millisecond
	lookFar  = 200 * time.Millisecond
)

// awaitGone waits until a daemon is gone that was asked to end. Its streams would
// tell of its end, but not of one that comes while it is being asked.
func awaitGone(ctx context.Context, c *client.Client) error {
	often := lookFar
	if strings.HasPrefix(c.Host(), "unix:") {
		often = lookNear
	}
	beat := time.NewTicker(often)
	defer beat.Stop()
	for !socketFree(c.Host()) || !errors.Is(c.Ping(ctx), client.ErrNoDaemon) {
		select {
		case <-beat.C:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return nil
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
