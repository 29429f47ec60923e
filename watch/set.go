package watch

import (
	"path/filepath"
	"slices"
	"strings"

	"github.com/bmatcuk/doublestar/v4"

	"github.com/gafferpm/gaffer"
)

// set is what of the file system is watched for a template. It is not changed after it
// was made.
type set struct {
	dir    string // the template's, absolute
	roots  []root
	names  []string // ignored, at any depth
	ignore []string // ignored, relative to dir, or absolute
	most   int      // how many files and directories there may be
}

// root is a file or directory, and what is looked for in it.
type root struct {
	base  string   // absolute, without any pattern
	globs []string // relative to base; none: all of it
	depth int      // how many directories below base can have something; -1: no bound
}

func newSet(w *gaffer.Watch, dir string) *set {
	s := &set{dir: filepath.Clean(dir), most: mostFiles}
	paths := w.Paths
	if len(paths) == 0 {
		paths = []string{"."}
	}
	for _, p := range paths {
		s.addPath(p)
	}
	if w.DefaultIgnore == nil || *w.DefaultIgnore {
		s.names = gaffer.WatchIgnored()
	}
	for _, p := range w.Ignore {
		p = strings.TrimSuffix(filepath.Clean(p), "/")
		if strings.Contains(p, "/") {
			s.ignore = append(s.ignore, p)
		} else {
			s.names = append(s.names, p)
		}
	}
	return s
}

func (s *set) addPath(p string) {
	base, glob := doublestar.SplitPattern(filepath.Clean(p))
	if plain, is := unescape(p); is {
		base, glob = plain, ""
	}
	if !filepath.IsAbs(base) {
		base = filepath.Join(s.dir, base)
	}
	base = filepath.Clean(base)
	i := slices.IndexFunc(s.roots, func(r root) bool { return r.base == base })
	switch {
	case i < 0:
		r := root{base: base, depth: -1}
		if glob != "" {
			r.globs, r.depth = []string{glob}, depthOf(glob)
		}
		s.roots = append(s.roots, r)
	case len(s.roots[i].globs) == 0: // all of it is watched
	case glob == "":
		s.roots[i].globs, s.roots[i].depth = nil, -1
	default:
		r := &s.roots[i]
		r.globs = append(r.globs, glob)
		if d := depthOf(glob); d < 0 || r.depth < 0 {
			r.depth = -1
		} else {
			r.depth = max(r.depth, d)
		}
	}
}

// depthOf is how many directories a pattern goes down; -1: it has no bound.
func depthOf(glob string) int {
	if strings.Contains(glob, "**") || strings.Contains(glob, "{") {
		return -1
	}
	return strings.Count(glob, "/")
}

// unescape takes out the backslashes of a path, and says whether it is no pattern.
func unescape(p string) (path string, plain bool) {
	var b strings.Builder
	for i := 0; i < len(p); i++ {
		switch {
		case p[i] == '\\' && i+1 < len(p):
			i++
		case strings.IndexByte("*?[{", p[i]) >= 0:
			return p, false
		}
		b.WriteByte(p[i])
	}
	return b.String(), true
}

// matches says whether a file, by its path below base, is looked for.
func (r *root) matches(rel string) bool {
	if len(r.globs) == 0 || rel == "." {
		return true
	}
	return slices.ContainsFunc(r.globs, func(glob string) bool { return doublestar.MatchUnvalidated(glob, rel) })
}

// ignores says whether what has that path, of which the last word is name, is left out,
// with all that is in it.
func (s *set) ignores(path, name string) bool {
	if slices.ContainsFunc(s.names, func(p string) bool { return doublestar.MatchUnvalidated(p, name) }) {
		return true
	}
	if len(s.ignore) == 0 {
		return false
	}
	rel, err := filepath.Rel(s.dir, path)
	return slices.ContainsFunc(s.ignore, func(p string) bool {
		if filepath.IsAbs(p) {
			return doublestar.MatchUnvalidated(p, path)
		}
		return err == nil && doublestar.MatchUnvalidated(p, rel)
	})
}

// verdict is what can be said of a path without a look at the file system.
type verdict int

const (
	elsewhere verdict = iota // it is nothing to the set, or ignored
	within                   // it is looked for only if it is a directory, or leads to one
	wanted                   // it is looked for
)

// judge says what a path is to the set.
func (s *set) judge(path string) verdict {
	best := elsewhere
	for i := range s.roots {
		r := &s.roots[i]
		if path == r.base {
			return wanted
		}
		rel, below := strings.CutPrefix(path, strings.TrimSuffix(r.base, "/")+"/")
		if !below || s.ignoresOnTheWay(r.base, rel) {
			continue
		}
		if r.matches(rel) {
			return wanted
		}
		best = within
	}
	return best
}

func (s *set) ignoresOnTheWay(base, rel string) bool {
	path := base
	for name := range strings.SplitSeq(rel, "/") {
		path = filepath.Join(path, name)
		if s.ignores(path, name) {
			return true
		}
	}
	return false
}

// show is a path as a person knows it.
func (s *set) show(path string) string {
	if rel, err := filepath.Rel(s.dir, path); err == nil && !strings.HasPrefix(rel, "../../..") {
		return rel
	}
	return path
}
