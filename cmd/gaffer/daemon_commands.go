package main

import "github.com/spf13/cobra"

// daemonCommands are the daemon, and those that configure it.
func daemonCommands() []*cobra.Command {
	return []*cobra.Command{
		newDaemon(), newPlan(), newApply(), newReload(), newLoad(), newUnload(), newExport(), newEnable(), newDisable(),
	}
}
