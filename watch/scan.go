package watch

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"
)

// What a scan finds. Events of the system are only hints that it is time for one: what
// has changed is what two scans differ in. So it makes no difference how an editor
// replaces a file, whether events were lost, or whether there are any.
type scan struct {
	files map[string]print // what is looked for, by its path
	dirs  map[string]dir   // where something can change that is looked for, by their real paths
	also  map[string]bool  // what in those, by real paths, is to be looked at although no pattern says so
	took  time.Duration
}

// print tells versions of a file apart.
type print struct {
	mtime int64
	size  int64
	id    identity
}

// identity tells files apart.
type identity struct{ dev, ino uint64 }

// dir is a directory, and the paths by which it was come to.
type dir struct {
	id    identity
	named []string
}

// mostFiles bounds what is watched for a template.
const mostFiles = 200_000

func identify(info fs.FileInfo) identity {
	if st, ok := info.Sys().(*syscall.Stat_t); ok {
		return identity{uint64(st.Dev), st.Ino} //nolint:unconvert // Dev has another type elsewhere
	}
	return identity{}
}

func printOf(info fs.FileInfo) print {
	return print{info.ModTime().UnixNano(), info.Size(), identify(info)}
}

// scanner makes one scan.
type scanner struct {
	*scan
	set     *set
	visited map[identity]bool // directories of the root that is being walked
	links   []visit           // to directories, which are walked after the real ones
	count   int
}

// visit is a directory that is to be walked.
type visit struct {
	path, real string // as it is named, and without symbolic links
	rel        string // to the root
	depth      int
}

// look makes a scan.
func (s *set) look() (*scan, error) {
	begun := time.Now()
	sc := &scanner{scan: &scan{files: map[string]print{}, dirs: map[string]dir{}, also: map[string]bool{}}, set: s}
	for i := range s.roots {
		if err := sc.root(&s.roots[i]); err != nil {
			return nil, err
		}
	}
	sc.took = time.Since(begun)
	return sc.scan, nil
}

func (sc *scanner) root(r *root) error {
	if !sc.approach(r.base) {
		return nil // it will be noticed when it comes
	}
	real, err := filepath.EvalSymlinks(r.base)
	if err != nil {
		return nil // it went, or is a link to itself
	}
	info, err := os.Stat(real)
	switch {
	case err != nil:
		return nil
	case !info.IsDir():
		if info.Mode().IsRegular() {
			sc.files[r.base] = printOf(info)
			sc.target(real)
		}
		return nil
	}
	sc.visited, sc.links = map[identity]bool{}, []visit{{path: r.base, real: real, rel: ""}}
	for len(sc.links) > 0 {
		v := sc.links[0]
		sc.links = sc.links[1:]
		if err := sc.walk(r, v); err != nil {
			return err
		}
	}
	return nil
}

// approach notes what on the way to a path, and it itself, may lead elsewhere later: the
// symbolic links, and the first name that is missing. It says whether there is none.
func (sc *scanner) approach(path string) (there bool) {
	parent := "/"
	for _, name := range strings.Split(strings.TrimPrefix(path, "/"), "/") {
		at := filepath.Join(parent, name)
		info, err := os.Lstat(at)
		if err == nil && info.Mode()&fs.ModeSymlink == 0 && (info.IsDir() || at != path) {
			parent = at
			continue
		}
		real, rerr := filepath.EvalSymlinks(parent)
		if rerr != nil {
			return false
		}
		sc.notice(real, parent)
		sc.also[filepath.Join(real, name)] = true
		if err != nil {
			return false
		}
		if info.Mode()&fs.ModeSymlink != 0 {
			sc.hop(at)
		}
		parent = at
	}
	return true
}

// hop notes the links that a link leads over.
func (sc *scanner) hop(link string) {
	for range 40 { // as many as the kernel follows
		to, err := os.Readlink(link)
		if err != nil {
			return
		}
		if !filepath.IsAbs(to) {
			to = filepath.Join(filepath.Dir(link), to)
		}
		sc.target(to)
		link = to
	}
}

// target notes the place of what a path leads to.
func (sc *scanner) target(path string) {
	if real, err := filepath.EvalSymlinks(filepath.Dir(path)); err == nil {
		sc.notice(real, real)
		sc.also[filepath.Join(real, filepath.Base(path))] = true
	}
}

