// Package autoscale changes the number of a template's processes with what there is to
// do, within the bounds that its scale table sets.
package autoscale

import (
	"context"
	"log/slog"
	"reflect"
	"time"

	"github.com/gafferpm/gaffer"
	"github.com/gafferpm/gaffer/internal/tend"
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
	log    *slog.Logger
	tender tend.Tender[*unit]
	m      manager
}

var _ gaffer.App = (*App)(nil)

// New makes an App.
func New(o Options) *App {
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	return &App{log: o.Logger}
}

// manager is what is asked to scale a template.
type manager interface {
	List(context.Context, gaffer.Target) ([]gaffer.Info, error)
	Monitor(context.Context, gaffer.Target, time.Duration) (gaffer.Stream[[]gaffer.Stats], error)
	Ask(ctx context.Context, name, script string) (string, error)
	ScaleFor(ctx context.Context, name string, from, to int, why string) error
	Audit(by, name, message string)
}

// Start implements gaffer.App.
func (a *App) Start(ctx context.Context, m *gaffer.Manager) error {
	a.m, a.tender.Look = m, a.look
	a.tender.Start(ctx, m)
	return nil
}

// Restart implements gaffer.App. There is nothing to do.
func (a *App) Restart(context.Context) error { return nil }

// Stop implements gaffer.App.
func (a *App) Stop(context.Context) error {
	a.tender.Stop()
	return nil
}

// look sees that a template is scaled as it says.
func (a *App) look(info *gaffer.Info, u *unit) *unit {
	t := &info.Template
	if t.Scale == nil || info.Status.Active != "active" {
		return nil
	}
	dir := ""
	if t.Scale.RPSFile != "" {
		var err error
		if dir, err = t.WorkDir(); err != nil {
			a.log.Warn("it is not scaled", "template", t.Name, "reason", err)
			return nil
		}
	}
	if u == nil || u.dir != dir || !reflect.DeepEqual(u.scale, t.Scale) {
		u = newUnit(a.log, a.m, t, dir)
	}
	u.sees(info.Status.MaxProcesses, time.Now())
	return u
}
