package main

import (
	"context"
	"fmt"
	"slices"

	"github.com/spf13/cobra"

	"github.com/gafferpm/gaffer/client"
)

// listing is what a command does that prints a list of what the daemon has.
type listing[T any] struct {
	get  func(*client.Client, context.Context) ([]T, error)
	name func(T) string // by which it is sorted; nil: it stays as it is
	none string         // what is said of an empty list
	show func(*screen, []T)
}

func (l listing[T]) run(cmd *cobra.Command, asJSON bool) error {
	c, err := connect(cmd)
	if err != nil {
		return err
	}
	list, err := l.get(c, cmd.Context())
	if err != nil {
		return err
	}
	if l.name != nil {
		slices.SortStableFunc(list, func(a, b T) int { return naturally(l.name(a), l.name(b)) })
	}
	s := newScreen(cmd)
	if asJSON {
		return s.json(list)
	}
	if len(list) == 0 {
		fmt.Fprintln(cmd.ErrOrStderr(), l.none)
		return nil
	}
	l.show(s, list)
	return s.Flush()
}
