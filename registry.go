package gaffer

import (
	"cmp"
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
	m.graph.registered(k.name, true)
	m.learn(k, r.DependsOn)
	return k, m.phase == running, nil
}

// learn notes what a template needs, and has that tell how it is. m.mu is held.
func (m *Manager) learn(k *keeper, needs map[string]Condition) {
	m.graph.learn(k, needs)
	for name := range needs {
		if on := m.keepers[name]; on != nil {
			on.box.post(func() {}) // which has it look at itself
		}
	}
}

// forget gives a removed template's name free. Nobody can take it before told has
// said that the template is gone.
func (m *Manager) forget(k *keeper, told func()) {
	m.mu.Lock()
	defer m.mu.Unlock()
	told()
	m.graph.learn(k, nil)
	m.graph.registered(k.name, false)
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

// place is where a template is in the order of start.
type place struct{ priority, rank int }

// levels cuts keepers into runs that are asked without waiting for each other, the first
// one first, each in the order of definition: by priority, lower first, and with ranked
// also by what they depend on. A template's priority is never lower than that of one that
// it depends on.
func (m *Manager) levels(keepers []*keeper, ranked bool) [][]*keeper {
	byPlace := map[place][]*keeper{}
	ranks, priorities := m.graph.ranks(), m.priorities(keepers)
	for _, k := range keepers {
		at := place{priority: priorities[k.name]}
		if ranked {
			at.rank = ranks[k.name]
		}
		byPlace[at] = append(byPlace[at], k)
	}
	var out [][]*keeper
	for _, at := range slices.SortedFunc(maps.Keys(byPlace), func(a, b place) int {
		return cmp.Or(cmp.Compare(a.priority, b.priority), cmp.Compare(a.rank, b.rank))
	}) {
		out = append(out, byPlace[at])
	}
	return out
}

// priorities are those of templates, raised to those of what they depend on.
func (m *Manager) priorities(keepers []*keeper) map[string]int {
	own := make(map[string]int, len(keepers))
	for _, k := range keepers {
		own[k.name] = k.priority()
	}
	m.graph.mu.Lock()
	needs := maps.Clone(m.graph.needs)
	m.graph.mu.Unlock()
	if len(needs) == 0 {
		return own
	}
	for _, k := range m.snapshot() {
		if _, known := own[k.name]; !known {
			own[k.name] = k.priority()
		}
	}
	ranks := m.graph.ranks()
	names := slices.SortedFunc(maps.Keys(needs), func(a, b string) int { return cmp.Compare(ranks[a], ranks[b]) })
	for _, name := range names {
		for on := range needs[name] {
			if p, there := own[on]; there {
				own[name] = max(own[name], p)
			}
		}
	}
	return own
}

// inOrder asks keepers in the order of start: by priority, lower first; those of
// one priority in the order of definition and without waiting for each other,
// the next priority when all of the one before were tried. What waits for what it
// depends on does so by itself. In the end it waits for all.
func (m *Manager) inOrder(ctx context.Context, keepers []*keeper, f func(*keeper) (outcome, error)) error {
	list, err := m.askInOrder(ctx, keepers, f)
	return errors.Join(err, waitForAll(ctx, list))
}

// askInOrder is inOrder that does not wait in the end.
func (m *Manager) askInOrder(ctx context.Context, keepers []*keeper, f func(*keeper) (outcome, error)) ([]*asked, error) {
	var errs []error
	var all []*asked
	for _, level := range m.levels(keepers, false) {
		list, err := askAll(ctx, level, f)
		errs = append(errs, err)
		for _, a := range slices.Backward(list) {
			// Why it was not done is told when it is waited for in the end.
			_ = a.waitTried(ctx)
		}
		all = append(all, list...)
	}
	return all, errors.Join(errs...)
}

// inReverse asks keepers in the reverse of the order of start, and each after those that
// depend on it.
func (m *Manager) inReverse(ctx context.Context, keepers []*keeper, f func(*keeper) (outcome, error)) error {
	levels := m.levels(keepers, true)
	if len(levels) < 2 || ctx.Done() == nil {
		return m.inTurn(ctx, levels, f)
	}
	done := make(chan error, 1)
	go func() { done <- m.inTurn(context.WithoutCancel(ctx), levels, f) }() // the order is kept also for who does not wait
	select {
	case err := <-done:
		return err
	case <-ctx.Done():
		return ctx.Err()
	}
}

// inTurn asks one level after the other, the last one first, and waits for each.
func (m *Manager) inTurn(ctx context.Context, levels [][]*keeper, f func(*keeper) (outcome, error)) error {
	var errs []error
	for _, level := range slices.Backward(levels) {
		slices.Reverse(level)
		list, err := askAll(ctx, level, f)
		errs = append(errs, err, waitForAll(ctx, list))
	}
	return errors.Join(errs...)
}

// askAll asks keepers one after the other, and has kept what they are to keep. Who has
// refused is not among those that are to be waited for.
func askAll(ctx context.Context, keepers []*keeper, f func(*keeper) (outcome, error)) ([]*asked, error) {
	list := make([]*asked, 0, len(keepers))
	changes := make([]*Kept, len(keepers))
	var errs []error
	for i, k := range keepers {
		a, kept, err := k.ask(ctx, func() (outcome, error) { return f(k) })
		if err != nil {
			errs = append(errs, err)
			continue
		}
		list, changes[i] = append(list, a), kept
	}
	if len(keepers) > 0 {
		errs = append(errs, keepers[0].m.keep(ctx, changes...))
	}
	return list, errors.Join(errs...)
}

// waitForAll waits until all is as it was asked to be. The last one asked answers last, as
// a rule: who waits for it first need not wake up for each of the others.
func waitForAll(ctx context.Context, list []*asked) error {
	errs := make([]error, len(list))
	for i, a := range slices.Backward(list) {
		errs[i] = a.wait(ctx)
	}
	return errors.Join(errs...)
}
