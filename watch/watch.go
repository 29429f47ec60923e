// Package watch restarts or signals the processes of templates when files change that
// they depend on.
package watch

import (
	"context"
	"log/slog"
	"reflect"

	"github.com/fsnotify/fsnotify"

	"github.com/gafferpm/gaffer"
	"github.com/gafferpm/gaffer/internal/tend"
)

// Options of an App. The zero value is good.
type Options struct {
	// Logger is told what goes wrong. Default: nothing is logged.
	Logger *slog.Logger
}

// App watches the files of those templates of a manager that have a watch table, while
// they are wanted. Without such a template it costs a subscription.
type App struct {
	log    *slog.Logger
	hub    hub
	tender tend.Tender[*unit]
	m      manager
	begun  <-chan struct{} // closed once it is known what is wanted
}

var _ gaffer.App = (*App)(nil)

// New makes an App.
func New(o Options) *App {
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	return &App{log: o.Logger, hub: hub{add: (*fsnotify.Watcher).Add}}
}

// manager is what is asked when files change.
type manager interface {
	RestartFor(ctx context.Context, name, why string) error
	Signal(context.Context, gaffer.Target, gaffer.Signal) error
	Audit(by, name, message string)
}

// Start implements gaffer.App. How the files are is looked at before anything is started
// that has read them.
func (a *App) Start(ctx context.Context, m *gaffer.Manager) error {
	a.m, a.begun, a.tender.Look, a.tender.Early = m, m.Begun(), a.look, true
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

// look sees that a template is watched as it says.
func (a *App) look(info *gaffer.Info, u *unit) *unit {
	t := &info.Template
	if t.Watch == nil || a.known() && info.Status.State == gaffer.Stopped && info.Status.Active != "active" {
		return nil
	}
	dir, err := t.WorkDir()
	if err != nil {
		a.log.Warn("its files are not watched", "template", t.Name, "reason", err)
		return nil
	}
	if u != nil && u.dir == dir && reflect.DeepEqual(u.watch, t.Watch) {
		return u
	}
	return newUnit(a, a.m, t, dir)
}

// known says whether it is known what is wanted.
func (a *App) known() bool {
	select {
	case <-a.begun:
		return true
	default:
		return false
	}
}
