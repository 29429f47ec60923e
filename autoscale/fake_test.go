package autoscale

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"github.com/gafferpm/gaffer"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// fakeManager has one template, web, whose processes are started at once.
type fakeManager struct {
	mu     sync.Mutex
	status gaffer.Status
	scale  *gaffer.Autoscale
	work   float64 // percent of one core that there is to do, shared by all
	queue  func(ctx context.Context) (string, error)
	asked  int
	log    []string // what was asked of it, and told
	unit   *unit
	begun  time.Time
}

func (f *fakeManager) note(format string, a ...any) {
	f.log = append(f.log, fmt.Sprintf("%s ", time.Since(f.begun).Round(time.Second))+fmt.Sprintf(format, a...))
}

func (f *fakeManager) List(context.Context, gaffer.Target) ([]gaffer.Info, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return []gaffer.Info{{Template: gaffer.Template{Name: "web", Scale: f.scale}, Status: f.status}}, nil
}

func (f *fakeManager) set(n int) {
	f.mu.Lock()
	f.status.MaxProcesses, f.status.Running = n, n
	f.mu.Unlock()
	f.unit.sees(n, time.Now()) // as the event has it
}

func (f *fakeManager) change(do func()) {
	f.mu.Lock()
	defer f.mu.Unlock()
	do()
}

func (f *fakeManager) ScaleFor(_ context.Context, _ string, from, to int, why string) error {
	f.mu.Lock()
	if f.status.MaxProcesses != from {
		f.mu.Unlock()
		return gaffer.ErrConflict
	}
	f.note("from %d to %d: %s", from, to, why)
	f.mu.Unlock()
	f.set(to)
	return nil
}

func (f *fakeManager) Audit(_, _, message string) { f.change(func() { f.note("%s", message) }) }

func (f *fakeManager) Ask(ctx context.Context, _, _ string) (string, error) {
	f.mu.Lock()
	f.asked++
	queue := f.queue
	f.mu.Unlock()
	return queue(ctx)
}

func (f *fakeManager) Monitor(ctx context.Context, _ gaffer.Target, interval time.Duration) (gaffer.Stream[[]gaffer.Stats], error) {
	return &monitor{f, interval, false}, nil
}

type monitor struct {
	f        *fakeManager
	interval time.Duration
	begun    bool
}

func (m *monitor) Next(ctx context.Context) ([]gaffer.Stats, error) {
	if m.begun {
		select {
		case <-time.After(m.interval):
		case <-ctx.Done():
			return nil, io.EOF
		}
	}
	m.begun = true
	m.f.mu.Lock()
	defer m.f.mu.Unlock()
	s := gaffer.Stats{Name: "web", Processes: make([]gaffer.ProcessStats, m.f.status.Running)}
	if m.f.status.Running > 0 {
		s.CPU = min(m.f.work, 100*float64(m.f.status.Running))
	}
	return []gaffer.Stats{s}, nil
}
func (m *monitor) Len() int { return 0 }
func (m *monitor) Close()   {}

// play scales in virtual time.
func play(t *testing.T, scale gaffer.Autoscale, n int, do func(f *fakeManager)) []string {
	t.Helper()
	tt := gaffer.Template{Name: "web", Cmd: "x", Scale: &scale}
	if err := tt.Validate(); err != nil {
		t.Fatal(err)
	}
	var log []string
	synctest.Test(t, func(t *testing.T) {
		f := &fakeManager{scale: &scale, begun: time.Now(), status: gaffer.Status{Name: "web", State: gaffer.Running, Active: "active"}}
		f.queue = func(context.Context) (string, error) { return "0", nil }
		f.unit = newUnit(slog.New(slog.DiscardHandler), f, &tt, t.TempDir())
		f.set(n)
		f.unit.Begin(t.Context())
		time.Sleep(500 * time.Millisecond) // nothing below happens at the same time as a look
		do(f)
		synctest.Wait()
		f.unit.End()
		log = slices.Clone(f.log)
	})
	return log
}
