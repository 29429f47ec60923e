package gaffer

import (
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gafferpm/gaffer/internal/proc"
)

// heard is what an errand has told.
type heard struct {
	mu      sync.Mutex
	output  []byte
	reports chan report
}

func newHeard() *heard { return &heard{reports: make(chan report, 2)} }

func (t *heard) write(data []byte) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.output = append(t.output, data...)
}

func (t *heard) text() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return string(t.output)
}

func (t *heard) errand(r *recipe, cmd string) errand {
	return errand{recipe: r, slot: 1, id: 17, command: &Command{Cmd: cmd}, output: t.write, done: func(r report) { t.reports <- r }}
}

func (m *Manager) looseOf(t *testing.T, tmpl Template) *recipe {
	t.Helper()
	r, err := looseRecipe(tmpl, m.env)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func TestErrandIsKilledWhenItsTimeIsOver(t *testing.T) {
	inWorld(t, func(w *world) {
		r := w.looseOf(w.T, template("web", "run"))
		for _, c := range []struct {
			cmd     string
			after   time.Duration
			failure string
		}{
			{"sh exit 2s 0", 2 * time.Second, ""},
			{"sh exit 2s 4", 2 * time.Second, "exit status 4"},
			{"sh run", DefaultCommandTimeout, "not done within 30s, killed"},
			{"sh broken", 0, "can't be started: broken"},
			{"sh $NOBODY", 0, "can't be started: variable NOBODY is not defined"},
		} {
			got, began := newHeard(), time.Now()
			w.errand(got.errand(r, c.cmd))
			report := <-got.reports
			if f := report.failure(); f != c.failure || time.Since(began) != c.after || report.ok() != (c.failure == "") {
				t.Errorf("%s: %q after %s, want %q after %s", c.cmd, f, time.Since(began), c.failure, c.after)
			}
		}
	})
}

func TestErrandIsGivenUp(t *testing.T) {
	inWorld(t, func(w *world) {
		r := w.looseOf(w.T, template("web", "run"))
		got := newHeard()
		e := w.errand(got.errand(r, "sh run"))
		w.after(time.Second)
		e.giveUp()
		e.giveUp()
		if report := <-got.reports; report.failure() != "given up" {
			t.Errorf("report %+v", report)
		}
		// One that is about to be started comes to its end, too.
		w.host.slowDown(time.Second)
		e = w.errand(got.errand(r, "sh run"))
		e.giveUp()
		if report := <-got.reports; !report.given {
			t.Errorf("report %+v", report)
		}
		w.after(time.Minute)
		if n := len(w.host.alive()); n > 0 || len(got.reports) > 0 {
			t.Errorf("%d errands are left, and %d more reports", n, len(got.reports))
		}
	})
}

func TestErrandsEndWithTheManager(t *testing.T) {
	inWorld(t, func(w *world) {
		r := w.looseOf(w.T, template("web", "run"))
		for range 3 {
			w.errand(errand{recipe: r, command: &Command{Cmd: "sh run"}, done: func(report) {}})
		}
		w.after(time.Second)
		if n := len(w.host.alive()); n != 3 {
			t.Errorf("%d errands run, want 3", n)
		}
	}) // which looks that nothing is left
}

// What can't be killed is not waited for.
func TestErrandThatCannotBeKilled(t *testing.T) {
	inWorld(t, func(w *world) {
		r := w.looseOf(w.T, template("web", "run"))
		got, began := newHeard(), time.Now()
		w.errand(got.errand(r, "sh undying"))
		report := <-got.reports
		if report.failure() != "not done within 30s, and can't be killed" || time.Since(began) != DefaultCommandTimeout+stuckErrand {
			t.Errorf("%q after %s", report.failure(), time.Since(began))
		}
		w.host.alive()[0].end(0, 0)
		synctest.Wait()
		if len(got.reports) > 0 {
			t.Error("it was told twice")
		}
	})
}

func TestErrandHasTheEnvironmentOfItsTemplate(t *testing.T) {
	real := newReal(t, Options{})
	dir := t.TempDir()
	r := real.looseOf(t, script("web", "true", func(t *Template) {
		t.Env, t.Cwd, t.Port = map[string]string{"GREETING": "hello"}, dir, 7000
	}))
	got := newHeard()
	e := got.errand(r, `echo "$GREETING $GAFFER_NAME $GAFFER_SLOT $GAFFER_ID $PORT $EXTRA $GAFFER_INSTANCE"; pwd -P; echo last one >&2; exit 3`)
	e.slot, e.vars = 2, map[string]string{"EXTRA": "more"}
	real.errand(e)
	report := <-got.reports
	if report.failure() != "exit status 3: last one" {
		t.Errorf("report %+v", report)
	}
	want := fmt.Sprintf("hello web 2 17 7001 more %s.0.1\n%s\nlast one\n", real.instance, dir)
	if got.text() != want {
		t.Errorf("got %q, want %q", got.text(), want)
	}
}

func TestErrandIsKilledWithAllThatItHasStarted(t *testing.T) {
	real := newReal(t, Options{Subreaper: true, NoCgroup: true})
	r := real.looseOf(t, script("web", "true"))
	for _, how := range []string{"its time is over", "given up", "it leaves something"} {
		got := newHeard()
		text := `sleep 100 & echo "$!"; wait`
		if how == "it leaves something" {
			text = `sleep 100 & echo "$!"`
		}
		e := got.errand(r, text)
		pid := make(chan int, 1)
		e.output = func(data []byte) {
			n, err := strconv.Atoi(strings.TrimSpace(string(data)))
			if err != nil {
				t.Errorf("output %q", data)
			}
			pid <- n
		}
		if how == "its time is over" {
			e.timeout = 300 * time.Millisecond
		}
		on := real.errand(e)
		left := <-pid
		if how == "given up" {
			on.giveUp()
		}
		report := <-got.reports
		if alive(left) || report.ok() != (how == "it leaves something") {
			t.Errorf("%s: %+v, process %d lives: %v", how, report, left, alive(left))
		}
	}
}

// An errand is no part of a service, nor of another errand: none ends with another.
func TestErrandOutlivesTheServiceAndOtherErrands(t *testing.T) {
	real := newReal(t, Options{Subreaper: true, NoCgroup: true})
	tmpl := script("web", "exec sleep 100")
	real.ok(real.Add(real.ctx, tmpl))
	r := real.looseOf(t, tmpl)
	// It has left its session and lost its parent: only its mark tells whose it is.
	got, begun := newHeard(), make(chan string, 1)
	e := got.errand(r, `(setsid sh -c 'echo $$; exec sleep 100' &); exec sleep 100`)
	e.output = func(data []byte) { begun <- string(data) }
	on := real.errand(e)
	pid, err := strconv.Atoi(strings.TrimSpace(<-begun))
	real.ok(err)
	other := newHeard()
	real.errand(other.errand(r, "sleep 100 & true"))
	if report := <-other.reports; !report.ok() {
		t.Errorf("report %+v", report)
	}
	real.ok(real.Stop(real.ctx, "web"))
	if !alive(pid) {
		t.Error("a part of the errand has ended with another one or with the service")
	}
	on.giveUp()
	<-got.reports
	if alive(pid) {
		t.Errorf("process %d outlives its errand", pid)
	}
}

func TestLastLine(t *testing.T) {
	for text, want := range map[string]string{
		"": "", "\n \n": "", "one\ntwo": "two", "one\r\ntwo  \r\n\n": "two", "\xffx": "�x",
		strings.Repeat("x", 300): strings.Repeat("x", 200) + "…",
	} {
		if got := lastSaid([]byte(text)); got != want {
			t.Errorf("%q: got %q, want %q", text, got, want)
		}
	}
}

// Errands of a manager with a Holder are this program's own children.
func TestErrandsOfAHolderNeedNoThreads(t *testing.T) {
	m, err := New(Options{Holder: &noHolder{}, Subreaper: true})
	if err != nil {
		t.Fatal(err)
	}
	r := m.looseOf(t, Template{Name: "web", Cmd: "true"})
	const n = 200
	before := threads(t)
	got := &heard{reports: make(chan report, n)}
	var all []*ongoing
	up := make(chan struct{}, n)
	for range n {
		e := got.errand(r, "sh -c 'echo up; exec sleep 100'")
		e.output = func([]byte) { up <- struct{}{} }
		all = append(all, m.errand(e))
	}
	for range n {
		<-up
	}
	if more := threads(t) - before; more > 50 {
		t.Errorf("%d errands took %d threads", n, more)
	}
	for _, on := range slices.Backward(all) {
		on.giveUp()
	}
	for range n {
		<-got.reports
	}
	if err := m.Close(); err != nil {
		t.Fatal(err)
	}
}

func threads(t *testing.T) int {
	list, err := os.ReadDir("/proc/self/task")
	if err != nil {
		t.Skip("needs /proc to count threads")
	}
	return len(list)
}

func TestCommandIsTextOrTable(t *testing.T) {
	for text, want := range map[string]Command{
		`"make it so"`: {Cmd: "make it so"},
		`{"cmd":"make","shell":false,"timeout":"5s"}`: {Cmd: "make", Shell: new(false), Timeout: Duration(5 * time.Second)},
	} {
		var c Command
		if err := c.UnmarshalJSON([]byte(text)); err != nil || c.Cmd != want.Cmd || c.Timeout != want.Timeout || (c.Shell == nil) != (want.Shell == nil) {
			t.Errorf("%s: %+v, %v", text, c, err)
		}
		if b, err := c.MarshalJSON(); err != nil || string(b) != text {
			t.Errorf("%s comes out as %s, %v", text, b, err)
		}
	}
	for _, bad := range []string{`7`, `["a"]`, `{"cmd":"a","timeout":"soon"}`} {
		if err := new(Command).UnmarshalJSON([]byte(bad)); err == nil {
			t.Errorf("%s is read", bad)
		}
	}
}

// noHolder stands for a holder: what it is given runs on as it was.
type noHolder struct {
	fakeHost
	notes map[uint64]string
	kept  []uint64
}

func (h *noHolder) Adopt(held *proc.Held, _ []proc.Capture, handler proc.Handler) {
	if held.Reaped {
		return
	}
	p := &fakeProc{host: &h.fakeHost, spec: &proc.Spec{Args: []string{"sh", "run"}}, handler: handler, pid: held.PID, started: held.Started}
	h.mu.Lock()
	h.procs = append(h.procs, p)
	h.mu.Unlock()
	handler.Started(p)
}

func (h *noHolder) Note(id uint64, note []byte) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.notes == nil {
		h.notes = map[uint64]string{}
	}
	h.notes[id] = string(note)
}

func (h *noHolder) Kept(id uint64) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.kept = append(h.kept, id)
}
