package main

import (
	"fmt"
	"slices"
	"strings"
	"time"
	"unicode"

	"github.com/spf13/cobra"

	"github.com/gafferpm/gaffer"
	"github.com/gafferpm/gaffer/client"
	"github.com/gafferpm/gaffer/internal/console"
)

// roles are what a key may do, the least first.
var roles = []string{"viewer", "operator", "admin"}

func newKeys() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "keys",
		Short: "List, make and remove API keys",
		Long: `API keys let programs and people reach the daemon over the network. On the unix
socket none is needed: there the daemon sees which user calls.

A viewer reads; an operator also starts, stops, restarts, scales and signals; an
admin may do everything. With a target, a key sees and touches nothing else.`,
		Example: `  gaffer keys add deploy --role operator --target 'jobs:*'
  gaffer keys
  gaffer keys remove deploy`,
		Args: noCommand,
	}
	list := newKeysList()
	cmd.RunE = list.RunE
	cmd.Flags().AddFlagSet(list.Flags())
	cmd.AddCommand(list, newKeysAdd(), newKeysRemove())
	return cmd
}

func newKeysList() *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:     "list [flags]",
		Short:   "List API keys",
		Long:    `List API keys. What makes them one is not shown: the daemon does not know it.`,
		Example: `  gaffer keys list --json`,
		Args:    atMost(0),
		RunE: func(cmd *cobra.Command, _ []string) error {
			return listing[client.Key]{
				get: (*client.Client).Keys, show: func(s *screen, keys []client.Key) { keyTable(keys, s.now).print(s) },
				none: "no keys; `gaffer keys add NAME` makes one",
			}.run(cmd, asJSON)
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print a list of keys")
	return cmd
}

func keyTable(keys []client.Key, now time.Time) *table {
	t := &table{columns: []column{{head: "NAME"}, {head: "ROLE"}, {head: "TARGET"}, {head: "ID"}, {head: "CREATED"}}}
	slices.SortStableFunc(keys, func(a, b client.Key) int { return naturally(a.Name, b.Name) })
	for _, k := range keys {
		target := string(k.Target)
		if target == "" {
			target = string(gaffer.All)
		}
		t.add(text(k.Name), text(k.Role), text(target), text(k.ID), text(ago(now, k.Created)))
	}
	return t
}

func newKeysAdd() *cobra.Command {
	var role, target string
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "add [flags] NAME",
		Short: "Make an API key and show it, once",
		Long: `Make an API key and show it. It can't be shown again: the daemon keeps only what it
needs to recognise it. It is the only thing on standard output, so that it can be
sent into a file.`,
		Example: `  gaffer keys add dashboard
  gaffer keys add deploy --role operator --target 'jobs:*'
  (umask 077; gaffer keys add ci --role operator > gaffer.key)`,
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) == 0 {
				return usagef("what name? want `%s NAME`", cmd.CommandPath())
			}
			return atMost(1)(cmd, args)
		},
		ValidArgsFunction: cobra.NoFileCompletions,
		RunE: func(cmd *cobra.Command, args []string) error {
			if !slices.Contains(roles, role) {
				return usagef("--role %s: want %s", role, strings.Join(roles, ", "))
			}
			if strings.ContainsFunc(args[0], unicode.IsControl) {
				return usagef("name %q: want no control characters", args[0])
			}
			if target != "" {
				if err := gaffer.Target(target).Check(); err != nil {
					return &usageError{err}
				}
			}
			c, err := connect(cmd)
			if err != nil {
				return err
			}
			key, err := c.NewKey(cmd.Context(), args[0], role, gaffer.Target(target))
			if err != nil {
				return err
			}
			s := newScreen(cmd)
			if asJSON {
				return s.json(key)
			}
			_, _ = s.WriteString(console.Clean(key.Key) + "\n")
			if err := s.Flush(); err != nil {
				return err
			}
			fmt.Fprintf(cmd.ErrOrStderr(), `This is the key of %s, and the only time that it is shown. Keep it in a file that
only its user can read, and name that file with --key-file or GAFFER_KEY_FILE; a
program sends it as "Authorization: Bearer KEY".
`, console.Clean(key.Name))
			return nil
		},
	}
	cmd.Flags().StringVar(&role, "role", "viewer", "what it may do: viewer, operator or admin")
	cmd.Flags().StringVar(&target, "target", "", "`target` beyond which it sees and touches nothing (default all)")
	cmd.Flags().BoolVar(&asJSON, "json", false, "print it with its id, name, role and target")
	_ = cmd.RegisterFlagCompletionFunc("role", cobra.FixedCompletions(roles, cobra.ShellCompDirectiveNoFileComp))
	_ = cmd.RegisterFlagCompletionFunc("target", completeTargets)
	return cmd
}

func newKeysRemove() *cobra.Command {
	return &cobra.Command{
		Use:   "remove NAME|ID...",
		Short: "End the validity of API keys",
		Long:  `End the validity of API keys, at once. A name must be that of one key only.`,
		Example: `  gaffer keys remove deploy
  gaffer keys remove k3xv7qo2mhz5`,
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) == 0 {
				return usagef("which? want `%s NAME`, or the id of a key", cmd.CommandPath())
			}
			return nil
		},
		ValidArgsFunction: completeKeys,
		RunE: func(cmd *cobra.Command, args []string) error {
			c, err := connect(cmd)
			if err != nil {
				return err
			}
			keys, err := c.Keys(cmd.Context())
			if err != nil {
				return err
			}
			var ids []string
			for _, arg := range args {
				id, err := keyNamed(keys, arg)
				if err != nil {
					return err
				}
				ids = append(ids, id)
			}
			for _, id := range ids {
				if err := c.DeleteKey(cmd.Context(), id); err != nil {
					return err
				}
			}
			return nil
		},
	}
}

// keyNamed is the id of the key of that id, or else name.
func keyNamed(keys []client.Key, name string) (string, error) {
	var ids, names []string
	for _, k := range keys {
		if k.ID == name {
			return k.ID, nil
		}
		if k.Name == name {
			ids = append(ids, k.ID)
		}
		names = append(names, k.Name)
	}
	switch {
	case len(ids) == 1:
		return ids[0], nil
	case len(ids) > 1:
		return "", fmt.Errorf("key %s: %w: several have that name; name one by its id: %s", name, gaffer.ErrConflict, strings.Join(ids, ", "))
	case len(names) == 0:
		return "", fmt.Errorf("key %s: %w; there are none", name, gaffer.ErrNotFound)
	}
	return "", fmt.Errorf("key %s: %w; there are %s", name, gaffer.ErrNotFound, list(names))
}

func completeKeys(cmd *cobra.Command, given []string, begun string) ([]cobra.Completion, cobra.ShellCompDirective) {
	const directive = cobra.ShellCompDirectiveNoFileComp
	c, err := connect(cmd)
	if err != nil {
		return nil, directive
	}
	ctx, cancel := completionContext()
	defer cancel()
	keys, err := c.Keys(ctx)
	if err != nil {
		return nil, directive
	}
	var out []cobra.Completion
	for _, k := range keys {
		if strings.HasPrefix(k.Name, begun) && !slices.Contains(given, k.Name) {
			out = append(out, cobra.CompletionWithDesc(k.Name, k.Role+" "+k.ID))
		}
	}
	return out, directive
}
