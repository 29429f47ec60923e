// Package watch restarts or signals the processes of templates when files change that
// they depend on.
package watch

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"reflect"
	"sync"

	"github.com/fsnotify/fsnotify"

	"github.com/gafferpm/gaffer"
)

// Options of an App. The zero value is good.
type Options struct {
	// Logger is told what goes wrong. Default: nothing is logged.
	Logger *slog.Logger
}

// App watches the files of those templates of a manager that have a watch table, while
// they are wanted. Without such a template it costs a subscription.
type App struct {
	log *slog.Logger
	hub hub

	events gaffer.Stream[gaffer.Event]
	cancel context.CancelFunc
	over   sync.WaitGroup
	units  map[string]*unit // by template; the goroutine's of follow once that runs
	begun  bool             // likewise: what is wanted is known
}

var _ gaffer.App = (*App)(nil)

// New makes an App.
func New(o Options) *App {
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	return &App{log: o.Logger, hub: hub{add: (*fsnotify.Watcher).Add}, units: map[string]*unit{}}
}

// manager is what an App asks for.
type manager interface {
	List(context.Context, gaffer.Target) ([]gaffer.Info, error)
	RestartFor(ctx context.Context, name, why string) error
	Signal(context.Context, gaffer.Target, gaffer.Signal) error
	Audit(by, name, message string)
	Begun() <-chan struct{}
}

// Start implements gaffer.App. How the files are is looked at before anything is started
// that has read them.
func (a *App) Start(ctx context.Context, m *gaffer.Manager) error {
	ctx, a.cancel = context.WithCancel(context.WithoutCancel(ctx)) // it goes on until Stop
	events, err := m.Subscribe(ctx, gaffer.All, gaffer.EventOptions{Kinds: []gaffer.Kind{
		gaffer.KindCreate, gaffer.KindUpdate, gaffer.KindDelete, gaffer.KindStart, gaffer.KindStop,
	}})
	if err != nil {
		return err
	}
	a.events = events
	a.consider(ctx, m, gaffer.All)
	a.over.Go(func() { a.follow(ctx, m) })
	return nil
}

// Restart implements gaffer.App. There is nothing to do.
func (a *App) Restart(context.Context) error { return nil }

// Stop implements gaffer.App.
func (a *App) Stop(context.Context) error {
	a.cancel()
	a.events.Close()
	a.over.Wait()
	return nil
}

// follow follows templates that come, change and go.
func (a *App) follow(ctx context.Context, m manager) {
	defer func() {
		for name := range a.units {
			a.end(name)
		}
	}()
	select {
	case <-m.Begun():
	case <-ctx.Done():
		return
	}
	a.begun = true
	a.consider(ctx, m, gaffer.All) // of what just goes on there is no event
	for {
		e, err := a.events.Next(ctx)
		var missed gaffer.Missed
		switch {
		case errors.As(err, &missed):
			a.consider(ctx, m, gaffer.All)
		case errors.Is(err, io.EOF) || err != nil:
			return
		default:
			a.consider(ctx, m, gaffer.Target(e.Name))
		}
	}
}

// consider begins to watch what is to be watched of a target, and ends what is not.
func (a *App) consider(ctx context.Context, m manager, target gaffer.Target) {
	infos, err := m.List(ctx, target)
	if err != nil && !errors.Is(err, gaffer.ErrNotFound) {
		return
	}
	found := map[string]bool{}
	for i := range infos {
		found[infos[i].Template.Name] = true
		a.attend(ctx, m, &infos[i])
	}
	for name := range a.units {
		if !found[name] && target.Matches(name, 0, 0) {
			a.end(name)
		}
	}
}

// attend sees that a template is watched as it says.
func (a *App) attend(ctx context.Context, m manager, info *gaffer.Info) {
	t := &info.Template
	if t.Watch == nil || a.begun && info.Status.State == gaffer.Stopped && info.Status.Active != "active" {
		a.end(t.Name)
		return
	}
	dir, err := t.WorkDir()
	if err != nil {
		a.log.Warn("its files are not watched", "template", t.Name, "reason", err)
		a.end(t.Name)
		return
	}
	if u := a.units[t.Name]; u != nil {
		if u.dir == dir && reflect.DeepEqual(u.watch, t.Watch) {
			return
		}
		a.end(t.Name)
	}
	u := newUnit(a, m, t, dir)
	a.units[t.Name] = u
	u.begin(ctx)
}

func (a *App) end(name string) {
	if u := a.units[name]; u != nil {
		delete(a.units, name)
		u.end()
	}
}
