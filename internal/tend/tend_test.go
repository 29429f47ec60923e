package tend

import (
	"context"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"

	"go.uber.org/goleak"

	"github.com/gafferpm/gaffer"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// fake is a manager whose templates want a unit if their command says so.
type fake struct {
	mu     sync.Mutex
	cmds   map[string]string
	looks  []string // targets of List
	events chan gaffer.Event
	begun  chan struct{}
	log    []string
}

func newFake() *fake {
	return &fake{cmds: map[string]string{}, events: make(chan gaffer.Event, 5000), begun: make(chan struct{})}
}

func (f *fake) Begun() <-chan struct{} { return f.begun }

func (f *fake) List(_ context.Context, target gaffer.Target) (list []gaffer.Info, err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.looks = append(f.looks, string(target))
	for name, cmd := range f.cmds {
		if target.Matches(name, 0, 0) {
			list = append(list, gaffer.Info{Template: gaffer.Template{Name: name, Cmd: cmd}})
		}
	}
	if list == nil && target != gaffer.All {
		return nil, gaffer.ErrNotFound
	}
	return list, nil
}

func (f *fake) Subscribe(context.Context, gaffer.Target, gaffer.EventOptions) (gaffer.Stream[gaffer.Event], error) {
	return f, nil
}

func (f *fake) Next(ctx context.Context) (gaffer.Event, error) {
	select {
	case e, open := <-f.events:
		if !open {
			return gaffer.Event{}, io.EOF
		}
		if e.Name == "" {
			return e, gaffer.Missed(7)
		}
		return e, nil
	case <-ctx.Done():
		return gaffer.Event{}, ctx.Err()
	}
}
func (f *fake) Len() int { return len(f.events) }
func (f *fake) Close()   {}

// put changes a template, and tells.
func (f *fake) put(name, cmd string) {
	f.mu.Lock()
	f.cmds[name] = cmd
	if cmd == "" {
		delete(f.cmds, name)
	}
	f.mu.Unlock()
	f.events <- gaffer.Event{Name: name}
}

// said is what has happened since it was asked last, and how often was looked.
func (f *fake) said() (log string, looks int) {
	synctest.Wait()
	f.mu.Lock()
	defer f.mu.Unlock()
	log, looks = strings.Join(f.log, " "), len(f.looks)
	f.log, f.looks = nil, nil
	return log, looks
}

type unit struct {
	f    *fake
	what string
}

func (f *fake) note(what string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.log = append(f.log, what)
}

func (u *unit) Begin(context.Context) { u.f.note("+" + u.what) }
func (u *unit) End()                  { u.f.note("-" + u.what) }

// tended begins with these templates.
func tended(t *testing.T, f *fake) *Tender[*unit] {
	tender := &Tender[*unit]{Early: true, Look: func(info *gaffer.Info, has *unit) *unit {
		what, wants := strings.CutPrefix(info.Template.Cmd, "want ")
		what = info.Template.Name + ":" + what
		switch {
		case !wants:
			return nil
		case has != nil && has.what == what:
			return has
		}
		return &unit{f, what}
	}}
	tender.Start(t.Context(), f)
	return tender
}

func TestTemplatesAreFollowed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFake()
		f.cmds["a"], f.cmds["b"] = "want 1", "x"
		tender := tended(t, f)
		want := func(want string) {
			t.Helper()
			if got, _ := f.said(); got != want {
				t.Errorf("got %q, want %q", got, want)
			}
		}
		want("+a:1")
		f.put("b", "want 1")
		want("") // nobody has begun
		close(f.begun)
		want("+b:1")
		f.put("a", "want 2")
		want("-a:1 +a:2")
		f.put("b", "want 2")
		f.put("a", "x")
		f.put("a", "x")
		want("-b:1 +b:2 -a:2") // in order
		f.put("b", "")
		want("-b:2")
		f.put("c", "want 1")
		want("+c:1")
		// What it was not told of it finds out all the same.
		f.mu.Lock()
		f.cmds["d"] = "want 1"
		f.mu.Unlock()
		f.events <- gaffer.Event{}
		want("+d:1")
		tender.Stop()
		got, _ := f.said()
		words := strings.Fields(got)
		slices.Sort(words)
		if !slices.Equal(words, []string{"-c:1", "-d:1"}) || tender.Len() != 0 {
			t.Errorf("got %q, %d are left", got, tender.Len())
		}
	})
}

// Who need not look early has nothing going on before anything is started.
func TestLateIsEarlyEnough(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFake()
		f.cmds["a"] = "want 1"
		tender := &Tender[*unit]{Look: func(info *gaffer.Info, has *unit) *unit { return &unit{f, info.Template.Name} }}
		tender.Start(t.Context(), f)
		if got, looks := f.said(); got != "" || looks != 0 {
			t.Errorf("got %q", got)
		}
		close(f.begun)
		if got, looks := f.said(); got != "+a" || looks != 1 {
			t.Errorf("got %q", got)
		}
		tender.Stop()
	})
}

// Thousands that come at once are not looked at one by one.
func TestManyAreLookedAtTogether(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFake()
		tender := tended(t, f)
		for i := range 2000 {
			f.put(fmt.Sprintf("t%d", i), "want 1")
		}
		close(f.begun)
		if _, looks := f.said(); looks > 3 || tender.Len() != 2000 {
			t.Errorf("looked %d times, has %d", looks, tender.Len())
		}
		tender.Stop()
	})
}

// The end of the manager, and an end before anything has begun, are ends.
func TestTheEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFake()
		f.cmds["a"] = "want 1"
		tended(t, f).Stop()
		if got, _ := f.said(); got != "+a:1 -a:1" {
			t.Errorf("got %q", got)
		}
		f.begun = make(chan struct{})
		tender := tended(t, f)
		close(f.begun)
		close(f.events)
		if got, _ := f.said(); got != "+a:1 -a:1" {
			t.Errorf("got %q", got)
		}
		tender.Stop()
	})
}
