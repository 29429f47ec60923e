package watch

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/gafferpm/gaffer"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// fakeManager notes what it is asked for.
type fakeManager struct {
	mu     sync.Mutex
	asked  chan string // "restart web: changed: a"
	audits []string
	on     func(name string) // called in the middle of a restart
}

func newFake() *fakeManager { return &fakeManager{asked: make(chan string, 1000)} }

func (f *fakeManager) RestartFor(_ context.Context, name, why string) error {
	f.mu.Lock()
	on := f.on
	f.mu.Unlock()
	if on != nil {
		on(name)
	}
	f.asked <- "restart " + name + ": " + why
	return nil
}

func (f *fakeManager) Signal(_ context.Context, target gaffer.Target, sig gaffer.Signal) error {
	f.asked <- fmt.Sprintf("%s %s", sig, target)
	return nil
}

func (f *fakeManager) Audit(_, name, message string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.audits = append(f.audits, name+": "+message)
}

func (f *fakeManager) told() []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.Clone(f.audits)
}

// bench is a directory that is watched.
type bench struct {
	*testing.T
	dir string
	m   *fakeManager
	app *App
}

func newBench(t *testing.T) *bench {
	t.Helper()
	dir, err := filepath.EvalSymlinks(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	return &bench{T: t, dir: dir, m: newFake(), app: New(Options{})}
}

// begin watches with a table.
func (b *bench) begin(w gaffer.Watch) *unit {
	b.Helper()
	t := gaffer.Template{Name: "web", Cmd: "x", Watch: &w}
	if err := t.Validate(); err != nil {
		b.Fatal(err)
	}
	u := newUnit(b.app, b.m, &t, b.dir)
	u.Begin(b.Context())
	b.Cleanup(u.End)
	return u
}

func (b *bench) path(name string) string { return filepath.Join(b.dir, name) }

func (b *bench) ok(err error) {
	b.Helper()
	if err != nil {
		b.Fatal(err)
	}
}

var writes atomic.Int64

// write makes or changes a file, in place.
func (b *bench) write(name string) {
	b.Helper()
	b.ok(os.MkdirAll(filepath.Dir(b.path(name)), 0o755))
	n := int(writes.Add(1)) // so that no two versions are alike, however coarse the clock of the file system is
	b.ok(os.WriteFile(b.path(name), fmt.Appendf(nil, "%*d", n, n), 0o644))
}

// want waits for what is asked of the manager.
func (b *bench) want(want string) {
	b.Helper()
	select {
	case got := <-b.m.asked:
		if got != want {
			b.Fatalf("got %q, want %q", got, want)
		}
	case <-time.After(20 * time.Second):
		b.Fatalf("nothing happened, want %q", want)
	}
}

// quick is a debounce that a test does not notice.
var quick = new(gaffer.Duration(20 * time.Millisecond))

func logTo(w io.Writer) *slog.Logger { return slog.New(slog.NewTextHandler(w, nil)) }
