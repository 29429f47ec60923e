package config

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// maxLinks is how many symbolic links a path may have.
const maxLinks = 40

// walker opens a path one name at a time. Each directory is looked at while it is
// open and the next name is looked up in it, so that nobody can exchange one in
// between.
type walker struct {
	*trust
	path  string   // as it was given
	dir   *os.File // where the walk is
	rest  []string // the names still to walk
	links int      // followed so far
}

// walk opens what path stands for. Every directory and symbolic link on the way
// must be trusted; where others may make files of their own, in a sticky
// directory, they can't replace those of somebody else.
func (t *trust) walk(path string) (*os.File, error) {
	full := path
	if !filepath.IsAbs(path) {
		cwd, err := os.Getwd()
		if err != nil {
			return nil, pathError(path, err)
		}
		full = cwd + "/" + path
	}
	root, err := os.Open("/")
	if err != nil {
		return nil, pathError(path, err)
	}
	w := &walker{trust: t, path: path, dir: root, rest: names(full)}
	for len(w.rest) > 0 {
		name := w.rest[0]
		w.rest = w.rest[1:]
		if err := w.step(name); err != nil {
			w.dir.Close()
			return nil, err
		}
	}
	return w.dir, nil
}

// names are the parts of a path.
func names(path string) []string {
	return slices.DeleteFunc(strings.Split(path, "/"), func(s string) bool { return s == "" || s == "." })
}

// step goes one name on.
func (w *walker) step(name string) error {
	if err := w.passable(); err != nil {
		return err
	}
	var st unix.Stat_t
	if err := unix.Fstatat(int(w.dir.Fd()), name, &st, unix.AT_SYMLINK_NOFOLLOW); err != nil {
		return pathError(w.path, err)
	}
	if st.Mode&unix.S_IFMT == unix.S_IFLNK {
		return w.follow(name, st.Uid)
	}
	// A device or a FIFO is not opened: that may wait, or do something.
	if kind := st.Mode & unix.S_IFMT; kind != unix.S_IFREG && kind != unix.S_IFDIR {
		return &Fault{File: w.path, Message: "is not a regular file"}
	}
	return w.open(name)
}

// passable tells why nothing below the directory can be trusted.
func (w *walker) passable() error {
	info, err := w.dir.Stat()
	if err != nil {
		return pathError(w.path, err)
	}
	if !info.IsDir() {
		return pathError(w.path, syscall.ENOTDIR)
	}
	how := *w.trust
	if info.Mode()&os.ModeSticky != 0 {
		how.write = 0
	}
	if f := how.owned(w.dir.Name(), "is on the way to "+w.path+", ", info); f != nil {
		return f
	}
	return nil
}

// open goes into a directory or to a file.
func (w *walker) open(name string) error {
	fd, err := unix.Openat(int(w.dir.Fd()), name, unix.O_RDONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK|unix.O_NOCTTY|unix.O_CLOEXEC, 0)
	if err != nil {
		return pathError(w.path, err)
	}
	next := os.NewFile(uintptr(fd), filepath.Join(w.dir.Name(), name))
	w.dir.Close()
	w.dir = next
	return nil
}

// follow goes to where a symbolic link points.
func (w *walker) follow(name string, uid uint32) error {
	if w.links++; w.links > maxLinks {
		return pathError(w.path, syscall.ELOOP)
	}
	link := filepath.Join(w.dir.Name(), name)
	if !slices.Contains(w.owners, uid) {
		return &Fault{File: link, Message: "is a symbolic link on the way to " + w.path + " that somebody else made, and gaffer runs as " + w.who}
	}
	buf := make([]byte, unix.PathMax)
	n, err := unix.Readlinkat(int(w.dir.Fd()), name, buf)
	if err != nil {
		return pathError(w.path, err)
	}
	target := string(buf[:n])
	w.rest = append(names(target), w.rest...)
	if !filepath.IsAbs(target) {
		return nil
	}
	root, err := os.Open("/")
	if err != nil {
		return pathError(w.path, err)
	}
	w.dir.Close()
	w.dir = root
	return nil
}

// absent tells why a file that is not there can't be trusted once it is: somebody
// else could make it.
func (t *trust) absent(path string) error {
	if !t.way {
		return nil
	}
	for dir := filepath.Dir(path); ; dir = filepath.Dir(dir) {
		f, err := t.walk(dir)
		if errors.Is(err, fs.ErrNotExist) && dir != "/" {
			continue
		}
		if err != nil {
			return err
		}
		defer f.Close()
		info, err := f.Stat()
		if err != nil {
			return pathError(dir, err)
		}
		return asError(t.owned(dir, "is where "+path+" would be, ", info))
	}
}