// notice has a directory watched.
func (sc *scanner) notice(real, named string) {
	d, known := sc.dirs[real]
	if !known {
		info, err := os.Stat(real)
		if err != nil {
			return
		}
		d.id = identify(info)
	}
	for _, n := range d.named {
		if n == named {
			return
		}
	}
	d.named = append(d.named, named)
	sc.dirs[real] = d
}

// walk goes through a directory. What can't be read is passed over: it is not the
// developer's then.
func (sc *scanner) walk(r *root, v visit) error {
	f, err := os.Open(v.path)
	if err != nil {
		return nil
	}
	info, err := f.Stat()
	if err != nil || !info.IsDir() || sc.visited[identify(info)] {
		_ = f.Close()
		return nil
	}
	sc.visited[identify(info)] = true
	sc.notice(v.real, v.path)
	entries, _ := f.ReadDir(-1)
	_ = f.Close()
	if sc.count += 1 + len(entries); sc.count > sc.set.most {
		return fmt.Errorf("more than %d files and directories are below %s; paths and ignore say which of them matter", sc.set.most, r.base)
	}
	for _, e := range entries {
		at := visit{filepath.Join(v.path, e.Name()), filepath.Join(v.real, e.Name()), filepath.Join(v.rel, e.Name()), v.depth + 1}
		if sc.set.ignores(at.path, e.Name()) {
			continue
		}
		if err := sc.entry(r, at, e); err != nil {
			return err
		}
	}
	return nil
}

func (sc *scanner) entry(r *root, at visit, e fs.DirEntry) error {
	switch kind := e.Type(); {
	case kind.IsDir():
		if r.depth >= 0 && at.depth > r.depth {
			return nil
		}
		return sc.walk(r, at)
	case kind&fs.ModeSymlink != 0:
		sc.link(r, at)
	case kind.IsRegular() && r.matches(at.rel):
		if info, err := e.Info(); err == nil {
			sc.files[at.path] = printOf(info)
		}
	}
	return nil // sockets, pipes and devices have no contents that could change
}

// link follows a symbolic link.
func (sc *scanner) link(r *root, at visit) {
	info, err := os.Stat(at.path)
	switch {
	case err != nil: // it leads nowhere, so far
		if info, err := os.Lstat(at.path); err == nil && r.matches(at.rel) {
			sc.files[at.path] = printOf(info)
			sc.hop(at.path)
		}
	case info.IsDir():
		sc.hop(at.path)
		if r.depth >= 0 && at.depth > r.depth {
			return
		}
		if real, err := filepath.EvalSymlinks(at.path); err == nil {
			at.real = real
			sc.links = append(sc.links, at)
		}
	case info.Mode().IsRegular() && r.matches(at.rel):
		sc.files[at.path] = printOf(info)
		sc.hop(at.path)
	}
}

// difference is what has changed from one scan to the next.
type difference struct {
	changed, removed []string // paths; changed are also those that are new
}

func (d *difference) none() bool { return len(d.changed)+len(d.removed) == 0 }

func (s *scan) until(next *scan) difference {
	var d difference
	for path, p := range next.files {
		if was, known := s.files[path]; !known || was != p {
			d.changed = append(d.changed, path)
		}
	}
	for path := range s.files {
		if _, still := next.files[path]; !still {
			d.removed = append(d.removed, path)
		}
	}
	return d
}

// text says what has changed: "changed: src/app.py, src/db.py and 12 more".
func (d *difference) text(s *set) string {
	word, paths := "changed", d.changed
	if len(paths) == 0 {
		word, paths = "removed", d.removed
	}
	return word + ": " + few(s, paths, len(d.changed)+len(d.removed))
}

// few names some of so many paths.
func few(s *set, paths []string, of int) string {
	const most = 3
	var names []string
	for _, p := range smallest(paths, most) {
		names = append(names, clean(s.show(p)))
	}
	if more := of - len(names); more > 0 {
		return fmt.Sprintf("%s and %d more", strings.Join(names, ", "), more)
	}
	return strings.Join(names, ", ")
}

// add adds a later difference.
func (d *difference) add(more *difference) {
	d.changed = merge(d.changed, more.changed)
	d.removed = merge(d.removed, more.removed)
}

func merge(list, more []string) []string {
	if len(more) == 0 {
		return list
	}
	list = append(list, more...)
	slices.Sort(list)
	return slices.Compact(list)
}
