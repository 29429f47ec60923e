package gaffer

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
)

// fakeStore keeps what is wanted in memory.
type fakeStore struct {
	mu     sync.Mutex
	kept   map[string]Kept
	told   int
	broken error
}

func (s *fakeStore) Keep(_ context.Context, list []Kept) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.told++
	if s.broken != nil {
		return s.broken
	}
	for _, k := range list {
		if k.Version > s.kept[k.Name].Version {
			s.kept[k.Name] = k
		}
	}
	return nil
}

func (s *fakeStore) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	text := ""
	for _, name := range []string{"a", "b"} {
		if w := s.kept[name].Wanted; w != nil {
			text += fmt.Sprintf("%s %v %d ", name, w.Active, w.Count)
		}
	}
	return text
}

// withStore runs a test with a running manager that keeps what is wanted.
func withStore(t *testing.T, test func(w *world, s *fakeStore)) {
	t.Helper()
	store := &fakeStore{kept: map[string]Kept{}}
	synctest.Test(t, func(t *testing.T) {
		m, err := New(Options{host: &fakeHost{}, Store: store})
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(context.Background())
		done := make(chan error)
		go func() { done <- m.Run(ctx) }()
		synctest.Wait()
		test(&world{T: t, Manager: m}, store)
		before := store.String()
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
		if after := store.String(); after != before {
			t.Errorf("the manager's end has changed what is wanted: %q, was %q", after, before)
		}
	})
}

func TestWhatIsWantedIsKeptBeforeTheAnswer(t *testing.T) {
	withStore(t, func(w *world, s *fakeStore) {
		is := func(want string) {
			w.Helper()
			if got := s.String(); got != want {
				w.Errorf("kept %q, want %q", got, want)
			}
		}
		w.add("a", "run")
		is("a true 1 ")
		w.add("b", "run", notStarted, numprocesses(2))
		is("a true 1 b false 2 ")
		w.ok(w.Start(w.ctx(), "b"))
		is("a true 1 b true 2 ")
		_, err := w.Scale(w.ctx(), All, Change{'+', 3})
		w.ok(err)
		is("a true 4 b true 5 ")
		w.ok(w.Stop(w.ctx(), "*"))
		is("a false 4 b false 5 ")
		w.ok(w.Update(w.ctx(), template("a", "run", numprocesses(7))))
		is("a false 7 b false 5 ")
		w.ok(w.Restart(w.ctx(), "a", StopFirst))
		is("a true 7 b false 5 ")
		w.ok(w.Remove(w.ctx(), "b"))
		is("a true 7 ")
		told := s.told
		w.ok(w.Start(w.ctx(), "a"))
		w.ok(w.Restart(w.ctx(), "a", StopFirst))
		w.ok(w.Stop(w.ctx(), "a.1"))
		if s.told != told {
			w.Errorf("the store was told %d times of nothing new", s.told-told)
		}
	})
}

func TestWhatIsWantedOfSeveralIsKeptAtOnce(t *testing.T) {
	withStore(t, func(w *world, s *fakeStore) {
		w.add("a", "run")
		w.add("b", "run")
		told := s.told
		w.ok(w.Stop(w.ctx(), All))
		if s.told != told+1 {
			w.Errorf("told %d times, want once", s.told-told)
		}
	})
}

func TestGivingUpIsNotWanted(t *testing.T) {
	withStore(t, func(w *world, s *fakeStore) {
		w.add("a", "crash 10ms 1", flaps(Flapping{MaxRetry: new(0)}))
		synctest.Wait()
		if got := s.String(); got != "a true 1 " {
			w.Errorf("kept %q", got)
		}
	})
}

func TestWhatIsNotKeptIsSaidAndOfferedAgain(t *testing.T) {
	withStore(t, func(w *world, s *fakeStore) {
		w.add("a", "run")
		full := errors.New("disk full")
		s.broken = full
		if err := w.Stop(w.ctx(), "a"); !errors.Is(err, full) {
			w.Errorf("stop: %v, want that it is not kept", err)
		}
		s.broken = nil
		w.ok(w.Stop(w.ctx(), "a"))
		if got := s.String(); got != "a false 1 " {
			w.Errorf("kept %q", got)
		}
	})
}

