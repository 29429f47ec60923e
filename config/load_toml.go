package config

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"reflect"
	"slices"
	"strings"

	"github.com/gafferpm/gaffer"
)

// loadTOML reads the templates of gaffer.toml and of what it includes. Those who
// are no daemon see what is wrong with its settings all the same.
func (l *loader) loadTOML() error {
	root, err := l.readTOML()
	if err != nil {
		return err
	}
	l.settings(root)
	l.processes(root)
	if err := l.faults.sorted(l.file.Read).err(); err != nil {
		return err
	}
	if err := l.dependencies(); err != nil {
		return err
	}
	if len(l.file.Templates) == 0 {
		return &Fault{File: l.file.Path, Message: "defines no process; want a table such as [process.web] with cmd = \"./server\""}
	}
	return l.complete()
}

// readTOML reads gaffer.toml as a tree with the chosen profile.
func (l *loader) readTOML() (*node, error) {
	if l.Port != 0 {
		return nil, fmt.Errorf("--port is for a Procfile; in %s set the field port: %w", l.file.Path, gaffer.ErrInvalid)
	}
	root, err := l.readDocument(l.file.Path)
	if err != nil {
		return nil, err
	}
	chosen, found := l.choose(root)
	if !found && len(l.syntax) == 0 {
		return nil, l.unknownProfile()
	}
	l.faults = append(l.faults, l.syntax...)
	return chosen, nil
}

// complete does to the templates what depends on all of them and on Options.
func (l *loader) complete() error {
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

// dependencies tells what is wrong with what templates depend on: that is all in the file.
func (l *loader) dependencies() error {
	var faults Faults
	for _, err := range joined(gaffer.CheckDependencies(l.file.Templates)) {
		var of *gaffer.TemplateError
		if !errors.As(err, &of) {
			return err
		}
		i := slices.IndexFunc(l.file.Templates, func(t gaffer.Template) bool { return t.Name == of.Name })
		for _, leaf := range leaves(of.Err) {
			faults = append(faults, fieldFault(leaf, l.file.locate[i]))
		}
	}
	return faults.sorted(l.file.Read).err()
}

// joined are the errors of which one was made.
func joined(err error) []error {
	if several, ok := err.(interface{ Unwrap() []error }); ok {
		return several.Unwrap()
	}
	if err == nil {
		return nil
	}
	return []error{err}
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
			_, err := l.readEnvFile(path)
			if errors.Is(err, fs.ErrNotExist) && !slices.Contains(l.file.EnvFiles, path) {
				err = l.trust.absent(path)
			}
			if err != nil {
				return fmt.Errorf("template %s: env_files: %w", t.Name, err)
			}
		}
	}
	return nil
}

// processes adds the templates of the tables below process.
func (l *loader) processes(root *node) {
	tables := root.fields["process"]
	if tables == nil {
		return
	}
	d := &decoder{}
	d.fileSockets(root)
	for _, name := range d.tables(tables, "process") {
		n := tables.fields[name]
		if t, ok := d.process(n, name); ok {
			l.file.Templates = append(l.file.Templates, t)
			l.file.locate = append(l.file.locate, locate(n))
		}
	}
	l.faults = append(l.faults, d.faults...)
}

// process decodes one table. What could not be decoded is not validated: the
// faults of what is missing then would be no news.
func (d *decoder) process(n *node, name string) (gaffer.Template, bool) {
	t := gaffer.Template{Name: name}
	before := len(d.faults)
	d.template(n, &t)
	if len(d.faults) == before {
		d.validate(n, &t)
	}
	t.Cwd = absoluteCwd(n, t.Cwd)
	for i, file := range t.EnvFiles {
		t.EnvFiles[i] = absolute(n.fields["env_files"].key.src.dir, file)
	}
	return t, len(d.faults) == before
}

// template decodes a table's fields.
func (d *decoder) template(n *node, t *gaffer.Template) {
	where := "process." + quotedKey(t.Name)
	if own := n.fields["name"]; own != nil {
		d.fault(own.key, "unknown field name in %s; the name is the table's: [process.%s]", where, quotedKey(cmp.Or(own.text, "web")))
		n.remove("name")
	}
	d.table(n, reflect.ValueOf(t).Elem(), where, "name")
}

// absoluteCwd is a working directory relative to the file that names it, or
// without one the directory of the file that defines the template.
func absoluteCwd(n *node, cwd string) string {
	switch {
	case cwd == "":
		return literal(n.key.src.dir)
	case filepath.IsAbs(cwd) || strings.HasPrefix(cwd, "$"):
		return cwd
	}
	return filepath.Join(literal(n.fields["cwd"].key.src.dir), cwd)
}

// absolute is a path that may be relative to a directory. None stays none.
func absolute(dir, path string) string {
	if path == "" || filepath.IsAbs(path) {
		return path
	}
	return filepath.Join(dir, path)
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
