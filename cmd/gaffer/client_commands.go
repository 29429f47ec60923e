package main

import "github.com/spf13/cobra"

// clientCommands are those that ask a daemon.
func clientCommands() []*cobra.Command { return nil }
