package gaffer

import (
	"context"
	"fmt"
)

// Wanted is a template and what users want of it.
type Wanted struct {
	Template Template `json:"template"`
	Active   bool     `json:"active"` // it should run
	Count    int      `json:"count"`  // how many should, while it is active
	// Previous is what the template was before its latest update; nil: it was never updated.
	Previous *Template `json:"previous,omitempty"`
}

// Store keeps what is wanted, so that it outlives the manager.
type Store interface {
	// Keep is called after something that is wanted has changed and before the one
	// who asked for it is answered. Its error is part of the answer: what was
	// asked for is done, but not kept. It may be called at the same time from
	// several goroutines.
	Keep(ctx context.Context, kept []Kept) error
}

// Kept is what a Store is to keep of one template.
type Kept struct {
	Name string
	// Version grows with every change. What comes with a smaller one than was
	// kept under that name is old and to be passed over.
	Version uint64
	// Wanted is nil when the template was removed.
	Wanted *Wanted
}

// known is what was last given to the Store.
type known struct {
	recipe  *recipe
	active  bool
	count   int
	removed bool
}

// unkept is what the Store is to keep now, nil if nothing has changed.
func (k *keeper) unkept() *Kept {
	now := known{k.recipe, k.active(), k.count, k.removing}
	if k.m.opts.Store == nil || k.closing || now == k.known {
		return nil
	}
	k.known = now
	kept := &Kept{Name: k.name, Version: k.m.version.Add(1)}
	if !k.removing {
		kept.Wanted = &Wanted{Template: k.recipe.clone(), Active: now.active, Count: k.count}
		if k.previous != nil {
			kept.Wanted.Previous = new(k.previous.clone())
		}
	}
	return kept
}

// active says whether users want the template to run.
func (k *keeper) active() bool {
	switch k.intent {
	case fresh:
		return k.wanted
	case down:
		return false
	}
	return true // also when it has failed, which nobody wanted
}

// keep gives changes to the Store; those that are nil are none. What it can't keep
// is offered again with the next request.
func (m *Manager) keep(ctx context.Context, changes ...*Kept) error {
	var list []Kept
	for _, c := range changes {
		if c != nil {
			list = append(list, *c)
		}
	}
	if len(list) == 0 {
		return nil
	}
	err := m.opts.Store.Keep(context.WithoutCancel(ctx), list)
	if err == nil {
		return nil
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, c := range list {
		if k := m.keepers[c.Name]; k != nil {
			k.box.post(func() { k.known = known{} })
		}
	}
	return fmt.Errorf("done, but not kept: %w", err)
}

// Restore is Load for what a Store has kept: the template is active, and has the
// wanted number, as it was. The Store is not told.
func (m *Manager) Restore(ctx context.Context, w Wanted) error {
	if w.Count < 0 || w.Count > MaxProcesses {
		return invalidf("template %s: %d processes: want 0 to %d", w.Template.Name, w.Count, MaxProcesses)
	}
	r, err := looseRecipe(w.Template, m.env)
	if err != nil {
		return err
	}
	if err := checkPorts(r.Name, r.Port, w.Count); err != nil {
		return err
	}
	var previous *recipe
	if w.Previous != nil {
		// What is of no use any more is nothing to go back to.
		previous, _ = looseRecipe(*w.Previous, m.env)
	}
	return m.add(ctx, r, func(k *keeper) bool {
		k.wanted, k.count, k.previous = w.Active, w.Count, previous
		k.known = known{recipe: r, active: w.Active, count: w.Count}
		return k.recall(m.opts.Resume) && m.opts.Resume
	})
}
