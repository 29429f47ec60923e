package main

import (
	"context"
	"fmt"
	"slices"

	"github.com/spf13/cobra"

	"github.com/gafferpm/gaffer"
	"github.com/gafferpm/gaffer/client"
)

func newRollout() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "rollout",
		Short: "See how processes are replaced, and go back",
		Long: `Where a template has a table rollout, gaffer restart and an update replace its
processes a few at a time, and the old ones go on until the new ones are ready.
What does not become ready ends it, and the template that was good is back.`,
		Example: `  gaffer rollout status web
  gaffer rollout undo web`,
		Args: noCommand,
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(newRolloutStatus(), newRolloutUndo())
	return cmd
}

func newRolloutStatus() *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "status [flags] [TARGET...]",
		Short: "Show how the latest rollouts go, or went",
		Long: `Show how the latest rollouts go, or went.

Exit status: 0, or 5 if one was stopped or rolled back; 1 for an error.`,
		Example:           `  gaffer rollout status web`,
		ValidArgsFunction: completeTargets,
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) == 0 {
				args = []string{string(gaffer.All)}
			}
			targets, err := targetsOf(args)
			if err != nil {
				return err
			}
			c, err := connect(cmd)
			if err != nil {
				return err
			}
			all, err := statuses(cmd.Context(), c, targets)
			if err != nil {
				return err
			}
			all = slices.DeleteFunc(all, func(st gaffer.Status) bool { return st.Rollout == nil })
			return showRollouts(cmd, all, asJSON)
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print a list of statuses")
	return cmd
}

func showRollouts(cmd *cobra.Command, all []gaffer.Status, asJSON bool) error {
	s := newScreen(cmd)
	if asJSON {
		if err := s.json(all); err != nil {
			return err
		}
		return rolloutVerdict(all)
	}
	if len(all) == 0 {
		note("no rollouts since the daemon was started")
		return nil
	}
	t := &table{columns: []column{{head: "NAME"}, {head: "ROLLOUT"}, {head: "SLOTS", right: true}, {head: "SINCE"}, {head: "DETAIL"}}}
	for _, st := range all {
		r := st.Rollout
		t.add(text(st.Name), cell{text: r.State, color: rolloutColor(r.State)}, text(fmt.Sprintf("%d of %d", r.Done, r.Total)), text(ago(s.now, r.Since)), text(r.Reason))
	}
	t.print(s)
	if err := s.Flush(); err != nil {
		return err
	}
	return rolloutVerdict(all)
}

func rolloutColor(state string) int {
	switch state {
	case gaffer.RolloutDone:
		return green
	case gaffer.RolloutRolling:
		return yellow
	}
	return red
}

// rolloutVerdict is the exit status that says whether all went well.
func rolloutVerdict(all []gaffer.Status) error {
	for _, st := range all {
		if st.Rollout.State == gaffer.RolloutFailed || st.Rollout.State == gaffer.RolloutRolledBack {
			return statusError(exitDegraded)
		}
	}
	return nil
}

func newRolloutUndo() *cobra.Command {
	v := &verb{truth: true, said: "undone"}
	v.do = func(ctx context.Context, c *client.Client, target gaffer.Target) error { return c.Undo(ctx, target) }
	cmd := &cobra.Command{
		Use:   "undo [flags] TARGET...",
		Short: "Go back to the template before the latest update",
		Long: `Go back to the template before the latest update, by an update: as a rollout where
the template has one. To undo it again goes forward again.
` + truthText,
		Example:           `  gaffer rollout undo web`,
		Args:              someTargets,
		ValidArgsFunction: completeTargets,
		RunE:              v.run,
	}
	v.add(cmd)
	return cmd
}
