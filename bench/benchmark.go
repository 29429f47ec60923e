//go:build linux

package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/gafferpm/gaffer/bench/internal/machine"
	"github.com/gafferpm/gaffer/bench/internal/program"
	"github.com/gafferpm/gaffer/bench/internal/report"
)

// writers are the numbers of children of the test of log files, and logLines how many
// lines they write together.
var writers = []int{1, 100}

const logLines = 10_000_000

// churners are the numbers of children of the churn test.
var churners = []int{1, 20}

// bench is one run: who takes part, where they work, what was found.
type bench struct {
	settings
	programs programs
	board    *program.Board
	dir      string
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
	programs, err := buildPrograms(ctx, bin)
	if err != nil {
		return nil, err
	}
	var gafferErr error
	if slices.ContainsFunc([]string{"gaffer", "gaffer-one", "daemon", "daemon-direct"}, s.takes) {
		programs.gaffer, gafferErr = program.Gaffer(ctx, bin, s.gaffer)
	}
	if err := errors.Join(machine.Adopt(), machine.AllDescriptors()); err != nil {
		return nil, err
	}
	board, err := program.NewBoard(max(slices.Max(s.counts), slices.Max(churners), slices.Max(writers)))
	if err != nil {
		return nil, err
	}
	defer board.Close()

	b := &bench{settings: s, programs: programs, board: board, dir: run, progress: progress, result: newResult(s, programs)}
	taking, err := b.choose(contestants(programs), gafferErr)
	if err != nil {
		return nil, err
	}
	return b.result, b.rounds(ctx, taking)
}

// choose picks those that were asked for and are there, and says who is not.
func (b *bench) choose(all []contestant, gafferErr error) ([]contestant, error) {
	var taking []contestant
	for _, name := range b.settings.contestants {
		if !slices.ContainsFunc(all, func(c contestant) bool { return c.name == name }) {
			return nil, fmt.Errorf("-contestants: no contestant %q", name)
		}
	}
	for _, c := range all {
		if !b.takes(c.name) {
			continue
		}
		if what := c.missing(); what != "" {
			err := fmt.Errorf("%s: left out: %s is not there", c.name, what)
			if c.ours && gafferErr != nil {
				err = fmt.Errorf("%s: left out: %w", c.name, gafferErr)
			}
			b.fail(c, err)
			continue
		}
		taking = append(taking, c)
	}
	b.result.taking = taking
	return taking, nil
}

// fail notes that a figure is missing. A peer that is not installed or gives up
// does not spoil the run; one of ours does.
func (b *bench) fail(c contestant, err error) {
	fmt.Fprintln(b.progress, "bench:", err)
	b.result.notes = append(b.result.notes, err.Error())
	b.result.failed = b.result.failed || c.ours
}

// rounds measures everything round after round, each time in another order, so
// that what changes on the machine meets everybody.
func (b *bench) rounds(ctx context.Context, taking []contestant) error {
	for round := range b.settings.rounds {
		order := slices.Clone(taking)
		random := rand.New(rand.NewPCG(uint64(round), 0)) // the same order in every run
		for _, job := range b.jobs(round) {
			random.Shuffle(len(order), func(i, j int) { order[i], order[j] = order[j], order[i] })
			for _, c := range order {
				if job.work.lines > 0 && c.logged == nil {
					continue // it keeps nothing
				}
				if why := c.tooMany(job.work.n); why != "" {
					if round == 0 {
						b.fail(contestant{}, fmt.Errorf("%s: left out with %d children: %s", c.name, job.work.n, why))
					}
					continue
				}
				err := b.measure(ctx, c, job)
				if ctx.Err() != nil {
					return ctx.Err()
				}
				if err != nil {
					b.fail(c, err)
				}
			}
		}
		fmt.Fprintf(b.progress, "bench: round %d of %d done\n", round+1, b.settings.rounds)
	}
	return nil
}

const (
	rest = 3 * time.Second         // after a bring-up, before what the supervisor holds is read
	ripe = 1500 * time.Millisecond // age of a child from which on nobody delays its restart (runit: a second)
)

// step is one test on a session.
type step struct {
	pause time.Duration // before it; 0: it begins with the supervisor's start
	run   func(*session, context.Context, report.Recorder) error
}

// job is what is measured on one supervisor from its start to its end.
type job struct {
	work  work
	steps []step
}

func (b *bench) jobs(round int) []job {
	var jobs []job
	if b.wants("memory") {
		jobs = append(jobs, b.job(0, "sleep", step{rest, (*session).holds}))
	}
	for i, n := range b.counts {
		steps := []step{{0, (*session).bringUp}}
		add := func(test string, pause time.Duration, run func(*session, context.Context, report.Recorder) error) {
			if b.wants(test) {
				steps = append(steps, step{pause, run})
			}
		}
		add("memory", rest, (*session).holds)
		if i == 0 {
			if round == 0 {
				add("idle", rest, func(s *session, ctx context.Context, rec report.Recorder) error { return s.idle(ctx, b.idle, rec) })
			}
			add("replace", ripe, (*session).replace)
			add("crash", ripe, (*session).crash)
			add("takeover", ripe, (*session).takeOver)
			add("stop", ripe, (*session).quit)
		}
		if len(steps) > 1 || b.wants("bringup") {
			jobs = append(jobs, b.job(n, "sleep", steps...))
		}
	}
	for _, n := range churners {
		if b.wants("churn") {
			jobs = append(jobs, b.job(n, "exit", step{0, (*session).churn}))
		}
	}
	for _, n := range writers {
		if b.wants("logs") {
			j := b.job(n, fmt.Sprint(logLines/n), step{0, (*session).log})
			j.work.lines = logLines / n
			jobs = append(jobs, j)
		}
	}
	return jobs
}

func (b *bench) job(n int, mode string, steps ...step) job {
	return job{work: work{n: n, child: b.programs.child, mode: mode, board: b.board.Path}, steps: steps}
}

// measure does one job with one contestant. What was measured before an error
// counts.
func (b *bench) measure(ctx context.Context, c contestant, j job) (err error) {
	before := machine.Pause(ctx, 0, b.quiet)
	s, err := start(c, b.board, b.dir, j.work)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.end()) }()
	for _, step := range j.steps {
		if step.pause > 0 {
			before = machine.Pause(ctx, step.pause, b.quiet)
		}
		var figures []report.Figure
		err := step.run(s, ctx, func(metric string, value float64) {
			figures = append(figures, report.Figure{Metric: metric, Value: value})
		})
		if err != nil {
			return err
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
		after := before
		if j.work.mode == "sleep" { // others never rest
			after = machine.OthersShare(ctx, 500*time.Millisecond)
		}
		b.result.Add(c.name, max(before, after), figures)
	}
	return nil
}
