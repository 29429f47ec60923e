package gaffer

import (
	"context"
	"errors"
	"regexp"
	"strings"
	"time"

	"github.com/gafferpm/gaffer/internal/probe"
)

// Ready says how it is known that a process is ready to do its work. Exactly one of HTTP,
// TCP, Unix, Exec, Output, Notify and FD is set. Variables in the first four are replaced
// as in Template.Cmd, PORT among them.
type Ready struct {
	// HTTP is a URL that answers a GET with a status from 200 to 399.
	HTTP string `json:"http,omitempty" toml:"http,omitempty"`
	// TCP is an address, HOST:PORT, at which somebody listens.
	TCP string `json:"tcp,omitempty" toml:"tcp,omitempty"`
	// Unix is the path of a socket at which somebody listens.
	Unix string `json:"unix,omitempty" toml:"unix,omitempty"`
	// Exec is a command, split into words as Template.Cmd, that exits with 0. It runs in
	// the process's environment.
	Exec string `json:"exec,omitempty" toml:"exec,omitempty"`
	// Output is a regular expression (RE2) that a line which it writes matches.
	Output string `json:"output,omitempty" toml:"output,omitempty"`
	// Notify waits for READY=1 on NOTIFY_SOCKET, as sd_notify of systemd sends it.
	Notify bool `json:"notify,omitempty" toml:"notify,omitempty"`
	// FD is the number of a descriptor to which it writes a newline, as services of s6 do.
	FD int `json:"fd,omitempty" toml:"fd,omitempty"`
	// Timeout is how long it may take; what is not ready by then has failed to start, and
	// is stopped. Default 1m.
	Timeout *Duration `json:"timeout,omitempty" toml:"timeout,omitempty"`
	// Interval is the longest pause between two probes; the first ones come sooner.
	// Default 1s.
	Interval Duration `json:"interval,omitempty" toml:"interval,omitempty"`
}

// Health says how it is known that a process which is ready still does well. Exactly one
// of HTTP, TCP, Unix, Exec and Watchdog is set.
type Health struct {
	HTTP string `json:"http,omitempty" toml:"http,omitempty"`
	TCP  string `json:"tcp,omitempty" toml:"tcp,omitempty"`
	Unix string `json:"unix,omitempty" toml:"unix,omitempty"`
	Exec string `json:"exec,omitempty" toml:"exec,omitempty"`
	// Watchdog is how long it may go without WATCHDOG=1 on NOTIFY_SOCKET. WATCHDOG_USEC
	// tells it so.
	Watchdog Duration `json:"watchdog,omitempty" toml:"watchdog,omitempty"`
	// Interval is the pause between two probes. Default 10s.
	Interval Duration `json:"interval,omitempty" toml:"interval,omitempty"`
	// Timeout is how long a probe may take. Default 5s.
	Timeout Duration `json:"timeout,omitempty" toml:"timeout,omitempty"`
	// Failures in a row make it unhealthy. Default 3.
	Failures int `json:"failures,omitempty" toml:"failures,omitempty"`
	// Successes in a row make it healthy. Default 1.
	Successes int `json:"successes,omitempty" toml:"successes,omitempty"`
	// StartPeriod is for how long after it is ready failures do not count, unless a probe
	// has succeeded before. Default 0.
	StartPeriod Duration `json:"start_period,omitempty" toml:"start_period,omitempty"`
	// Action is what becomes of one that is unhealthy: "restart", or "tell" for nothing but
	// the event. Default "restart".
	Action string `json:"action,omitempty" toml:"action,omitempty"`
}

// What becomes of a process that is unhealthy.
const (
	HealthRestart = "restart"
	HealthTell    = "tell"
)

// Defaults of probes.
const (
	DefaultReadyTimeout    = time.Minute
	DefaultReadyInterval   = time.Second
	DefaultHealthInterval  = 10 * time.Second
	DefaultHealthTimeout   = 5 * time.Second
	DefaultHealthFailures  = 3
	DefaultHealthSuccesses = 1

	firstReadyPause  = 20 * time.Millisecond
	mostReadyProbe   = 5 * time.Second // that a single probe of readiness may take
	leastProbePause  = 100 * time.Millisecond
	leastWatchdog    = 100 * time.Millisecond
	mostReadyFD      = 255
	mostSaid         = 200 // of what a probe says, in bytes
	firstReadyFD     = 3
	readyPauseFactor = 2
)

func (t *Template) validateProbes(f *faults) {
	t.Ready.validate(f, t)
	t.Health.validate(f)
	if t.Detach && (t.Ready != nil || t.Health != nil) {
		f.add("detach", "a detached program is not watched: leave out ready and health")
	}
}

