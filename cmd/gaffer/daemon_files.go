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

	mu    sync.Mutex     // guards the rest
	read  *config.Daemon // what is in force
	reads int            // how often they were read to be applied
	taken int            // which of these reads is in force
}

// reading is what the files said when they were read to be applied. It belongs to
// one Apply, which has it in its context: what is only planned comes into force by
// nobody's apply.
type reading struct {
	conf   *config.Daemon // nil: they were not read
	number int
}

type readingKey struct{}

// paths are the files that the daemon reads.
func (f *daemonFlags) paths() []string {
	if len(f.configs) > 0 {
		return f.configs
	}
	exists := func(path string) bool { _, err := os.Stat(path); return err == nil }
	if path := config.DaemonPath("", os.Getenv, os.Getuid(), exists); path != "" {
		return []string{path}
	}
	return nil
}

// files finds and reads the files of a daemon. Where something is wrong with them,
// that is broken, and what they say of the daemon itself is as far as it is known.
func (f *daemonFlags) files() (files *ownFiles, broken error) {
	files = &ownFiles{paths: f.paths(), profile: f.profile}
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
func (o *ownFiles) reread(ctx context.Context) ([]gaffer.Desired, error) {
	if len(o.paths) == 0 {
		return nil, fmt.Errorf("files of the daemon: %w: it was started without any", gaffer.ErrNotFound)
	}
	conf, err := o.load()
	if err != nil {
		return nil, err
	}
	if r, ok := ctx.Value(readingKey{}).(*reading); ok {
		o.mu.Lock()
		defer o.mu.Unlock()
		o.reads++
		r.conf, r.number = conf, o.reads
	}
	return conf.Desired, nil
}

// Apply implements gaffer.Configurator.
func (o *ownFiles) Apply(ctx context.Context, d gaffer.Desired) (gaffer.Plan, error) {
	var r reading
	done, err := o.Configurator.Apply(context.WithValue(ctx, readingKey{}, &r), d)
	o.takeOver(&r, &done)
	return done, err
}

// Reload implements gaffer.Configurator.
func (o *ownFiles) Reload(ctx context.Context) (gaffer.Plan, error) {
	var r reading
	done, err := o.Configurator.Reload(context.WithValue(ctx, readingKey{}, &r))
	o.takeOver(&r, &done)
	return done, err
}

// takeOver settles what the files that were just applied say of the daemon itself;
// what waits for its next start becomes a step of the plan that does nothing. A plan
// without a source was not applied, and of two that were the later one counts.
func (o *ownFiles) takeOver(r *reading, done *gaffer.Plan) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if done.Source == "" || r.conf == nil || r.number < o.taken {
		return
	}
	for _, what := range o.settle(o.read, r.conf) {
		done.Steps = append(done.Steps, gaffer.Step{Op: gaffer.OpKeep, Name: "[daemon]", Message: what})
	}
	o.read, o.taken = r.conf, r.number
}
