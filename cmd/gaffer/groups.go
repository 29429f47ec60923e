package main

import (
	"fmt"
	"slices"
	"strconv"

	"github.com/spf13/cobra"

	"github.com/gafferpm/gaffer"
)

func newGroups() *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "groups [flags] [GROUP]",
		Short: "List groups and their members",
		Long: `List the groups that have members, or those of one group. The template jobs:mail
is a member of group jobs; jobs:* is the target for all of it.`,
		Example: `  gaffer groups
  gaffer groups jobs
  gaffer restart 'jobs:*'`,
		Args: atMost(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			c, err := connect(cmd)
			if err != nil {
				return err
			}
			groups, err := c.Groups(cmd.Context())
			if err != nil {
				return err
			}
			if len(args) == 1 {
				if groups, err = theGroup(groups, args[0]); err != nil {
					return err
				}
			}
			s := newScreen(cmd)
			if asJSON {
				return s.json(groups)
			}
			if len(groups) == 0 {
				fmt.Fprintln(cmd.ErrOrStderr(), "no groups; a template named jobs:mail makes one")
				return nil
			}
			groupTable(groups).print(s)
			return s.Flush()
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print a list of groups")
	return cmd
}

func theGroup(groups []gaffer.Group, name string) ([]gaffer.Group, error) {
	var names []string
	for _, g := range groups {
		if g.Name == name {
			return []gaffer.Group{g}, nil
		}
		names = append(names, g.Name)
	}
	if len(names) == 0 {
		return nil, fmt.Errorf("group %s: %w; there are no groups", name, gaffer.ErrNotFound)
	}
	return nil, fmt.Errorf("group %s: %w; there are %s", name, gaffer.ErrNotFound, list(names))
}

func groupTable(groups []gaffer.Group) *table {
	t := &table{columns: []column{{head: "GROUP"}, {head: "TEMPLATES", right: true}, {head: "MEMBERS"}}}
	slices.SortStableFunc(groups, func(a, b gaffer.Group) int { return naturally(a.Name, b.Name) })
	for _, g := range groups {
		t.add(text(g.Name), text(strconv.Itoa(len(g.Members))), text(list(g.Members)))
	}
	return t
}
