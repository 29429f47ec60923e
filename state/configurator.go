package state

import (
	"context"
	"slices"

	"github.com/gafferpm/gaffer"
)

// RunTime is the Source of templates that no source defines.
const RunTime = "run time"

// Reader reads a daemon's own files. It returns all that they define, or an error.
type Reader func(ctx context.Context) ([]gaffer.Desired, error)

// manager is what is asked of a gaffer.Manager.
type manager interface {
	Define(ctx context.Context, t gaffer.Template) (wait func(context.Context) error, err error)
	Remove(ctx context.Context, target gaffer.Target) error
	Start(ctx context.Context, target gaffer.Target) error
	Stop(ctx context.Context, target gaffer.Target) error
	Scale(ctx context.Context, target gaffer.Target, change gaffer.Change) (map[string]int, error)
	List(ctx context.Context, target gaffer.Target) ([]gaffer.Info, error)
	Preview(ctx context.Context, t gaffer.Template) (gaffer.Step, error)
}

var (
	_ manager             = (*gaffer.Manager)(nil)
	_ gaffer.Configurator = (*configurator)(nil)
)

// Configurator plans and applies for a manager whose Store is s. read is what
// Reload applies, and what a Desired without a Source stands for; nil reads nothing.
func (s *State) Configurator(m *gaffer.Manager, read Reader) gaffer.Configurator {
	return &configurator{s: s, m: m, read: read}
}

// configurator is a gaffer.Configurator. It has no state of its own: one that is
// applying has s.applying.
type configurator struct {
	s    *State
	m    manager
	read Reader
}

// Plan implements gaffer.Configurator. A Desired without anything stands for all
// that the daemon's own files define, for Plan as for Apply.
func (c *configurator) Plan(ctx context.Context, d gaffer.Desired) (gaffer.Plan, error) {
	desired, err := c.sources(ctx, d)
	if err != nil {
		return gaffer.Plan{}, err
	}
	p, err := c.plan(context.WithoutCancel(ctx), desired)
	if err != nil {
		return gaffer.Plan{}, err
	}
	return p.public(), nil
}

// Apply implements gaffer.Configurator. What is begun is done whether or not ctx
// lasts; when it ends, the plan is returned as it was, with the context's error.
// One is applied at a time, the others wait. ErrConflict: ctx has ended while
// another one was still being applied; nothing was done.
func (c *configurator) Apply(ctx context.Context, d gaffer.Desired) (gaffer.Plan, error) {
	if err := c.s.begin(ctx); err != nil {
		return gaffer.Plan{}, err
	}
	// Nobody applies anything while files are read, so that of two reloads the
	// later one applies what is the latest.
	desired, err := c.sources(ctx, d)
	if err != nil {
		c.s.end()
		return gaffer.Plan{}, err
	}
	return c.applyAll(ctx, desired, d.Expect)
}

// sources are what is to be planned or applied: one source, or all of the daemon's
// own files where it has no name.
func (c *configurator) sources(ctx context.Context, d gaffer.Desired) ([]gaffer.Desired, error) {
	if d.Source != "" || len(d.Templates) > 0 || c.read == nil {
		return []gaffer.Desired{d}, nil
	}
	files, err := c.read(context.WithoutCancel(ctx))
	desired := slices.Clone(files) // they are the reader's
	for i := range desired {
		desired[i].Adopt, desired[i].Reset = d.Adopt, d.Reset
	}
	return desired, err
}

// Reload implements gaffer.Configurator.
func (c *configurator) Reload(ctx context.Context) (gaffer.Plan, error) {
	if c.read == nil {
		return gaffer.Plan{}, nil
	}
	return c.Apply(ctx, gaffer.Desired{})
}

// applyAll plans and applies; who calls it has begun. It ends it.
func (c *configurator) applyAll(ctx context.Context, desired []gaffer.Desired, expect string) (gaffer.Plan, error) {
	p, err := c.plan(context.WithoutCancel(ctx), desired)
	if err != nil {
		c.s.end()
		return gaffer.Plan{}, err
	}
	before := p.public()
	if expect != "" && expect != before.Digest {
		c.s.end()
		return gaffer.Plan{}, conflictf("plan: it is not the expected one any more: %s, want %s", before.Digest, expect)
	}
	done := make(chan error, 1)
	go func() {
		err := c.execute(context.WithoutCancel(ctx), p)
		c.s.end() // before anyone hears that it is over
		done <- err
	}()
	select {
	case err := <-done:
		after := p.public()
		after.Digest = before.Digest
		return after, err
	case <-ctx.Done():
		return before, ctx.Err()
	}
}

// Origins implements gaffer.Configurator.
func (c *configurator) Origins(ctx context.Context, target gaffer.Target) ([]gaffer.Origin, error) {
	infos, err := c.m.List(ctx, target)
	if err != nil {
		return nil, err
	}
	c.s.mu.Lock()
	defer c.s.mu.Unlock()
	list := make([]gaffer.Origin, 0, len(infos))
	for _, info := range infos {
		o := gaffer.Origin{Name: info.Template.Name, Source: RunTime, Template: info.Template}
		if r := c.s.records[o.Name]; r != nil && r.File != nil {
			o.Source = r.Source
			o.Overrides = overrides(r.File, r.Template, r.Active, r.Count)
		}
		list = append(list, o)
	}
	return list, nil
}

// begin waits until nothing else is being applied.
func (s *State) begin(ctx context.Context) error {
	select {
	case s.applying <- struct{}{}:
		return nil
	default:
	}
	select {
	case s.applying <- struct{}{}:
		return nil
	case <-ctx.Done():
		return conflictf("apply: another one has not ended yet; nothing was done")
	}
}

func (s *State) end() { <-s.applying }
