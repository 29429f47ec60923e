package main

import (
	"context"
	"fmt"
	"os"
	"sync"

	"github.com/gafferpm/gaffer"
	"github.com/gafferpm/gaffer/config"
)

// ownFiles are the files that a daemon was started with. It is the daemon's
// Configurator: what it applies of these files, which an empty Source stands for,
// is also taken over where it is about the daemon itself.
type ownFiles struct {
	gaffer.Configurator // set before it is asked

	paths   []string
	profile string
	// settle takes over what the files say of the daemon itself, and tells what of
	// it waits for the next start. It is called by one goroutine at a time.
	settle func(before, now *config.Daemon) (waiting []string)

	mu     sync.Mutex     // guards the rest
	read   *config.Daemon // what is in force
	latest *config.Daemon // as they were read last
}

// files finds and reads the files of a daemon. Where something is wrong with them,
// that is broken, and what they say of the daemon itself is as far as it is known.
func (f *daemonFlags) files() (files *ownFiles, broken error) {
	files = &ownFiles{paths: f.configs, profile: f.profile}
	if len(f.configs) == 0 {
		exists := func(path string) bool { _, err := os.Stat(path); return err == nil }
		if path := config.DaemonPath("", os.Getenv, os.Getuid(), exists); path != "" {
			files.paths = []string{path}
		}
	}
	files.read, broken = files.load()
	if files.read == nil {
		// Without files there is nothing that could be wrong.
		files.read, _ = config.LoadDaemon(nil, config.Options{Environ: []string{}})
	}
	return files, broken
}

func (o *ownFiles) load() (*config.Daemon, error) {
	return config.LoadDaemon(o.paths, config.Options{Profile: o.profile})
}

// reread reads the files again. It is a state.Reader.
func (o *ownFiles) reread(context.Context) ([]gaffer.Desired, error) {
	if len(o.paths) == 0 {
		return nil, fmt.Errorf("files of the daemon: %w: it was started without any", gaffer.ErrNotFound)
	}
	conf, err := o.load()
	if err != nil {
		return nil, err
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	o.latest = conf
	return conf.Desired, nil
}

// Apply implements gaffer.Configurator.
func (o *ownFiles) Apply(ctx context.Context, d gaffer.Desired) (gaffer.Plan, error) {
	done, err := o.Configurator.Apply(ctx, d)
	if d.Source == "" {
		o.takeOver(&done)
	}
	return done, err
}

// Reload implements gaffer.Configurator.
func (o *ownFiles) Reload(ctx context.Context) (gaffer.Plan, error) {
	done, err := o.Configurator.Reload(ctx)
	o.takeOver(&done)
	return done, err
}

// takeOver settles what the files that were just applied say of the daemon itself;
// what waits for its next start becomes a step of the plan that does nothing. A plan
// without a source was not applied.
func (o *ownFiles) takeOver(done *gaffer.Plan) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if done.Source == "" || o.latest == nil {
		return
	}
	for _, what := range o.settle(o.read, o.latest) {
		done.Steps = append(done.Steps, gaffer.Step{Op: gaffer.OpKeep, Name: "[daemon]", Message: what})
	}
	o.read, o.latest = o.latest, nil
}
