package main

import (
	"errors"

	"github.com/spf13/cobra"
)

func newReload() *cobra.Command {
	f := sourceFlags{}
	cmd := &cobra.Command{
		Use:   "reload",
		Short: "Have the daemon read its files again",
		Long: `Have the daemon read the files again that it was started with, and apply them: what
did not change is not touched. It is what SIGHUP does, and gaffer apply without
--config, which shows the plan first. A file that is wrong changes nothing.

Settings of the daemon itself are taken over as far as that is possible while it
runs; what is not waits for the next start, and is said.

Exit status: as of gaffer apply.`,
		Args: atMost(0),
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, err := connect(cmd)
			if err != nil {
				return err
			}
			done, err := c.Reload(cmd.Context())
			if len(done.Steps) > 0 || err == nil {
				err = errors.Join(err, f.show(cmd, done))
			}
			if err != nil {
				return err
			}
			return wellness(cmd.Context(), c, done)
		},
	}
	cmd.Flags().BoolVar(&f.values, "values", false, "show the values of env, which may be secrets")
	cmd.Flags().BoolVar(&f.json, "json", false, "print what was done as JSON")
	return cmd
}
