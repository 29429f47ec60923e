package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/gafferpm/gaffer"
)

// execFlags are the flags of gaffer exec.
type execFlags struct {
	tty, noTTY, noStdin bool
	env                 []string
}

func newExec() *cobra.Command {
	var f execFlags
	cmd := &cobra.Command{
		Use:   "exec [flags] TARGET -- COMMAND [ARGUMENT...]",
		Short: "Run one command where a template's processes run",
		Long: `Run one command in the environment of the one template that TARGET selects: with its
variables, directory, user and groups, on the daemon's machine. A slot, as in web.2,
or a process says whose PORT and GAFFER_SLOT it has; otherwise those are slot 1's.
The template need not run.

Where standard input and output are a terminal the command gets one, too: Ctrl-C and
all other keys go to it. Elsewhere what it writes comes as its standard output and
error, and SIGINT, SIGTERM, SIGHUP and SIGQUIT are passed on to it.

It is no process of the template, and ends with this command: when the connection to
the daemon ends, it is killed with all that it has started.

Exit status: the command's own, 128 and the number of the signal that ended it; 1
when it could not be run or was lost, 4 when no daemon answers.`,
		Example: `  gaffer exec web -- sh
  gaffer exec web.2 -- ./manage migrate --check
  gaffer exec -T db -- pg_dump shop > shop.sql`,
		Args: func(cmd *cobra.Command, args []string) error {
			switch dash := cmd.ArgsLenAtDash(); {
			case len(args) == 0 || dash == 0:
				return usagef("where? want `%s TARGET -- COMMAND`", cmd.CommandPath())
			case dash > 1 || dash < 0 && len(args) > 1:
				return usagef("unexpected argument %q; a command stands behind --", args[1])
			case len(args) == 1:
				return usagef("which command? want `%s TARGET -- COMMAND`", cmd.CommandPath())
			case f.tty && f.noTTY:
				return usagef("--tty stands beside --no-tty; want one of them")
			}
			return nil
		},
		ValidArgsFunction: completeTarget,
		RunE: func(cmd *cobra.Command, args []string) error {
			target := gaffer.Target(args[0])
			if err := target.Check(); err != nil {
				return &usageError{err}
			}
			return f.run(cmd, target, args[1:])
		},
	}
	flags := cmd.Flags()
	flags.BoolVarP(&f.tty, "tty", "t", false, "give the command a terminal, also when there is none here")
	flags.BoolVarP(&f.noTTY, "no-tty", "T", false, "give it none")
	flags.BoolVarP(&f.noStdin, "no-stdin", "n", false, "give it nothing to read")
	flags.StringArrayVarP(&f.env, "env", "e", nil, "`NAME=VALUE` of a variable that beats the template's; again for more")
	return cmd
}

func (f *execFlags) run(cmd *cobra.Command, target gaffer.Target, args []string) error {
	in, inTTY := isTerminal(cmd.InOrStdin())
	out, outTTY := isTerminal(cmd.OutOrStdout())
	how := gaffer.ExecOptions{Args: args, Input: !f.noStdin, Env: map[string]string{}}
	sits := inTTY && outTTY && !f.noTTY && !f.noStdin // a person, at a terminal
	size := (&tty{out: out}).size()
	if sits || f.tty {
		how.Terminal = &size
		if term := os.Getenv("TERM"); sits && term != "" {
			how.Env["TERM"] = term
		}
	}
	for _, entry := range f.env {
		name, value, found := strings.Cut(entry, "=")
		if !found {
			return usagef("--env %s: want NAME=VALUE", entry)
		}
		how.Env[name] = value
	}
	c, err := connect(cmd)
	if err != nil {
		return err
	}
	defer c.Close()
	ctx, cancel := context.WithCancel(cmd.Context())
	defer cancel()
	s, err := c.Exec(ctx, target, how)
	if err != nil {
		return explain(ctx, c, target, err)
	}
	defer s.Close()
	var t *tty
	if sits {
		t, err = openTTY(in, out, func(size gaffer.WindowSize) { _ = s.Resize(ctx, size) }) // or it has ended
		if err != nil {
			return err
		}
		defer t.close()
	} else {
		defer forwardSignals(ctx, s)()
	}
	if !f.noStdin {
		go func() {
			defer t.guard()
			feed(ctx, s, cmd.InOrStdin())
		}()
	}
	return show(ctx, s, cmd.OutOrStdout(), cmd.ErrOrStderr())
}

// feed gives a command all of in, as fast as it takes it. What it takes no more is not
// read.
func feed(ctx context.Context, s gaffer.Session, in io.Reader) {
	buf := make([]byte, chunk)
	for {
		n, err := in.Read(buf)
		if n > 0 && s.Write(ctx, buf[:n]) != nil {
			return // what it means shows in what the command writes, or at its end
		}
		if err != nil {
			_ = s.CloseInput(ctx)
			return
		}
	}
}

// show shows what a command writes, to its end, which is this command's.
func show(ctx context.Context, s gaffer.Session, out, stderr io.Writer) error {
	for {
		o, err := s.Next(ctx)
		switch {
		case errors.Is(err, io.EOF):
			if status := exitStatus(s.Exit()); status != 0 {
				return statusError(status)
			}
			return nil
		case err != nil:
			return fmt.Errorf("exec: %w; the command is killed", err)
		}
		to := out
		if o.Stderr {
			to = stderr
		}
		if _, err := to.Write(o.Data); err != nil {
			return err
		}
	}
}

// forwardSignals passes on to a command what this one is sent, until it is over.
func forwardSignals(ctx context.Context, s gaffer.Session) (quit func()) {
	wanted := endSignals
	if signal.Ignored(syscall.SIGHUP) { // as nohup wants it
		wanted = []os.Signal{syscall.SIGINT, syscall.SIGTERM, syscall.SIGQUIT}
	}
	signals := make(chan os.Signal, 8)
	signal.Notify(signals, wanted...)
	done := make(chan struct{})
	go func() {
		defer close(done)
		for sig := range signals {
			_ = s.Signal(ctx, gaffer.Signal(sig.(syscall.Signal))) // or it has ended
		}
	}()
	return func() {
		signal.Stop(signals)
		close(signals)
		<-done
	}
}
