// Embed shows gaffer as a library: a program that keeps two processes of another
// program alive, prints what they write, and ends them when it is interrupted.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"

	"github.com/gafferpm/gaffer"
)

func main() {
	ctx, cancel := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer cancel()
	if err := run(ctx, os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "embed:", err)
		os.Exit(1)
	}
}

// run keeps the processes alive until ctx ends.
func run(ctx context.Context, out io.Writer) error {
	manager, err := gaffer.New(gaffer.Options{})
	if err != nil {
		return err
	}
	// What is added before Run is started by Run.
	err = manager.Add(ctx, gaffer.Template{
		Name:         "greeter",
		Cmd:          `while echo "hello from slot $GAFFER_SLOT"; do sleep 1; done`,
		Shell:        true,
		NumProcesses: new(2),
	})
	if err != nil {
		return errors.Join(err, manager.Close())
	}
	printer := gaffer.AppFunc(func(ctx context.Context, m *gaffer.Manager) error { return printOutput(ctx, m, out) })
	return manager.Run(ctx, printer)
}

// printOutput prints all lines until the app is stopped, which is after the last
// process has ended.
func printOutput(ctx context.Context, m *gaffer.Manager, out io.Writer) error {
	lines, err := m.Output(ctx, gaffer.All, gaffer.OutputOptions{Tail: -1})
	if err != nil {
		return err
	}
	defer lines.Close()
	for {
		line, err := lines.Next(ctx)
		var missed gaffer.Missed
		switch {
		case errors.As(err, &missed):
			fmt.Fprintf(out, "%d lines were lost\n", missed)
		case err != nil:
			return nil // the end
		default:
			fmt.Fprintf(out, "%s.%d: %s\n", line.Name, line.Slot, line.Data)
		}
	}
}
