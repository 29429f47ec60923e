package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"

	"github.com/spf13/cobra"

	"github.com/gafferpm/gaffer"
	"github.com/gafferpm/gaffer/client"
)

// applyFlags are the flags of gaffer apply.
type applyFlags struct {
	sourceFlags
	dryRun bool
	expect string
}

func newApply() *cobra.Command {
	var f applyFlags
	cmd := &cobra.Command{
		Use:   "apply [flags]",
		Short: "Make the daemon run what a file defines",
		Long: `Show what there is to do until the daemon runs what a file defines, as gaffer plan
does, then do exactly that, wait until it is done, and report each step. What did
not change is not touched. A template is removed only if the same file defined it
before; what was added otherwise stays.

What was changed at run time (a scaled number, a stop, an update) stays until the
file says something new about it, or --reset is given.

Without --config these are the files that the daemon was started with; if there are
none, gaffer.toml, else Procfile, of this directory. A file that is wrong changes
nothing.

Exit status: 0 done, and all that it touched runs; 1 something could not be done;
3 something does not run; 5 something is in back-off, flapping or failed.`,
		Example: `  gaffer apply
  gaffer apply --config shop/gaffer.toml
  gaffer apply --dry-run`,
		Args: atMost(0),
		RunE: f.run,
	}
	f.add(cmd)
	f.addWait(cmd)
	cmd.Flags().BoolVar(&f.dryRun, "dry-run", false, "show the plan and do nothing, as gaffer plan")
	cmd.Flags().StringVar(&f.expect, "expect", "", "`digest` of the plan (of gaffer plan --json) that is to be applied, and no other")
	return cmd
}

func (f *applyFlags) run(cmd *cobra.Command, _ []string) error {
	if err := f.check(cmd); err != nil {
		return err
	}
	c, err := connect(cmd)
	if err != nil {
		return err
	}
	d, plan, err := f.planFor(cmd, c)
	if err != nil {
		return err
	}
	if f.dryRun {
		return f.show(cmd, plan)
	}
	if f.expect != "" && plan.Digest != f.expect {
		return errors.Join(f.show(cmd, plan), fmt.Errorf("plan %s: %w: it is not %s; nothing was done", plan.Digest, gaffer.ErrConflict, f.expect))
	}
	return f.apply(cmd, c, d, plan)
}

// tries is how often a plan is made anew when things change between plan and apply.
const tries = 3

// apply carries out a plan and reports it.
func (f *applyFlags) apply(cmd *cobra.Command, c *client.Client, d gaffer.Desired, plan gaffer.Plan) error {
	for try := 1; ; try++ {
		if !f.json {
			if err := f.show(cmd, plan); err != nil {
				return err
			}
		}
		if err := refuseConflicts(plan); err != nil {
			return err
		}
		d.Expect = plan.Digest
		done, err := f.carryOut(cmd, c, d, plan)
		if !errors.Is(err, gaffer.ErrConflict) || f.expect != "" || try == tries {
			return f.outcome(cmd, c, done, err)
		}
		if plan, err = c.Plan(cmd.Context(), d); err != nil {
			return err
		}
		note("things have changed since the plan was made; now it is another")
	}
}

// carryOut has a plan applied, and reports each step when it is done.
func (f *applyFlags) carryOut(cmd *cobra.Command, c *client.Client, d gaffer.Desired, plan gaffer.Plan) (gaffer.Plan, error) {
	report := f.follow(cmd, c, plan)
	wait, cancel := f.context(cmd.Context())
	defer cancel()
	done, err := c.Apply(wait, d)
	if waiting(err) {
		report.stop(gaffer.Plan{}) // what it would do is no report of what it did
	} else {
		report.stop(done)
	}
	return done, err
}

// waiting says that an error is the end of waiting, and nothing else.
func waiting(err error) bool {
	return errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded)
}

// outcome tells what is left to tell of what was applied.
func (f *sourceFlags) outcome(cmd *cobra.Command, c gaffer.Controller, done gaffer.Plan, err error) error {
	failed := slices.ContainsFunc(done.Steps, func(s gaffer.Step) bool { return s.Error != "" })
	switch {
	case errors.Is(err, client.ErrNoAnswer):
		return errors.New("no answer; it may still be done")
	case f.noWait && errors.Is(err, context.Canceled):
		return nil
	case errors.Is(err, context.DeadlineExceeded):
		note("not done after %s; it goes on", f.wait)
		return statusError(exitError)
	case err != nil && !failed: // the steps say what they failed of
		return err
	}
	if f.json {
		if err := newScreen(cmd).json(done); err != nil {
			return err
		}
	}
	return wellness(cmd.Context(), c, done)
}

// progress reports the steps of a plan as they are done.
type progress struct {
	*screen
	end      context.CancelFunc
	watching sync.WaitGroup

	// pending are the steps that were not reported yet. They belong to the goroutine
	// that watches, and after that to stop.
	pending map[string]gaffer.Step
}

// done are the events by which a step is known to be done.
var stepDone = map[gaffer.Op]gaffer.Kind{
	gaffer.OpCreate: gaffer.KindCreate,
	gaffer.OpUpdate: gaffer.KindUpdate,
	gaffer.OpRemove: gaffer.KindDelete,
}

// follow watches for what the steps of a plan bring about. Reporting is a comfort:
// where events can't be had, the end says everything.
func (f *sourceFlags) follow(cmd *cobra.Command, c gaffer.Controller, plan gaffer.Plan) *progress {
	ctx, cancel := context.WithCancel(cmd.Context())
	p := &progress{screen: newScreen(cmd), end: cancel, pending: map[string]gaffer.Step{}}
	if f.json {
		return p
	}
	var kinds []gaffer.Kind
	for _, s := range plan.Steps {
		if kind, ok := stepDone[s.Op]; ok {
			p.pending[s.Name] = s
			kinds = append(kinds, kind)
		}
	}
	if len(kinds) == 0 {
		return p
	}
	events, err := c.Subscribe(ctx, gaffer.All, gaffer.EventOptions{Kinds: kinds})
	if err != nil {
		return p
	}
	p.watching.Go(func() {
		defer events.Close()
		for {
			e, err := events.Next(ctx)
			var missed gaffer.Missed
			if errors.As(err, &missed) {
				continue
			}
			if err != nil {
				return
			}
			if s, ok := p.pending[e.Name]; ok && stepDone[s.Op] == e.Kind {
				p.report(s)
			}
		}
	})
	return p
}

// stepWords are what was done.
var stepWords = map[gaffer.Op]string{
	gaffer.OpCreate: "created",
	gaffer.OpUpdate: "updated",
	gaffer.OpRemove: "removed",
}

func (p *progress) report(s gaffer.Step) {
	delete(p.pending, s.Name)
	if s.Error != "" {
		p.paint(s.Name+": not "+stepWords[s.Op]+": "+s.Error, red)
	} else {
		p.paint(s.Name+" "+stepWords[s.Op], green)
	}
	_ = p.WriteByte('\n')
	_ = p.Flush()
}

// stop reports what is left of what was done.
func (p *progress) stop(done gaffer.Plan) {
	p.end()
	p.watching.Wait()
	for _, s := range done.Steps {
		if _, left := p.pending[s.Name]; left || s.Error != "" && stepWords[s.Op] != "" {
			p.report(s)
		}
	}
}
