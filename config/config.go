// Package config turns files into templates: gaffer.toml, Procfile, and the
// variables beside them. Load reads a file, Find looks for one. Errors list
// every fault, with the line and what was expected.
package config

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/gafferpm/gaffer"
	"github.com/gafferpm/gaffer/internal/nearest"
)

// The files that Find looks for, in that order.
const (
	TOMLName     = "gaffer.toml"
	ProcfileName = "Procfile"
)

// Options say how to read a file. The zero value is good.
type Options struct {
	// EnvFiles are read after the file's own; later ones win.
	EnvFiles []string
	// Port is the PORT of a Procfile's first entry. 0: PORT of the variables
	// beside it or of Environ, else 5000.
	Port int
	// Counts replaces the numprocesses of templates, by name.
	Counts map[string]int
	// Profile is the profile of gaffer.toml that is put over the rest. Default:
	// GAFFER_PROFILE of Environ, which a Procfile does not look at.
	Profile string
	// Environ is gaffer's own environment, as of os.Environ, which is what nil means.
	Environ []string
}

// File is what a file says.
type File struct {
	Path      string            // as it was given
	Templates []gaffer.Template // in the order of definition
	EnvFiles  []string          // those that all templates share
	Read      []string          // every file that was read, included ones and env files too

	parts  *parts                    // nil: of a Procfile
	locate []func(field string) spot // by template: where a field of it is
}

// Check tries everything of a start that can be tried without starting: whether
// programs, directories, users and variables are there. The error has a Fault
// for each that is not.
func (f *File) Check() error {
	var faults Faults
	for i := range f.Templates {
		for _, err := range leaves(f.Templates[i].Check()) {
			faults = append(faults, fieldFault(err, f.locate[i]))
		}
	}
	if f.parts != nil {
		faults = append(faults, f.parts.resolve(ownTrust())...)
	}
	return faults.sorted(f.Read).err()
}

// fieldFault is an error about a field of a template as a fault at its place.
func fieldFault(err error, locate func(field string) spot) *Fault {
	var field *gaffer.FieldError
	if !errors.As(err, &field) {
		at := locate("")
		return at.src.fault(at.span, "%v", err)
	}
	at := locate(field.Field)
	if field.Field == "name" { // which its error calls by name already
		return at.src.fault(at.span, "%v", field.Err)
	}
	return at.src.fault(at.span, "%s: %v", field.Field, field.Err)
}

// leaves are the errors that were joined into one, below what wraps them.
func leaves(err error) []error {
	if err == nil {
		return nil
	}
	if _, ok := err.(*gaffer.FieldError); ok {
		return []error{err}
	}
	if joined, ok := err.(interface{ Unwrap() []error }); ok {
		var all []error
		for _, e := range joined.Unwrap() {
			all = append(all, leaves(e)...)
		}
		return all
	}
	var field *gaffer.FieldError
	if inner := errors.Unwrap(err); inner != nil && errors.As(err, &field) {
		return leaves(inner)
	}
	return []error{err}
}

// Find is the file of a directory: gaffer.toml, else Procfile.
func Find(dir string) (string, error) {
	for _, name := range []string{TOMLName, ProcfileName} {
		path := filepath.Join(dir, name)
		_, err := os.Stat(path)
		if err == nil {
			return path, nil
		}
		if !errors.Is(err, fs.ErrNotExist) {
			return "", pathError(path, err)
		}
	}
	where := dir
	if abs, err := filepath.Abs(dir); err == nil {
		where = abs
	}
	return "", fmt.Errorf("no %s and no %s in %s: %w; write a Procfile with a line such as `web: ./server --port $PORT`, or name a file with -f",
		TOMLName, ProcfileName, where, gaffer.ErrNotFound)
}

// Load reads a file: one that ends in .toml as gaffer.toml, any other as a
// Procfile. What it says is checked as far as that is possible without
// looking for programs and users; everything that is wrong is in the error.
func Load(path string, o Options) (*File, error) {
	if o.Environ == nil {
		o.Environ = os.Environ()
	}
	l := newLoader(path, o, ownTrust())
	err := l.load()
	if err != nil {
		return nil, err
	}
	return l.file, nil
}

func (l *loader) load() error {
	if isTOML(l.file.Path) {
		return l.loadTOML()
	}
	return l.loadProcfile(l.file.Path)
}

func isTOML(path string) bool { return strings.EqualFold(filepath.Ext(path), ".toml") }

// loader reads one file and what it includes.
type loader struct {
	Options
	trust    *trust
	file     *File
	profiles []string // those that the file has
	syntax   Faults   // of texts that are no TOML: there is nothing to be told about what they mean
	faults   Faults
}

func newLoader(path string, o Options, t *trust) *loader {
	l := &loader{Options: o, trust: t, file: &File{Path: path}}
	if l.Profile == "" && isTOML(path) {
		l.Profile, _ = l.environ("GAFFER_PROFILE")
	}
	return l
}

// setCounts replaces the numprocesses of those templates that Counts names.
func (l *loader) setCounts() error {
	var names []string
	for i := range l.file.Templates {
		t := &l.file.Templates[i]
		names = append(names, t.Name)
		if n, ok := l.Counts[t.Name]; ok {
			t.NumProcesses = &n
		}
	}
	var errs []error
	for name, n := range l.Counts {
		switch {
		case !slices.Contains(names, name):
			errs = append(errs, UnknownName(name, names))
		case n < 0:
			errs = append(errs, fmt.Errorf("%s=%d: the number of processes must not be negative: %w", name, n, gaffer.ErrInvalid))
		case n > gaffer.MaxProcesses:
			errs = append(errs, fmt.Errorf("%s=%d: more than %d processes: %w", name, n, gaffer.MaxProcesses, gaffer.ErrInvalid))
		}
	}
	slices.SortFunc(errs, func(a, b error) int { return strings.Compare(a.Error(), b.Error()) })
	return errors.Join(errs...)
}

// UnknownName says that there is no template of a name, and which there are.
func UnknownName(name string, known []string) error {
	hint := ""
	if k := nearest.Name(name, known); k != "" {
		hint = fmt.Sprintf("; did you mean %s?", k)
	} else if len(known) > 0 {
		hint = "; there are " + strings.Join(known, ", ")
	}
	return fmt.Errorf("template %s: %w%s", name, gaffer.ErrNotFound, hint)
}

// literal protects the dollars of a path from being read as variables.
func literal(path string) string { return strings.ReplaceAll(path, "$", "$$") }
