package state

import (
	"cmp"
	"context"
	"fmt"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/gafferpm/gaffer"
)

// fakeManager does as the manager does, as far as it is asked here, without
// processes: it has templates and what is wanted of them, and tells its store.
type fakeManager struct {
	mu       sync.Mutex
	store    gaffer.Store
	wanted   map[string]gaffer.Wanted
	order    []string
	version  uint64
	asked    []string          // what was done, in order
	refuse   map[string]error  // by name: what Preview and Add say
	blocking chan struct{}     // Remove waits for it, unless it is nil
	previews func(name string) // is told of each Preview
}

func newFake(store gaffer.Store) *fakeManager {
	return &fakeManager{store: store, wanted: map[string]gaffer.Wanted{}, refuse: map[string]error{}}
}

// change makes one change and has it kept.
func (m *fakeManager) change(ctx context.Context, name, verb string, f func(w *gaffer.Wanted, there bool) (keep bool, err error)) error {
	m.mu.Lock()
	w, there := m.wanted[name]
	stays, err := f(&w, there)
	if err != nil {
		m.mu.Unlock()
		return err
	}
	m.asked = append(m.asked, verb+" "+name)
	m.version++
	kept := gaffer.Kept{Name: name, Version: m.version}
	if stays {
		if !there {
			m.order = append(m.order, name)
		}
		m.wanted[name] = w
		kept.Wanted = &w
	} else {
		delete(m.wanted, name)
		m.order = slices.DeleteFunc(m.order, func(n string) bool { return n == name })
	}
	m.mu.Unlock()
	if err := m.store.Keep(ctx, []gaffer.Kept{kept}); err != nil {
		return fmt.Errorf("done, but not kept: %w", err)
	}
	return nil
}

func missing(name string) error {
	return fmt.Errorf("template %s: %w", name, gaffer.ErrNotFound)
}

func (m *fakeManager) Add(ctx context.Context, t gaffer.Template) error {
	return m.change(ctx, t.Name, "add", func(w *gaffer.Wanted, there bool) (bool, error) {
		if there {
			return true, conflictf("template %s: the name is taken", t.Name)
		}
		*w = gaffer.Wanted{Template: t, Active: starts(&t), Count: count(&t)}
		return true, m.refuse[t.Name]
	})
}

func (m *fakeManager) Update(ctx context.Context, t gaffer.Template) error {
	return m.change(ctx, t.Name, "update", func(w *gaffer.Wanted, there bool) (bool, error) {
		if !there {
			return false, missing(t.Name)
		}
		if count(&t) != count(&w.Template) {
			w.Count = count(&t)
		}
		w.Template = t
		return true, m.refuse[t.Name]
	})
}

func (m *fakeManager) Define(ctx context.Context, t gaffer.Template) (func(context.Context) error, error) {
	m.mu.Lock()
	_, there := m.wanted[t.Name]
	m.mu.Unlock()
	do := m.Add
	if there {
		do = m.Update
	}
	if err := do(ctx, t); err != nil {
		return nil, err
	}
	return func(context.Context) error { return nil }, nil
}

func (m *fakeManager) Remove(ctx context.Context, target gaffer.Target) error {
	if m.blocking != nil {
		<-m.blocking
	}
	return m.change(ctx, string(target), "remove", func(_ *gaffer.Wanted, there bool) (bool, error) {
		if !there {
			return false, missing(string(target))
		}
		return false, nil
	})
}

func (m *fakeManager) Start(ctx context.Context, target gaffer.Target) error {
	return m.activate(ctx, target, "start", true)
}

func (m *fakeManager) Stop(ctx context.Context, target gaffer.Target) error {
	return m.activate(ctx, target, "stop", false)
}

func (m *fakeManager) activate(ctx context.Context, target gaffer.Target, verb string, active bool) error {
	return m.change(ctx, string(target), verb, func(w *gaffer.Wanted, there bool) (bool, error) {
		if !there {
			return false, missing(string(target))
		}
		w.Active = active
		return true, nil
	})
}

func (m *fakeManager) Scale(ctx context.Context, target gaffer.Target, c gaffer.Change) (map[string]int, error) {
	err := m.change(ctx, string(target), "scale", func(w *gaffer.Wanted, there bool) (bool, error) {
		if !there {
			return false, missing(string(target))
		}
		if c.Op != '=' {
			return true, fmt.Errorf("the fake knows = only: %v", c)
		}
		w.Count = c.N
		return true, nil
	})
	return map[string]int{string(target): c.N}, err
}

