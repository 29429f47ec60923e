package config

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"

	"github.com/pelletier/go-toml/v2/unstable"

	"github.com/gafferpm/gaffer"
)

// The top-level names of gaffer.toml.
var topNames = []string{"process", "include"}

// defined is where a template was defined.
type defined struct {
	path string
	line int
}

// loadTOML reads gaffer.toml and what it includes.
func (l *loader) loadTOML(path string) error {
	if l.Port != 0 {
		return fmt.Errorf("--port is for a Procfile; in %s set the field port: %w", path, gaffer.ErrInvalid)
	}
	names := map[string]defined{}
	includes, faults, err := l.readTOML(path, names, false)
	if err != nil {
		return err
	}
	for _, included := range includes {
		_, more, err := l.readTOML(included, names, true)
		if err != nil {
			return err
		}
		faults = append(faults, more...)
	}
	if err := faults.err(); err != nil {
		return err
	}
	if len(l.file.Templates) == 0 {
		return &Fault{File: path, Message: "defines no process; want a table such as [process.web] with cmd = \"./server\""}
	}
	if err := l.addEnvFiles(); err != nil {
		return err
	}
	if err := l.setCounts(); err != nil {
		return err
	}
	for _, t := range l.file.Templates {
		if last := t.Port + count(t) - 1; t.Port > 0 && last > maxPort {
			return fmt.Errorf("template %s: with %d processes the last port is %d, beyond %d: %w", t.Name, count(t), last, maxPort, gaffer.ErrInvalid)
		}
	}
	return nil
}

// addEnvFiles appends the files that were asked for to each template's own, and
// checks all of them. One of a template's own that is not there keeps only that
// template from starting, until it is.
func (l *loader) addEnvFiles() error {
	for _, path := range l.EnvFiles {
		abs, err := filepath.Abs(path)
		if err != nil {
			return pathError(path, err)
		}
		l.file.EnvFiles = append(l.file.EnvFiles, abs)
	}
	checked := map[string]bool{}
	for i := range l.file.Templates {
		t := &l.file.Templates[i]
		t.EnvFiles = append(t.EnvFiles, l.file.EnvFiles...)
		for _, path := range t.EnvFiles {
			if checked[path] {
				continue
			}
			checked[path] = true
			if _, err := os.Stat(path); errors.Is(err, fs.ErrNotExist) && !slices.Contains(l.file.EnvFiles, path) {
				continue
			}
			if _, err := l.readEnvFile(path); err != nil {
				return fmt.Errorf("template %s: env_files: %w", t.Name, err)
			}
		}
	}
	return nil
}

// readTOML adds the templates of one file.
func (l *loader) readTOML(path string, names map[string]defined, included bool) (includes []string, faults Faults, err error) {
	src, err := readSource(path)
	if err != nil {
		// What is wrong with the text is a fault among others.
		if f, ok := err.(*Fault); ok && f.Line > 0 {
			return nil, Faults{f}, nil
		}
		return nil, nil, err
	}
	dir, err := filepath.Abs(filepath.Dir(path))
	if err != nil {
		return nil, nil, pathError(path, err)
	}
	l.file.Read = append(l.file.Read, path)
	root, faults := parseTree(src)
	if len(faults) > 0 {
		return nil, faults.sorted(), nil
	}
	d := &decoder{src: src}
	for _, key := range root.keys {
		n := root.fields[key]
		switch {
		case key == "process":
			l.processes(d, n, dir, names)
		case key == "include" && included:
			d.fault(n.key, "an included file can't include others")
		case key == "include":
			includes = d.includes(n, path)
		case key == "daemon" || key == "webhook":
			d.fault(n.key, "this version of gaffer has no %s yet", key)
		default:
			d.fault(n.key, "unknown name %s%s", quotedKey(key), didYouMean(key, topNames))
		}
	}
	return includes, d.faults.sorted(), nil
}

// processes adds the templates of the tables below process.
func (l *loader) processes(d *decoder, n *node, dir string, names map[string]defined) {
	if !d.want(n, "process", "tables such as [process.web]", unstable.Table) {
		return
	}
	for _, name := range n.keys {
		child, where := n.fields[name], "process."+quotedKey(name)
		if child.kind != unstable.Table {
			d.fault(child.key, "want a table such as [process.web]; %s stands in none", quotedKey(name))
			continue
		}
		if first, taken := names[name]; taken {
			d.fault(child.key, "%s is defined twice; the first is in %s on line %d", where, first.path, first.line)
			continue
		}
		names[name] = defined{d.src.path, strings.Count(d.src.text[:child.key.from], "\n") + 1}
		if t, ok := d.process(child, name, where, dir); ok {
			l.file.Templates = append(l.file.Templates, t)
			l.file.locate = append(l.file.locate, d.locate(child))
		}
	}
}

// process decodes one table. What could not be decoded is not validated: the
// faults of what is missing then would be no news.
func (d *decoder) process(n *node, name, where, dir string) (gaffer.Template, bool) {
	t := gaffer.Template{Name: name}
	before := len(d.faults)
	if own := n.fields["name"]; own != nil {
		d.fault(own.key, "unknown field name in %s; the name is the table's: [process.%s]", where, quotedKey(cmp.Or(own.text, "web")))
		n.keys = slices.DeleteFunc(n.keys, func(k string) bool { return k == "name" })
	}
	d.table(n, reflect.ValueOf(&t).Elem(), where, "name")
	if len(d.faults) == before {
		d.validate(n, &t)
	}
	switch {
	case t.Cwd == "":
		t.Cwd = literal(dir)
	case !filepath.IsAbs(t.Cwd) && !strings.HasPrefix(t.Cwd, "$"):
		t.Cwd = filepath.Join(literal(dir), t.Cwd)
	}
	for i, file := range t.EnvFiles {
		if !filepath.IsAbs(file) {
			t.EnvFiles[i] = filepath.Join(dir, file)
		}
	}
	return t, len(d.faults) == before
}

// includes lists the files that the patterns of include match, each once, in
// order. A pattern without wildcards must match.
func (d *decoder) includes(n *node, path string) (files []string) {
	var patterns []string
	d.value(n, reflect.ValueOf(&patterns).Elem(), "include")
	for i, pattern := range patterns {
		if pattern == "" {
			continue // not a text: that is a fault already, or an empty one
		}
		at := n.items[i].at
		if !filepath.IsAbs(pattern) {
			pattern = filepath.Join(escapeGlob(filepath.Dir(path)), pattern)
		}
		matches, err := filepath.Glob(pattern)
		switch {
		case err != nil:
			d.fault(at, "include: the pattern is wrong: %v", err)
		case len(matches) == 0 && !strings.ContainsAny(n.items[i].text, `*?[`):
			d.fault(at, "include: there is no such file")
		}
		for _, m := range matches {
			if !slices.Contains(files, m) && filepath.Clean(m) != filepath.Clean(path) {
				files = append(files, m)
			}
		}
	}
	return files
}

// escapeGlob protects a directory's name from being read as a pattern.
func escapeGlob(dir string) string {
	return strings.NewReplacer(`\`, `\\`, `*`, `\*`, `?`, `\?`, `[`, `\[`).Replace(dir)
}
