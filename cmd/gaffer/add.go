package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"github.com/gafferpm/gaffer"
	"github.com/gafferpm/gaffer/client"
)

func newAdd() *cobra.Command {
	var fields templateFlags
	v := &verb{}
	cmd := &cobra.Command{
		Use:   "add [flags] NAME -- CMD [ARG...]",
		Short: "Add a template and start it",
		Long: `Add a template and start it. It is kept when the daemon is started again, until
it is removed. jobs:mail is mail of group jobs.

CMD with ARGs is started as it is; a single word with blanks is split as a shell
does. Neither starts a shell: --shell does. $NAME and ${NAME:-default} are replaced by
the variables of the process, PORT and GAFFER_SLOT among them; quote them, or your
shell does it first.

The working directory is the one this command is run in. What can't be started
is refused.

Exit status: 0 added; 1 an error: the name is taken, or the template is refused.`,
		Example: `  gaffer add web -c 2 --port 8000 -- ./web --port '$PORT'
  gaffer add jobs:mail --env QUEUE=mail --uid www --start=false -- bundle exec rake work
  gaffer add backup --shell -- 'pg_dump app | gzip > /backup/app.gz; sleep 3600'`,
		Args: func(cmd *cobra.Command, args []string) error { return nameAndCommand(cmd, args, true) },
		RunE: func(cmd *cobra.Command, args []string) error {
			t := gaffer.Template{Name: args[0]}
			cwd, err := os.Getwd()
			if err != nil {
				return err
			}
			t.Cwd = literally(cwd)
			fields.apply(&t)
			setCommand(&t, args[1:])
			if err := wellFormed(&t); err != nil {
				return err
			}
			return v.define(cmd, t.Name, func(ctx context.Context, c *client.Client) error { return c.Add(ctx, t) })
		},
	}
	fields.add(cmd)
	v.add(cmd)
	return cmd
}

func newUpdate() *cobra.Command {
	var fields templateFlags
	v := &verb{}
	cmd := &cobra.Command{
		Use:   "update [flags] NAME [-- CMD [ARG...]]",
		Short: "Change fields of a template",
		Long: `Change the fields of a template that flags are given for, and its command if there
is one; all others stay. Where running processes depend on a field that changed,
they are replaced. A change of what a file defines beats the file until the value
there changes.

Exit status: 0 changed; 1 an error: there is no such template, or what it would be
is refused, and then nothing changed.`,
		Example: `  gaffer update web --env LEVEL=debug --graceful-timeout 1m
  gaffer update web -- ./web2 --port '$PORT'
  gaffer update web --unset env.LEVEL --unset flapping`,
		Args:              func(cmd *cobra.Command, args []string) error { return nameAndCommand(cmd, args, false) },
		ValidArgsFunction: completeTarget,
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) == 1 && len(fields.changes) == 0 {
				return usagef("nothing to change: give flags for fields, or a command after --")
			}
			return v.define(cmd, args[0], func(ctx context.Context, c *client.Client) error {
				return update(cmd.Context(), ctx, c, args, &fields)
			})
		},
	}
	fields.add(cmd)
	v.add(cmd)
	return cmd
}

// update reads a template, changes it and gives it back; wait bounds the waiting.
func update(ctx, wait context.Context, c *client.Client, args []string, fields *templateFlags) error {
	target := gaffer.Target(args[0])
	infos, err := c.List(ctx, target)
	if err != nil {
		return explain(ctx, c, target, err)
	}
	if len(infos) != 1 {
		return fmt.Errorf("%s: %w: not one template", target, gaffer.ErrInvalid)
	}
	t := infos[0].Template
	fields.apply(&t)
	if len(fields.missing) > 0 {
		return fmt.Errorf("template %s: env.%s: %w, so there is nothing to unset", t.Name, fields.missing[0], gaffer.ErrNotFound)
	}
	if len(args) > 1 {
		setCommand(&t, args[1:])
	}
	if err := wellFormed(&t); err != nil {
		return err
	}
	return c.Update(wait, t)
}

// wellFormed tells everything that is wrong with a template as it is written.
func wellFormed(t *gaffer.Template) error {
	err := t.Validate()
	if err == nil {
		return nil
	}
	lines := strings.Split(err.Error(), "\n")
	return fmt.Errorf("template %s: %s", t.Name, strings.Join(lines, "; "))
}

// define adds or changes the template of that name and tells how it is then.
func (v *verb) define(cmd *cobra.Command, name string, do func(context.Context, *client.Client) error) error {
	if err := v.check(cmd); err != nil {
		return err
	}
	c, err := connect(cmd)
	if err != nil {
		return err
	}
	wait, cancel := v.context(cmd.Context())
	defer cancel()
	err = do(wait, c)
	switch {
	case errors.Is(err, client.ErrNoAnswer):
		return fmt.Errorf("%s: no answer; it may still be done", c.Host())
	case v.noWait && errors.Is(err, context.Canceled):
		return nil
	case errors.Is(err, context.DeadlineExceeded):
		fmt.Fprintf(os.Stderr, "gaffer: %s: not so after %s; it goes on, `gaffer status %s` tells how far it is\n", name, v.wait, name)
		return statusError(exitError)
	case err != nil:
		return err
	case v.noWait:
		return nil
	}
	return v.report(wait, cmd, c, []gaffer.Target{gaffer.Target(name)}, false)
}

// nameAndCommand checks that the arguments are a name and, after --, a command.
func nameAndCommand(cmd *cobra.Command, args []string, needed bool) error {
	form := strings.TrimPrefix(cmd.UseLine(), cmd.Parent().CommandPath()+" ")
	switch dash := cmd.ArgsLenAtDash(); {
	case len(args) == 0 || dash == 0:
		return usagef("what name? want `gaffer %s`", form)
	case dash < 0 && len(args) > 1, dash > 1:
		return usagef("unexpected argument %q; a command comes after --: `gaffer %s`", args[1], form)
	case needed && len(args) == 1:
		return usagef("which command? want `gaffer %s`", form)
	}
	if err := gaffer.CheckName(args[0]); err != nil {
		return &usageError{err}
	}
	return nil
}

// setCommand sets what is run. A single word is split, as in a file; of several
// each is one.
func setCommand(t *gaffer.Template, words []string) {
	if t.Shell {
		t.Cmd, t.Args = strings.Join(words, " "), nil
		return
	}
	t.Cmd, t.Args = words[0], nil
	if len(words) > 1 {
		t.Args = words[1:]
	}
}

// literally protects the dollars of a path from being read as variables.
func literally(path string) string { return strings.ReplaceAll(path, "$", "$$") }
