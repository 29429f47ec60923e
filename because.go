package gaffer

import "context"

// What Apps ask for, and say why.

// RestartFor restarts a template for an App: its event says why. One that is stopped
// stays so, one that has failed is tried again. It waits for the new processes.
func (m *Manager) RestartFor(ctx context.Context, name, why string) error {
	k, err := m.named(name)
	if err != nil {
		return err
	}
	return k.request(ctx, func() (outcome, error) {
		if k.intent != up && k.intent != failed {
			return outcome{}, nil
		}
		return k.restartAll(StopFirst, true, why)
	})
}

// ScaleFor changes the wanted number of a template from one number to another for an
// App: the event says why. ErrConflict: the number is another one by now, or the
// template is not wanted. It does not wait for the processes.
func (m *Manager) ScaleFor(ctx context.Context, name string, from, to int, why string) error {
	k, err := m.named(name)
	if err != nil {
		return err
	}
	return k.request(ctx, func() (outcome, error) {
		switch {
		case k.intent != up:
			return outcome{}, conflictf("template %s: it is not started", name)
		case k.count != from:
			return outcome{}, conflictf("template %s: its wanted number is %d, not %d", name, k.count, from)
		}
		_, _, err := k.scale(Change{Op: '=', N: to}, why)
		return outcome{}, err
	})
}

// named is the keeper of a template.
func (m *Manager) named(name string) (*keeper, error) {
	if err := CheckName(name); err != nil {
		return nil, err
	}
	_, found, err := m.resolve(Target(name))
	if err != nil {
		return nil, err
	}
	return found[0], nil
}

// WorkDir is the working directory of a template's processes, in this program's
// environment.
func (t *Template) WorkDir() (string, error) {
	env, err := ownEnvironment()
	if err != nil {
		return "", err
	}
	r, err := looseRecipe(*t, env)
	if err != nil {
		return "", err
	}
	vars, field, err := r.variables(1, 0)
	if err == nil {
		field = "cwd"
		var dir string
		if dir, err = r.workDir(r.lookup(vars)); err == nil {
			return dir, nil
		}
	}
	return "", named(t.Name, &FieldError{field, err})
}
