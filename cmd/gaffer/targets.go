package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/gafferpm/gaffer"
	"github.com/gafferpm/gaffer/client"
	"github.com/gafferpm/gaffer/config"
)

// targetsOf reads the targets of a command line, none of which means all.
func targetsOf(args []string) ([]gaffer.Target, error) {
	if len(args) == 0 {
		return []gaffer.Target{gaffer.All}, nil
	}
	targets := make([]gaffer.Target, 0, len(args))
	for _, arg := range args {
		target := gaffer.Target(arg)
		if err := target.Check(); err != nil {
			return nil, &usageError{err}
		}
		if !slices.Contains(targets, target) {
			targets = append(targets, target)
		}
	}
	return targets, nil
}

// oneTarget reads the target of a command that takes at most one.
func oneTarget(args []string) (gaffer.Target, error) {
	targets, err := targetsOf(args)
	if err != nil {
		return "", err
	}
	return targets[0], nil
}

// someTargets accepts one argument or more.
func someTargets(cmd *cobra.Command, args []string) error {
	if len(args) == 0 {
		return usagef("which? want `%s TARGET`; '*' is all", cmd.CommandPath())
	}
	return nil
}

// statuses asks for what targets select, each template once, in natural order.
// Each target has to select something; all may be nothing.
func statuses(ctx context.Context, c *client.Client, targets []gaffer.Target) ([]gaffer.Status, error) {
	var all []gaffer.Status
	var errs []error
	for _, target := range targets {
		list, err := c.Status(ctx, target)
		if err == nil && len(list) == 0 && target != gaffer.All {
			err = fmt.Errorf("target %s: %w", target, gaffer.ErrNotFound)
		}
		if err != nil {
			errs = append(errs, explain(ctx, c, target, err))
			continue
		}
		all = append(all, list...)
	}
	if len(errs) > 0 {
		return nil, errors.Join(errs...)
	}
	slices.SortStableFunc(all, func(a, b gaffer.Status) int { return naturally(a.Name, b.Name) })
	if len(targets) > 1 {
		all = merged(all)
	}
	return all, nil
}

// merged brings together what several targets selected of the same template.
func merged(sorted []gaffer.Status) []gaffer.Status {
	var all []gaffer.Status
	for _, st := range sorted {
		last := len(all) - 1
		if last < 0 || all[last].Name != st.Name {
			all = append(all, st)
			continue
		}
		for _, p := range st.Processes {
			if !slices.ContainsFunc(all[last].Processes, func(o gaffer.Process) bool { return o.Slot == p.Slot && o.ID == p.ID }) {
				all[last].Processes = append(all[last].Processes, p)
			}
		}
		slices.SortStableFunc(all[last].Processes, func(a, b gaffer.Process) int { return a.Slot - b.Slot })
	}
	return all
}

// explain adds to the error of a target that selects nothing the name that was
// probably meant. Other errors stay as they are.
func explain(ctx context.Context, c *client.Client, target gaffer.Target, err error) error {
	if !errors.Is(err, gaffer.ErrNotFound) {
		return err
	}
	list, listErr := c.Status(ctx, gaffer.All)
	if listErr != nil {
		return err
	}
	text := string(target)
	name, slot, hasSlot := strings.Cut(text, ".")
	var names []string
	for _, st := range list {
		n, slotErr := strconv.Atoi(slot)
		if st.Name == name && (!hasSlot || slotErr == nil && n <= st.MaxProcesses) {
			return err // something else was not found
		}
		if st.Name == name {
			return fmt.Errorf("%s: %w: %s has %s, slot %s is none of them", text, gaffer.ErrNotFound, name, processes(st.MaxProcesses), slot)
		}
		names = append(names, st.Name)
	}
	slices.SortFunc(names, naturally)
	return unknown(name, names)
}

