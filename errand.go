package gaffer

import (
	"bytes"
	"fmt"
	"maps"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/gafferpm/gaffer/internal/proc"
)

// What gaffer runs on behalf of a template beside its processes: hooks, and what finds
// out how they are. It costs neither a goroutine nor a thread while it runs.

// errand says what to run, and who is told.
type errand struct {
	recipe  *recipe           // whose environment, directory and user it has
	slot    int               // of the process that it is about
	id      uint64            // of that process
	vars    map[string]string // further variables; they beat the template's
	command *Command
	timeout time.Duration // 0: the command's own
	// apart has what it writes to stderr told apart: it goes to the report alone, and what
	// it writes to stdout to output.
	apart bool
	// output takes what it writes to stdout and stderr, as it comes; nil: nobody does. It
	// must not block, and data is its own during the call only.
	output func(data []byte)
	// done is told once how it went, never before the errand was asked for. It must not
	// block. Nothing of the errand runs any more, unless the kernel can't end it.
	done func(report)
}

// report is how an errand went.
type report struct {
	err      error // it could not be started
	exit     proc.Exit
	took     time.Duration
	timeout  time.Duration // after which it was killed; 0: it was not
	given    bool          // it was given up, by whoever had asked for it
	stuck    bool          // it can't be killed
	lastLine string        // the last that it has written, to stderr if that is apart, cut if it is long
}

// ok says that it has done what it should.
func (r *report) ok() bool { return r.failure() == "" }

// failure is why it has not, in words; "" when it has. They include the last line that
// it has written.
func (r *report) failure() string {
	var text string
	switch {
	case r.given:
		return "given up"
	case r.err != nil:
		return launchError(r.err)
	case r.stuck:
		text = fmt.Sprintf("not done within %s, and can't be killed", r.timeout)
	case r.timeout > 0:
		text = fmt.Sprintf("not done within %s, killed", r.timeout)
	case r.exit.Signal != 0 || r.exit.Status != 0 || r.exit.Lost:
		text = describe(r.exit)
	default:
		return ""
	}
	if r.lastLine != "" {
		text += ": " + r.lastLine
	}
	return text
}

const (
	// keptOutput is how much of the last that an errand writes is kept for its report.
	keptOutput = 1 << 10
	// longestLine is how much of the last line is told.
	longestLine = 200
	// stuckErrand is how long one that was killed is waited for.
	stuckErrand = 10 * time.Second
)

// errands are those of a manager that are on their way. The processes of a Holder outlive
// the manager; errands do not, so with one they are children of this program.
//
// mu guards what is below it; own belongs to the mailbox.
type errands struct {
	box mailbox // starts them, one after the other
	own *proc.Host

	mu      sync.Mutex
	running map[*ongoing]struct{}
	closed  bool
	idle    chan struct{} // once closed: closed when none is left
}

// ongoing is an errand on its way. It is the handler of its process.
//
// mu guards what is below it, but kept, which belongs to the host.
type ongoing struct {
	errand
	m    *Manager
	kept []byte

	mu     sync.Mutex
	os     proc.Process // nil until it was started
	began  time.Time
	timer  *time.Timer
	report report
	killed bool
	over   bool
}

// errand runs something. It returns at once; what is returned can give it up.
func (m *Manager) errand(e errand) *ongoing {
	if e.timeout == 0 {
		e.timeout = e.command.timeout()
	}
	r := &ongoing{errand: e, m: m, began: time.Now()}
	mark, err := m.errands.add(r, m.instance, m.asides.Add(1))
	m.errands.box.post(func() {
		if err != nil {
			r.finish(func(t *report) { t.err = err })
			return
		}
		r.start(mark)
	})
	return r
}

// add takes in an errand. The mark of its processes is like no other: what ends another
// one, or a service, leaves them alone.
func (es *errands) add(r *ongoing, instance string, number uint64) (mark string, err error) {
	es.mu.Lock()
	defer es.mu.Unlock()
	if es.closed {
		return "", ErrClosed
	}
	if es.running == nil {
		es.running = map[*ongoing]struct{}{}
	}
	es.running[r] = struct{}{}
	return instance + ".0." + strconv.FormatUint(number, 10), nil
}

func (es *errands) remove(r *ongoing) {
	es.mu.Lock()
	defer es.mu.Unlock()
	delete(es.running, r)
	if len(es.running) == 0 && es.idle != nil {
		close(es.idle)
		es.idle = nil
	}
}

// close ends all errands, and waits for that.
func (es *errands) close() error {
	es.mu.Lock()
	es.closed = true
	var left []*ongoing
	for r := range es.running {
		left = append(left, r)
	}
	idle := make(chan struct{})
	if len(left) == 0 {
		close(idle)
	} else {
		es.idle = idle
	}
	es.mu.Unlock()
	for _, r := range left {
		r.giveUp()
	}
	<-idle
	if es.own == nil {
		return nil
	}
	return es.own.Close()
}

// errandHost is what starts errands. It runs in their mailbox.
func (m *Manager) errandHost() (host, error) {
	if m.opts.Holder == nil {
		return m.host, nil
	}
	if m.opts.host != nil {
		return m.opts.host, nil
	}
	if m.errands.own == nil {
		h, err := proc.NewHost(proc.Options{Subreaper: m.opts.Subreaper, NoCgroup: m.opts.NoCgroup, Logger: m.logger})
		if err != nil {
			return nil, fmt.Errorf("process host: %w", err)
		}
		m.errands.own = h
	}
	return m.errands.own, nil
}

