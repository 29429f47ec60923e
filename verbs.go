package gaffer

import (
	"context"
	"errors"
	"slices"
	"syscall"

	"github.com/gafferpm/gaffer/internal/proc"
)

// Add implements Controller. Before Run it only registers.
func (m *Manager) Add(ctx context.Context, t Template) error {
	r, err := newRecipe(t, m.env)
	if err != nil {
		return err
	}
	if err := m.checkDependencies(ctx, &r.Template); err != nil {
		return err
	}
	untry, err := m.tryToListen(r, r.starts())
	if err != nil {
		return err
	}
	defer untry()
	return m.add(ctx, r, nil)
}

// Load is Add for templates from files and kept state: one that is well formed
// but can't be started just now (its program, directory, user or a variable is
// missing) is not refused but goes to back-off, and says so.
func (m *Manager) Load(ctx context.Context, t Template) error {
	r, err := looseRecipe(t, m.env)
	if err != nil {
		return err
	}
	return m.add(ctx, r, nil)
}

// Define adds a template, or replaces the one of its name, as part of a set that
// CheckDependencies has been asked of: what it depends on need not be there yet. It
// returns when each process was started, was not, or waits; wait waits as Add and Update
// do.
func (m *Manager) Define(ctx context.Context, t Template) (wait func(context.Context) error, err error) {
	r, err := newRecipe(t, m.env)
	if err != nil {
		return nil, err
	}
	m.mu.Lock()
	k := m.keepers[r.Name]
	m.mu.Unlock()
	var a *asked
	var unkept error
	if k == nil {
		a, unkept, err = m.begin(ctx, r, nil)
	} else {
		var kept *Kept
		if a, kept, err = k.ask(ctx, func() (outcome, error) { return k.update(r) }); err == nil {
			unkept = m.keep(ctx, kept)
		}
	}
	if err != nil {
		return nil, err
	}
	// Why it was not done is told when it is waited for.
	_ = a.waitTried(ctx)
	return func(ctx context.Context) error { return errors.Join(unkept, a.wait(ctx)) }, nil
}

// add registers a template, starts it if it is wanted, and waits.
func (m *Manager) add(ctx context.Context, r *recipe, before func(*keeper) (goesOn bool)) error {
	a, unkept, err := m.begin(ctx, r, before)
	if err != nil {
		return err
	}
	return errors.Join(unkept, a.wait(ctx))
}

// begin registers a template and starts it, if it is wanted. before, unless nil,
// says otherwise what is wanted, and whether the template goes on as it was.
func (m *Manager) begin(ctx context.Context, r *recipe, before func(*keeper) (goesOn bool)) (a *asked, unkept, err error) {
	if err := m.checkCycle(&r.Template); err != nil {
		return nil, nil, err
	}
	k, runs, err := m.register(r)
	if err != nil {
		return nil, nil, err
	}
	if logs := m.opts.Logs; logs != nil && r.Logs != nil {
		logs.Bound(r.Name, r.Logs) // also of what does not run
	}
	a, kept, err := k.ask(ctx, func() (outcome, error) {
		if before == nil || !before(k) {
			k.publish(Event{Kind: KindCreate})
		}
		if !runs || !k.wanted {
			return outcome{}, nil
		}
		return k.start()
	})
	if err != nil {
		return nil, nil, err
	}
	return a, m.keep(ctx, kept), nil
}

// Update implements Controller.
func (m *Manager) Update(ctx context.Context, t Template) error {
	r, err := newRecipe(t, m.env)
	if err != nil {
		return err
	}
	_, found, err := m.resolve(Target(r.Name))
	if err != nil {
		return err
	}
	if err := m.checkDependencies(ctx, &r.Template); err != nil {
		return err
	}
	k := found[0]
	untry, err := m.tryToListen(r, len(r.Sockets) > 0 && k.listens())
	if err != nil {
		return err
	}
	defer untry()
	return k.request(ctx, func() (outcome, error) { return k.update(r) })
}

// Remove implements Controller.
func (m *Manager) Remove(ctx context.Context, target Target) error {
	_, found, err := m.templates(target)
	if err == nil {
		err = m.checkNeeded(found)
	}
	if err != nil {
		return err
	}
	return m.inReverse(ctx, found, func(k *keeper) (outcome, error) {
		if k.closing { // it would not be kept any more
			return outcome{}, ErrClosed
		}
		return k.remove(), nil
	})
}

// Start implements Controller.
func (m *Manager) Start(ctx context.Context, target Target) error {
	if err := m.open(); err != nil {
		return err
	}
	_, found, err := m.templates(target)
	if err != nil {
		return err
	}
	return m.withNeeded(ctx, found, (*keeper).start)
}

