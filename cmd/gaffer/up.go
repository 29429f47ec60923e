package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"slices"

	"github.com/spf13/cobra"

	"github.com/gafferpm/gaffer"
	"github.com/gafferpm/gaffer/autoscale"
	"github.com/gafferpm/gaffer/internal/console"
	"github.com/gafferpm/gaffer/watch"
)

// upFlags are the flags of gaffer up.
type upFlags struct {
	fileFlags
	counts     []string
	only       []string
	except     []string
	timestamps bool
	color      bool
	noColor    bool

	log *slog.Logger
}

func newUp() *cobra.Command {
	var f upFlags
	cmd := &cobra.Command{
		Use:   "up [flags] [NAME...]",
		Short: "Run gaffer.toml, else Procfile, in the foreground",
		Long: `Run what gaffer.toml, else Procfile, of this directory defines, in the
foreground, and show what it writes. NAMEs choose templates, as --only does, and
--except leaves some out; "web*" and "jobs:*" are several.

A template with a watch table is restarted when its files change. The end of a
process of one with exit_with = true ends everything.

Ctrl-C stops everything, in the reverse of the start order; a second one kills.

Exit status: 0 stopped as asked; 1 an error; 5 stopped as asked, but something
was in back-off, flapping or failed then, or everything has failed. Where a
process with exit_with has ended it all: its own, or 128 and the number of the
signal that ended it.`,
		Example: `  gaffer up
  gaffer up web worker -c worker=3
  gaffer up --except 'jobs:*' --profile dev
  gaffer up -f examples/shop/gaffer.toml -t`,
		ValidArgsFunction: f.completeNames,
		RunE:              f.run,
	}
	f.add(cmd)
	flags := cmd.Flags()
	flags.StringSliceVarP(&f.counts, "count", "c", nil, "numbers of processes, as `web=2,worker=3`")
	flags.StringSliceVar(&f.only, "only", nil, "`names` of those to run, the others not; can be repeated")
	flags.StringSliceVar(&f.except, "except", nil, "`names` of those not to run; can be repeated")
	for _, name := range []string{"only", "except"} {
		_ = cmd.RegisterFlagCompletionFunc(name, f.completeNames)
	}
	flags.BoolVarP(&f.timestamps, "timestamps", "t", false, "show the time of each line")
	flags.BoolVar(&f.color, "color", false, "use colour even when the output is no terminal")
	flags.BoolVar(&f.noColor, "no-color", false, "use no colour")
	return cmd
}

func (f *upFlags) run(cmd *cobra.Command, names []string) error {
	if f.color && f.noColor {
		return usagef("--color and --no-color exclude each other")
	}
	counts, err := parseCounts(f.counts)
	if err != nil {
		return err
	}
	file, err := f.load(cmd, counts)
	if err != nil {
		return err
	}
	templates, err := chooseBut(file.Templates, slices.Concat(names, f.only), f.except)
	if err != nil {
		return err
	}
	f.log = slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelWarn}))
	manager, err := gaffer.New(gaffer.Options{Subreaper: true, Alone: true, Logger: f.log})
	if err != nil {
		return err
	}
	for _, t := range templates {
		if err := manager.Load(cmd.Context(), t); err != nil {
			return errors.Join(err, manager.Close())
		}
	}
	return f.attend(manager, fmt.Sprintf("%s: %s", file.Path, summary(templates)))
}

// attend runs the manager until somebody has had enough, and tells how it went.
func (f *upFlags) attend(manager *gaffer.Manager, hello string) error {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	a := &attendant{manager: manager, cancel: cancel}

	terminal := console.IsTerminal(os.Stdout)
	color := f.color || !f.noColor && console.WantsColor(terminal, os.Getenv)
	a.console = console.New(console.Options{
		Out: os.Stdout, Color: color, Terminal: terminal, Timestamps: f.timestamps,
		Hello: hello, OnError: a.lost,
	})
	defer a.listen()()
	go tidyMemory(ctx)
	err := manager.Run(ctx, a.console, a, watch.New(watch.Options{Logger: f.log}), autoscale.New(autoscale.Options{Logger: f.log}))
	if err == nil {
		err = a.outcome()
	}
	return err
}
