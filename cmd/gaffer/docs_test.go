package main

import (
	"os"
	"strings"
	"testing"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

func TestEachCommandAndItsFlagsAreDocumented(t *testing.T) {
	text, err := os.ReadFile("../../docs/commands.md")
	if err != nil {
		t.Fatal(err)
	}
	page := string(text)
	ours := map[string]bool{}
	for _, cmd := range clientCommands() {
		ours[cmd.Name()] = true
	}
	eachCommand(newRoot(), func(cmd *cobra.Command) {
		if !strings.Contains(page, cmd.Name()) {
			t.Errorf("docs/commands.md does not name %s", cmd.CommandPath())
		}
		// The flags of templates are those of the fields, which have a page.
		if !ours[cmd.Name()] || cmd.Name() == "add" || cmd.Name() == "update" {
			return
		}
		cmd.LocalFlags().VisitAll(func(f *pflag.Flag) {
			if f.Name != "help" && !strings.Contains(page, "--"+f.Name) && (f.Shorthand == "" || !strings.Contains(page, "[-"+f.Shorthand)) {
				t.Errorf("docs/commands.md does not name --%s of %s", f.Name, cmd.CommandPath())
			}
		})
	})
}
