// Package tend has something going for each template of a manager that wants it, while
// the template is there.
package tend

import (
	"context"
	"errors"
	"slices"
	"sync"

	"github.com/gafferpm/gaffer"
)

// Manager is what a Tender asks for.
type Manager interface {
	Begun() <-chan struct{}
	List(context.Context, gaffer.Target) ([]gaffer.Info, error)
	Subscribe(context.Context, gaffer.Target, gaffer.EventOptions) (gaffer.Stream[gaffer.Event], error)
}

// Unit is what is going on for a template.
type Unit interface {
	comparable
	// Begin begins it. It goes on until End, or ctx ends.
	Begin(ctx context.Context)
	// End ends it, and waits for that.
	End()
}

// Tender follows the templates of a manager. Its fields are set before Start.
type Tender[U Unit] struct {
	// Look returns what a template is to have: has, which is zero when there is none,
	// something else, or zero. It is called by one goroutine at a time.
	Look func(info *gaffer.Info, has U) U
	// Early has Start look, too, before anything is started.
	Early bool

	m      Manager
	cancel context.CancelFunc
	over   sync.WaitGroup
	units  map[string]U // by template; the goroutine's of follow once that runs
}

// mostApart is up to how many templates to which something has happened meanwhile are
// looked at one by one.
const mostApart = 16

// Start follows templates from when the manager has begun. Until then nothing is heard of
// what happens to them.
func (t *Tender[U]) Start(ctx context.Context, m Manager) {
	ctx, t.cancel = context.WithCancel(context.WithoutCancel(ctx)) // it goes on until Stop
	t.m, t.units = m, map[string]U{}
	if t.Early {
		t.consider(ctx, gaffer.All)
	}
	t.over.Go(func() { t.follow(ctx) })
}

// Stop ends all that is going on, and waits for that.
func (t *Tender[U]) Stop() {
	t.cancel()
	t.over.Wait()
}

// Len is how many templates have something going on. It is for when that can't change.
func (t *Tender[U]) Len() int { return len(t.units) }

func (t *Tender[U]) follow(ctx context.Context) {
	defer func() {
		for _, u := range t.units {
			u.End()
		}
		clear(t.units)
	}()
	select {
	case <-t.m.Begun():
	case <-ctx.Done():
		return
	}
	events, err := t.m.Subscribe(ctx, gaffer.All, gaffer.EventOptions{Kinds: []gaffer.Kind{
		gaffer.KindCreate, gaffer.KindUpdate, gaffer.KindDelete, gaffer.KindStart, gaffer.KindStop,
	}})
	if err != nil {
		return // the manager ends
	}
	defer events.Close()
	t.consider(ctx, gaffer.All) // of what just goes on there is no event
	for {
		names, more := next(ctx, events)
		if !more {
			return
		}
		for events.Len() > 0 { // when hundreds are started, they are looked at together
			found, more := next(ctx, events)
			if !more {
				return
			}
			names = append(names, found...)
		}
		t.considerAll(ctx, names)
	}
}

// next waits for something to happen, and says to what. It says whether it has.
func next(ctx context.Context, events gaffer.Stream[gaffer.Event]) (names []string, has bool) {
	e, err := events.Next(ctx)
	var missed gaffer.Missed
	switch {
	case errors.As(err, &missed):
		return []string{everything}, true
	case err != nil:
		return nil, false
	}
	return []string{e.Name}, true
}

// everything is no template's name.
const everything = ""

// considerAll looks at these templates, in that order, or at all.
func (t *Tender[U]) considerAll(ctx context.Context, names []string) {
	if len(names) > mostApart || slices.Contains(names, everything) {
		t.consider(ctx, gaffer.All)
		return
	}
	for i, name := range names {
		if !slices.Contains(names[:i], name) {
			t.consider(ctx, gaffer.Target(name))
		}
	}
}

// consider looks at the templates of a target.
func (t *Tender[U]) consider(ctx context.Context, target gaffer.Target) {
	infos, err := t.m.List(ctx, target)
	if err != nil && !errors.Is(err, gaffer.ErrNotFound) {
		return
	}
	var none U
	found := make(map[string]bool, len(infos))
	for i := range infos {
		name := infos[i].Template.Name
		has := t.units[name]
		found[name] = true
		t.put(ctx, name, has, t.Look(&infos[i], has))
	}
	for name, has := range t.units {
		if !found[name] && target.Matches(name, 0, 0) {
			t.put(ctx, name, has, none)
		}
	}
}

// put has a unit take the place of the one that a template has.
func (t *Tender[U]) put(ctx context.Context, name string, has, u U) {
	var none U
	if u == has {
		return
	}
	if has != none {
		delete(t.units, name)
		has.End()
	}
	if u != none {
		t.units[name] = u
		u.Begin(ctx)
	}
}
