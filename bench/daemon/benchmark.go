//go:build linux

package main

import (
	"cmp"
	"context"
	_ "embed"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"time"

	"github.com/gafferpm/gaffer/bench/internal/machine"
	"github.com/gafferpm/gaffer/bench/internal/program"
	"github.com/gafferpm/gaffer/bench/internal/report"
)

//go:embed load.c
var loadSource []byte

//go:embed watch.c
var watchSource []byte

// programs are the executables that a run needs.
type programs struct {
	child, load, watch  string // in C
	gaffer, bare, empty string // in Go
	compiler            string
}

func buildPrograms(ctx context.Context, dir, gaffer string) (p programs, err error) {
	if p.compiler, err = program.Compiler(); err != nil {
		return p, err
	}
	p.child, p.load, p.watch = filepath.Join(dir, "child"), filepath.Join(dir, "load"), filepath.Join(dir, "watch")
	for path, source := range map[string][]byte{p.child: program.Child, p.load: loadSource, p.watch: watchSource} {
		if err := program.Compile(ctx, p.compiler, path, source); err != nil {
			return p, err
		}
	}
	if p.bare, err = program.Go(ctx, dir, "bench/daemon/bare"); err != nil {
		return p, err
	}
	if p.empty, err = program.Go(ctx, dir, "bench/daemon/empty"); err != nil {
		return p, err
	}
	p.gaffer, err = program.Gaffer(ctx, dir, gaffer)
	return p, err
}

// bench is one run: its programs, where they work, what was found.
type bench struct {
	settings
	programs programs
	board    *program.Board
	dir      string
	bare     string // file of what the bare server answers
	progress io.Writer
	result   *result
}

// benchmark carries out the run. Nothing of it is left behind.
func benchmark(ctx context.Context, s settings, progress io.Writer) (_ *result, err error) {
	dir, err := os.MkdirTemp("", "gaffer-bench-")
	if err != nil {
		return nil, fmt.Errorf("work directory: %w", err)
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	bin, run := filepath.Join(dir, "bin"), filepath.Join(dir, "run")
	if err := errors.Join(os.Mkdir(bin, 0o700), os.Mkdir(run, 0o700)); err != nil {
		return nil, fmt.Errorf("work directory: %w", err)
	}
	programs, err := buildPrograms(ctx, bin, s.gaffer)
	if err != nil {
		return nil, err
	}
	if err := errors.Join(machine.Adopt(), machine.AllDescriptors()); err != nil {
		return nil, err
	}
	board, err := program.NewBoard(s.templates)
	if err != nil {
		return nil, err
	}
	defer board.Close()
	b := &bench{settings: s, programs: programs, board: board, dir: run, bare: filepath.Join(dir, "answers"),
		progress: progress, result: newResult(s, programs.compiler)}
	if err := b.sample(ctx); err != nil {
		return nil, cmp.Or(ctx.Err(), err)
	}
	return b.result, b.rounds(ctx)
}

// rounds measures everything round after round, what is compared each time in
// another order, so that what changes on the machine meets everybody.
func (b *bench) rounds(ctx context.Context) error {
	for round := range b.settings.rounds {
		random := rand.New(rand.NewPCG(uint64(round), 0)) // the same order in every run
		for _, job := range b.jobs(round, random) {
			err := job(ctx)
			if ctx.Err() != nil {
				return ctx.Err()
			}
			if err != nil {
				fmt.Fprintln(b.progress, "bench/daemon:", err)
				b.result.notes = append(b.result.notes, err.Error())
			}
		}
		fmt.Fprintf(b.progress, "bench/daemon: round %d of %d done\n", round+1, b.settings.rounds)
	}
	return nil
}

// jobs are what is measured on one server each, from its start to its end.
func (b *bench) jobs(round int, random *rand.Rand) []func(context.Context) error {
	var jobs []func(context.Context) error
	if b.wants("memory") {
		jobs = append(jobs, b.empty)
	}
	if b.wants("status") {
		jobs = append(jobs, func(ctx context.Context) error { return b.status(ctx, random) })
	}
	if b.wants("events") {
		order := []string{bare, daemon}
		for _, i := range random.Perm(len(order)) {
			jobs = append(jobs, func(ctx context.Context) error { return b.stream(ctx, order[i]) })
		}
	}
	if b.wants("ps") || b.wants("memory") || b.wants("status") || b.wants("idle") && round == 0 {
		jobs = append(jobs, func(ctx context.Context) error { return b.many(ctx, round, random) })
	}
	return jobs
}

// measure takes figures of a contestant when the machine is quiet, after a pause.
func (b *bench) measure(ctx context.Context, contestant string, wait time.Duration, test func(report.Recorder) error) error {
	before := machine.Pause(ctx, wait, b.quiet)
	var figures []report.Figure
	err := test(func(metric string, value float64) {
		figures = append(figures, report.Figure{Metric: metric, Value: value})
	})
	if err = errors.Join(err, ctx.Err()); err != nil {
		return fmt.Errorf("%s: %w", contestant, err)
	}
	after := machine.OthersShare(ctx, look)
	b.result.Add(contestant, max(before, after), figures)
	return nil
}
