package main

import (
	"context"
	"fmt"
	"slices"
	"strconv"

	"github.com/spf13/cobra"

	"github.com/gafferpm/gaffer"
	"github.com/gafferpm/gaffer/client"
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
			return listing[gaffer.Group]{
				get: func(c *client.Client, ctx context.Context) ([]gaffer.Group, error) {
					groups, err := c.Groups(ctx)
					if err == nil && len(args) == 1 {
						groups, err = theGroup(groups, args[0])
					}
					return groups, err
				},
				show: func(s *screen, groups []gaffer.Group) { groupTable(groups).print(s) },
				none: "no groups; a template named jobs:mail makes one",
			}.run(cmd, asJSON)
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
