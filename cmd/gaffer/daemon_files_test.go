package main

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"testing"

	"github.com/gafferpm/gaffer"
	"github.com/gafferpm/gaffer/config"
	"github.com/gafferpm/gaffer/forward"
	"github.com/gafferpm/gaffer/webhook"
)

// applier reads the files as often as it is asked, and applies nothing.
type applier struct {
	gaffer.Configurator
	read    func(context.Context) ([]gaffer.Desired, error)
	refused error
	during  func() // Apply calls it once the files are read, unless it is nil
}

func (a *applier) Plan(ctx context.Context, _ gaffer.Desired) (gaffer.Plan, error) {
	_, err := a.read(ctx)
	return gaffer.Plan{Source: "files"}, err
}

func (a *applier) Apply(ctx context.Context, _ gaffer.Desired) (gaffer.Plan, error) {
	if _, err := a.read(ctx); err != nil {
		return gaffer.Plan{}, err
	}
	if a.during != nil {
		a.during()
	}
	if a.refused != nil {
		return gaffer.Plan{}, a.refused
	}
	return gaffer.Plan{Source: "files"}, nil
}

func (a *applier) Reload(ctx context.Context) (gaffer.Plan, error) {
	return a.Apply(ctx, gaffer.Desired{})
}

// watchedFiles are files whose settings are written to the returned list when they
// come into force.
func watchedFiles(t *testing.T) (files *ownFiles, write func(node string), settled *[]string) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "gaffer.toml")
	write = func(node string) {
		t.Helper()
		if err := os.WriteFile(path, []byte("[daemon]\nnode = \""+node+"\"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("first")
	files, err := (&daemonFlags{configs: []string{path}}).files()
	if err != nil {
		t.Fatal(err)
	}
	settled = new([]string)
	files.settle = func(before, now *config.Daemon) []string {
		*settled = append(*settled, before.Settings.Node+" to "+now.Settings.Node)
		return nil
	}
	return files, write, settled
}

func wantSettled(t *testing.T, settled []string, want string) {
	t.Helper()
	if len(settled) == 0 || settled[len(settled)-1] != want {
		t.Errorf("settled %q, want %q last", settled, want)
	}
}

func TestSettingsThatWereOnlyPlannedAreNotInForce(t *testing.T) {
	files, write, settled := watchedFiles(t)
	a := &applier{read: files.reread}
	files.Configurator = a
	ctx := context.Background()
	write("applied")
	// Somebody plans what is written after the files were read to be applied.
	a.during = func() {
		write("planned")
		if _, err := files.Plan(ctx, gaffer.Desired{}); err != nil {
			t.Error(err)
		}
	}
	if _, err := files.Apply(ctx, gaffer.Desired{}); err != nil {
		t.Fatal(err)
	}
	wantSettled(t, *settled, "first to applied")
	a.during, a.refused = nil, errors.New("no")
	if _, err := files.Reload(ctx); !errors.Is(err, a.refused) {
		t.Fatalf("error %v", err)
	}
	a.refused = nil
	write("second")
	if _, err := files.Reload(ctx); err != nil {
		t.Fatal(err)
	}
	wantSettled(t, *settled, "applied to second")
	if len(*settled) != 2 {
		t.Errorf("settled %q, want two", *settled)
	}
}

func TestTheLaterOfTwoAppliesCounts(t *testing.T) {
	files, write, settled := watchedFiles(t)
	a := &applier{read: files.reread}
	files.Configurator = a
	ctx := context.Background()
	write("earlier")
	a.during = func() {
		a.during = nil
		write("later")
		if _, err := files.Reload(ctx); err != nil {
			t.Error(err)
		}
	}
	if _, err := files.Reload(ctx); err != nil {
		t.Fatal(err)
	}
	wantSettled(t, *settled, "first to later")
	if len(*settled) != 1 {
		t.Errorf("settled %q, want one", *settled)
	}
}

// unreadable is a queue that can't be read for a while.
type unreadable struct {
	webhook.Memory
	err error
}

func (q *unreadable) Range(f func(key string, value []byte) error) error {
	if q.err != nil {
		return q.err
	}
	return q.Memory.Range(f)
}

func TestWebhooksThatCouldNotBeTakenOverAreTriedAgain(t *testing.T) {
	queue := &unreadable{}
	hooks, err := webhook.New(nil, queue, webhook.Options{})
	if err != nil {
		t.Fatal(err)
	}
	lines, err := forward.New(nil, queue, forward.Options{})
	if err != nil {
		t.Fatal(err)
	}
	d := &daemon{flags: &daemonFlags{}, level: new(slog.LevelVar), log: slog.New(slog.DiscardHandler), parts: parts{hooks: hooks, forwards: lines}}
	before, now := &config.Daemon{}, &config.Daemon{Webhooks: []config.Webhook{{Name: "alert", URL: "http://127.0.0.1:9/"}}}
	queue.err = errors.New("for a while")
	if waiting := d.settle(before, now); len(waiting) != 1 {
		t.Errorf("waiting: %q, want that of the webhooks", waiting)
	}
	queue.err = nil
	if waiting := d.settle(now, now); len(waiting) != 0 {
		t.Errorf("waiting: %q", waiting)
	}
	if list := hooks.List(); len(list) != 1 || list[0].Name != "alert" {
		t.Errorf("hooks: %+v", list)
	}
}
