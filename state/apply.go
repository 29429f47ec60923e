package state

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"

	"github.com/gafferpm/gaffer"
)

// execution is the doing of a plan.
type execution struct {
	*configurator
	ctx context.Context
}

// execute does what a plan says: removals in the reverse of the order of start,
// then the rest in that order. Those of one priority are done together, but that
// templates are created one after the other, as they are defined, and each is removed
// after those that depend on it. Each change has its error then; that of all is returned.
func (c *configurator) execute(ctx context.Context, p *plan) error {
	e := &execution{configurator: c, ctx: ctx}
	for _, level := range slices.Backward(byDependency(p.changes)) {
		together(level, e.remove)
	}
	for _, level := range byPriority(p.changes, gaffer.OpCreate, gaffer.OpUpdate, gaffer.OpKeep) {
		for _, ch := range level {
			if ch.step.Op == gaffer.OpCreate {
				ch.fail(e.create(ch))
			}
		}
		together(slices.DeleteFunc(level, func(ch *change) bool { return ch.step.Op == gaffer.OpCreate }), e.update)
	}
	together(p.changes, e.settle)
	var errs []error
	for _, ch := range p.changes {
		if ch.step.Op == gaffer.OpConflict {
			ch.fail(conflictf("template %s: %s", ch.step.Name, ch.step.Message))
		}
		errs = append(errs, ch.err)
	}
	return errors.Join(append(errs, c.s.define(p.changes))...)
}

// byPriority are the changes of some sorts, in the order of start.
func byPriority(changes []*change, ops ...gaffer.Op) [][]*change {
	var list []*change
	for _, ch := range changes {
		if slices.Contains(ops, ch.step.Op) {
			list = append(list, ch)
		}
	}
	priority := func(ch *change) int { return ch.now.template.Priority }
	slices.SortStableFunc(list, func(a, b *change) int { return cmp.Compare(priority(a), priority(b)) })
	var levels [][]*change
	for len(list) > 0 {
		n := 1
		for n < len(list) && priority(list[n]) == priority(list[0]) {
			n++
		}
		levels, list = append(levels, list[:n:n]), list[n:]
	}
	return levels
}

// byDependency are the removals, in the order of start: what others depend on first.
func byDependency(changes []*change) [][]*change {
	byName := map[string]*change{}
	var templates []gaffer.Template
	for _, ch := range changes {
		if ch.step.Op == gaffer.OpRemove {
			byName[ch.step.Name] = ch
			templates = append(templates, *ch.now.template)
		}
	}
	var levels [][]*change
	for _, layer := range gaffer.InDependencyOrder(templates) {
		list := make([]*change, len(layer))
		for i, t := range layer {
			list[i] = byName[t.Name]
		}
		levels = append(levels, byPriority(list, gaffer.OpRemove)...)
	}
	return levels
}

// together does changes that need not wait for each other.
func together(changes []*change, do func(*change) error) {
	var wg sync.WaitGroup
	for _, ch := range changes {
		wg.Go(func() { ch.fail(do(ch)) })
	}
	wg.Wait()
}

// fail notes the error of a change.
func (ch *change) fail(err error) {
	if err != nil {
		ch.err, ch.step.Error = err, err.Error()
	}
}

func (e *execution) remove(ch *change) error {
	err := e.m.Remove(e.ctx, gaffer.Target(ch.step.Name))
	if errors.Is(err, gaffer.ErrNotFound) {
		return nil // somebody was quicker
	}
	return err
}

// create adds a template. One that had been changed at run time is so again.
func (e *execution) create(ch *change) error {
	t := ch.now.template
	add := func() (err error) {
		ch.wait, err = e.m.Define(e.ctx, *t)
		return err
	}
	return e.do(ch, append([]func() error{add}, e.wants(ch, count(t), starts(t) || t.Detach)...))
}

// settle waits for what was created.
func (e *execution) settle(ch *change) error {
	if ch.wait == nil || ch.err != nil {
		return nil
	}
	return ch.wait(e.ctx)
}

// update does what is needed to make the template, and what is wanted of it, that
// of the outcome.
func (e *execution) update(ch *change) error {
	t := ch.now.template
	var asks []func() error
	if ch.update {
		asks = append(asks, func() error {
			wait, err := e.m.Define(e.ctx, *t)
			if err != nil {
				return err
			}
			return wait(e.ctx)
		})
	}
	if ch.was == nil {
		return e.do(ch, asks)
	}
	n := ch.was.Count
	if ch.update && count(t) != count(ch.was.Template) {
		n = count(t) // the manager follows the template
	}
	return e.do(ch, append(asks, e.wants(ch, n, ch.was.Active)...))
}

// wants are what is to be asked so that a template's number and activity become
// those of the outcome.
func (e *execution) wants(ch *change, n int, active bool) (asks []func() error) {
	name := gaffer.Target(ch.step.Name)
	if ch.now.count != n {
		asks = append(asks, func() error {
			_, err := e.m.Scale(e.ctx, name, gaffer.Change{Op: '=', N: ch.now.count})
			return err
		})
	}
	switch {
	case ch.now.active == active || ch.now.template.Detach:
	case ch.now.active:
		asks = append(asks, func() error { return e.m.Start(e.ctx, name) })
	default:
		asks = append(asks, func() error { return e.m.Stop(e.ctx, name) })
	}
	return asks
}

// do asks the manager one thing after the other. With the last one, what is then
// kept of the template is recorded together with what the source says, so that no
// crash can part them.
func (e *execution) do(ch *change, asks []func() error) error {
	for i, ask := range asks {
		if i == len(asks)-1 {
			defer e.s.expect(ch)()
		}
		if err := ask(); err != nil {
			return err
		}
	}
	return nil
}

// expect says what is about to be kept of a template, until the returned function
// is called.
func (s *State) expect(ch *change) (over func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.coming[ch.step.Name] = definition{source: ch.source, file: ch.file, forced: ch.now.template}
	return func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		delete(s.coming, ch.step.Name)
	}
}

// define records what sources say where nothing else has changed, and the order in
// which they say it.
func (s *State) define(changes []*change) error {
	s.mu.Lock()
	var orders []uint64
	var defined []*record
	for _, ch := range changes {
		r := s.records[ch.step.Name]
		switch {
		case r == nil || ch.err != nil || ch.step.Op == gaffer.OpConflict:
		case ch.step.Op == gaffer.OpRemove:
			if r == ch.was { // the manager did not have it
				delete(s.records, r.name)
				s.unsaved[r.name] = true
			}
		default:
			c := *r
			c.Source, c.File = ch.source, ch.file
			c.share()
			orders, defined = append(orders, r.Order), append(defined, &c)
		}
	}
	slices.Sort(orders)
	for i, c := range defined {
		c.Order = orders[i]
		s.replace(c)
	}
	s.mu.Unlock()
	if err := s.save(); err != nil {
		return fmt.Errorf("sources: done, but not kept: %w", err)
	}
	return nil
}
