package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net"
	"os"
	"reflect"
	"slices"
	"strings"
	"time"

	"github.com/gafferpm/gaffer"
	"github.com/gafferpm/gaffer/api"
	"github.com/gafferpm/gaffer/autoscale"
	"github.com/gafferpm/gaffer/config"
	"github.com/gafferpm/gaffer/forward"
	"github.com/gafferpm/gaffer/internal/console"
	"github.com/gafferpm/gaffer/state"
	"github.com/gafferpm/gaffer/watch"
	"github.com/gafferpm/gaffer/webhook"
)

// parts are what a daemon has beside its manager.
type parts struct {
	hooks    *webhook.App
	forwards *forward.App
	watch    *watch.App
	scale    *autoscale.App
	console  *console.Console // nil: not asked for
	api      *api.Server
}

// apps are the parts in the order in which they start. They stop in reverse: who
// asks is sent away first, and who tells hears everything.
func (p *parts) apps() []gaffer.App {
	apps := []gaffer.App{p.hooks, p.forwards, p.watch, p.scale}
	if p.console != nil {
		apps = append(apps, p.console)
	}
	return append(apps, p.api)
}

func (d *daemon) makeParts(context.Context) error {
	if d.flags.verbose {
		d.parts.console = d.newConsole()
	}
	var err error
	if d.parts.hooks, err = d.newWebhooks(); err != nil {
		return err
	}
	if d.parts.forwards, err = d.newForwards(); err != nil {
		return err
	}
	d.parts.watch, d.parts.scale = watch.New(watch.Options{Logger: d.log}), autoscale.New(autoscale.Options{Logger: d.log})
	endpoints, err := d.endpoints()
	if err != nil {
		return err
	}
	plugins := map[string]string{}
	for _, p := range d.conf.Plugins {
		plugins[p.Name] = p.Dir
	}
	d.parts.api, err = api.New(d.manager, api.Options{
		Logger: d.log, Version: version(), PID: d.pid, Descendants: d.manager.Descendants(), Node: d.conf.Settings.Node, Endpoints: endpoints,
		Keys: &keyStore{d.state.Bucket("keys")}, Config: d.files, Webhooks: &webhooks{d.parts.hooks}, Forwards: &forwards{d.parts.forwards},
		Audit: d.manager.Audit, Shutdown: func() { d.end("asked for over the API") },
		Upgrade: d.upgrade, Upgraded: d.upgraded, Plugins: plugins,
		Limits: api.Limits{Drain: time.Duration(d.conf.Settings.DrainTimeout)},
	})
	d.files.settle = d.settle
	return err
}

func (d *daemon) newConsole() *console.Console {
	terminal := console.IsTerminal(os.Stdout)
	return console.New(console.Options{
		Out: os.Stdout, Terminal: terminal, Color: console.WantsColor(terminal, os.Getenv),
		Timestamps: d.flags.timestamps,
		OnError:    func(err error) { d.log.Warn("what happens can't be shown any more", "reason", err) },
	})
}

// shared says that others than the daemon's user may use its socket.
func shared(s *config.Settings) bool {
	return len(s.SocketUsers) > 0 || len(s.SocketGroups) > 0 || s.SocketMode&0o077 != 0
}

// endpoints are where the API is served: the daemon's own socket, what the
// configuration names, and what the service manager has opened.
func (d *daemon) endpoints() ([]api.Endpoint, error) {
	s := &d.conf.Settings
	users, err := apiRoles(s.SocketUsers)
	if err != nil {
		return nil, err
	}
	groups, err := apiRoles(s.SocketGroups)
	if err != nil {
		return nil, err
	}
	all := []api.Endpoint{{Address: "unix://" + d.socket, Mode: os.FileMode(s.SocketMode), Users: users, Groups: groups}}
	for _, l := range s.Listen {
		users, err := apiRoles(l.Users)
		if err != nil {
			return nil, err
		}
		all = append(all, api.Endpoint{
			Address: l.Address, TLS: api.TLS{Cert: l.TLSCert, Key: l.TLSKey, ClientCA: l.ClientCA},
			Users: users, Insecure: l.Insecure, Hosts: l.Hosts, Origins: l.Origins,
		})
	}
	kept, others := d.inherited()
	useKept(all, kept)
	own := len(all)
	for _, l := range others {
		all = withListener(all, l)
	}
	return all, d.keepSockets(all[:own])
}

