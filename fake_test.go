package gaffer

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gafferpm/gaffer/internal/proc"
)

// fakeHost is an operating system in virtual time. What a process does is in its
// command: "sh" followed by
//
//	run                    runs until it is told to stop, then ends after 10ms
//	crash AFTER STATUS     exits by itself
//	exit AFTER STATUS      exits by itself with that status
//	stubborn               ignores every signal but SIGKILL
//	obeys SIGNAL           ends when it is sent that signal, and ignores all others
//	undying                can't be ended at all
//	slow TIME              takes that long to end when told to stop
//	broken                 can't be started
type fakeHost struct {
	mu      sync.Mutex
	procs   []*fakeProc
	nextPID int
	broken  error         // what Start answers, whatever the command
	takes   time.Duration // how long a start takes
	closed  bool
}

type fakeProc struct {
	host    *fakeHost
	spec    *proc.Spec
	handler proc.Handler
	pid     int
	started time.Time
	signals []syscall.Signal
	alone   []syscall.Signal // those of them that were for the main process alone
	gone    bool
}

func (h *fakeHost) Start(spec *proc.Spec, handler proc.Handler) error {
	h.mu.Lock()
	takes := h.takes
	h.mu.Unlock()
	time.Sleep(takes)
	h.mu.Lock()
	if h.broken != nil || spec.Args[1] == "broken" {
		defer h.mu.Unlock()
		if h.broken != nil {
			return h.broken
		}
		return errors.New("broken")
	}
	h.nextPID++
	p := &fakeProc{host: h, spec: spec, handler: handler, pid: 1000 + h.nextPID, started: time.Now()}
	h.procs = append(h.procs, p)
	h.mu.Unlock()
	handler.Started(p)
	if spec.Args[1] == "crash" {
		after, err := time.ParseDuration(spec.Args[2])
		if err != nil {
			panic(err)
		}
		time.AfterFunc(after, func() { p.end(3, 0) })
	}
	if spec.Args[1] == "exit" {
		after, err := time.ParseDuration(spec.Args[2])
		status, err2 := strconv.Atoi(spec.Args[3])
		if err := errors.Join(err, err2); err != nil {
			panic(err)
		}
		time.AfterFunc(after, func() { p.end(status, 0) })
	}
	return nil
}

func (h *fakeHost) Launch(spec *proc.Spec, handler proc.Handler, done func(error)) {
	done(h.Start(spec, handler))
}

func (h *fakeHost) Close() error {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.closed = true
	return nil
}

// alive are the processes that have not ended.
func (h *fakeHost) alive() []*fakeProc {
	h.mu.Lock()
	defer h.mu.Unlock()
	var live []*fakeProc
	for _, p := range h.procs {
		if !p.gone {
			live = append(live, p)
		}
	}
	return live
}

// slowDown makes each start take so long.
func (h *fakeHost) slowDown(takes time.Duration) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.takes = takes
}

func (h *fakeHost) breakWith(err error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.broken = err
}

func (p *fakeProc) end(status int, sig syscall.Signal) {
	p.host.mu.Lock()
	was := p.gone
	p.gone = true
	p.host.mu.Unlock()
	if !was && !p.spec.Detach {
		p.handler.Exited(proc.Exit{Status: status, Signal: sig, Time: time.Now()})
	}
}

func (p *fakeProc) name() string {
	for _, v := range p.spec.Env {
		if name, found := strings.CutPrefix(v, "GAFFER_NAME="); found {
			return name
		}
	}
	return ""
}

func (p *fakeProc) PID() int                     { return p.pid }
func (p *fakeProc) Resize(proc.WindowSize) error { return nil }

func (p *fakeProc) Started() time.Time { return p.started }

func (p *fakeProc) Signal(sig syscall.Signal) error {
	p.host.mu.Lock()
	p.alone = append(p.alone, sig)
	p.host.mu.Unlock()
	err := p.sent(sig)
	p.obey(sig)
	return err
}

func (p *fakeProc) sent(sig syscall.Signal) error {
	p.host.mu.Lock()
	p.signals = append(p.signals, sig)
	gone := p.gone
	p.host.mu.Unlock()
	if gone {
		return proc.ErrClosed
	}
	if sig == syscall.SIGKILL {
		p.end(-1, sig)
	}
	return nil
}

func (p *fakeProc) SignalGroup(sig syscall.Signal) error {
	err := p.sent(sig)
	p.obey(sig)
	return err
}

// obey is what the program does when it is asked to end.
func (p *fakeProc) obey(sig syscall.Signal) {
	if p.spec.Args[1] == "obeys" {
		if proc.SignalName(sig) == p.spec.Args[2] {
			p.end(0, 0)
		}
		return
	}
	if sig != syscall.SIGTERM && sig != syscall.SIGINT {
		return
	}
	switch p.spec.Args[1] {
	case "stubborn", "undying":
	case "slow":
		d, _ := time.ParseDuration(p.spec.Args[2])
		time.AfterFunc(d, func() { p.end(0, 0) })
	default:
		time.AfterFunc(10*time.Millisecond, func() { p.end(-1, sig) })
	}
}

func (p *fakeProc) Kill() {
	if p.spec.Args[1] != "undying" {
		p.end(-1, syscall.SIGKILL)
	}
}

func (p *fakeProc) Write(context.Context, int, []byte) (int, error) { return 0, proc.ErrClosed }

// world is a manager on a fake host, in virtual time.
type world struct {
	*testing.T
	*Manager
	host   *fakeHost
	probes *fakeProbes
	events Stream[Event]
}

// fakeProbes answers probes: as it was told of the template, else with an error.
type fakeProbes struct {
	mu    sync.Mutex
	good  map[string]bool
	takes time.Duration
	asked int
}