// probes are the ways of asking, by the names of their fields.
type probes struct{ http, tcp, unix, exec string }

func (p probes) names() (set []string) {
	for name, text := range map[string]string{"http": p.http, "tcp": p.tcp, "unix": p.unix, "exec": p.exec} {
		if text != "" {
			set = append(set, name)
		}
	}
	return set
}

func (p probes) validate(f *faults, table string) {
	whole := func(text string) bool { return !strings.ContainsAny(text, "$\x00") }
	for name, text := range map[string]string{"http": p.http, "tcp": p.tcp, "unix": p.unix, "exec": p.exec} {
		if strings.ContainsRune(text, 0) {
			f.add(table+"."+name, "has a NUL byte")
		}
	}
	if p.http != "" && whole(p.http) {
		f.wrap(table+".http", invalid(probe.CheckURL(p.http)))
	}
	if p.tcp != "" && whole(p.tcp) {
		f.wrap(table+".tcp", invalid(probe.CheckTCP(p.tcp)))
	}
	if p.exec != "" {
		if words, err := SplitWords(p.exec); err != nil {
			f.wrap(table+".exec", err)
		} else if len(words) == 0 || words[0] == "" {
			f.add(table+".exec", "the program is an empty word")
		}
	}
}

// invalid is an error as one of what somebody has written.
func invalid(err error) error {
	if err == nil {
		return nil
	}
	return invalidf("%v", err)
}

func (r *Ready) probes() probes { return probes{r.HTTP, r.TCP, r.Unix, r.Exec} }

func (r *Ready) validate(f *faults, t *Template) {
	if r == nil {
		return
	}
	n := len(r.probes().names())
	for _, set := range [...]bool{r.Output != "", r.Notify, r.FD != 0} {
		if set {
			n++
		}
	}
	if n != 1 {
		f.add("ready", "%d ways are given; want one of http, tcp, unix, exec, output, notify and fd", n)
	}
	r.probes().validate(f, "ready")
	if _, err := regexp.Compile(r.Output); err != nil {
		f.add("ready.output", "%v", err)
	}
	if r.Output != "" && len(t.outputs()) == 0 {
		f.add("ready.output", "nothing that it writes is captured: redirect_output is empty")
	}
	if taken := firstReadyFD + len(t.Sockets) + len(t.Files) + len(t.CustomStreams); r.FD != 0 && (r.FD < taken || r.FD > mostReadyFD) {
		f.add("ready.fd", "%d: want %d to %d: those below are taken", r.FD, taken, mostReadyFD)
	}
	if r.Timeout != nil && *r.Timeout <= 0 {
		f.add("ready.timeout", "%s: must be more than 0", *r.Timeout)
	}
	if t.MaxRuntime != 0 && time.Duration(t.MaxRuntime) <= r.timeout() {
		f.add("max_runtime", "%s: not more than ready.timeout, %s: it might never be ready", t.MaxRuntime, r.timeout())
	}
	if r.Interval != 0 && time.Duration(r.Interval) < leastProbePause {
		f.add("ready.interval", "%s: want at least %s", r.Interval, leastProbePause)
	}
	if r.Interval != 0 && len(r.probes().names()) == 0 {
		f.add("ready.interval", "only http, tcp, unix and exec are asked again and again")
	}
}

func (r *Ready) timeout() time.Duration {
	if r.Timeout == nil {
		return DefaultReadyTimeout
	}
	return time.Duration(*r.Timeout)
}

func (h *Health) probes() probes { return probes{h.HTTP, h.TCP, h.Unix, h.Exec} }

func (h *Health) validate(f *faults) {
	if h == nil {
		return
	}
	n := len(h.probes().names())
	if h.Watchdog != 0 {
		n++
	}
	if n != 1 {
		f.add("health", "%d ways are given; want one of http, tcp, unix, exec and watchdog", n)
	}
	h.probes().validate(f, "health")
	if h.Watchdog != 0 {
		if time.Duration(h.Watchdog) < leastWatchdog {
			f.add("health.watchdog", "%s: want at least %s", h.Watchdog, leastWatchdog)
		}
		if h.Interval != 0 || h.Timeout != 0 || h.Failures != 0 || h.Successes != 0 {
			f.add("health.watchdog", "nothing is asked: leave out interval, timeout, failures and successes")
		}
	}
	if h.Interval != 0 && time.Duration(h.Interval) < leastProbePause {
		f.add("health.interval", "%s: want at least %s", h.Interval, leastProbePause)
	}
	if h.Timeout < 0 {
		f.add("health.timeout", "%s: must not be negative", h.Timeout)
	}
	if h.StartPeriod < 0 {
		f.add("health.start_period", "%s: must not be negative", h.StartPeriod)
	}
	if h.Failures < 0 {
		f.add("health.failures", "%d: want at least 1", h.Failures)
	}
	if h.Successes < 0 {
		f.add("health.successes", "%d: want at least 1", h.Successes)
	}
	switch h.Action {
	case "", HealthRestart, HealthTell:
	default:
		f.add("health.action", "%q: want restart or tell", h.Action)
	}
}

