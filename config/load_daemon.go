package config

import (
	"errors"
	"path/filepath"
	"slices"

	"github.com/gafferpm/gaffer"
)

// daemonLoader brings the files of a daemon together.
type daemonLoader struct {
	Options
	trust    *trust
	daemon   *Daemon
	tree     *node           // what is for the daemon, of all files
	first    map[string]spot // where each template was defined first
	profiles []string        // those that the files have
	found    bool            // the chosen profile is one of them
	faults   Faults
	errs     []error // of templates that depend on more than their text
}

func loadDaemon(paths []string, o Options) (*Daemon, error) {
	b := &daemonLoader{
		Options: o, trust: daemonTrust(), daemon: &Daemon{},
		tree: newTable(spot{}), first: map[string]spot{},
	}
	var toml *loader
	for _, path := range paths {
		l, err := b.load(path)
		if err != nil {
			return nil, err
		}
		if isTOML(path) {
			toml = l
		}
	}
	if toml != nil && !b.found {
		toml.profiles = b.profiles
		return nil, toml.unknownProfile()
	}
	return b.finish()
}

// load reads one file. The error is of one that can't be read at all.
func (b *daemonLoader) load(path string) (*loader, error) {
	abs, err := filepath.Abs(path)
	if err != nil {
		return nil, pathError(path, err)
	}
	l := newLoader(path, b.Options, b.trust)
	if isTOML(path) {
		err = b.loadTOML(l)
	} else {
		err = l.loadProcfile(path)
	}
	if err != nil {
		return nil, err
	}
	for i, t := range l.file.Templates {
		at := l.file.locate[i]("")
		if first, taken := b.first[t.Name]; taken {
			b.faults = append(b.faults, at.src.fault(at.span, "process.%s is defined twice; the first is in %s on line %d",
				quotedKey(t.Name), first.src.path, first.line()))
			continue
		}
		b.first[t.Name] = at
	}
	b.daemon.Desired = append(b.daemon.Desired, gaffer.Desired{Source: abs, Templates: l.file.Templates})
	b.daemon.Read = append(b.daemon.Read, l.file.Read...)
	return l, nil
}

func (b *daemonLoader) loadTOML(l *loader) error {
	root, err := l.readDocument(l.file.Path)
	if err != nil {
		return err
	}
	if err := l.syntax.sorted(l.file.Read).err(); err != nil {
		return err
	}
	root, found := l.choose(root)
	b.found = b.found || found
	b.profiles = append(b.profiles, l.profiles...)
	l.processes(root)
	d := &decoder{}
	for _, key := range root.keys {
		if key != "process" && key != "socket" {
			d.unite(b.tree, root, key, "", depths[key])
		}
	}
	b.faults = append(b.faults, slices.Concat(l.faults, d.faults)...)
	if err := l.complete(); err != nil {
		b.errs = append(b.errs, err)
	}
	return nil
}

// finish decodes what is for the daemon itself, and says what is wrong.
func (b *daemonLoader) finish() (*Daemon, error) {
	l := newLoader("", b.Options, b.trust)
	parts := l.settings(b.tree)
	b.faults = slices.Concat(b.faults, l.faults, parts.resolve(b.trust))
	d := b.daemon
	d.Settings = parts.settings
	for _, h := range parts.webhooks {
		d.Webhooks = append(d.Webhooks, h.value)
	}
	for _, f := range parts.forwards {
		d.Forwards = append(d.Forwards, f.value)
	}
	for _, p := range parts.plugins {
		d.Plugins = append(d.Plugins, p.value)
	}
	err := errors.Join(append(b.errs, b.faults.sorted(d.Read).err())...)
	d.Read = append(d.Read, parts.files...)
	if err == nil {
		return d, nil
	}
	d.Desired = nil
	if !parts.good {
		return nil, err
	}
	return d, err
}
