package main

import (
	"context"
	"errors"
	"fmt"
	"os"

	"github.com/spf13/cobra"

	"github.com/gafferpm/gaffer"
)

func newRemove() *cobra.Command {
	var f waitFlags
	cmd := &cobra.Command{
		Use:   "remove [flags] TARGET...",
		Short: "Stop templates and forget them",
		Long: `Stop templates and forget them. It waits until their processes are gone.

A template that a file of the daemon defines comes back when that file is applied
again: take it out of the file, or ` + "`gaffer stop`" + ` it.`,
		Example: `  gaffer remove web
  gaffer remove 'jobs:*'`,
		Args:              someTargets,
		ValidArgsFunction: completeTargets,
		RunE: func(cmd *cobra.Command, args []string) error {
			targets, err := targetsOf(args)
			if err != nil {
				return err
			}
			if err := f.check(cmd); err != nil {
				return err
			}
			return f.remove(cmd, targets)
		},
	}
	f.add(cmd)
	cmd.Flags().Lookup("json").Usage = "print a list of the names removed"
	return cmd
}

// removed is a template that was removed.
type removed struct {
	Name string `json:"name"`
}

func (f *waitFlags) remove(cmd *cobra.Command, targets []gaffer.Target) error {
	c, err := connect(cmd)
	if err != nil {
		return err
	}
	all, err := statuses(cmd.Context(), c, targets)
	if err != nil {
		return err
	}
	wait, cancel := f.context(cmd.Context())
	defer cancel()
	for _, target := range targets {
		err := c.Remove(wait, target)
		switch {
		case err == nil:
		case f.noWait && errors.Is(err, context.Canceled):
		case errors.Is(err, context.DeadlineExceeded):
			fmt.Fprintf(os.Stderr, "gaffer: %s: not gone after %s; it goes on\n", target, f.wait)
			return statusError(exitError)
		default:
			return explain(cmd.Context(), c, target, err)
		}
	}
	s := newScreen(cmd)
	names := []removed{}
	for _, st := range all {
		names = append(names, removed{st.Name})
		if !f.json && !f.noWait {
			s.paint(st.Name+": removed", plain)
			_ = s.WriteByte('\n')
		}
	}
	if f.json {
		return s.json(names)
	}
	return s.Flush()
}
