package main

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"github.com/gafferpm/gaffer"
	"github.com/gafferpm/gaffer/config"
)

// exportFormats are what templates can be exported as.
var exportFormats = []string{"toml", "json", "procfile", "systemd"}

// exportFlags are the flags of gaffer export.
type exportFlags struct {
	fileFlags
	output string
}

func newExport() *cobra.Command {
	var f exportFlags
	cmd := &cobra.Command{
		Use:   "export [flags] FORMAT [TARGET]",
		Short: "Write templates as gaffer.toml, JSON, Procfile or systemd units",
		Long: `Write the templates of TARGET, else all, of the daemon, or with --config those of a
file, as FORMAT: toml (a gaffer.toml), json (a list as the API takes them), procfile,
or systemd (a unit for each process, and a target for all of them). With --output the
units become files of a directory.

What a format has no way to say is told on stderr.`,
		Example: `  gaffer export toml > gaffer.toml
  gaffer export systemd --config Procfile --output /etc/systemd/system`,
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) == 0 {
				return usagef("as what? want %s", strings.Join(exportFormats, ", "))
			}
			return atMost(2)(nil, args)
		},
		ValidArgsFunction: func(cmd *cobra.Command, args []string, begun string) ([]cobra.Completion, cobra.ShellCompDirective) {
			if len(args) == 0 {
				return exportFormats, cobra.ShellCompDirectiveNoFileComp
			}
			return completeTarget(cmd, args[1:], begun)
		},
		RunE: f.run,
	}
	f.add(cmd)
	cmd.Flags().Lookup("config").Usage = "`file` to read, instead of asking the daemon"
	cmd.Flags().StringVarP(&f.output, "output", "o", "", "`directory` to write systemd's units to")
	_ = cmd.MarkFlagDirname("output")
	return cmd
}

func (f *exportFlags) run(cmd *cobra.Command, args []string) error {
	if f.output != "" && args[0] != "systemd" {
		return usagef("--output is for systemd")
	}
	templates, err := f.templates(cmd, args[1:])
	if err != nil {
		return err
	}
	out := cmd.OutOrStdout()
	var text []byte
	switch args[0] {
	case "toml":
		text, err = config.FormatTOML(templates)
	case "json":
		text, err = json.MarshalIndent(templates, "", "  ")
		text = append(text, '\n')
	case "procfile":
		text = config.FormatProcfile(entries(templates))
	case "systemd":
		units := systemdUnits(templates)
		if f.output != "" {
			return writeUnits(cmd, f.output, units)
		}
		for _, u := range units {
			text = fmt.Appendf(text, "# %s\n%s\n", u.name, u.text)
		}
	default:
		return usagef("format %q: want %s", args[0], strings.Join(exportFormats, ", "))
	}
	if err == nil {
		_, err = out.Write(text)
	}
	return err
}

// templates are those of the file that was named, or else of the daemon.
func (f *exportFlags) templates(cmd *cobra.Command, targets []string) ([]gaffer.Template, error) {
	if f.path != "" {
		file, err := f.load(cmd, nil)
		if err != nil {
			return nil, err
		}
		return choose(file.Templates, targets)
	}
	target, err := oneTarget(targets)
	if err != nil {
		return nil, err
	}
	c, err := connect(cmd)
	if err != nil {
		return nil, err
	}
	infos, err := c.List(cmd.Context(), target)
	if err != nil {
		return nil, explain(cmd.Context(), c, target, err)
	}
	templates := []gaffer.Template{}
	for _, info := range infos {
		templates = append(templates, info.Template)
	}
	return templates, nil
}

// entries are templates as a Procfile has them. What it has no way to say is told.
func entries(templates []gaffer.Template) []config.Entry {
	var all []config.Entry
	for _, t := range templates {
		command := t.Cmd
		for _, arg := range t.Args {
			command += " " + shellText(arg)
		}
		if strings.Contains(command, "\n") {
			note("%s: a command of several lines has no place in a Procfile; left out", t.Name)
			continue
		}
		if lost := beyondProcfile(&t); len(lost) > 0 {
			note("%s: a Procfile can't say %s", t.Name, list(lost))
		}
		all = append(all, config.Entry{Name: t.Name, Command: command})
	}
	return all
}

// inProcfile are the fields of a template that a Procfile says, or stands for.
var inProcfile = map[string]bool{"name": true, "cmd": true, "args": true, "shell": true, "cwd": true, "port": true}

// beyondProcfile are the fields of a template that a Procfile can't say.
func beyondProcfile(t *gaffer.Template) []string {
	text, err := json.Marshal(t)
	if err != nil {
		return nil
	}
	var fields map[string]json.RawMessage
	if json.Unmarshal(text, &fields) != nil {
		return nil
	}
	var lost []string
	for _, name := range sortedKeys(fields) {
		if !inProcfile[name] {
			lost = append(lost, name)
		}
	}
	return lost
}

// unit is a file of systemd.
type unit struct{ name, text string }

func writeUnits(cmd *cobra.Command, dir string, units []unit) error {
	for _, u := range units {
		path := filepath.Join(dir, u.name)
		if err := os.WriteFile(path, []byte(u.text), 0o644); err != nil {
			return err
		}
		fmt.Fprintln(cmd.OutOrStdout(), path)
	}
	return nil
}