func (m *fakeManager) List(_ context.Context, target gaffer.Target) ([]gaffer.Info, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	var list []gaffer.Info
	for _, name := range m.order {
		if target == gaffer.All || string(target) == name {
			list = append(list, gaffer.Info{Template: m.wanted[name].Template})
		}
	}
	if len(list) == 0 && target != gaffer.All {
		return nil, missing(string(target))
	}
	return list, nil
}

func (m *fakeManager) Preview(_ context.Context, t gaffer.Template) (gaffer.Step, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.previews != nil {
		m.previews(t.Name)
	}
	step := gaffer.Step{Op: gaffer.OpCreate, Name: t.Name}
	if err := m.refuse[t.Name]; err != nil {
		return step, err
	}
	w, there := m.wanted[t.Name]
	if !there {
		return step, nil
	}
	step.Op, step.Fields = gaffer.OpKeep, differences(fieldsOf(&w.Template), fieldsOf(&t))
	if len(step.Fields) > 0 {
		step.Op = gaffer.OpUpdate
	}
	return step, nil
}

func (m *fakeManager) Restore(_ context.Context, w gaffer.Wanted) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	name := w.Template.Name
	if err := m.refuse[name]; err != nil {
		return err
	}
	if _, there := m.wanted[name]; there {
		return conflictf("template %s: the name is taken", name)
	}
	m.wanted[name] = w
	m.order = append(m.order, name)
	return nil
}

// String is what is wanted, in the order of definition: "web=2 db(stopped)=1".
func (m *fakeManager) String() string {
	m.mu.Lock()
	defer m.mu.Unlock()
	var list []string
	for _, name := range m.order {
		list = append(list, wantedText(m.wanted[name]))
	}
	return strings.Join(list, " ")
}

func wantedText(w gaffer.Wanted) string {
	stopped := ""
	if !w.Active {
		stopped = "(stopped)"
	}
	return fmt.Sprintf("%s%s=%d", w.Template.Name, stopped, w.Count)
}

// did is what was asked of the manager since did was called last.
func (m *fakeManager) did() string {
	m.mu.Lock()
	defer m.mu.Unlock()
	text := strings.Join(m.asked, ", ")
	m.asked = nil
	return text
}

// recordsText is all that a state has recorded, by name.
func recordsText(s *State) string {
	var list []string
	records := s.snapshot()
	slices.SortFunc(records, func(a, b *record) int { return cmp.Compare(a.name, b.name) })
	for _, r := range records {
		text, err := r.encode()
		if err != nil {
			panic(err)
		}
		list = append(list, r.name+" "+string(text))
	}
	return strings.Join(list, "\n")
}

// open opens a state that is closed when the test ends.
func open(t testing.TB, dir string, opts Options) *State {
	t.Helper()
	s, err := Open(dir, opts)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Errorf("close: %v", err)
		}
	})
	return s
}

// abandon ends a state as a kill -9 does: nothing is written any more.
func abandon(t interface {
	Helper()
	Error(...any)
}, s *State) {
	t.Helper()
	close(s.journal.quit)
	<-s.journal.ended
	if err := s.journal.closeFiles(); err != nil {
		t.Error(err)
	}
	if err := s.db.Close(); err != nil {
		t.Error(err)
	}
	if err := s.lock.Close(); err != nil {
		t.Error(err)
	}
}

func template(name string, more ...func(*gaffer.Template)) gaffer.Template {
	t := gaffer.Template{Name: name, Cmd: "run " + name}
	for _, f := range more {
		f(&t)
	}
	return t
}

func numprocesses(n int) func(*gaffer.Template) {
	return func(t *gaffer.Template) { t.NumProcesses = new(n) }
}

func command(cmd string) func(*gaffer.Template) {
	return func(t *gaffer.Template) { t.Cmd = cmd }
}

func notStarted(t *gaffer.Template) { t.Start = new(false) }

func source(name string, templates ...gaffer.Template) gaffer.Desired {
	return gaffer.Desired{Source: name, Templates: templates}
}

// memoryDir is a directory in memory, where there is one, for tests that would wait
// for the disk more than for anything else. It is gone after the test.
func memoryDir(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("/dev/shm", "gaffer-state-")
	if err != nil {
		return t.TempDir()
	}
	t.Cleanup(func() {
		if err := os.RemoveAll(dir); err != nil {
			t.Error(err)
		}
	})
	return dir
}
