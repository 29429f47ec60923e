package config

import (
	"cmp"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"

	"github.com/pelletier/go-toml/v2/unstable"

	"github.com/gafferpm/gaffer"
	"github.com/gafferpm/gaffer/internal/nearest"
)

// The top-level names of gaffer.toml, and of a profile in it.
var (
	topNames     = []string{"process", "socket", "daemon", "webhook", "forward", "plugin", "profile", "include"}
	profileNames = []string{"process", "socket", "daemon", "webhook", "forward", "plugin"}
)

// depths is how many levels of tables below a top-level name several files may
// fill together. The tables below that are of one file each.
var depths = map[string]int{"process": 1, "socket": 1, "webhook": 1, "forward": 1, "plugin": 1, "profile": 3}

// readDocument reads a gaffer.toml and what it includes as one tree.
func (l *loader) readDocument(path string) (*node, error) {
	d := &decoder{}
	root, err := l.readTree(d, path)
	if err != nil {
		return nil, err
	}
	var includes []string
	if n := root.fields["include"]; n != nil {
		includes = d.includes(n, path)
		root.remove("include")
	}
	for _, included := range includes {
		more, err := l.readTree(d, included)
		if err != nil {
			return nil, err
		}
		if n := more.fields["include"]; n != nil {
			d.fault(n.key, "an included file can't include others")
			more.remove("include")
		}
		for _, key := range more.keys {
			d.unite(root, more, key, "", depths[key])
		}
	}
	l.faults = append(l.faults, d.faults...)
	return root, nil
}

// readTree reads one file as a tree of top-level tables. What is wrong with the
// text is a fault among others.
func (l *loader) readTree(d *decoder, path string) (*node, error) {
	src, err := l.readSource(path)
	if err != nil {
		if f, ok := err.(*Fault); ok && f.Line > 0 {
			l.syntax = append(l.syntax, f)
			return newTable(spot{src: &source{path: path}}), nil
		}
		return nil, err
	}
	if src.dir, err = filepath.Abs(filepath.Dir(path)); err != nil {
		return nil, pathError(path, err)
	}
	l.file.Read = append(l.file.Read, path)
	root, faults := parseTree(src)
	if len(faults) > 0 {
		l.syntax = append(l.syntax, faults...)
		return newTable(spot{src: src}), nil
	}
	d.top(root, topNames)
	if profiles := root.fields["profile"]; profiles != nil {
		for _, name := range d.tables(profiles, "profile") {
			d.top(profiles.fields[name], profileNames)
		}
	}
	return root, nil
}

// top takes out of a table what is not one of the known tables.
func (d *decoder) top(root *node, known []string) {
	root.keep(func(key string, n *node) bool {
		switch {
		case !slices.Contains(known, key):
			d.fault(n.key, "unknown name %s%s", quotedKey(key), nearest.Hint(key, known))
			return false
		case key == "daemon":
			return d.want(n, key, "a table", unstable.Table)
		case key == "include":
			return true
		}
		return d.want(n, key, "tables such as ["+key+"."+examples[key]+"]", unstable.Table)
	})
}

// examples are names of tables, for messages.
var examples = map[string]string{"process": "web", "socket": "web", "webhook": "alert", "forward": "central", "plugin": "dashboard", "profile": "production"}

// tables are the names in n that stand for tables; what else there is is taken out.
func (d *decoder) tables(n *node, kind string) []string {
	n.keep(func(name string, child *node) bool {
		if child.kind != unstable.Table && !child.tables {
			d.fault(child.key, "want a table such as [%s.%s]; %s stands in none", kind, examples[kind], quotedKey(name))
			return false
		}
		return d.want(child, kind+"."+quotedKey(name), "a table", unstable.Table)
	})
	return n.keys
}

// unite moves a key into a tree. Where both have it, tables are united as far
// down as depth says; anything else is defined twice.
func (d *decoder) unite(into, from *node, key, where string, depth int) {
	first, child := into.fields[key], from.fields[key]
	if first == nil {
		into.add(key, child)
		return
	}
	path := strings.TrimPrefix(where+"."+quotedKey(key), ".")
	if depth == 0 || where != "" && key == "daemon" || first.kind != unstable.Table || child.kind != unstable.Table {
		d.fault(child.key, "%s is defined twice; the first is in %s on line %d", path, first.key.src.path, first.key.line())
		return
	}
	for _, k := range child.keys {
		d.unite(first, child, k, path, depth-1)
	}
}

// choose puts the chosen profile over the rest of a tree. ok says that the tree
// has that profile, or that none was chosen.
func (l *loader) choose(root *node) (chosen *node, ok bool) {
	profiles := root.fields["profile"]
	root.remove("profile")
	if profiles == nil {
		return root, l.Profile == ""
	}
	l.profiles = append(l.profiles, profiles.keys...)
	for _, name := range profiles.keys {
		if err := checkWord("profile", name); err != nil {
			n := profiles.fields[name]
			l.faults = append(l.faults, n.key.src.fault(n.key.span, "%v", err))
		}
	}
	over := profiles.fields[l.Profile]
	for _, name := range profiles.keys {
		if name != l.Profile {
			l.faults = append(l.faults, checkProfile(profiles.fields[name])...)
		}
	}
	if over == nil {
		return root, l.Profile == ""
	}
	return overlay(root, over), true
}

// overlay is a tree over another one: tables are merged, key by key and all the
// way down; any other value replaces the one below it.
func overlay(base, over *node) *node {
	if base == nil || base.kind != unstable.Table || over.kind != unstable.Table {
		return over
	}
	merged := newTable(base.key)
	merged.at = base.at
	for _, key := range base.keys {
		child := base.fields[key]
		if o := over.fields[key]; o != nil {
			child = overlay(child, o)
		}
		merged.add(key, child)
	}
	for _, key := range over.keys {
		if base.fields[key] == nil {
			merged.add(key, over.fields[key])
		}
	}
	return merged
}

// unknownProfile says that no file has the chosen profile, and which there are.
func (l *loader) unknownProfile() error {
	hint := "; no file defines one: want a table such as [profile." + l.Profile + ".process.web]"
	if k := nearest.Name(l.Profile, l.profiles); k != "" {
		hint = "; did you mean " + k + "?"
	} else if len(l.profiles) > 0 {
		hint = "; there are " + strings.Join(l.profiles, ", ")
	}
	return fmt.Errorf("profile %s: %w%s", cmp.Or(l.Profile, `""`), gaffer.ErrNotFound, hint)
}

// checkWord tells what is wrong with a name that has no group.
func checkWord(what, name string) error {
	if strings.Contains(name, ":") || gaffer.CheckName(name) != nil {
		return errors.New(what + " " + fmt.Sprintf("%q", name) + ": want a letter, then up to 62 letters, digits, '_' or '-'")
	}
	return nil
}