// Stop implements Controller. A detached template can't be stopped: ErrConflict
// when it is named, passed over when a glob meets it.
func (m *Manager) Stop(ctx context.Context, target Target) error {
	sel, found, err := m.resolve(target)
	switch {
	case err != nil:
		return err
	case sel.one():
		return m.process(ctx, target, func(k *keeper, p *process) (outcome, error) {
			return k.stopOne(p, KindStopPID, "stopped"), nil
		})
	}
	return m.inReverse(ctx, found, func(k *keeper) (outcome, error) {
		switch {
		case k.closing: // it would not be kept any more
			return outcome{}, ErrClosed
		case k.recipe.Detach && sel.exact():
			return outcome{}, conflictf("template %s: it is detached and left alone", k.name)
		}
		return k.stop("stopped"), nil
	})
}

// Restart implements Controller. A template that is named is also started if it
// was stopped; a glob meets only those that are started. A Restart of All
// restarts the apps first.
func (m *Manager) Restart(ctx context.Context, target Target, how RestartMode) error {
	if err := m.open(); err != nil {
		return err
	}
	sel, found, err := m.resolve(target)
	switch {
	case err != nil:
		return err
	case sel.one():
		return m.process(ctx, target, func(k *keeper, p *process) (outcome, error) {
			return k.restartOne(p, how)
		})
	case target == All:
		if err := m.restartApps(ctx); err != nil {
			return err
		}
	}
	return m.inOrder(ctx, found, func(k *keeper) (outcome, error) { return k.restartAll(how, sel.exact(), "") })
}

func (m *Manager) restartApps(ctx context.Context) error {
	m.mu.Lock()
	apps := slices.Clone(m.apps)
	m.mu.Unlock()
	for _, app := range apps {
		if err := app.Restart(ctx); err != nil {
			return err
		}
	}
	return nil
}

// Scale implements Controller.
func (m *Manager) Scale(ctx context.Context, target Target, change Change) (map[string]int, error) {
	if err := change.check(); err != nil {
		return nil, err
	}
	_, found, err := m.templates(target)
	if err != nil {
		return nil, err
	}
	wanted := make(map[string]int, len(found))
	err = m.inOrder(ctx, found, func(k *keeper) (outcome, error) {
		n, o, err := k.scale(change, "")
		if err == nil {
			wanted[k.name] = n
		}
		return o, err
	})
	return wanted, err
}

// Signal implements Controller. ErrConflict: a template is named that runs no
// process, or is detached.
func (m *Manager) Signal(ctx context.Context, target Target, sig Signal) error {
	if sig < 1 || sig > 64 {
		return invalidf("signal %d: want a number from 1 to 64", int(sig))
	}
	sel, found, err := m.resolve(target)
	if err != nil {
		return err
	}
	var errs []error
	sent := 0
	for _, k := range found {
		// It is sent whether or not the caller waits for it.
		_ = k.box.do(context.WithoutCancel(ctx), func() {
			for _, p := range k.selected(sel) {
				if p.os == nil {
					continue
				}
				sent++
				if err := p.os.Signal(syscall.Signal(sig)); err != nil && !errors.Is(err, proc.ErrClosed) {
					errs = append(errs, named(p.name(), err))
				}
			}
		})
	}
	if err := errors.Join(errs...); err != nil || sent > 0 || !sel.exact() {
		return err
	}
	if sel.one() {
		return notFoundf("%s: no process runs there", target)
	}
	if found[0].detaches() {
		return conflictf("template %s: it is detached and left alone", found[0].name)
	}
	return conflictf("%s: no process runs", target)
}

// List implements Controller.
func (m *Manager) List(ctx context.Context, target Target) ([]Info, error) {
	return look(ctx, m, target, func(k *keeper, sel selection) Info {
		return Info{Template: k.recipe.clone(), Status: k.statusOf(sel)}
	})
}

// Status is List without the templates, which takes a fraction of the time.
func (m *Manager) Status(ctx context.Context, target Target) ([]Status, error) {
	return look(ctx, m, target, (*keeper).statusOf)
}

// look asks each template that a target selects.
func look[T any](ctx context.Context, m *Manager, target Target, ask func(*keeper, selection) T) ([]T, error) {
	sel, found, err := m.resolve(target)
	if err != nil {
		return nil, err
	}
	list := make([]T, 0, len(found))
	for _, k := range found {
		err := k.box.do(ctx, func() {
			if k.exists(sel) {
				list = append(list, ask(k, sel))
			}
		})
		if err != nil {
			return nil, err
		}
	}
	if len(list) == 0 && sel.exact() {
		return nil, notFoundf("%s: not found", target)
	}
	return list, nil
}

// Groups implements Controller.
func (m *Manager) Groups(context.Context) ([]Group, error) {
	var groups []Group
	for _, k := range m.snapshot() {
		name := groupOf(k.name)
		if name == "" {
			continue
		}
		i := slices.IndexFunc(groups, func(g Group) bool { return g.Name == name })
		if i < 0 {
			i = len(groups)
			groups = append(groups, Group{Name: name})
		}
		groups[i].Members = append(groups[i].Members, k.name)
	}
	return groups, nil
}
