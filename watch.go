package gaffer

import (
	"path"
	"slices"
	"strings"
	"time"
)

// Watch says which files a template depends on while it is being worked on, and what
// happens when one of them changes.
type Watch struct {
	// Paths are files, directories with all that is in them, and patterns with *, ?,
	// [a-z], {a,b} and **, relative to Cwd. Default ".".
	Paths []string `json:"paths,omitzero" toml:"paths,omitempty"`
	// Ignore are names at any depth, or with a slash patterns relative to Cwd, of what
	// is left out; a directory with all that is in it.
	Ignore []string `json:"ignore,omitempty" toml:"ignore,omitempty"`
	// DefaultIgnore leaves out what WatchIgnored lists. Default true.
	DefaultIgnore *bool `json:"default_ignore,omitempty" toml:"default_ignore,omitempty"`
	// Debounce is for how long nothing must have changed before anything is done.
	// Default 300ms.
	Debounce *Duration `json:"debounce,omitempty" toml:"debounce,omitempty"`
	// Action is "restart", or the name of a signal. Default "restart".
	Action string `json:"action,omitempty" toml:"action,omitempty"`
	// Poll looks at the files that often, where the system does not tell of changes, as
	// on some network and container file systems. Default: the system tells.
	Poll Duration `json:"poll,omitzero" toml:"poll,omitempty"`
}

// Defaults and bounds of Watch.
const (
	WatchRestart         = "restart"
	DefaultWatchDebounce = 300 * time.Millisecond

	mostWatchDebounce = time.Minute
	leastWatchPoll    = 100 * time.Millisecond
	mostBraces        = 4
)

// WatchIgnored are the names that are not watched unless DefaultIgnore is false: what
// version control, package managers, language tools and editors keep beside the sources.
func WatchIgnored() []string {
	return []string{
		".git", ".hg", ".svn", ".jj", ".bzr",
		"node_modules", "bower_components", ".venv", "__pycache__", "*.py[co]",
		".mypy_cache", ".pytest_cache", ".ruff_cache", ".tox", ".gradle", ".terraform", ".direnv",
		".idea", ".vscode", ".DS_Store",
		"*~", ".#*", "#*#", "*.sw[a-p]", "*.swx", "4913", "___jb_tmp___", "___jb_old___",
	}
}

// Signal is the signal of an action that is one, 0 of a restart.
func (w *Watch) Signal() Signal {
	if w.Action == "" || w.Action == WatchRestart {
		return 0
	}
	sig, err := ParseSignal(w.Action)
	if err != nil {
		return 0 // Validate says so
	}
	return sig
}

func (w *Watch) clone() *Watch {
	if w == nil {
		return nil
	}
	c := *w
	c.Paths, c.Ignore = slices.Clone(w.Paths), slices.Clone(w.Ignore)
	c.DefaultIgnore, c.Debounce = clonePointer(w.DefaultIgnore), clonePointer(w.Debounce)
	return &c
}

func clonePointer[T any](p *T) *T {
	if p == nil {
		return nil
	}
	v := *p
	return &v
}

// validateDevelopment tells what is wrong with the tables and fields for development,
// and with those for scaling.
func (t *Template) validateDevelopment(f *faults) {
	t.Watch.validate(f)
	t.Scale.validate(f, t)
	if !t.Detach {
		return
	}
	if t.Watch != nil {
		f.add("detach", "a detached program is left alone: leave out watch")
	}
	if t.Scale != nil {
		f.add("detach", "a detached program is not counted: leave out scale")
	}
	if t.ExitWith {
		f.add("detach", "the end of a detached program is not seen: leave out exit_with")
	}
}

func (w *Watch) validate(f *faults) {
	if w == nil {
		return
	}
	if w.Paths != nil && len(w.Paths) == 0 {
		f.add("watch.paths", "nothing is in it; leave it out for the whole directory, or leave out watch")
	}
	for _, p := range w.Paths {
		f.wrap("watch.paths", checkPattern(p))
	}
	for _, p := range w.Ignore {
		if strings.HasPrefix(p, "!") {
			f.add("watch.ignore", "%q: what is ignored can't be taken back by a pattern; default_ignore = false turns the usual names off", p)
			continue
		}
		f.wrap("watch.ignore", checkPattern(p))
	}
	if d := w.Debounce; d != nil && (*d < 0 || *d > Duration(mostWatchDebounce)) {
		f.add("watch.debounce", "%s: want up to %s", *d, mostWatchDebounce)
	}
	if w.Action != "" && w.Action != WatchRestart {
		if _, err := ParseSignal(w.Action); err != nil {
			f.add("watch.action", `%q: want "restart" or a signal such as "SIGHUP"`, w.Action)
		}
	}
	if w.Poll != 0 && w.Poll < Duration(leastWatchPoll) {
		f.add("watch.poll", "%s: want at least %s", w.Poll, leastWatchPoll)
	}
}

// checkPattern tells what is wrong with a pattern of paths.
func checkPattern(p string) error {
	if p == "" || strings.ContainsRune(p, 0) {
		return invalidf("%q can't be a path", p)
	}
	if strings.Count(p, "{") > mostBraces { // each of them multiplies what has to be tried
		return invalidf("%q: more than %d braces; use several patterns", p, mostBraces)
	}
	depth := 0
	var piece strings.Builder // up to what path.Match does not know
	for i := 0; i < len(p); i++ {
		switch c := p[i]; {
		case c == '\\' && i+1 == len(p):
			return invalidf("%q: nothing follows the \\ at the end", p)
		case c == '\\':
			piece.WriteString(p[i : i+2])
			i++
		case c == '[':
			end, err := classEnd(p, i)
			if err != nil {
				return err
			}
			piece.WriteString(p[i : end+1])
			i = end
		case c == '{':
			depth++
		case c == '}':
			depth--
		default:
			piece.WriteByte(c)
		}
		if depth > 1 {
			return invalidf("%q: braces within braces; use several patterns", p)
		}
		if depth < 0 {
			return invalidf("%q: a } without a {; \\} is a brace itself", p)
		}
	}
	if depth > 0 {
		return invalidf("%q: a { without a }; \\{ is a brace itself", p)
	}
	if _, err := path.Match(piece.String(), ""); err != nil {
		return invalidf("%q: a pattern that can't be read", p)
	}
	return nil
}

// classEnd is where the class that begins at p[from] ends.
func classEnd(p string, from int) (int, error) {
	i := from + 1
	if i < len(p) && (p[i] == '^' || p[i] == '!') {
		i++
	}
	for first := true; i < len(p); i, first = i+1, false {
		switch {
		case p[i] == '\\':
			i++
		case p[i] == '/':
			return 0, invalidf("%q: a / within [ ]", p)
		case p[i] == ']' && first:
			return 0, invalidf("%q: [] matches nothing", p)
		case p[i] == ']':
			class := p[from : i+1]
			if strings.HasPrefix(class, "[!") {
				class = "[^" + class[2:]
			}
			if _, err := path.Match(class, "x"); err != nil {
				return 0, invalidf("%q: %s can't be read", p, p[from:i+1])
			}
			return i, nil
		}
	}
	return 0, invalidf("%q: a [ without a ]; \\[ is a bracket itself", p)
}
