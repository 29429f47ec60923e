package gaffer

import (
	"context"
	"testing"
	"testing/synctest"
	"time"
)

func TestRestartForSaysWhy(t *testing.T) {
	inWorld(t, func(w *world) {
		w.add("web", "run")
		w.ok(w.RestartFor(w.ctx(), "web", "changed: a"))
		if e := w.last(KindRestart); e.Message != "changed: a" {
			w.Errorf("got %q", e.Message)
		}
		// What nobody wants stays as it is.
		w.ok(w.Stop(w.ctx(), "web"))
		w.ok(w.RestartFor(w.ctx(), "web", "changed: a"))
		if n := len(w.host.alive()); n != 0 {
			w.Errorf("%d processes", n)
		}
		w.is(w.RestartFor(w.ctx(), "nobody", ""), ErrNotFound)
		w.is(w.RestartFor(w.ctx(), "web*", ""), ErrInvalid)
	})
}

func TestScaleForSaysWhy(t *testing.T) {
	inWorld(t, func(w *world) {
		w.add("web", "run")
		w.ok(w.ScaleFor(w.ctx(), "web", 1, 3, "cpu 91 % of 70 %"))
		if e := w.last(KindUpdate); e.Message != "scaled from 1 to 3: cpu 91 % of 70 %" || len(w.host.alive()) != 3 {
			w.Errorf("got %q, %d", e.Message, len(w.host.alive()))
		}
		w.is(w.ScaleFor(w.ctx(), "web", 1, 2, ""), ErrConflict) // somebody was quicker
		w.ok(w.Stop(w.ctx(), "web"))
		w.is(w.ScaleFor(w.ctx(), "web", 3, 2, ""), ErrConflict)
		w.is(w.ScaleFor(w.ctx(), "nobody", 3, 2, ""), ErrNotFound)
	})
}

// last is the latest event of a kind since the last call.
func (w *world) last(kind Kind) (last Event) {
	w.Helper()
	synctest.Wait()
	for _, e := range w.seen() {
		if e.Kind == kind {
			last = e
		}
	}
	return last
}

// slowJournal takes its time.
type slowJournal struct{}

func (slowJournal) Append([]Event) error              { time.Sleep(time.Second); return nil }
func (slowJournal) Read(uint64, int) ([]Event, error) { return nil, nil }
func (slowJournal) Last() (uint64, uint64)            { return 0, 0 }

// The end of everything is told before apps are stopped, however slow the journal is.
func TestAppsSeeTheEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m, err := New(Options{host: &fakeHost{}, Journal: slowJournal{}})
		if err != nil {
			t.Fatal(err)
		}
		if err := m.Add(t.Context(), template("web", "run")); err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		app := &lastSeen{}
		done := make(chan error)
		go func() { done <- m.Run(ctx, app) }()
		<-m.Begun()
		synctest.Wait()
		cancel()
		if err := <-done; err != nil {
			t.Fatal(err)
		}
		if app.kind != KindExit {
			t.Errorf("the last that was seen is %q", app.kind)
		}
	})
}

// lastSeen is an App that looks at its stop what has come by then.
type lastSeen struct {
	events Stream[Event]
	kind   Kind
}

func (a *lastSeen) Start(_ context.Context, m *Manager) (err error) {
	a.events, err = m.Subscribe(context.Background(), All, EventOptions{})
	return err
}
func (a *lastSeen) Restart(context.Context) error { return nil }
func (a *lastSeen) Stop(ctx context.Context) error {
	for a.events.Len() > 0 {
		e, err := a.events.Next(ctx)
		if err != nil {
			return err
		}
		a.kind = e.Kind
	}
	a.events.Close()
	return nil
}

// What is done is run again, as a build is whose sources have changed.
func TestRestartForRunsAgainWhatIsDone(t *testing.T) {
	inWorld(t, func(w *world) {
		w.add("build", "crash 1s 0", func(t *Template) { t.Restart, t.Backoff = RestartNever, nil })
		w.after(time.Minute)
		w.ok(w.RestartFor(w.ctx(), "build", "changed: a"))
		synctest.Wait()
		if n := len(w.host.alive()); n != 1 {
			w.Errorf("%d processes", n)
		}
	})
}