// withListener adds an open socket: to the endpoint of its address, else as one of
// its own, which is as strict as they are by default.
func withListener(all []api.Endpoint, l net.Listener) []api.Endpoint {
	address := l.Addr().String()
	if l.Addr().Network() == "unix" {
		address = "unix://" + address
	}
	for i := range all {
		if all[i].Address == address && all[i].Listener == nil {
			all[i].Listener = l
			return all
		}
	}
	own := api.Endpoint{Address: address, Listener: l}
	if strings.HasPrefix(address, "unix:") {
		own.Users, own.Groups = all[0].Users, all[0].Groups
	}
	return append(all, own)
}

func apiRoles(named map[string]config.Role) (map[string]api.Role, error) {
	roles := map[string]api.Role{}
	for who, name := range named {
		role, err := api.ParseRole(string(name))
		if err != nil {
			return nil, fmt.Errorf("%s: %w", who, err)
		}
		roles[who] = role
	}
	return roles, nil
}

// settle takes over what can be while the daemon runs, and tells what can't.
func (d *daemon) settle(before, now *config.Daemon) (waiting []string) {
	if d.flags.logLevel == "" {
		d.level.Set(now.Settings.LogLevel.Level())
	}
	// Also where they are the same: it may have gone wrong the last time, and those
	// that a receiver has turned off are tried again.
	if err := d.parts.hooks.Reload(context.Background(), hooksOf(now.Webhooks)); err != nil && !errors.Is(err, gaffer.ErrClosed) {
		waiting = append(waiting, err.Error())
	}
	if err := d.parts.forwards.Reload(destinationsOf(now.Forwards)); err != nil && !errors.Is(err, gaffer.ErrClosed) {
		waiting = append(waiting, err.Error())
	}
	waits := func(same bool, what string) {
		if !same {
			waiting = append(waiting, what+": changed; in force when the daemon is started again")
		}
	}
	a, b := before.Settings, now.Settings
	waits(a.Node == b.Node, "node")
	waits(a.Host == b.Host, "host")
	waits(a.LogFormat == b.LogFormat, "log_format")
	waits(a.PIDFile == b.PIDFile, "pid_file")
	waits(a.Socket == b.Socket && a.SocketMode == b.SocketMode, "socket")
	waits(maps.Equal(a.SocketUsers, b.SocketUsers) && maps.Equal(a.SocketGroups, b.SocketGroups), "socket_users and socket_groups")
	waits(a.DrainTimeout == b.DrainTimeout, "drain_timeout")
	waits(a.JournalSize == b.JournalSize, "journal_size")
	waits(reflect.DeepEqual(a.Listen, b.Listen), "listen")
	waits(slices.Equal(before.Plugins, now.Plugins), "plugins")
	for _, what := range waiting {
		d.log.Warn("a setting waits", "setting", what)
	}
	return waiting
}

// keyStore keeps the API's keys.
type keyStore struct{ bucket *state.Bucket }

func (k *keyStore) Keys() ([]api.Key, error) {
	var keys []api.Key
	err := k.bucket.Range("", func(_ string, value []byte) error {
		var key api.Key
		if err := json.Unmarshal(value, &key); err != nil {
			return fmt.Errorf("keys: %w", err)
		}
		keys = append(keys, key)
		return nil
	})
	return keys, err
}

func (k *keyStore) PutKey(key api.Key) error {
	text, err := json.Marshal(key)
	if err != nil {
		return err
	}
	return k.bucket.Put(key.ID, text)
}

func (k *keyStore) DeleteKey(id string) error { return k.bucket.Delete(id) }
