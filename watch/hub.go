package watch

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"

	"github.com/fsnotify/fsnotify"
)

// hub is where the system tells of changes, for all templates together: a directory that
// several watch is watched once. It has a descriptor and a goroutine only while somebody
// watches.
type hub struct {
	add func(w *fsnotify.Watcher, path string) error // of tests

	mu      sync.Mutex // guards the rest
	watcher *fsnotify.Watcher
	ended   chan struct{} // closed when the goroutine has
	dirs    map[string]*watched
}

// watched is a directory, by its real path.
type watched struct {
	id    identity
	users map[*listener]bool
}

// listener is told that it is time for a scan.
type listener struct {
	set   *set
	hints chan struct{}        // holds one
	scan  atomic.Pointer[scan] // the last one
}

func newListener(s *set) *listener { return &listener{set: s, hints: make(chan struct{}, 1)} }

func (l *listener) hint() {
	select {
	case l.hints <- struct{}{}:
	default:
	}
}

// follow has what a scan has found watched, and nothing else of that listener's. It says
// whether there is something new among it, which may have changed since the scan.
func (h *hub) follow(l *listener, s *scan) (more bool, err error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	l.scan.Store(s)
	for path, d := range h.dirs {
		if now, still := s.dirs[path]; d.users[l] && (!still || now.id != d.id) {
			h.release(l, path)
		}
	}
	for path, want := range s.dirs {
		d := h.dirs[path]
		if d != nil && d.id != want.id { // another one is in its place
			h.drop(path, d)
			d = nil
		}
		if d == nil {
			if err := h.open(); err != nil {
				return false, err
			}
			switch err := h.add(h.watcher, path); {
			case errors.Is(err, fs.ErrNotExist), errors.Is(err, syscall.ENOTDIR), errors.Is(err, fs.ErrPermission):
				continue // the next scan says what became of it
			case err != nil:
				return false, err
			}
			d = &watched{id: want.id, users: map[*listener]bool{}}
			h.dirs[path] = d
		}
		if !d.users[l] {
			d.users[l], more = true, true
		}
	}
	return more, nil
}

// open begins to listen to the system.
func (h *hub) open() error {
	if h.watcher != nil {
		return nil
	}
	w, err := fsnotify.NewWatcher()
	if err != nil {
		return err
	}
	h.watcher, h.ended, h.dirs = w, make(chan struct{}), map[string]*watched{}
	go h.run(w, h.ended)
	return nil
}

// leave forgets a listener.
func (h *hub) leave(l *listener) {
	h.mu.Lock()
	for path, d := range h.dirs {
		if d.users[l] {
			h.release(l, path)
		}
	}
	w, ended := h.watcher, h.ended
	if w == nil || len(h.dirs) > 0 {
		h.mu.Unlock()
		return
	}
	h.watcher, h.dirs = nil, nil
	h.mu.Unlock()
	_ = w.Close()
	<-ended
}

func (h *hub) release(l *listener, path string) {
	d := h.dirs[path]
	delete(d.users, l)
	if len(d.users) == 0 {
		h.drop(path, d)
	}
}

// drop ends the watch of a directory. Those who still want it find out by their next scan.
func (h *hub) drop(path string, d *watched) {
	_ = h.watcher.Remove(path) // it may have ended by itself
	delete(h.dirs, path)
	for l := range d.users {
		l.hint()
	}
}

func (h *hub) run(w *fsnotify.Watcher, ended chan struct{}) {
	defer close(ended)
	// An error may be told while the library has a lock that follow waits for, so who
	// takes it must not wait for follow.
	lost := make(chan struct{}, 1)
	drained := make(chan struct{})
	go func() {
		defer close(drained)
		for range w.Errors {
			select {
			case lost <- struct{}{}:
			default:
			}
		}
	}()
	defer func() { <-drained }()
	for {
		select {
		case e, ok := <-w.Events:
			if !ok {
				return
			}
			h.tell(w, e)
		case <-lost:
			h.tellAll(w) // events may have been lost
		}
	}
}

func (h *hub) tellAll(w *fsnotify.Watcher) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.watcher != w {
		return
	}
	for _, d := range h.dirs {
		for l := range d.users {
			l.hint()
		}
	}
}

// tell passes an event on to those to whom it can mean something.
func (h *hub) tell(w *fsnotify.Watcher, e fsnotify.Event) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.watcher != w {
		return
	}
	gone := e.Has(fsnotify.Remove) || e.Has(fsnotify.Rename)
	if d := h.dirs[e.Name]; d != nil && gone {
		h.drop(e.Name, d)
	}
	d := h.dirs[filepath.Dir(e.Name)]
	if d == nil {
		return
	}
	for l := range d.users {
		if l.concerns(filepath.Dir(e.Name), filepath.Base(e.Name), e) {
			l.hint()
		}
	}
}

// concerns says whether an event can mean something to a listener.
func (l *listener) concerns(real, name string, e fsnotify.Event) bool {
	s := l.scan.Load()
	if s.also[e.Name] {
		return true
	}
	for _, named := range s.dirs[real].named {
		switch l.set.judge(filepath.Join(named, name)) {
		case wanted:
			return true
		case within:
			if e.Has(fsnotify.Create) && leads(e.Name) {
				return true
			}
		}
	}
	return false
}

// leads says whether there may be something in or behind a path.
func leads(path string) bool {
	info, err := os.Lstat(path)
	return err == nil && (info.IsDir() || info.Mode()&fs.ModeSymlink != 0)
}

// shortage says in words what of the system is used up, "" if an error is about
// something else.
func shortage(err error) string {
	var knob string
	switch {
	case errors.Is(err, syscall.ENOSPC):
		knob = "max_user_watches"
	case errors.Is(err, syscall.EMFILE), errors.Is(err, syscall.ENFILE):
		if runtime.GOOS != "linux" {
			return "no more files can be opened (see ulimit -n)"
		}
		knob = "max_user_instances"
	default:
		return ""
	}
	now := ""
	if text, err := os.ReadFile("/proc/sys/fs/inotify/" + knob); err == nil {
		now = ", now " + strings.TrimSpace(string(text))
	}
	what := "directories"
	if knob == "max_user_instances" {
		what = "inotify instances"
	}
	return fmt.Sprintf("the system watches no more %s for this user (sysctl fs.inotify.%s%s)", what, knob, now)
}
