package main

import (
	"fmt"

	"github.com/spf13/cobra"
)

func newConfig() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "config",
		Short: "Check a gaffer.toml or Procfile, and show what is in force",
		Long: `Check a file before anything runs by it, and show what of the daemon's files and of
later changes is in force.`,
		Example: `  gaffer config check
  gaffer config show --origin`,
		Args: noCommand,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return usagef("which command? want `%s check` or `%s show`", cmd.CommandPath(), cmd.CommandPath())
		},
	}
	cmd.AddCommand(newConfigCheck(), newConfigShow())
	return cmd
}

func newConfigCheck() *cobra.Command {
	var f fileFlags
	cmd := &cobra.Command{
		Use:   "check [FILE]",
		Short: "Show everything that is wrong with a file",
		Long: `Show everything that is wrong with FILE, else with gaffer.toml, else Procfile, of
this directory: how it is written, and whether the programs, directories, users
and variables that it names are there. Nothing is started.

Exit status: 0 nothing is wrong, 1 something is.`,
		Example: `  gaffer config check
  gaffer config check /etc/gaffer/gaffer.toml`,
		Args: atMost(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) == 1 && f.path != "" {
				return usagef("want FILE or --config, not both")
			}
			if len(args) == 1 {
				f.path = args[0]
			}
			file, err := f.load(cmd, nil)
			if err != nil {
				return err
			}
			if err := file.Check(); err != nil {
				return err
			}
			fmt.Fprintf(cmd.OutOrStdout(), "%s: good: %s\n", file.Path, summary(file.Templates))
			return nil
		},
	}
	f.add(cmd)
	return cmd
}
