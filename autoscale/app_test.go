package autoscale

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/gafferpm/gaffer"
)

// real processes, a real command, real cpu.
func TestRealTemplatesAreScaled(t *testing.T) {
	dir := t.TempDir()
	put := func(text string) {
		t.Helper()
		if err := os.WriteFile(filepath.Join(dir, "new"), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Rename(filepath.Join(dir, "new"), filepath.Join(dir, "queue")); err != nil {
			t.Fatal(err)
		}
	}
	put("10")
	m, err := gaffer.New(gaffer.Options{})
	if err != nil {
		t.Fatal(err)
	}
	events, err := m.Subscribe(t.Context(), gaffer.All, gaffer.EventOptions{Kinds: []gaffer.Kind{gaffer.KindUpdate, gaffer.KindAudit}})
	if err != nil {
		t.Fatal(err)
	}
	next := func(want string) {
		t.Helper()
		ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
		defer cancel()
		e, err := events.Next(ctx)
		if err != nil || !strings.HasPrefix(e.Message, want) {
			t.Fatalf("got %q %v, want %q", e.Message, err, want)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	app, done := New(Options{}), make(chan error)
	go func() { done <- m.Run(ctx, app) }()
	<-m.Begun()
	defer func() {
		cancel()
		if err := <-done; err != nil || app.tender.Len() > 0 {
			t.Error(err, app.tender.Len())
		}
	}()
	ok := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	quick := &gaffer.Autoscale{Max: 3, Queue: `cat "$FROM"`, Target: 10, Interval: gaffer.Duration(time.Second), Cooldown: new(gaffer.Duration(0))}
	web := gaffer.Template{Name: "web", Cmd: "sleep 1000", Cwd: dir, Env: map[string]string{"FROM": "queue"}, Scale: quick}
	ok(m.Add(t.Context(), web))
	put("25")
	next("scaled from 1 to 2: queue 25, 10 for each")
	next("scaled from 2 to 3: queue 25, 10 for each")
	put("many")
	next(`queue: "many" is no number from 0`)
	// With another table it is another one's business, without a restart.
	put("0")
	web.Scale = &gaffer.Autoscale{Max: 2, RPSFile: "queue", Target: 10, Interval: gaffer.Duration(time.Second), Cooldown: new(gaffer.Duration(0))}
	ok(m.Update(t.Context(), web))
	next("without a restart")
	next("scaled from 3 to 1: ")
	ok(m.Remove(t.Context(), "web"))

	busy := gaffer.Template{
		Name: "busy", Shell: true, Cmd: "while :; do :; done", GracefulTimeout: new(gaffer.Duration(0)),
		Scale: &gaffer.Autoscale{Max: 2, CPU: 5, Interval: gaffer.Duration(time.Second), Cooldown: new(gaffer.Duration(0))},
	}
	ok(m.Add(t.Context(), busy))
	next("scaled from 1 to 2: cpu ")
}
