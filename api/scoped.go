package api

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/gafferpm/gaffer"
	"github.com/gafferpm/gaffer/api/internal/feed"
)

// scoped is a Controller for a caller that may touch only the templates of one
// target. What is asked of a wider target is answered of the templates in scope;
// to change something, a target has to be in scope as a whole.
type scoped struct {
	gaffer.Controller
	scope gaffer.Target // selects templates, not processes
}

func outside(t, scope gaffer.Target) error {
	return fmt.Errorf("%s: not within %s, to which the key is narrowed: %w", t, scope, ErrForbidden)
}

// within says whether all that a target selects is in scope. It matches the
// target as it is written: a star in it is matched by a star only.
func within(t, scope gaffer.Target) bool {
	return scope == gaffer.All || scope == t || scope.Matches(templateOf(t), 0, 0)
}

// templateOf cuts the slot off.
func templateOf(t gaffer.Target) string {
	for i := range len(t) {
		if t[i] == '.' {
			return string(t[:i])
		}
	}
	return string(t)
}

func isID(t gaffer.Target) bool { return t != "" && t[0] >= '0' && t[0] <= '9' }

// wholly returns an error unless all that the target selects is in scope.
func (s *scoped) wholly(ctx context.Context, t gaffer.Target) error {
	if err := t.Check(); err != nil {
		return err
	}
	if !isID(t) {
		if within(t, s.scope) {
			return nil
		}
		return outside(t, s.scope)
	}
	// A context that has ended says that nobody waits, not that nobody asks.
	list, err := s.Controller.List(context.WithoutCancel(ctx), t)
	if err != nil {
		return err
	}
	for i := range list {
		if !within(gaffer.Target(list[i].Status.Name), s.scope) {
			return outside(t, s.scope)
		}
	}
	return nil
}

// narrow is what to ask for when a target is looked at: the target itself if it
// is in scope, the scope if the target is wider.
func (s *scoped) narrow(ctx context.Context, t gaffer.Target) (gaffer.Target, error) {
	err := s.wholly(ctx, t)
	if err != nil && t.Check() == nil && !isID(t) && within(s.scope, t) {
		return s.scope, nil
	}
	return t, err
}

func (s *scoped) Add(ctx context.Context, t gaffer.Template) error {
	if err := s.wholly(ctx, gaffer.Target(t.Name)); err != nil {
		return err
	}
	return s.Controller.Add(ctx, t)
}

func (s *scoped) Update(ctx context.Context, t gaffer.Template) error {
	if err := s.wholly(ctx, gaffer.Target(t.Name)); err != nil {
		return err
	}
	return s.Controller.Update(ctx, t)
}

func (s *scoped) Remove(ctx context.Context, t gaffer.Target) error {
	if err := s.wholly(ctx, t); err != nil {
		return err
	}
	return s.Controller.Remove(ctx, t)
}

func (s *scoped) Start(ctx context.Context, t gaffer.Target) error {
	if err := s.wholly(ctx, t); err != nil {
		return err
	}
	return s.Controller.Start(ctx, t)
}

func (s *scoped) Stop(ctx context.Context, t gaffer.Target) error {
	if err := s.wholly(ctx, t); err != nil {
		return err
	}
	return s.Controller.Stop(ctx, t)
}

func (s *scoped) Restart(ctx context.Context, t gaffer.Target, how gaffer.RestartMode) error {
	if err := s.wholly(ctx, t); err != nil {
		return err
	}
	return s.Controller.Restart(ctx, t, how)
}

func (s *scoped) Undo(ctx context.Context, t gaffer.Target) error {
	if err := s.wholly(ctx, t); err != nil {
		return err
	}
	return s.Controller.Undo(ctx, t)
}

func (s *scoped) RunNow(ctx context.Context, t gaffer.Target) error {
	if err := s.wholly(ctx, t); err != nil {
		return err
	}
	return s.Controller.RunNow(ctx, t)
}

func (s *scoped) Scale(ctx context.Context, t gaffer.Target, change gaffer.Change) (map[string]int, error) {
	if err := s.wholly(ctx, t); err != nil {
		return nil, err
	}
	return s.Controller.Scale(ctx, t, change)
}

func (s *scoped) Signal(ctx context.Context, t gaffer.Target, sig gaffer.Signal) error {
	if err := s.wholly(ctx, t); err != nil {
		return err
	}
	return s.Controller.Signal(ctx, t, sig)
}

func (s *scoped) Write(ctx context.Context, t gaffer.Target, label string, data []byte) error {
	if err := s.wholly(ctx, t); err != nil {
		return err
	}
	return s.Controller.Write(ctx, t, label, data)
}

func (s *scoped) List(ctx context.Context, t gaffer.Target) ([]gaffer.Info, error) {
	asked, err := s.narrow(ctx, t)
	if err != nil {
		return nil, err
	}
	list, err := s.Controller.List(ctx, asked)
	if asked != t && errors.Is(err, gaffer.ErrNotFound) {
		return nil, nil // of all there are, none is in scope
	}
	return list, err
}

func (s *scoped) Groups(ctx context.Context) ([]gaffer.Group, error) {
	groups, err := s.Controller.Groups(ctx)
	if err != nil {
		return nil, err
	}
	var out []gaffer.Group
	for _, g := range groups {
		g.Members = slices.DeleteFunc(slices.Clone(g.Members), func(name string) bool {
			return !within(gaffer.Target(name), s.scope)
		})
		if len(g.Members) > 0 {
			out = append(out, g)
		}
	}
	return out, nil
}

func (s *scoped) History(ctx context.Context, t gaffer.Target) ([]gaffer.Event, error) {
	asked, err := s.narrow(ctx, t)
	if err != nil {
		return nil, err
	}
	list, err := s.Controller.History(ctx, asked)
	if asked != t && errors.Is(err, gaffer.ErrNotFound) {
		return nil, nil // of all there are, none is in scope
	}
	return list, err
}

func (s *scoped) Stats(ctx context.Context, t gaffer.Target) ([]gaffer.Stats, error) {
	asked, err := s.narrow(ctx, t)
	if err != nil {
		return nil, err
	}
	list, err := s.Controller.Stats(ctx, asked)
	if asked != t && errors.Is(err, gaffer.ErrNotFound) {
		return nil, nil // of all there are, none is in scope
	}
	return list, err
}

func (s *scoped) Monitor(ctx context.Context, t gaffer.Target, interval time.Duration) (gaffer.Stream[[]gaffer.Stats], error) {
	t, err := s.narrow(ctx, t)
	if err != nil {
		return nil, err
	}
	return s.Controller.Monitor(ctx, t, interval)
}

func (s *scoped) Subscribe(ctx context.Context, t gaffer.Target, how gaffer.EventOptions) (gaffer.Stream[gaffer.Event], error) {
	t, err := s.narrow(ctx, t)
	if err != nil {
		return nil, err
	}
	return s.Controller.Subscribe(ctx, t, how)
}

// Latest is what feed.Latest looks for: the number of whichever event, for looking
// for one that is in scope would read all there are.
func (s *scoped) Latest(ctx context.Context) (uint64, error) { return feed.Latest(ctx, s.Controller) }

func (s *scoped) Output(ctx context.Context, t gaffer.Target, how gaffer.OutputOptions) (gaffer.Stream[gaffer.Output], error) {
	t, err := s.narrow(ctx, t)
	if err != nil {
		return nil, err
	}
	return s.Controller.Output(ctx, t, how)
}
