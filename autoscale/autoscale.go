// Package autoscale changes the number of a template's processes with what there is to
// do, within the bounds that its scale table sets.
package autoscale

import (
	"context"
	"errors"
	"log/slog"
	"reflect"
	"sync"
	"time"

	"github.com/gafferpm/gaffer"
)

// By is who the events say it was.
const By = "autoscale"

// Options of an App. The zero value is good.
type Options struct {
	// Logger is told what goes wrong. Default: nothing is logged.
	Logger *slog.Logger
}

// App scales those templates of a manager that have a scale table, while they are
// wanted. Without such a template it costs a subscription.
type App struct {
	log *slog.Logger

	events gaffer.Stream[gaffer.Event]
	cancel context.CancelFunc
	over   sync.WaitGroup
	units  map[string]*unit // by template; they belong to the goroutine of follow
}

var _ gaffer.App = (*App)(nil)

// New makes an App.
func New(o Options) *App {
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	return &App{log: o.Logger, units: map[string]*unit{}}
}

// manager is what an App asks for.
type manager interface {
	List(context.Context, gaffer.Target) ([]gaffer.Info, error)
	Monitor(context.Context, gaffer.Target, time.Duration) (gaffer.Stream[[]gaffer.Stats], error)
	Ask(ctx context.Context, name, script string) (string, error)
	ScaleFor(ctx context.Context, name string, from, to int, why string) error
	Audit(by, name, message string)
	Begun() <-chan struct{}
}

// Start implements gaffer.App.
func (a *App) Start(ctx context.Context, m *gaffer.Manager) error {
	ctx, a.cancel = context.WithCancel(context.WithoutCancel(ctx)) // it goes on until Stop
	events, err := m.Subscribe(ctx, gaffer.All, gaffer.EventOptions{Kinds: []gaffer.Kind{
		gaffer.KindCreate, gaffer.KindUpdate, gaffer.KindDelete, gaffer.KindStart, gaffer.KindStop,
	}})
	if err != nil {
		return err
	}
	a.events = events
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
	a.consider(ctx, m, gaffer.All)
	for {
		e, err := a.events.Next(ctx)
		var missed gaffer.Missed
		switch {
		case errors.As(err, &missed):
			a.consider(ctx, m, gaffer.All)
		case err != nil:
			return
		default:
			a.consider(ctx, m, gaffer.Target(e.Name))
		}
	}
}

// consider begins to scale what is to be scaled of a target, and ends what is not.
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

// attend sees that a template is scaled as it says.
func (a *App) attend(ctx context.Context, m manager, info *gaffer.Info) {
	t := &info.Template
	if t.Scale == nil || info.Status.Active != "active" {
		a.end(t.Name)
		return
	}
	dir := ""
	if t.Scale.RPSFile != "" {
		var err error
		if dir, err = t.WorkDir(); err != nil {
			a.log.Warn("it is not scaled", "template", t.Name, "reason", err)
			a.end(t.Name)
			return
		}
	}
	if u := a.units[t.Name]; u != nil {
		if u.dir == dir && reflect.DeepEqual(u.scale, t.Scale) {
			u.sees(info.Status.MaxProcesses, time.Now())
			return
		}
		a.end(t.Name)
	}
	u := newUnit(a.log, m, t, dir)
	u.sees(info.Status.MaxProcesses, time.Now())
	a.units[t.Name] = u
	u.begin(ctx)
}

func (a *App) end(name string) {
	if u := a.units[name]; u != nil {
		delete(a.units, name)
		u.end()
	}
}