func (f *fakeProbes) ask(ctx context.Context, p *process, _ probes) error {
	f.mu.Lock()
	takes := f.takes
	f.asked++
	f.mu.Unlock()
	select {
	case <-time.After(takes):
	case <-ctx.Done():
		return errors.New("no answer in time")
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.good[p.recipe.Name] || f.good[p.name()] {
		return nil
	}
	return errors.New("connection refused")
}

// say says how probes of a template, or of one of its slots, are answered from now on.
func (f *fakeProbes) say(name string, good bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.good == nil {
		f.good = map[string]bool{}
	}
	f.good[name] = good
}

func (f *fakeProbes) count() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.asked
}

// inWorld runs a test with a running manager and ends it.
func inWorld(t *testing.T, test func(*world)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		h, probes := &fakeHost{}, &fakeProbes{}
		m, err := New(Options{host: h, probe: probes.ask})
		if err != nil {
			t.Fatal(err)
		}
		w := &world{T: t, Manager: m, host: h, probes: probes}
		w.events, err = m.Subscribe(context.Background(), All, EventOptions{})
		w.ok(err)
		ctx, cancel := context.WithCancel(context.Background())
		done := make(chan error)
		go func() { done <- m.Run(ctx) }()
		synctest.Wait()
		test(w)
		cancel()
		if err := <-done; err != nil {
			t.Errorf("Run: %v", err)
		}
		for _, p := range h.alive() {
			if !p.spec.Detach {
				t.Errorf("%s is left after Run", p.name())
			}
		}
		if !h.closed {
			t.Error("the host is not closed after Run")
		}
	})
}

func (w *world) ok(err error) {
	w.Helper()
	if err != nil {
		w.Fatal(err)
	}
}

func (w *world) is(err, want error) {
	w.Helper()
	if !errors.Is(err, want) {
		w.Errorf("error %v, want %v", err, want)
	}
}

func (w *world) ctx() context.Context { return w.Context() }

// add adds a template of that command.
func (w *world) add(name, cmd string, more ...func(*Template)) {
	w.Helper()
	w.ok(w.Add(w.ctx(), template(name, cmd, more...)))
}

func template(name, cmd string, more ...func(*Template)) Template {
	t := Template{Name: name, Cmd: "sh " + cmd, Backoff: &Backoff{Jitter: new(0.0)}}
	for _, f := range more {
		f(&t)
	}
	return t
}

func numprocesses(n int) func(*Template) { return func(t *Template) { t.NumProcesses = &n } }
func notStarted(t *Template)             { t.Start = new(false) }
func grace(d time.Duration) func(*Template) {
	return func(t *Template) { t.GracefulTimeout = new(Duration(d)) }
}
func priority(n int) func(*Template)   { return func(t *Template) { t.Priority = n } }
func flaps(f Flapping) func(*Template) { return func(t *Template) { t.Flapping, t.Backoff = &f, nil } }
func backsOff(b Backoff) func(*Template) {
	return func(t *Template) { b.Jitter = new(0.0); t.Backoff = &b }
}
func noBackoff(t *Template) { t.Backoff = &Backoff{First: new(Duration(0))} }

// status is how one template is.
func (w *world) status(name string) Status {
	w.Helper()
	list, err := w.List(w.ctx(), Target(name))
	w.ok(err)
	if len(list) != 1 {
		w.Fatalf("List(%s): %d templates", name, len(list))
	}
	return list[0].Status
}

func (w *world) wantState(name string, state State, running int) {
	w.Helper()
	st := w.status(name)
	if st.State != state || st.Running != running {
		w.Errorf("%s is %s with %d running, want %s with %d; at %+v", name, st.State, st.Running, state, running, st)
	}
}

// ids are the ids of a template's processes by slot.
func (w *world) ids(name string) []uint64 {
	w.Helper()
	var ids []uint64
	for _, p := range w.status(name).Processes {
		ids = append(ids, p.ID)
	}
	return ids
}

// after lets virtual time pass and everything that is due happen.
func (w *world) after(d time.Duration) {
	time.Sleep(d)
	synctest.Wait()
}

// happened are the events since the last call, as "kind name" or "kind name.slot",
// exits of the same moment in the order of their slots.
func (w *world) happened() []string {
	w.Helper()
	synctest.Wait()
	var all []string
	events := w.seen()
	slices.SortStableFunc(events, func(a, b Event) int {
		if a.Kind != KindExit || b.Kind != KindExit || !a.Time.Equal(b.Time) || a.Name != b.Name {
			return 0
		}
		return a.Slot - b.Slot
	})
	for _, e := range events {
		s := string(e.Kind) + " " + e.Name
		if e.Slot > 0 {
			s += fmt.Sprintf(".%d", e.Slot)
		}
		all = append(all, s)
	}
	return all
}

// seen are the events since the last call.
func (w *world) seen() []Event {
	w.Helper()
	synctest.Wait()
	ended, cancel := context.WithCancel(context.Background())
	var all []Event
	for {
		next := make(chan struct{})
		var e Event
		var err error
		go func() { defer close(next); e, err = w.events.Next(ended) }()
		synctest.Wait()
		select {
		case <-next:
		default:
			cancel()
			<-next
		}
		if err != nil {
			cancel()
			if !errors.Is(err, context.Canceled) && !errors.Is(err, io.EOF) {
				w.Fatal(err)
			}
			return all
		}
		all = append(all, e)
	}
}

func (w *world) wantEvents(want ...string) {
	w.Helper()
	if got := w.happened(); !slices.Equal(got, want) {
		w.Errorf("events\n got %s\nwant %s", strings.Join(got, ", "), strings.Join(want, ", "))
	}
}
