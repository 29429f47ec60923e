package gaffertest

import (
	"encoding/json"
	"errors"
	"net"
	"slices"
	"strings"
	"time"

	"github.com/gafferpm/gaffer"
)

var templateCases = []aCase{
	{"AddStartsTheWantedNumber", addStarts},
	{"AddWithoutStartOnlyRegisters", addOnlyRegisters},
	{"AddOfATakenNameIsAConflict", addTaken},
	{"AddTellsEveryFault", addTellsEveryFault},
	{"AddOfWhatCantBeStartedIsRefused", addUnstartable},
	{"TemplatesComeBackAsTheyWere", templatesComeBack},
	{"ListIsInTheOrderOfDefinition", listOrder},
	{"UpdateReplacesOnlyWhenItMust", updateReplaces},
	{"UpdateThatIsRefusedChangesNothing", updateRefused},
	{"RemoveStopsAndForgets", removeForgets},
	{"SocketsArePassedOn", socketsPassed},
	{"NothingIsNoError", nothingIsNoError},
}

func addStarts(b *bench) {
	b.add("web", sleeps, numprocesses(2))
	st := b.status("web")
	if st.State != gaffer.Running || st.Active != "active" || st.Running != 2 || st.MaxProcesses != 2 || st.Group != "" {
		b.Errorf("status %+v", st)
	}
	if len(st.Processes) != 2 {
		b.Fatalf("%d processes, want 2", len(st.Processes))
	}
	for i, p := range st.Processes {
		if p.ID != uint64(i+1) || p.Slot != i+1 || p.PID <= 0 || p.State != gaffer.Running || p.Since.IsZero() {
			b.Errorf("process %d: %+v", i, p)
		}
	}
}

func addOnlyRegisters(b *bench) {
	b.add("web", sleeps, notStarted)
	st := b.status("web")
	if st.State != gaffer.Stopped || st.Active != "stopped" || st.Running != 0 || st.MaxProcesses != 1 || len(st.Processes) != 0 {
		b.Errorf("status %+v", st)
	}
}

func addTaken(b *bench) {
	b.add("web", sleeps)
	before := b.ids("web")
	err := b.c.Add(b.ctx, script("web", "exit 1"))
	b.is(err, gaffer.ErrConflict)
	if err != nil && !strings.Contains(err.Error(), "web") {
		b.Errorf("the error does not name the template: %v", err)
	}
	equal(b, "ids", b.ids("web"), before)
}

// faultsOf are the fields that an error tells to be wrong.
func faultsOf(err error) []string {
	var fields []string
	var walk func(error)
	walk = func(err error) {
		switch e := err.(type) {
		case *gaffer.FieldError:
			fields = append(fields, e.Field)
		case interface{ Unwrap() []error }:
			for _, sub := range e.Unwrap() {
				walk(sub)
			}
		case interface{ Unwrap() error }:
			walk(e.Unwrap())
		}
	}
	walk(err)
	slices.Sort(fields)
	return slices.Compact(fields)
}

func addTellsEveryFault(b *bench) {
	err := b.c.Add(b.ctx, gaffer.Template{
		Name: "web", NumProcesses: new(-1), RedirectOutput: []string{"out", "err", "more"},
		Backoff: &gaffer.Backoff{Factor: 0.5},
	})
	b.is(err, gaffer.ErrInvalid)
	equal(b, "fields", faultsOf(err), []string{"backoff.factor", "cmd", "numprocesses", "redirect_output"})
	var field *gaffer.FieldError
	if !errors.As(err, &field) {
		b.Errorf("%v is no FieldError", err)
	}
	for _, f := range faultsOf(err) {
		if !strings.Contains(err.Error(), f) {
			b.Errorf("the error's text does not name %s: %v", f, err)
		}
	}
	b.is(b.c.Add(b.ctx, script("no name", sleeps)), gaffer.ErrInvalid)
	equal(b, "templates", b.names(gaffer.All), nil)
}

