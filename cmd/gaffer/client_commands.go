package main

import "github.com/spf13/cobra"

// clientCommands are those that ask a daemon.
func clientCommands() []*cobra.Command {
	return []*cobra.Command{
		newPs(), newStatus(), newLogs(), newEvents(), newStats(), newSend(), newAttach(), newExec(),
		newStart(), newStop(), newRestart(), newRunNow(), newScale(), newSignal(),
		newAdd(), newUpdate(), newRemove(), newGroups(), newGraph(), newRollout(), newKeys(), newWebhooks(), newForwards(),
	}
}
