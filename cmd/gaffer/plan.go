package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	"github.com/gafferpm/gaffer"
	"github.com/gafferpm/gaffer/config"
)

// sourceFlags are the flags of commands that bring what a file defines to a daemon.
type sourceFlags struct {
	fileFlags
	adopt  bool
	reset  bool
	values bool
	waitFlags
}

func (f *sourceFlags) add(cmd *cobra.Command) {
	f.fileFlags.add(cmd)
	flags := cmd.Flags()
	flags.Lookup("config").Usage = "`file` to read, instead of those that the daemon was started with"
	f.addRest(cmd)
}

func (f *sourceFlags) addRest(cmd *cobra.Command) {
	flags := cmd.Flags()
	flags.BoolVar(&f.adopt, "adopt", false, "take over templates of the same names from whoever they belong to")
	flags.BoolVar(&f.reset, "reset", false, "drop what was changed at run time: scaled numbers, stops, updates")
	flags.BoolVar(&f.values, "values", false, "show the values of env, which may be secrets")
	flags.BoolVar(&f.json, "json", false, "print the plan as JSON")
}

// addWait adds the flags of those that wait until it is done.
func (f *sourceFlags) addWait(cmd *cobra.Command) {
	flags := cmd.Flags()
	flags.Var((*durationFlag)(&f.wait), "wait", "wait at most that `time` until it is done, as 30s (default as long as it takes)")
	flags.BoolVar(&f.noWait, "no-wait", false, "do not wait, only begin")
}

// desired is what the file wants that was named. Without one, Source is empty, and
// that stands for the files of the daemon itself.
func (f *sourceFlags) desired(cmd *cobra.Command) (gaffer.Desired, error) {
	d := gaffer.Desired{Templates: []gaffer.Template{}, Adopt: f.adopt, Reset: f.reset}
	if f.path == "" {
		for _, name := range []string{"env-file", "port", "profile"} {
			if cmd.Flags().Changed(name) {
				return d, usagef("--%s goes with --config: the daemon's own files are read by the daemon", name)
			}
		}
		return d, nil
	}
	file, err := f.load(cmd, nil)
	if err != nil {
		return d, err
	}
	d.Templates = file.Templates
	d.Source, err = filepath.Abs(file.Path)
	return d, err
}

// planFor asks what there is to do for what is desired. A daemon that has no file
// of its own is asked for that of this directory.
func (f *sourceFlags) planFor(cmd *cobra.Command, c gaffer.Configurator) (gaffer.Desired, gaffer.Plan, error) {
	d, err := f.desired(cmd)
	if err != nil {
		return d, gaffer.Plan{}, err
	}
	plan, err := c.Plan(cmd.Context(), d)
	if d.Source != "" || !errors.Is(err, gaffer.ErrNotFound) {
		return d, plan, err
	}
	if f.path, err = config.Find("."); err != nil {
		return d, plan, fmt.Errorf("the daemon was started without a file, and there is %w", err)
	}
	if d, err = f.desired(cmd); err != nil {
		return d, plan, err
	}
	plan, err = c.Plan(cmd.Context(), d)
	return d, plan, err
}

// show prints a plan with what it is of.
func (f *sourceFlags) show(cmd *cobra.Command, plan gaffer.Plan) error {
	s := newScreen(cmd)
	if f.json {
		return s.json(plan)
	}
	s.paint(plan.Source+":", bold)
	_ = s.WriteByte('\n')
	(&planPrinter{s, f.values}).print(plan)
	return s.Flush()
}

func newPlan() *cobra.Command {
	var f sourceFlags
	cmd := &cobra.Command{
		Use:   "plan [flags]",
		Short: "Show what `gaffer apply` would do",
		Long: `Show what there is to do until the daemon runs what a file defines: which
templates are created (+), updated (~), with or without a restart of their processes
and which fields, removed (-), and what stays as it was changed at run time (=).
Nothing is done.

Without --config these are the files that the daemon was started with; if there are
none, gaffer.toml, else Procfile, of this directory.

Exit status: 0 whatever there is to do, 1 when the file is wrong.`,
		Example: `  gaffer plan
  gaffer plan --config shop/gaffer.toml`,
		Args: atMost(0),
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, err := connect(cmd)
			if err != nil {
				return err
			}
			_, plan, err := f.planFor(cmd, c)
			if err != nil {
				return err
			}
			return f.show(cmd, plan)
		},
	}
	f.add(cmd)
	return cmd
}

// refuseConflicts tells that names belong to somebody else.
func refuseConflicts(plan gaffer.Plan) error {
	names := conflicts(plan)
	if len(names) == 0 {
		return nil
	}
	return fmt.Errorf("%s: %w; nothing was done; --adopt takes over what belongs to somebody else", list(names), gaffer.ErrConflict)
}

// note tells a person something that is not what was asked for.
func note(format string, a ...any) { fmt.Fprintf(os.Stderr, "gaffer: "+format+"\n", a...) }

// behind puts a text behind another unless it is empty.
func behind(sep, text string) string {
	if text == "" {
		return ""
	}
	return sep + text
}
