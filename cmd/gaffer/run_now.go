package main

import (
	"context"
	"strings"

	"github.com/spf13/cobra"

	"github.com/gafferpm/gaffer"
	"github.com/gafferpm/gaffer/client"
)

func newRunNow() *cobra.Command {
	v := &verb{truth: true, said: "run", do: func(ctx context.Context, c *client.Client, target gaffer.Target) error {
		return c.RunNow(ctx, target)
	}}
	cmd := &cobra.Command{
		Use:   "run-now [flags] TARGET...",
		Short: "Run scheduled templates now",
		Long: `Run templates once and now that have a schedule, or whose restart is never or
on-failure. It waits until the run is over. The schedule goes on as it was. While a run
is under way another one is refused, unless overlap says that it waits for that, or
replaces it.

Exit status: 0 the run was a success; 5 it has failed; 1 an error, also when the time
of --wait is over.`,
		Example: `  gaffer run-now report
  gaffer run-now 'jobs:*' --wait 10m`,
		Args:              someTargets,
		ValidArgsFunction: completeTargets,
		RunE:              v.run,
	}
	v.add(cmd)
	return cmd
}

// scheduleOf is when a template is run, in words.
func scheduleOf(s *gaffer.Schedule) string {
	if s == nil {
		return ""
	}
	said := []string{strings.TrimSpace(s.Cron + " " + s.Timezone)}
	if s.Every > 0 {
		said[0] = "every " + s.Every.String()
	}
	if s.Overlap != "" {
		said = append(said, "overlap "+string(s.Overlap))
	}
	if s.CatchUp != "" {
		said = append(said, "catch-up "+string(s.CatchUp))
	}
	return strings.Join(said, ", ")
}
