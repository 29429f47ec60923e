package watch

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/gafferpm/gaffer"
)

// live is a running manager with an App.
type live struct {
	*bench
	m      *gaffer.Manager
	events gaffer.Stream[gaffer.Event]
}

func newLive(t *testing.T, before ...gaffer.Template) *live {
	b := newBench(t)
	m, err := gaffer.New(gaffer.Options{})
	b.ok(err)
	l := &live{bench: b, m: m}
	l.events, err = m.Subscribe(t.Context(), gaffer.All, gaffer.EventOptions{})
	b.ok(err)
	for i := range before {
		before[i].Cwd = b.dir
		b.ok(m.Add(t.Context(), before[i]))
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error)
	go func() { done <- m.Run(ctx, b.app) }()
	<-m.Begun()
	t.Cleanup(func() {
		cancel()
		b.ok(<-done)
		if b.app.tender.Len() > 0 || b.app.hub.watcher != nil {
			t.Error("something is still watched")
		}
	})
	return l
}

// until waits for an event of a kind, and returns its message. Other restarts are a fault.
func (l *live) until(kind gaffer.Kind) string {
	l.Helper()
	ctx, cancel := context.WithTimeout(l.Context(), 20*time.Second)
	defer cancel()
	for {
		e, err := l.events.Next(ctx)
		l.ok(err)
		if e.Kind == kind {
			return e.Message
		}
		if e.Kind == gaffer.KindRestart {
			l.Fatalf("restarted: %s", e.Message)
		}
	}
}

func (l *live) wantRestart(why string) {
	l.Helper()
	if got := l.until(gaffer.KindRestart); got != why {
		l.Fatalf("got %q, want %q", got, why)
	}
	l.until(gaffer.KindSpawn)
}

func watches(name string, paths ...string) gaffer.Template {
	return gaffer.Template{Name: name, Cmd: "sleep 1000", Watch: &gaffer.Watch{Paths: paths, Debounce: quick}}
}

// Templates that come, change, stop, start and go are followed.
func TestTemplatesAreFollowed(t *testing.T) {
	l := newLive(t, watches("first", "a"))
	ctx := t.Context()
	l.write("a")
	l.wantRestart("changed: a")

	second := watches("second", "b")
	second.Cwd = l.dir
	l.ok(l.m.Add(ctx, second))
	l.sync("second")
	l.write("b")
	l.wantRestart("changed: b")

	before, err := l.m.List(ctx, "second")
	l.ok(err)
	second.Watch = &gaffer.Watch{Paths: []string{"c"}, Debounce: quick}
	l.ok(l.m.Update(ctx, second))
	after, err := l.m.List(ctx, "second")
	l.ok(err)
	if before[0].Status.Processes[0].ID != after[0].Status.Processes[0].ID {
		t.Error("another watch has replaced the process")
	}
	l.sync("second")
	l.write("b")
	l.write("c")
	l.wantRestart("changed: c")

	l.ok(l.m.Stop(ctx, "second"))
	l.until(gaffer.KindStop)
	l.write("c")
	l.write("a")
	l.wantRestart("changed: a")
	l.ok(l.m.Start(ctx, "second"))
	l.sync("second")
	l.write("c")
	l.wantRestart("changed: c")

	second.Watch = nil
	l.ok(l.m.Update(ctx, second))
	l.ok(l.m.Remove(ctx, "second"))
	l.until(gaffer.KindDelete)
	l.write("c")
	l.write("a")
	l.wantRestart("changed: a")
}

// sync waits until the App has followed all that was asked for: it follows in order, so a
// template that is added last is watched last.
func (l *live) sync(string) {
	l.Helper()
	probe := watches("probe", "probe")
	probe.Cwd, probe.Start = l.dir, new(true)
	l.ok(l.m.Add(l.Context(), probe))
	for stop := time.Now().Add(20 * time.Second); time.Now().Before(stop); {
		l.write("probe")
		ctx, cancel := context.WithTimeout(l.Context(), 200*time.Millisecond)
		for {
			e, err := l.events.Next(ctx)
			if err != nil {
				break
			}
			if e.Kind == gaffer.KindRestart && e.Name == "probe" {
				cancel()
				l.ok(l.m.Remove(l.Context(), "probe"))
				return
			}
		}
		cancel()
	}
	l.Fatal("what is new is not watched")
}

// One that has failed is tried again when its files change.
func TestFailedIsTriedAgain(t *testing.T) {
	broken := watches("web", "app")
	broken.Cmd, broken.Args = "sh", gaffer.Args{"-c", "exec sh ./app"}
	broken.Flapping = &gaffer.Flapping{Attempts: 1, MaxRetry: new(0)}
	l := newLive(t, broken)
	l.until(gaffer.KindFail)
	l.ok(os.WriteFile(filepath.Join(l.dir, "app"), []byte("exec sleep 1000\n"), 0o644))
	l.wantRestart("changed: app")
	infos, err := l.m.List(t.Context(), "web")
	l.ok(err)
	if st := infos[0].Status; st.State != gaffer.Running {
		t.Errorf("got %+v", st)
	}
}

// Where the directory can't be known, that is said, and nothing is watched.
func TestDirectoryThatIsNotKnown(t *testing.T) {
	b := newBench(t)
	var said strings.Builder
	b.app = New(Options{Logger: logTo(&said)})
	web := watches("web", "a")
	web.Cwd = "/$NO_SUCH_VARIABLE"
	u := b.app.look(&gaffer.Info{Template: web, Status: gaffer.Status{Active: "active"}}, nil)
	if u != nil || !strings.Contains(said.String(), "NO_SUCH_VARIABLE") {
		t.Errorf("said %q", said.String())
	}
}
