package main

import (
	"bufio"
	"io"
	"os"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/gafferpm/gaffer/internal/console"
)

// section is some commands that belong together.
type section struct {
	title    string
	commands []string
}

// sections are all commands, in the order in which a person meets them.
var sections = []section{
	{"Without a daemon", []string{"up", "run"}},
	{"What runs", []string{"ps", "status", "logs", "events", "stats", "send", "attach", "exec"}},
	{"Control", []string{"start", "stop", "restart", "scale", "signal"}},
	{"Templates", []string{"add", "update", "remove", "groups", "graph", "rollout", "plan", "apply", "reload", "load", "unload", "config", "export"}},
	{"The daemon", []string{"daemon", "enable", "disable", "keys", "webhooks", "forwards", "version", "completion", "help"}},
}

// widestHelp is how long a line of help is at most.
const widestHelp = 96

// helper writes the help of commands.
type helper struct {
	w     *bufio.Writer
	width int
}

// showHelp is what `gaffer help COMMAND` shows.
func showHelp(cmd *cobra.Command, _ []string) {
	out := cmd.OutOrStdout()
	h := &helper{w: bufio.NewWriter(out), width: helpWidth(out)}
	about := cmd.Long
	if about == "" {
		about = cmd.Short
	}
	h.say(about + "\n\n")
	h.usage(cmd)
	_ = h.w.Flush()
}

// mendHelp has `gaffer help NAME` refuse what is no command, as `gaffer NAME` does.
func mendHelp(root *cobra.Command) {
	root.InitDefaultHelpCmd()
	for _, c := range root.Commands() {
		if c.Name() != "help" {
			continue
		}
		c.Run = nil
		c.RunE = func(_ *cobra.Command, args []string) error {
			about, rest, err := root.Find(args)
			if err != nil {
				return err
			}
			if about.HasSubCommands() {
				if err := noCommand(about, rest); err != nil {
					return err
				}
			}
			about.InitDefaultHelpFlag()
			return about.Help()
		}
	}
}

// helpWidth is how long lines of help may be.
func helpWidth(out io.Writer) int {
	if f, ok := out.(*os.File); ok {
		if width, _ := console.Size(f); width > 0 {
			return min(max(width, 40), widestHelp)
		}
	}
	return 80
}

func (h *helper) say(s string) { _, _ = h.w.WriteString(s) }

func (h *helper) usage(cmd *cobra.Command) {
	h.say("Usage:\n")
	if cmd.Runnable() && cmd.HasParent() {
		h.say("  " + cmd.UseLine() + "\n")
	}
	if cmd.HasAvailableSubCommands() {
		h.say("  " + cmd.CommandPath() + " COMMAND [flags]\n")
	}
	if cmd.HasExample() {
		h.say("\nExamples:\n" + strings.TrimRight(cmd.Example, "\n") + "\n")
	}
	switch {
	case !cmd.HasParent():
		h.sections(cmd)
	case cmd.HasAvailableSubCommands():
		h.say("\nCommands:\n")
		h.commands(cmd.Commands())
	}
	if cmd.HasAvailableLocalFlags() {
		title := "\nFlags:\n"
		if !cmd.HasParent() {
			title = "\nFlags that say which daemon is meant, for all commands:\n"
		}
		h.say(title)
		h.flags(cmd.LocalFlags())
	}
	switch {
	case !cmd.HasParent():
		h.say("\n`gaffer help COMMAND` tells more about one.\n")
	case !slices.Contains(sections[0].commands, cmd.Name()):
		h.say("\n`gaffer help` lists the flags that say which daemon is meant.\n")
	}
}

// sections lists the commands of gaffer by what they are for.
func (h *helper) sections(root *cobra.Command) {
	left := slices.DeleteFunc(slices.Clone(root.Commands()), func(c *cobra.Command) bool { return c.Hidden })
	for i, s := range sections {
		var of []*cobra.Command
		for _, name := range s.commands {
			if at := slices.IndexFunc(left, func(c *cobra.Command) bool { return c.Name() == name }); at >= 0 {
				of = append(of, left[at])
				left = slices.Delete(left, at, at+1)
			}
		}
		if i == len(sections)-1 {
			of = append(of, left...)
		}
		if len(of) > 0 {
			h.say("\n" + s.title + ":\n")
			h.commands(of)
		}
	}
}

func (h *helper) commands(list []*cobra.Command) {
	for _, c := range list {
		if !c.Hidden {
			h.entry(c.Name(), c.Short, 14)
		}
	}
}

// flags lists flags, each with what it is for.
func (h *helper) flags(flags *pflag.FlagSet) {
	flags.VisitAll(func(f *pflag.Flag) {
		if !f.Hidden && f.Name != "help" {
			h.entry(flagForm(f), flagUsage(f), 26)
		}
	})
}

// flagForm is how a flag is written: "-n, --tail number".
func flagForm(f *pflag.Flag) string {
	form := "    --" + f.Name
	if f.Shorthand != "" {
		form = "-" + f.Shorthand + ", --" + f.Name
	}
	value, _ := pflag.UnquoteUsage(f)
	if value != "" && f.NoOptDefVal == "" {
		if !strings.ContainsAny(value, "=,") { // else it is an example
			value = strings.ToUpper(value)
		}
		form += " " + value
	}
	return form
}

// flagUsage is what a flag is for, with its default where the words do not say it.
func flagUsage(f *pflag.Flag) string {
	_, usage := pflag.UnquoteUsage(f)
	switch f.DefValue {
	case "", "false", "0", "0s", "[]":
	default:
		if !strings.Contains(usage, "default") {
			usage += " (default " + f.DefValue + ")"
		}
	}
	return usage
}

// entry prints a term and what it means, beside it or below it.
func (h *helper) entry(term, meaning string, column int) {
	line := "  " + term
	if len(line) > column-2 {
		h.say(line + "\n")
		line = ""
	}
	line += strings.Repeat(" ", column-len(line))
	for word := range strings.FieldsSeq(meaning) {
		if len(line)+len(word) > h.width && strings.TrimSpace(line) != "" {
			h.say(strings.TrimRight(line, " ") + "\n")
			line = strings.Repeat(" ", column)
		}
		line += word + " "
	}
	h.say(strings.TrimRight(line, " ") + "\n")
}
