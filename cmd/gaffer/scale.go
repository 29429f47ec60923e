package main

import (
	"context"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/gafferpm/gaffer"
	"github.com/gafferpm/gaffer/client"
)

func newScale() *cobra.Command {
	v := &verb{truth: true}
	cmd := &cobra.Command{
		Use:   "scale [flags] TARGET=N|TARGET+N|TARGET-N...",
		Short: "Change how many processes templates have",
		Long: `Change how many processes templates have: =N sets the number, +N and -N change it,
never below 0. It waits until so many run. Scaling down stops the highest slots
first. The number is kept when the daemon is started again.
` + truthText,
		Example: `  gaffer scale web=3
  gaffer scale worker+2 mailer-1
  gaffer scale 'jobs:*=0'`,
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) == 0 {
				return usagef("which? want `%s TARGET=N`, TARGET+N or TARGET-N", cmd.CommandPath())
			}
			return nil
		},
		ValidArgsFunction: completeTargets,
		RunE: func(cmd *cobra.Command, args []string) error {
			changes := make(map[gaffer.Target]gaffer.Change, len(args))
			var targets []string
			for _, arg := range args {
				target, change, err := parseScale(arg)
				if err != nil {
					return err
				}
				if slices.Contains(targets, string(target)) {
					return usagef("%s: %s is given twice", arg, target)
				}
				changes[target] = change
				targets = append(targets, string(target))
			}
			v.do = func(ctx context.Context, c *client.Client, target gaffer.Target) error {
				_, err := c.Scale(ctx, target, changes[target])
				return err
			}
			return v.run(cmd, targets)
		},
	}
	v.add(cmd)
	return cmd
}

// parseScale reads "web=3", "mail+2" or "x-1". Names may have dashes: it is the
// last sign before the number that counts.
func parseScale(s string) (gaffer.Target, gaffer.Change, error) {
	at := strings.LastIndexAny(s, "=+-")
	if at <= 0 || at == len(s)-1 {
		return "", gaffer.Change{}, usagef("%s: want TARGET=N, TARGET+N or TARGET-N", s)
	}
	change, err := gaffer.ParseChange(s[at:])
	if err != nil {
		return "", gaffer.Change{}, usagef("%s: %w", s, err)
	}
	target := gaffer.Target(s[:at])
	if strings.HasSuffix(s[:at], "=") || strings.HasSuffix(s[:at], "+") {
		return "", gaffer.Change{}, usagef("%s: want a number from 0, as TARGET=N, TARGET+N or TARGET-N", s)
	}
	if err := target.Check(); err != nil {
		return "", gaffer.Change{}, &usageError{err}
	}
	return target, change, nil
}
