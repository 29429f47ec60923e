package client_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/gafferpm/gaffer"
	"github.com/gafferpm/gaffer/api"
	"github.com/gafferpm/gaffer/client"
)

// planner is a Configurator that says what it was made to say.
type planner struct {
	plan    gaffer.Plan
	origins []gaffer.Origin
	err     error
	asked   chan gaffer.Desired // of Apply
	waits   bool                // Apply waits as long as it may
}

func (p *planner) Plan(_ context.Context, d gaffer.Desired) (gaffer.Plan, error) {
	out := p.plan
	out.Source = d.Source
	return out, p.err
}

func (p *planner) Apply(ctx context.Context, d gaffer.Desired) (gaffer.Plan, error) {
	p.asked <- d
	if p.waits {
		<-ctx.Done()
		return gaffer.Plan{}, ctx.Err()
	}
	return p.Plan(ctx, d)
}

func (p *planner) Reload(ctx context.Context) (gaffer.Plan, error) {
	return p.Plan(ctx, gaffer.Desired{Source: "/its/own"})
}

func (p *planner) Origins(context.Context, gaffer.Target) ([]gaffer.Origin, error) {
	return p.origins, p.err
}

func withPlanner(t *testing.T, p *planner) *client.Client {
	t.Helper()
	p.asked = make(chan gaffer.Desired, 10)
	return newDaemon(t, func(o *api.Options) { o.Config = p }).overUnix(t)
}

func TestPlansComeAsTheyAre(t *testing.T) {
	want := gaffer.Plan{Source: "/x/gaffer.toml", Digest: "abc", Steps: []gaffer.Step{
		{Op: gaffer.OpRemove, Name: "old"},
		{Op: gaffer.OpUpdate, Name: "web", Restart: true, Fields: []gaffer.FieldChange{{Field: "cmd", Old: `"a"`, New: `"b"`, Restart: true}}},
		{Op: gaffer.OpKeep, Name: "db", Message: "numprocesses is overridden"},
	}}
	origins := []gaffer.Origin{{
		Name: "web", Source: "/x/gaffer.toml", Template: dummy("web", true),
		Overrides: []gaffer.Override{{Field: "numprocesses", Value: "3", Base: "1"}},
	}}
	p := &planner{plan: want, origins: origins}
	c := withPlanner(t, p)
	desired := gaffer.Desired{Source: "/x/gaffer.toml", Templates: []gaffer.Template{dummy("web", true)}, Adopt: true, Expect: "abc"}
	got, err := c.Plan(t.Context(), desired)
	if d := cmp.Diff(want, got); d != "" || err != nil {
		t.Errorf("Plan: %v\n%s", err, d)
	}
	got, err = c.Apply(t.Context(), desired)
	if d := cmp.Diff(want, got); d != "" || err != nil {
		t.Errorf("Apply: %v\n%s", err, d)
	}
	if d := cmp.Diff(desired, <-p.asked); d != "" {
		t.Errorf("what was asked for\n%s", d)
	}
	want.Source = "/its/own"
	got, err = c.Reload(t.Context())
	if d := cmp.Diff(want, got); d != "" || err != nil {
		t.Errorf("Reload: %v\n%s", err, d)
	}
	there, err := c.Origins(t.Context(), "web")
	if d := cmp.Diff(origins, there); d != "" || err != nil {
		t.Errorf("Origins: %v\n%s", err, d)
	}
}

func TestStepsThatFailedAreTheError(t *testing.T) {
	c := withPlanner(t, &planner{err: errors.New("web: no such program"), plan: gaffer.Plan{Steps: []gaffer.Step{
		{Op: gaffer.OpCreate, Name: "web", Error: "web: no such program"}, {Op: gaffer.OpCreate, Name: "db"},
	}}})
	got, err := c.Apply(t.Context(), gaffer.Desired{Source: "/x"})
	if len(got.Steps) != 2 || err == nil || err.Error() != "web: no such program" {
		t.Errorf("%+v and %v", got, err)
	}
}

func TestPlanThatIsRefused(t *testing.T) {
	c := withPlanner(t, &planner{err: gaffer.ErrConflict})
	_, err := c.Apply(t.Context(), gaffer.Desired{Source: "/x"})
	wantErr(t, err, gaffer.ErrConflict)
	_, err = c.Plan(t.Context(), gaffer.Desired{Source: "/x"})
	wantErr(t, err, gaffer.ErrConflict)
}

func TestApplyWaitsAsLongAsItsContext(t *testing.T) {
	p := &planner{waits: true}
	c := withPlanner(t, p)
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	_, err := c.Apply(ctx, gaffer.Desired{Source: "/x"})
	wantErr(t, err, context.DeadlineExceeded)
	if len(p.asked) != 1 {
		t.Errorf("asked %d times", len(p.asked))
	}
}