func (r *ongoing) start(mark string) {
	r.mu.Lock()
	killed := r.killed
	r.mu.Unlock()
	if killed {
		r.finish(nil)
		return
	}
	failed := func(err error) { r.finish(func(t *report) { t.err = err }) }
	spec, err := r.recipe.readyErrand(&r.errand, mark)
	if err != nil {
		failed(err)
		return
	}
	h, err := r.m.errandHost()
	if err != nil {
		failed(err)
		return
	}
	h.Launch(spec, r, func(err error) {
		if err != nil {
			failed(betterError(err, spec, r.m.env))
		}
	})
}

// readyErrand is how to start an errand with that mark.
func (r *recipe) readyErrand(e *errand, mark string) (*proc.Spec, error) {
	r, err := r.resolved()
	if err != nil {
		return nil, err
	}
	spec, err := r.errandSpec(e, mark)
	if err != nil {
		return nil, err
	}
	spec.Path = spec.Args[0]
	if !strings.Contains(spec.Path, "/") { // else the start itself says what is wrong
		spec.Path, err = lookProgram(spec, spec.Path, r.env)
	}
	return spec, err
}

// errandSpec is readyErrand, but for what has to be looked up.
func (r *recipe) errandSpec(e *errand, mark string) (*proc.Spec, error) {
	vars, field, err := r.variables(e.slot, e.id)
	if err != nil {
		return nil, &FieldError{field, err}
	}
	for _, name := range managersOwn { // they are about what the process alone has
		delete(vars, name)
	}
	maps.Copy(vars, e.vars)
	vars[markName] = mark
	lookup := r.lookup(vars)
	argv, err := e.command.argv(r, lookup)
	if err != nil {
		return nil, err
	}
	dir, err := r.workDir(lookup)
	if err != nil {
		return nil, &FieldError{"cwd", err}
	}
	return &proc.Spec{
		Args: argv, Env: r.environ(vars), Dir: dir, Cred: r.cred(), Outputs: 2, Merge: !e.apart, Token: markName + "=" + mark,
	}, nil
}

// giveUp ends the errand: nobody wants it any more.
func (r *ongoing) giveUp() {
	r.mu.Lock()
	defer r.mu.Unlock()
	if !r.over && !r.killed {
		r.report.given = true
		r.killLocked()
	}
}

// killLocked ends the errand with all that it has started. One that can't be ended is
// waited for no longer than that.
func (r *ongoing) killLocked() {
	r.killed = true
	if r.timer != nil {
		r.timer.Stop()
	}
	if r.os == nil {
		return // Started sees to it
	}
	go r.os.Kill()
	r.timer = time.AfterFunc(stuckErrand, func() { r.finish(func(t *report) { t.stuck = true }) })
}

// expired: its time is over.
func (r *ongoing) expired() {
	r.mu.Lock()
	defer r.mu.Unlock()
	if !r.over && !r.killed {
		r.report.timeout = r.timeout
		r.killLocked()
	}
}

// finish is the end of the errand. note, unless nil, adds to its report.
func (r *ongoing) finish(note func(*report)) {
	r.mu.Lock()
	if r.over {
		r.mu.Unlock()
		return
	}
	r.over = true
	if r.timer != nil {
		r.timer.Stop()
	}
	if note != nil {
		note(&r.report)
	}
	r.report.took = time.Since(r.began)
	told := r.report
	r.mu.Unlock()
	r.m.errands.remove(r)
	r.done(told)
}

// Started implements proc.Handler.
func (r *ongoing) Started(os proc.Process) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.os, r.began = os, os.Started()
	if r.killed {
		r.killLocked()
		return
	}
	r.timer = time.AfterFunc(r.timeout, r.expired)
}

// Output implements proc.Handler.
func (r *ongoing) Output(stream int, data []byte) {
	r.mu.Lock()
	over := r.over // it could not be killed, and nobody expects anything more of it
	r.mu.Unlock()
	if over {
		return
	}
	if !r.apart || stream == proc.Stderr {
		r.kept = append(r.kept, data[max(0, len(data)-keptOutput):]...)
		if extra := len(r.kept) - keptOutput; extra > 0 {
			r.kept = append(r.kept[:0], r.kept[extra:]...)
		}
	}
	if r.output != nil && (!r.apart || stream == proc.Stdout) {
		r.output(data)
	}
}

// Exited implements proc.Handler.
func (r *ongoing) Exited(e proc.Exit) {
	last := lastSaid(r.kept)
	r.finish(func(t *report) { t.exit, t.lastLine = e, last })
}

// lastSaid is the last line of a text that has something in it.
func lastSaid(text []byte) string {
	text = bytes.TrimSpace(text)
	text = bytes.TrimSpace(text[bytes.LastIndexByte(text, '\n')+1:])
	if len(text) > longestLine {
		text = append(bytes.Clone(text[:longestLine]), "…"...)
	}
	return strings.ToValidUTF8(string(text), "�")
}
