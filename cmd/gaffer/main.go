// Gaffer keeps processes alive: `gaffer up` runs the services of a gaffer.toml or
// a Procfile in the foreground. `gaffer help` tells the rest.
package main

import (
	"errors"
	"fmt"
	"os"
	"runtime"
	"strings"
	_ "time/tzdata" // for systems without time zones

	"github.com/spf13/cobra"

	"github.com/gafferpm/gaffer/client"
	"github.com/gafferpm/gaffer/config"
	"github.com/gafferpm/gaffer/internal/console"
	"github.com/gafferpm/gaffer/internal/nearest"
)

// The exit statuses of gaffer. `gaffer run` gives its command's own.
const (
	exitOK         = 0
	exitError      = 1
	exitUsage      = 2
	exitNotRunning = 3 // a target is not running
	exitNoDaemon   = 4 // no daemon answers
	exitDegraded   = 5 // something is, or was, in back-off, flapping or failed
)

func main() {
	// The kernel gives orphans to the main thread, so services are started from
	// any other. With this one kept for what waits, nothing has to change threads.
	runtime.LockOSThread()
	if status, played := play(os.Args[1:]); played {
		os.Exit(status)
	}
	os.Exit(execute(os.Args[1:]))
}

// execute runs one command line and returns the exit status.
func execute(args []string) int {
	root := newRoot()
	root.SetArgs(args)
	cmd, err := root.ExecuteC()
	var status statusError
	var usage *usageError
	var faults config.Faults
	switch {
	case err == nil:
		return exitOK
	case errors.As(err, &status):
		return int(status)
	case errors.As(err, &usage):
		fmt.Fprintf(os.Stderr, "%s: %v\n`%s --help` shows how\n", cmd.CommandPath(), err, cmd.CommandPath())
		return exitUsage
	case errors.As(err, &faults):
		// Each begins with its place, where editors look for it.
		fmt.Fprintln(os.Stderr, err)
		return exitError
	}
	fmt.Fprintf(os.Stderr, "gaffer: %s%s\n", said(err), hint(cmd, err))
	if errors.Is(err, client.ErrNoDaemon) {
		return exitNoDaemon
	}
	return exitError
}

// said is an error, some of which may have come from elsewhere, as it can be shown;
// where there are several, each in a line.
func said(err error) string {
	lines := strings.Split(err.Error(), "\n")
	for i := range lines {
		lines[i] = console.Clean(lines[i])
	}
	return strings.Join(lines, "\ngaffer: ")
}

// statusError is an exit status that needs no words: they were said already.
type statusError int

func (s statusError) Error() string { return fmt.Sprintf("exit status %d", int(s)) }

// usageError is a command line that can't be understood.
type usageError struct{ err error }

func (u *usageError) Error() string { return u.err.Error() }
func (u *usageError) Unwrap() error { return u.err }

func usagef(format string, a ...any) error { return &usageError{fmt.Errorf(format, a...)} }

func newRoot() *cobra.Command {
	root := &cobra.Command{
		Use:   "gaffer",
		Short: "Keep processes alive",
		Long: `Gaffer keeps processes alive. In a directory with a gaffer.toml or a Procfile,

  gaffer up

starts all that it defines, shows what they write, and restarts what crashes.`,
		Args:              noCommand,
		RunE:              func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
		SilenceErrors:     true,
		SilenceUsage:      true,
		CompletionOptions: cobra.CompletionOptions{DisableDefaultCmd: true},
	}
	root.SetFlagErrorFunc(flagError)
	root.SetHelpFunc(showHelp)
	addHostFlags(root)
	root.AddCommand(newUp(), newRun(), newConfig(), newVersion(), newCompletion())
	root.AddCommand(clientCommands()...)
	root.AddCommand(daemonCommands()...)
	mendHelp(root)
	return root
}

// noCommand refuses what is no command, with the nearest that is one.
func noCommand(cmd *cobra.Command, args []string) error {
	if len(args) == 0 {
		return nil
	}
	var names []string
	for _, c := range cmd.Commands() {
		if !c.Hidden {
			names = append(names, c.Name())
		}
	}
	return usagef("unknown command %q%s", args[0], nearest.Hint(args[0], names))
}

// atMost accepts up to n arguments.
func atMost(n int) cobra.PositionalArgs {
	return func(_ *cobra.Command, args []string) error {
		if len(args) > n {
			return usagef("unexpected argument %q", args[n])
		}
		return nil
	}
}