func TestRestoredIsAsItWasWanted(t *testing.T) {
	withStore(t, func(w *world, s *fakeStore) {
		told := s.told
		w.ok(w.Restore(w.ctx(), Wanted{Template: template("a", "run", notStarted), Active: true, Count: 3}))
		w.ok(w.Restore(w.ctx(), Wanted{Template: template("b", "run", numprocesses(5)), Count: 2}))
		if s.told != told {
			w.Error("the store was told of what came out of it")
		}
		list, err := w.List(w.ctx(), All)
		w.ok(err)
		for i, want := range []string{"a active 3 3", "b stopped 0 2"} {
			st := list[i].Status
			if got := fmt.Sprint(st.Name, " ", st.Active, " ", st.Running, " ", st.MaxProcesses); got != want {
				w.Errorf("%s, want %s", got, want)
			}
		}
		w.is(w.Restore(w.ctx(), Wanted{Template: template("c", "run"), Count: -1}), ErrInvalid)
		w.is(w.Restore(w.ctx(), Wanted{Template: template("a", "run"), Count: 1}), ErrConflict)
	})
}

func TestRestoredBeforeRunStartsWhenItRuns(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := &fakeHost{}
		m, err := New(Options{host: h})
		if err != nil {
			t.Fatal(err)
		}
		for _, w := range []Wanted{
			{Template: template("a", "run", notStarted), Active: true, Count: 2},
			{Template: template("b", "run"), Active: false, Count: 2},
		} {
			if err := m.Restore(t.Context(), w); err != nil {
				t.Fatal(err)
			}
		}
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error)
		go func() { done <- m.Run(ctx) }()
		synctest.Wait()
		if n := len(h.alive()); n != 2 {
			t.Errorf("%d run, want the 2 of a", n)
		}
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
}

func TestPreviewSaysWhatAnUpdateWouldDo(t *testing.T) {
	inWorld(t, func(w *world) {
		w.add("a", "run", numprocesses(2))
		for _, c := range []struct {
			next Template
			want string
		}{
			{template("a", "run", numprocesses(2)), "keep false"},
			{template("b", "run"), "create false"},
			{template("a", "run", numprocesses(3)), "update false numprocesses 2>3"},
			{template("a", "run"), "update false numprocesses 2>"},
			{template("a", "slow 1s", numprocesses(2)), `update true cmd "sh run">"sh slow 1s"!`},
			{template("a", "run", numprocesses(2), func(t *Template) { t.Env = map[string]string{"X": "1"} }), `update true env.X >"1"!`},
			{template("a", "run", numprocesses(2), func(t *Template) { t.Flapping = &Flapping{} }), `update false flapping >{}`},
			{template("a", "run", numprocesses(2), func(t *Template) { t.OSEnv = new(true) }), `update false os_env >true`},
		} {
			step, err := w.Preview(w.ctx(), c.next)
			w.ok(err)
			got := fmt.Sprint(step.Op, " ", step.Restart)
			for _, f := range step.Fields {
				got += fmt.Sprintf(" %s %s>%s", f.Field, f.Old, f.New)
				if f.Restart {
					got += "!"
				}
			}
			if got != c.want {
				w.Errorf("%+v: %s, want %s", c.next, got, c.want)
			}
		}
		_, err := w.Preview(w.ctx(), Template{Name: "x", Cmd: "/no/such/program"})
		w.is(err, ErrInvalid)
		w.ok(w.Stop(w.ctx(), "a"))
		step, err := w.Preview(w.ctx(), template("a", "slow 1s"))
		w.ok(err)
		if step.Restart {
			w.Error("a stopped template would be restarted")
		}
	})
}

func TestWhatWouldNotBeKeptAnyMoreIsRefused(t *testing.T) {
	store := &fakeStore{kept: map[string]Kept{}}
	synctest.Test(t, func(t *testing.T) {
		m, err := New(Options{host: &fakeHost{}, Store: store})
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error)
		go func() { done <- m.Run(ctx) }()
		synctest.Wait()
		if err := m.Add(t.Context(), template("a", "slow 5s")); err != nil {
			t.Fatal(err)
		}
		cancel()
		synctest.Wait() // a takes its time
		if err := m.Stop(t.Context(), "a"); !errors.Is(err, ErrClosed) {
			t.Errorf("stop: %v, want closed", err)
		}
		if err := m.Remove(t.Context(), "a"); !errors.Is(err, ErrClosed) {
			t.Errorf("remove: %v, want closed", err)
		}
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
}
