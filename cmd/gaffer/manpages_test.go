package main

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// The manual pages are made from the help of the commands, and committed:
//
//	go test ./cmd/gaffer -run TestManualPagesAreUpToDate -update
var rewrite = flag.Bool("update", false, "write the manual pages anew")

// pagesDir is where they are.
var pagesDir = filepath.Join("..", "..", "docs", "man")

func TestManualPagesAreUpToDate(t *testing.T) {
	pages := map[string]string{}
	addPages(newRoot(), pages)
	if *rewrite {
		if err := os.MkdirAll(pagesDir, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	there, err := filepath.Glob(filepath.Join(pagesDir, "*.1"))
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range there {
		if _, wanted := pages[filepath.Base(path)]; wanted {
			continue
		}
		if !*rewrite {
			t.Errorf("%s: there is no such command", path)
		} else if err := os.Remove(path); err != nil {
			t.Fatal(err)
		}
	}
	for name, want := range pages {
		path := filepath.Join(pagesDir, name)
		if *rewrite {
			if err := os.WriteFile(path, []byte(want), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		if got, err := os.ReadFile(path); err != nil || string(got) != want {
			t.Errorf("%s is not what the help of the command says (%v); `go test ./cmd/gaffer -run TestManualPages -update` makes it so", path, err)
		}
	}
}

func TestEachCommandExplainsItself(t *testing.T) {
	eachCommand(newRoot(), func(cmd *cobra.Command) {
		if cmd.Short == "" || strings.HasSuffix(cmd.Short, ".") || !cmd.HasParent() {
			return
		}
		if cmd.Long == "" || !strings.HasSuffix(strings.TrimSpace(cmd.Long), ".") {
			t.Errorf("%s: nothing is said about it in sentences", cmd.CommandPath())
		}
		if cmd.Runnable() && !strings.Contains(cmd.Example, cmd.CommandPath()) {
			t.Errorf("%s: there is no example", cmd.CommandPath())
		}
		for line := range strings.SplitSeq(cmd.Long, "\n") {
			if len([]rune(line)) > 88 {
				t.Errorf("%s: a line of its help is longer than a terminal's: %s", cmd.CommandPath(), line)
			}
		}
	})
}

// eachCommand tells of a command and of all below it.
func eachCommand(cmd *cobra.Command, do func(*cobra.Command)) {
	do(cmd)
	for _, c := range cmd.Commands() {
		if !c.Hidden && c.Name() != "help" {
			eachCommand(c, do)
		}
	}
}

func addPages(root *cobra.Command, pages map[string]string) {
	root.InitDefaultHelpCmd()
	eachCommand(root, func(cmd *cobra.Command) {
		cmd.InitDefaultHelpFlag()
		pages[pageName(cmd)+".1"] = page(cmd)
	})
}

func pageName(cmd *cobra.Command) string { return strings.ReplaceAll(cmd.CommandPath(), " ", "-") }

// page is the manual page of a command.
func page(cmd *cobra.Command) string {
	var b strings.Builder
	fmt.Fprintf(&b, ".TH %s 1 \"\" gaffer \"Gaffer manual\"\n", strings.ToUpper(roff(pageName(cmd))))
	fmt.Fprintf(&b, ".SH NAME\n%s \\- %s\n", roff(pageName(cmd)), roff(strings.ToLower(cmd.Short[:1])+cmd.Short[1:]))
	b.WriteString(".SH SYNOPSIS\n")
	if cmd.Runnable() && cmd.HasParent() {
		fmt.Fprintf(&b, ".B %s\n.br\n", roff(cmd.UseLine()))
	}
	if cmd.HasAvailableSubCommands() {
		fmt.Fprintf(&b, ".B %s\n", roff(cmd.CommandPath()+" COMMAND [flags]"))
	}
	b.WriteString(".SH DESCRIPTION\n")
	b.WriteString(paragraphs(cmd.Long))
	if cmd.HasAvailableSubCommands() {
		b.WriteString(".SH COMMANDS\n")
		for _, c := range cmd.Commands() {
			if !c.Hidden && c.Name() != "help" {
				fmt.Fprintf(&b, ".TP\n.BR %s (1)\n%s\n", roff(pageName(c)), roff(c.Short))
			}
		}
	}
	options(&b, "OPTIONS", cmd.LocalFlags())
	if cmd.HasExample() {
		fmt.Fprintf(&b, ".SH EXAMPLES\n.nf\n%s\n.fi\n", roff(strings.TrimRight(cmd.Example, "\n")))
	}
	b.WriteString(".SH SEE ALSO\n" + seeAlso(cmd))
	return b.String()
}

// options lists flags, each with what it is for.
func options(b *strings.Builder, title string, flags *pflag.FlagSet) {
	var entries []string
	flags.VisitAll(func(f *pflag.Flag) {
		if !f.Hidden && f.Name != "help" {
			entries = append(entries, fmt.Sprintf(".TP\n.B %s\n%s\n", roff(strings.TrimSpace(flagForm(f))), roff(flagUsage(f))))
		}
	})
	if len(entries) > 0 {
		fmt.Fprintf(b, ".SH %s\n%s", title, strings.Join(entries, ""))
	}
}

func seeAlso(cmd *cobra.Command) string {
	var names []string
	if cmd.HasParent() {
		names = append(names, pageName(cmd.Parent()))
		for _, c := range cmd.Parent().Commands() {
			if cmd.Parent().HasParent() && c != cmd && !c.Hidden {
				names = append(names, pageName(c))
			}
		}
	}
	if len(names) == 0 {
		return "The documentation of gaffer.\n"
	}
	slices.Sort(names)
	for i, name := range names {
		names[i] = ".BR " + roff(name) + " (1)"
	}
	return strings.Join(names, "\n") + "\n"
}

// paragraphs are a command's words about itself; what is indented stays as it is.
func paragraphs(text string) string {
	var b strings.Builder
	for i, part := range strings.Split(strings.TrimSpace(text), "\n\n") {
		if i > 0 {
			b.WriteString(".PP\n")
		}
		if strings.HasPrefix(part, " ") {
			part = ".nf\n" + roff(part) + "\n.fi"
		} else {
			part = roff(part)
		}
		b.WriteString(part + "\n")
	}
	return b.String()
}

// roff protects a text from being read as orders to the typesetter.
func roff(text string) string {
	text = strings.NewReplacer(`\`, `\e`, "-", `\-`, "'", `\(aq`, "`", `\(ga`).Replace(text)
	lines := strings.Split(text, "\n")
	for i, line := range lines {
		if strings.HasPrefix(line, ".") {
			lines[i] = `\&` + line
		}
	}
	return strings.Join(lines, "\n")
}

func TestTextsGiveNoOrdersToTheTypesetter(t *testing.T) {
	for in, want := range map[string]string{
		"a-b":        `a\-b`,
		".SH evil":   `\&.SH evil`,
		"'x'":        `\(aqx\(aq`,
		"a\n.b":      "a\n\\&.b",
		`back\slash`: `back\eslash`,
	} {
		if got := roff(in); got != want {
			t.Errorf("%q: got %q, want %q", in, got, want)
		}
	}
}