func addUnstartable(b *bench) {
	err := b.c.Add(b.ctx, gaffer.Template{Name: "web", Cmd: "/no/such/program"})
	b.is(err, gaffer.ErrInvalid)
	equal(b, "fields", faultsOf(err), []string{"cmd"})
	err = b.c.Add(b.ctx, script("web", sleeps, func(t *gaffer.Template) { t.Cwd = "/no/such/directory" }))
	b.is(err, gaffer.ErrInvalid)
	equal(b, "fields", faultsOf(err), []string{"cwd"})
	equal(b, "templates", b.names(gaffer.All), nil)
}

// onTerminal is a template with a terminal.
var onTerminal = gaffer.Template{Name: "typed", Cmd: "sleep 1000", Start: new(false), PTY: true, RedirectOutput: []string{"screen"}}

// nightly is a template with all that a schedule can say.
func nightly() gaffer.Template {
	second := gaffer.Duration(time.Second)
	return gaffer.Template{
		Name: "nightly", Cmd: "sleep 1000", Start: new(false),
		Schedule: &gaffer.Schedule{
			Cron: "0 3 * * mon-fri", Timezone: "UTC", Overlap: gaffer.OverlapReplace, CatchUp: gaffer.CatchUpAll,
			CatchUpWithin: second, Jitter: second, Retries: 2, RetryDelay: new(gaffer.Duration(0)),
		},
	}
}

