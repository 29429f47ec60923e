package main

import (
	"strings"

	"github.com/spf13/cobra"
)

// shells are those that completion can be written for.
var shells = []string{"bash", "zsh", "fish", "powershell"}

func newCompletion() *cobra.Command {
	return &cobra.Command{
		Use:   "completion SHELL",
		Short: "Write a script that completes gaffer's commands in a shell",
		Long: `Write a script that completes gaffer's commands, flags and the names of templates.
SHELL is bash, zsh, fish or powershell.`,
		Example: `  source <(gaffer completion bash)
  gaffer completion zsh > "${fpath[1]}/_gaffer"
  gaffer completion fish > ~/.config/fish/completions/gaffer.fish`,
		ValidArgs: shells,
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) != 1 {
				return usagef("which shell? want %s", strings.Join(shells, ", "))
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			root, out := cmd.Root(), cmd.OutOrStdout()
			switch args[0] {
			case "bash":
				return root.GenBashCompletionV2(out, true)
			case "zsh":
				return root.GenZshCompletion(out)
			case "fish":
				return root.GenFishCompletion(out, true)
			case "powershell":
				return root.GenPowerShellCompletionWithDesc(out)
			}
			return usagef("shell %q: want %s", args[0], strings.Join(shells, ", "))
		},
	}
}
