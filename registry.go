package gaffer

import (
	"context"
	"errors"
	"maps"
	"slices"
)

// What the manager knows of its templates, and the order in which several of
// them are asked. Keepers never ask each other.

// snapshot is all keepers, in the order of definition.
func (m *Manager) snapshot() []*keeper {
	m.mu.Lock()
	defer m.mu.Unlock()
	return slices.Clone(m.order)
}

// register makes a keeper for a new template. It says whether the manager runs.
func (m *Manager) register(r *recipe) (k *keeper, runs bool, err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.phase >= stopping {
		return nil, false, ErrClosed
	}
	if m.keepers[r.Name] != nil {
		return nil, false, conflictf("template %s: the name is taken", r.Name)
	}
	k = newKeeper(m, r)
	m.keepers[r.Name] = k
	m.order = append(m.order, k)
	return k, m.phase == running, nil
}

// forget gives a removed template's name free. Nobody can take it before told has
// said that the template is gone.
func (m *Manager) forget(k *keeper, told func()) {
	m.mu.Lock()
	defer m.mu.Unlock()
	told()
	delete(m.keepers, k.name)
	m.order = slices.DeleteFunc(m.order, func(o *keeper) bool { return o == k })
}

// open says whether anything may still be started.
func (m *Manager) open() error {
	m.mu.Lock()
	defer m.mu.Unlock()
	switch m.phase {
	case running:
		return nil
	case filling:
		return conflictf("manager: it does not run yet")
	}
	return ErrClosed
}

// resolve finds the templates that a target selects. A name, slot or id that
// does not exist, and a group without members, is not found.
func (m *Manager) resolve(target Target) (selection, []*keeper, error) {
	sel, err := target.parse()
	if err != nil {
		return sel, nil, err
	}
	found := m.selected(sel)
	if len(found) == 0 && sel.glob != string(All) {
		return sel, nil, notFoundf("%s: not found", target)
	}
	return sel, found, nil
}

// selected are the keepers of the templates that are selected, or that a selected
// process may belong to, in the order of definition.
func (m *Manager) selected(sel selection) []*keeper {
	m.mu.Lock()
	defer m.mu.Unlock()
	if sel.glob == "" && sel.name != "" {
		if k := m.keepers[sel.name]; k != nil {
			return []*keeper{k}
		}
		return nil
	}
	found := make([]*keeper, 0, len(m.order))
	for _, k := range m.order {
		if sel.template(k.name) {
			found = append(found, k)
		}
	}
	return found
}

// templates resolves a target that must select templates, not a process.
func (m *Manager) templates(target Target) (selection, []*keeper, error) {
	sel, found, err := m.resolve(target)
	if err == nil && sel.one() {
		err = invalidf("%s: selects a process; want a template", target)
	}
	return sel, found, err
}

// process finds the one process that a slot or an id selects, or the only one of
// a template, and runs f in its keeper.
func (m *Manager) process(ctx context.Context, target Target, f func(*keeper, *process) (outcome, error)) error {
	sel, found, err := m.resolve(target)
	if err != nil {
		return err
	}
	for _, k := range found {
		hit := false
		err := k.request(ctx, func() (outcome, error) {
			ps := k.selected(sel)
			switch {
			case len(ps) == 0 && sel.id != 0:
				return outcome{}, nil
			case len(ps) == 0:
				hit = true
				return outcome{}, notFoundf("%s: no process runs there", target)
			case len(ps) > 1 && !sel.one():
				hit = true
				return outcome{}, invalidf("%s: selects %d processes; want one, as %s.1", target, len(ps), k.name)
			}
			hit = true
			return f(k, ps[len(ps)-1])
		})
		if hit || err != nil {
			return err
		}
	}
	return notFoundf("%s: not found", target)
}

// levels cuts keepers into runs of equal priority, lowest first, each in the
// order of definition.
func levels(keepers []*keeper) [][]*keeper {
	byPriority := map[int][]*keeper{}
	for _, k := range keepers {
		p := k.priority()
		byPriority[p] = append(byPriority[p], k)
	}
	var out [][]*keeper
	for _, p := range slices.Sorted(maps.Keys(byPriority)) {
		out = append(out, byPriority[p])
	}
	return out
}

// inOrder asks keepers in the order of start: by priority, lower first; those of
// one priority in the order of definition and without waiting for each other,
// the next priority when all of the one before have answered.
func (m *Manager) inOrder(ctx context.Context, keepers []*keeper, f func(*keeper) (outcome, error)) error {
	var errs []error
	for _, level := range levels(keepers) {
		errs = append(errs, together(ctx, level, f))
	}
	return errors.Join(errs...)
}

// inReverse asks keepers in the reverse of the order of start.
func (m *Manager) inReverse(ctx context.Context, keepers []*keeper, f func(*keeper) (outcome, error)) error {
	var errs []error
	for _, level := range slices.Backward(levels(keepers)) {
		slices.Reverse(level)
		errs = append(errs, together(ctx, level, f))
	}
	return errors.Join(errs...)
}

// together asks keepers one after the other and then waits for all of them.
func together(ctx context.Context, keepers []*keeper, f func(*keeper) (outcome, error)) error {
	errs := make([]error, len(keepers))
	waits := make([]func(context.Context) error, len(keepers))
	changes := make([]*Kept, len(keepers))
	for i, k := range keepers {
		waits[i], changes[i], errs[i] = k.ask(ctx, func() (outcome, error) { return f(k) })
	}
	var unkept error
	if len(keepers) > 0 {
		unkept = keepers[0].m.keep(ctx, changes...)
	}
	// The last one asked answers last, as a rule: who waits for it first need not
	// wake up for each of the others.
	for i, wait := range slices.Backward(waits) {
		if errs[i] == nil {
			errs[i] = wait(ctx)
		}
	}
	return errors.Join(append(errs, unkept)...)
}