func templatesComeBack(b *bench) {
	second := gaffer.Duration(time.Second)
	full := gaffer.Template{
		Name: "jobs:mail", Cmd: "sleep", Args: gaffer.Args{"1000", "with space", ""},
		Env: map[string]string{"A": "1", "B": "two\nlines", "C": `"quoted" ü`}, OSEnv: new(true), Cwd: "/",
		NumProcesses: new(3), Priority: -4, Start: new(false), Flapping: &gaffer.Flapping{Attempts: 3, Window: second, RetryIn: &second, MaxRetry: new(-1)},
		Sockets:  []gaffer.Socket{{Name: "web", Listen: "127.0.0.1:1", Backlog: 5}, {Name: "own", Listen: "unix:///run/web.sock", Mode: 0o660, UID: "0", GID: "0"}},
		OnDemand: true, IdleTimeout: new(gaffer.Duration(time.Minute)),
		RedirectOutput: []string{"log", "log"}, RedirectInput: true, CustomStreams: []string{"ctl"},
		GracefulTimeout: new(gaffer.Duration(1500 * time.Millisecond)), StopSignal: 2, Port: 8000,
		DependsOn: map[string]gaffer.Condition{"quiet": gaffer.DependsReady}, OnLoss: gaffer.LossStop, FDStore: 2,
		Rollout:     &gaffer.Rollout{MaxSurge: new(2), MaxUnavailable: new(1), Order: "start-first", Drain: second, Timeout: second},
		Ready:       &gaffer.Ready{HTTP: "http://127.0.0.1:$PORT/"},
		StopCommand: &gaffer.Command{Cmd: "true $MAINPID", Timeout: second}, KillMode: gaffer.KillMixed, Hooks: allHooks(),
		Health: &gaffer.Health{
			TCP: "127.0.0.1:80", Interval: second, Timeout: second, Failures: 2, Successes: 3, StartPeriod: second, Action: "tell",
		},
		Restart: gaffer.RestartOnFailure, SuccessExitCodes: []int{0, 3}, MaxRuntime: gaffer.Duration(time.Hour),
		Limits: &gaffer.Limits{NoFile: "64:100", Core: "0", CPUTime: "10m", Memory: 512 << 20, CPU: 1.5, Pids: 40, BestEffort: true},
		Nice:   new(5), IOPrio: "best-effort:7", CPUAffinity: "0", Umask: "027", OOMScoreAdj: new(900), MaxMemory: 1 << 30,
		Sandbox: &gaffer.Sandbox{
			NoNewPrivs: true, Capabilities: []string{}, ReadPaths: []string{"/usr"}, WritePaths: []string{"/dev"}, PrivateTmp: true, BestEffort: true,
		},
		Logs: &gaffer.LogFiles{To: "file", MaxSize: 1 << 20, MaxFiles: 7, MaxTotal: 5000000, MaxAge: second, Compress: new(false)},
		Watch: &gaffer.Watch{
			Paths: []string{"src/**/*.py", "conf"}, Ignore: []string{"*.log", "src/gen"}, DefaultIgnore: new(false),
			Debounce: new(gaffer.Duration(0)), Action: "SIGHUP", Poll: second,
		},
		Scale: &gaffer.Autoscale{
			Min: new(0), Max: 7, Queue: "echo 3, \"4\"", Target: 2.5, Interval: second, Cooldown: new(gaffer.Duration(0)), Timeout: second,
		},
		ExitWith: true,
	}
	quiet := gaffer.Template{
		Name: "quiet", Cmd: "sleep 1000", Start: new(false), NumProcesses: new(0), RedirectOutput: []string{},
		Backoff: &gaffer.Backoff{First: new(gaffer.Duration(0))}, GracefulTimeout: new(gaffer.Duration(0)),
		Logs:  &gaffer.LogFiles{To: "memory"},
		Ready: &gaffer.Ready{Exec: "true", Timeout: &second, Interval: second}, Health: &gaffer.Health{Unix: "/s"},
		Watch: &gaffer.Watch{},
	}
	busy := gaffer.Template{
		Name: "busy", Cmd: "sleep 1000", Start: new(false), Scale: &gaffer.Autoscale{Max: 2, CPU: 70},
	}
	paced := gaffer.Template{
		Name: "paced", Cmd: "sleep 1000", Start: new(false), Scale: &gaffer.Autoscale{Min: new(1), Max: 2, RPSFile: "rps", Target: 100},
	}
	for _, t := range []gaffer.Template{quiet, full, onTerminal, busy, paced, inSteps(), nightly()} {
		b.ok(b.c.Add(b.ctx, t))
		list, err := b.c.List(b.ctx, gaffer.Target(t.Name))
		b.ok(err)
		want, err := json.Marshal(t)
		b.ok(err)
		got, err := json.Marshal(list[0].Template)
		b.ok(err)
		if string(got) != string(want) {
			b.Errorf("template %s\n got %s\nwant %s", t.Name, got, want)
		}
	}
	if g := b.status("jobs:mail").Group; g != "jobs" {
		b.Errorf("group %q, want jobs", g)
	}
}

func listOrder(b *bench) {
	want := []string{"zebra", "jobs:mail", "apple"}
	for i, name := range want {
		b.add(name, sleeps, notStarted, func(t *gaffer.Template) { t.Priority = -i })
	}
	equal(b, "templates", b.names(gaffer.All), want)
}

func updateReplaces(b *bench) {
	b.add("web", sleeps, numprocesses(2))
	before := b.ids("web")
	b.ok(b.c.Update(b.ctx, script("web", sleeps, numprocesses(2), func(t *gaffer.Template) {
		t.GracefulTimeout = new(gaffer.Duration(time.Second))
	})))
	equal(b, "ids after another grace", b.ids("web"), before)
	b.ok(b.c.Update(b.ctx, script("web", sleeps, numprocesses(2), func(t *gaffer.Template) {
		t.Env = map[string]string{"NEW": "1"}
	})))
	equal(b, "ids after another environment", slices.Sorted(slices.Values(b.ids("web"))), []uint64{3, 4})
	b.ok(b.c.Update(b.ctx, script("web", sleeps, numprocesses(1))))
	b.wantRunning("web", 1)
}

