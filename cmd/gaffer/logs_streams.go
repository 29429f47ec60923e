package main

import (
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/gafferpm/gaffer"
	"github.com/gafferpm/gaffer/client"
)

// checkStreams refuses labels that no stream of a target has.
func (f *logFlags) checkStreams(cmd *cobra.Command, c *client.Client, target gaffer.Target) error {
	if len(f.streams) == 0 {
		return nil
	}
	infos, err := c.List(cmd.Context(), gaffer.All)
	if err != nil {
		return err
	}
	var known []string
	for _, info := range infos {
		if mayBeOf(target, info.Template.Name) {
			known = append(known, labelsOf(info.Template)...)
		}
	}
	if len(known) == 0 {
		return nil // what is yet to come may have any
	}
	slices.Sort(known)
	known = slices.Compact(known)
	for _, label := range f.streams {
		if !slices.Contains(known, label) {
			return fmt.Errorf("--stream %s: %w; there are %s", label, gaffer.ErrNotFound, strings.Join(known, ", "))
		}
	}
	return nil
}

// labelsOf are the labels of what a template's processes write.
func labelsOf(t gaffer.Template) []string {
	return slices.Concat(t.Outputs(), t.CustomStreams, t.HookLabels())
}
