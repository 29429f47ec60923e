package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"github.com/gafferpm/gaffer/client"
)

func newDaemonUpgrade() *cobra.Command {
	wait := 2 * time.Minute
	cmd := &cobra.Command{
		Use:   "upgrade [flags] [BINARY]",
		Short: "Have another gaffer take over the running services",
		Long: `Replace the daemon's manager by the one of BINARY (default: this program), while all
services go on with the same processes. If it does not come up, the one before is
taken back. The process that holds the services is asked first whether BINARY
understands it. If they speak different protocols it becomes BINARY, too, and stays
the same process; else it is as it was until the daemon is stopped.

Exit status: 0 it has taken over; 1 it has not, and the one before goes on; 4 there is
no daemon.`,
		Example: `  gaffer daemon upgrade
  gaffer daemon upgrade /opt/gaffer-next/gaffer`,
		Args: atMost(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			binary, err := os.Executable()
			if len(args) > 0 {
				binary, err = filepath.Abs(args[0])
			}
			if err != nil {
				return err
			}
			c, err := connect(cmd)
			if err != nil {
				return err
			}
			ctx, cancel := context.WithTimeout(cmd.Context(), wait)
			defer cancel()
			return upgradeTo(ctx, c, binary)
		},
	}
	cmd.Flags().Var((*durationFlag)(&wait), "wait", "how long to wait for it (default 2m)")
	return cmd
}

// endedAfter is how long nothing may answer where no daemon runs any more.
const endedAfter = 3 * time.Second

// vanished says whether a daemon of this machine that had a pid is gone.
func vanished(c *client.Client, pid int) bool {
	return strings.HasPrefix(c.Host(), "unix:") && errors.Is(syscall.Kill(pid, 0), syscall.ESRCH)
}

// upgradeTo asks for the upgrade and waits until it is known how it went.
func upgradeTo(ctx context.Context, c *client.Client, binary string) error {
	before, err := c.Version(ctx)
	if err != nil {
		return err
	}
	if err := c.Upgrade(ctx, binary); err != nil {
		return err
	}
	beat := time.NewTicker(lookNear)
	defer beat.Stop()
	answered := time.Now()
	for {
		select {
		case <-beat.C:
		case <-ctx.Done():
			return fmt.Errorf("it is not known how the upgrade went: %w", ctx.Err())
		}
		now, err := c.Version(ctx)
		if !errors.Is(err, client.ErrNoDaemon) {
			answered = time.Now()
		} else if time.Since(answered) > endedAfter && vanished(c, before.PID) {
			return fmt.Errorf("the daemon has ended; its log may say why: %w", err)
		}
		if err != nil || now.Upgrade == nil || before.Upgrade != nil && !now.Upgrade.Time.After(before.Upgrade.Time) {
			continue // one manager has ended, and the other is not there yet
		}
		if !now.Upgrade.Done {
			return fmt.Errorf("%s has not taken over, and the manager before goes on: %s", binary, now.Upgrade.Reason)
		}
		fmt.Printf("upgraded from %s to %s; services went on\n", before.Version, now.Version)
		return nil
	}
}