// unknown says that there is no template of a name, and which was probably meant.
func unknown(name string, names []string) error {
	const most = 10 // that a person reads
	if len(names) == 0 {
		return fmt.Errorf("%s: %w; there are no templates", name, gaffer.ErrNotFound)
	}
	if name[0] >= '0' && name[0] <= '9' {
		return fmt.Errorf("process %s: %w; `gaffer ps --json` has the ids of those that run", name, gaffer.ErrNotFound)
	}
	if strings.Contains(name, "*") {
		return fmt.Errorf("%s: %w: no name matches; there are %s", name, gaffer.ErrNotFound, list(names))
	}
	err := config.UnknownName(name, names)
	if len(names) > most && strings.Contains(err.Error(), "; there are ") {
		return fmt.Errorf("template %s: %w; there are %s", name, gaffer.ErrNotFound, list(names))
	}
	return err
}

// processes is "1 process", "3 processes".
func processes(n int) string {
	if n == 1 {
		return "1 process"
	}
	return fmt.Sprintf("%d processes", n)
}

// completionPatience is how long a person who pressed Tab waits without wondering.
const completionPatience = 400 * time.Millisecond

func completionContext() (context.Context, context.CancelFunc) {
	return context.WithTimeout(context.Background(), completionPatience)
}

// completeTargets completes targets with what the daemon runs: templates and
// groups, and after a dot slots.
func completeTargets(cmd *cobra.Command, given []string, begun string) ([]cobra.Completion, cobra.ShellCompDirective) {
	const directive = cobra.ShellCompDirectiveNoFileComp
	c, err := connect(cmd)
	if err != nil {
		return nil, directive
	}
	ctx, cancel := completionContext()
	defer cancel()
	all, err := statuses(ctx, c, []gaffer.Target{gaffer.All})
	if err != nil {
		return nil, directive
	}
	var out []cobra.Completion
	offer := func(name, what string) {
		if strings.HasPrefix(name, begun) && !slices.Contains(given, name) {
			out = append(out, cobra.CompletionWithDesc(name, what))
		}
	}
	groups := map[string]bool{}
	for _, st := range all {
		if st.Group != "" && !groups[st.Group] {
			groups[st.Group] = true
			offer(st.Group+":*", "group "+st.Group)
		}
		offer(st.Name, inWords(st))
		if strings.HasPrefix(begun, st.Name+".") {
			for _, p := range st.Processes {
				offer(slotName(st.Name, p.Slot), string(p.State))
			}
		}
	}
	return out, directive
}

// completeTarget is completeTargets for the first argument only.
func completeTarget(cmd *cobra.Command, given []string, begun string) ([]cobra.Completion, cobra.ShellCompDirective) {
	if len(given) > 0 {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	return completeTargets(cmd, given, begun)
}

// inWords is how a template is, in a few words: "running, 2 of 3".
func inWords(st gaffer.Status) string {
	switch {
	case st.Running == 0 && (st.State == gaffer.Stopped || st.State == gaffer.Done || st.State == gaffer.Waiting):
		return string(st.State)
	case st.State == gaffer.Running && st.MaxProcesses == 0:
		return "scaled to 0"
	case st.MaxProcesses == 1 && st.Running == 1, st.State == gaffer.Failed:
		return string(st.State)
	}
	return fmt.Sprintf("%s, %d of %d", st.State, st.Running, st.MaxProcesses)
}

// mustSelect refuses a target that names nothing there is. Whoever follows may
// mean what is yet to come, and is told that there is none now.
func mustSelect(ctx context.Context, c *client.Client, target gaffer.Target, follow bool) error {
	if target == gaffer.All {
		return nil
	}
	_, err := statuses(ctx, c, []gaffer.Target{target})
	if err != nil && follow && errors.Is(err, gaffer.ErrNotFound) && target[0] > '9' {
		fmt.Fprintf(os.Stderr, "gaffer: %s; waiting for it\n", said(err))
		return nil
	}
	return err
}
