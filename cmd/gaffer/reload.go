package main

import (
	"errors"

	"github.com/spf13/cobra"

	"github.com/gafferpm/gaffer"
	"github.com/gafferpm/gaffer/internal/console"
)

// tell reports the steps that were done, and those that could not be.
func tell(cmd *cobra.Command, done gaffer.Plan) error {
	p := &progress{screen: newScreen(cmd)}
	for _, s := range done.Steps {
		switch {
		case s.Error != "":
			note("%s: not done: %s", console.Clean(s.Name), console.Clean(s.Error))
		case stepWords[s.Op] != "":
			p.report(s)
		}
	}
	return p.Flush()
}

func newReload() *cobra.Command {
	f := sourceFlags{}
	cmd := &cobra.Command{
		Use:     "reload",
		Short:   "Have the daemon read its files again",
		Example: `  gaffer reload`,
		Long: `Have the daemon read the files again that it was started with, and apply them: what
did not change is not touched. It is what SIGHUP does, and gaffer apply without
--config, which shows the plan first and does nothing at all when a name belongs to
somebody else: here the rest is applied, and that template left as it is. A file
that is wrong changes nothing.

Settings of the daemon itself are taken over as far as that is possible while it
runs; what is not waits for the next start, and is said.

Exit status: as of gaffer apply.`,
		Args: atMost(0),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := f.check(cmd); err != nil {
				return err
			}
			c, err := connect(cmd)
			if err != nil {
				return err
			}
			wait, cancel := f.context(cmd.Context())
			defer cancel()
			done, err := c.Reload(wait)
			if len(done.Steps) > 0 && !f.json && !waiting(err) {
				err = errors.Join(err, f.show(cmd, done), tell(cmd, done))
			}
			return f.outcome(cmd, c, done, err)
		},
	}
	f.addWait(cmd)
	cmd.Flags().BoolVar(&f.values, "values", false, "show the values of env, which may be secrets")
	cmd.Flags().BoolVar(&f.json, "json", false, "print what was done as JSON")
	return cmd
}