// rule is the table with its defaults filled in.
func (h *Health) rule() Health {
	r := *h
	fill := func(d *Duration, or time.Duration) {
		if *d == 0 {
			*d = Duration(or)
		}
	}
	fill(&r.Interval, DefaultHealthInterval)
	fill(&r.Timeout, DefaultHealthTimeout)
	if r.Failures == 0 {
		r.Failures = DefaultHealthFailures
	}
	if r.Successes == 0 {
		r.Successes = DefaultHealthSuccesses
	}
	if r.Action == "" {
		r.Action = HealthRestart
	}
	return r
}

// notifies says whether processes get a socket to tell of themselves.
func (t *Template) notifies() bool {
	return t.Ready != nil && t.Ready.Notify || t.Health != nil && t.Health.Watchdog != 0 || t.FDStore > 0
}

// readyFD is the number of the descriptor on which processes say that they are ready, 0
// if there is none.
func (t *Template) readyFD() int {
	if t.Ready == nil {
		return 0
	}
	return t.Ready.FD
}

// probe asks once. It runs beside the keeper.
func (p *process) probe(ctx context.Context, how probes) error {
	if ask := p.k.m.opts.probe; ask != nil {
		return ask(ctx, p, how)
	}
	if how.exec != "" {
		return p.probeExec(ctx, how.exec)
	}
	vars, field, err := p.recipe.variables(p.slot, p.id)
	if err != nil {
		return &FieldError{field, err}
	}
	lookup := func(name string) (string, bool) {
		if v, ok := vars[name]; ok {
			return v, true
		}
		return p.recipe.inherited(name)
	}
	text, err := expand(how.http+how.tcp+how.unix, lookup)
	switch {
	case err != nil:
		return err
	case how.http != "":
		if err = probe.CheckURL(text); err == nil {
			err = probe.HTTP(ctx, text)
		}
	case how.tcp != "":
		if err = probe.CheckTCP(text); err == nil {
			err = probe.Dial(ctx, "tcp", text)
		}
	default:
		err = probe.Dial(ctx, "unix", text)
	}
	return err
}

// probeCommand is the command of a probe, which is never a shell's unless it says so.
func probeCommand(cmd string) *Command { return &Command{Cmd: cmd, Shell: new(false)} }

// checkProbes tries everything of probes by a command that can be tried without running
// them.
func (r *recipe) checkProbes(f *faults) {
	if r.Ready != nil && r.Ready.Exec != "" {
		r.checkErrand(f, "ready.exec", &errand{slot: 1, command: probeCommand(r.Ready.Exec)})
	}
	if r.Health != nil && r.Health.Exec != "" {
		r.checkErrand(f, "health.exec", &errand{slot: 1, command: probeCommand(r.Health.Exec)})
	}
}

// probeExec runs a command beside the process, until the context ends.
func (p *process) probeExec(ctx context.Context, command string) error {
	reported := make(chan report, 1)
	limit := mostReadyProbe
	if end, ok := ctx.Deadline(); ok {
		limit = max(time.Until(end), time.Millisecond)
	}
	r := p.k.m.errand(errand{
		recipe: p.recipe, slot: p.slot, id: p.id, command: probeCommand(command), timeout: limit,
		done: func(r report) { reported <- r },
	})
	select {
	case got := <-reported:
		if text := got.failure(); text != "" {
			return errors.New(text)
		}
		return nil
	case <-ctx.Done():
		r.giveUp()
		<-reported // nothing of it is left then
		if errors.Is(ctx.Err(), context.DeadlineExceeded) {
			return errors.New("no answer in time")
		}
		return ctx.Err()
	}
}

// String is what is asked, in words.
func (p probes) String() string {
	switch {
	case p.http != "":
		return "http " + p.http
	case p.tcp != "":
		return "tcp " + p.tcp
	case p.unix != "":
		return "unix " + p.unix
	}
	return "exec " + p.exec
}

// channels are what a process has of the tables of readiness and health: the ways by
// which it tells of itself.
func (t *Template) channels() (*Ready, *Health) {
	var r *Ready
	var h *Health
	if t.notifies() || t.readyFD() != 0 {
		r = &Ready{Notify: t.notifies(), FD: t.readyFD()}
	}
	if t.Health != nil && t.Health.Watchdog != 0 {
		h = &Health{Watchdog: t.Health.Watchdog}
	}
	return r, h
}