func updateRefused(b *bench) {
	b.is(b.c.Update(b.ctx, script("web", sleeps)), gaffer.ErrNotFound)
	b.add("web", sleeps)
	before := b.ids("web")
	err := b.c.Update(b.ctx, gaffer.Template{Name: "web", NumProcesses: new(-1)})
	b.is(err, gaffer.ErrInvalid)
	equal(b, "fields", faultsOf(err), []string{"cmd", "numprocesses"})
	b.is(b.c.Update(b.ctx, gaffer.Template{Name: "web.1", Cmd: "sleep 1"}), gaffer.ErrInvalid)
	b.is(b.c.Update(b.ctx, gaffer.Template{Name: "", Cmd: "sleep 1"}), gaffer.ErrInvalid)
	equal(b, "ids", b.ids("web"), before)
}

func removeForgets(b *bench) {
	events := b.events(gaffer.All, gaffer.EventOptions{Kinds: []gaffer.Kind{gaffer.KindExit, gaffer.KindDelete}})
	b.add("web", sleeps)
	b.add("db", sleeps)
	b.ok(b.c.Remove(b.ctx, "web"))
	if e := b.await(events, gaffer.KindExit); e.Name != "web" {
		b.Errorf("exit of %s, want web", e.Name)
	}
	b.await(events, gaffer.KindDelete)
	_, err := b.c.List(b.ctx, "web")
	b.is(err, gaffer.ErrNotFound)
	b.is(b.c.Remove(b.ctx, "web"), gaffer.ErrNotFound)
	b.is(b.c.Remove(b.ctx, "db.1"), gaffer.ErrInvalid)
	b.add("web", sleeps) // the name is free again
	if ids := b.ids("web"); len(ids) != 1 || ids[0] <= 2 {
		b.Errorf("ids %v of the new web: those before were 1 and 2", ids)
	}
	b.ok(b.c.Remove(b.ctx, gaffer.All))
	equal(b, "templates", b.names(gaffer.All), nil)
}

func nothingIsNoError(b *bench) {
	equal(b, "templates", b.names(gaffer.All), nil)
	groups, err := b.c.Groups(b.ctx)
	b.ok(err)
	stats, err := b.c.Stats(b.ctx, gaffer.All)
	b.ok(err)
	if len(groups) != 0 || len(stats) != 0 {
		b.Errorf("groups %v, stats %v of nothing", groups, stats)
	}
	b.ok(b.c.Start(b.ctx, gaffer.All))
	b.ok(b.c.Stop(b.ctx, gaffer.All))
	b.ok(b.c.Signal(b.ctx, gaffer.All, 1))
	wanted, err := b.c.Scale(b.ctx, gaffer.All, gaffer.Change{Op: '+', N: 1})
	b.ok(err)
	if len(wanted) != 0 {
		b.Errorf("scaled %v of nothing", wanted)
	}
}

func socketsPassed(b *bench) {
	free, err := net.Listen("tcp4", "127.0.0.1:0")
	b.ok(err)
	web := gaffer.Socket{Name: "web", Listen: free.Addr().String()}
	listens := func(t *gaffer.Template) { t.Sockets = []gaffer.Socket{web} }
	const checks = `test "$LISTEN_PID:$LISTEN_FDS:$LISTEN_FDNAMES" = "$$:1:web" || exit 9; `
	err = b.c.Add(b.ctx, script("web", checks+sleeps, listens))
	b.is(err, gaffer.ErrConflict)
	equal(b, "fields", faultsOf(err), []string{"sockets"})
	equal(b, "templates", b.names(gaffer.All), nil)
	b.ok(free.Close())
	b.add("web", checks+sleeps, listens)
	for range 2 {
		c, err := net.Dial("tcp4", web.Listen)
		b.ok(err)
		b.ok(c.Close())
		b.ok(b.c.Restart(b.ctx, "web", gaffer.StopFirst))
	}
	if st := b.status("web"); st.State != gaffer.Running || st.Restarts > 0 {
		b.Errorf("status %+v", st)
	}
}
