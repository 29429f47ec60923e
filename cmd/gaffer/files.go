package main

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/gafferpm/gaffer"
	"github.com/gafferpm/gaffer/config"
)

// fileFlags are the flags of commands that read a gaffer.toml or a Procfile.
type fileFlags struct {
	path     string
	envFiles []string
	port     int
	profile  string
}

func (f *fileFlags) add(cmd *cobra.Command) {
	flags := cmd.Flags()
	flags.StringVarP(&f.path, "config", "f", "", "`file` to read, instead of gaffer.toml or else Procfile of this directory")
	flags.StringArrayVarP(&f.envFiles, "env-file", "e", nil, "`file` of variables to read, after .env; can be repeated, later ones win")
	flags.IntVar(&f.port, "port", 0, "PORT of a Procfile's first entry (default PORT, or 5000)")
	flags.StringVar(&f.profile, "profile", "", "`name` of the profile of the file that is to be in force (default GAFFER_PROFILE)")
	_ = cmd.MarkFlagFilename("config")
	_ = cmd.MarkFlagFilename("env-file")
}

// load reads the file that was named, or the one of this directory.
func (f *fileFlags) load(cmd *cobra.Command, counts map[string]int) (*config.File, error) {
	if cmd.Flags().Changed("port") && (f.port < 1 || f.port > 65535) {
		return nil, usagef("--port %d: want 1 to 65535", f.port)
	}
	path := f.path
	if path == "" {
		found, err := config.Find(".")
		if err != nil {
			return nil, err
		}
		path = found
	}
	return config.Load(path, config.Options{EnvFiles: f.envFiles, Port: f.port, Counts: counts, Profile: f.profile})
}

// parseCounts reads "web=2,worker=3".
func parseCounts(texts []string) (map[string]int, error) {
	counts := map[string]int{}
	for _, text := range texts {
		name, number, found := strings.Cut(text, "=")
		if !found || name == "" {
			return nil, usagef("-c %s: want NAME=NUMBER", text)
		}
		n, err := strconv.Atoi(number)
		if err != nil || n < 0 {
			return nil, usagef("-c %s: want a number from 0", text)
		}
		if _, taken := counts[name]; taken {
			return nil, usagef("-c %s: %s is given twice", text, name)
		}
		counts[name] = n
	}
	return counts, nil
}

// choose keeps the templates that targets select, all if there are none. Each
// target must select one.
func choose(templates []gaffer.Template, targets []string) ([]gaffer.Template, error) {
	return chooseBut(templates, targets, nil)
}

// chooseBut is choose without the templates that others select. Each of these must
// select one, too, and something must be left.
func chooseBut(templates []gaffer.Template, targets, but []string) ([]gaffer.Template, error) {
	chosen, err := selected(templates, targets)
	left, lerr := selected(templates, but)
	if err := errors.Join(err, lerr); err != nil {
		return nil, err
	}
	kept := leave(templates, left)
	addNeeded(kept, chosen)
	kept = slices.DeleteFunc(kept, func(t gaffer.Template) bool { return len(targets) > 0 && !chosen[t.Name] })
	if len(kept) == 0 && len(but) > 0 {
		return nil, usagef("--except %s leaves nothing to run", strings.Join(but, ","))
	}
	return kept, nil
}

// leave are templates without some, which run otherwise or are not needed today: nothing
// waits for them.
func leave(templates []gaffer.Template, out map[string]bool) []gaffer.Template {
	kept := slices.DeleteFunc(slices.Clone(templates), func(t gaffer.Template) bool { return out[t.Name] })
	for i := range kept {
		t := &kept[i]
		needed := len(t.DependsOn)
		t.DependsOn = maps.Clone(t.DependsOn)
		maps.DeleteFunc(t.DependsOn, func(name string, _ gaffer.Condition) bool { return out[name] })
		if len(t.DependsOn) == 0 && needed > 0 {
			t.DependsOn, t.OnLoss = nil, ""
		}
	}
	return kept
}

// selected are the names of the templates that targets select. Each must select one.
func selected(templates []gaffer.Template, targets []string) (map[string]bool, error) {
	var names []string
	for _, t := range templates {
		names = append(names, t.Name)
	}
	chosen := map[string]bool{}
	var errs []error
	for _, text := range targets {
		target, found := gaffer.Target(text), false
		if err := target.Check(); err != nil {
			return nil, &usageError{err}
		}
		for _, name := range names {
			if target.Matches(name, 0, 0) {
				chosen[name], found = true, true
			}
		}
		if !found {
			errs = append(errs, config.UnknownName(text, names))
		}
	}
	return chosen, errors.Join(errs...)
}

// addNeeded chooses what the chosen ones depend on, too.
func addNeeded(templates []gaffer.Template, chosen map[string]bool) {
	for more := true; more; {
		more = false
		for _, t := range templates {
			for name := range t.DependsOn {
				if chosen[t.Name] && !chosen[name] {
					chosen[name], more = true, true
				}
			}
		}
	}
}

// completeNames completes the names of templates, and what is on each.
func (f *fileFlags) completeNames(cmd *cobra.Command, _ []string, _ string) ([]cobra.Completion, cobra.ShellCompDirective) {
	file, err := f.load(cmd, nil)
	if err != nil {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	var names []cobra.Completion
	for _, t := range file.Templates {
		names = append(names, cobra.CompletionWithDesc(t.Name, t.Cmd))
	}
	return names, cobra.ShellCompDirectiveNoFileComp
}

// summary says in a line what a file defines: "web, worker (2), mail".
func summary(templates []gaffer.Template) string {
	var parts []string
	for _, t := range templates {
		part := t.Name
		if t.NumProcesses != nil && *t.NumProcesses != 1 {
			part += fmt.Sprintf(" (%d)", *t.NumProcesses)
		}
		parts = append(parts, part)
	}
	return list(parts)
}

// list is some names for a person, who does not want to read more than ten.
func list(names []string) string {
	const most = 10
	if len(names) <= most {
		return strings.Join(names, ", ")
	}
	return fmt.Sprintf("%s and %d more", strings.Join(names[:most], ", "), len(names)-most)
}
