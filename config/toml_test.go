package config_test

import (
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/gafferpm/gaffer"
	"github.com/gafferpm/gaffer/config"
)

// write makes the files of a txtar-like map below a new directory.
func write(t *testing.T, files map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	for name, text := range files {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// load reads a file of those, with an environment of nothing.
func load(t *testing.T, dir, name string, o config.Options) (*config.File, error) {
	t.Helper()
	if o.Environ == nil {
		o.Environ = []string{}
	}
	return config.Load(filepath.Join(dir, name), o)
}

func TestTOMLReadsEveryField(t *testing.T) {
	dir := write(t, map[string]string{"gaffer.toml": `
[process.web]
cmd = "./web --port $PORT"
args = ["a", "b c"]
env = { A = "1", "B.C" = "2" }
env_files = ["web.env", "/dev/null"]
os_env = false
cwd = "sub"
uid = 1000
gid = "adm"
shell = true
detach = false
numprocesses = 0x2
priority = -1
start = false
redirect_output = ["out"]
redirect_input = true
pty = true
custom_streams = ["ctl"]
sockets = ["front", { name = "own", listen = "unix:s" }]
on_demand = true
idle_timeout = "5m"
graceful_timeout = 2.5
stop_signal = "int"
port = 3_000
on_loss = "restart"
fdstore = 4
restart = "on-failure"
success_exit_codes = [0, 3]
max_runtime = "1h"
nice = -5
ioprio = "best-effort:5"
cpu_affinity = "0-3,6"
umask = "027"
oom_score_adj = -500
max_memory = "1GiB"
kill_mode = "mixed"
stop_command = "./web --stop"

exit_with = true

[process.web.watch]
paths = ["src/**/*.py"]
ignore = ["*.log"]
default_ignore = false
debounce = 0
action = "HUP"
poll = "2s"

[process.web.scale]
min = 0
max = 4
queue = "echo 1"
target = 2
interval = 5
cooldown = "1m"
timeout = "3s"

[process.web.hooks]
pre_start = "./web --check"
post_stop = { cmd = "rm -f run/*", shell = true, timeout = "5s" }

[process.web.flapping]
attempts = 3
window = "1m"
retry_in = 7
max_retry = -1

[process.web.rollout]
order = "start-first"
max_surge = 2
max_unavailable = 1
drain = "5s"
timeout = "1h"

[process.web.depends_on]
db = "ready"
"jobs:mail" = "started"

[process.web.ready]
output = "^ready$"
timeout = "20s"

[process.web.health]
http = "http://127.0.0.1:$PORT/health"
interval = "3s"
timeout = 2
failures = 4
successes = 2
start_period = "1m"
action = "tell"

[process.web.logs]
to = "file"
max_size = "1 MiB"
max_files = 3
max_total = 5_000_000
max_age = "24h"
compress = false

[process.web.backoff]
first = "1ms"
factor = 3
max = "1s"
jitter = 0.5
reset_after = "5s"
[process.web.limits]
nofile = 65536
nproc = "100:unlimited"
core = "unlimited"
cpu_time = "10m"
fsize = "1GiB"
stack = "8MiB:16MiB"
as = 1_000_000_000
data = "1GB"
memlock = "64KiB"
sigpending = 7
msgqueue = 8
rtprio = 0
memory = "512MiB"
cpu = 1.5
pids = 100
best_effort = true
[process.web.sandbox]
no_new_privs = true
capabilities = ["net_bind_service"]
read_paths = ["/srv", "data"]
write_paths = ["$HOME/x"]
private_tmp = true
best_effort = true

[process.db]
cmd = "db"
ready = { notify = true }

[process."jobs:mail"]
cmd = "mail"
[socket.front]
listen = "127.0.0.1:8080"
backlog = 7
[socket.unused]
listen = "unix://s2"
mode = "0660"
uid = 5
gid = "adm"
`, "web.env": "X=1\n"})
	// The null device is no regular file: one fault, and then without it.
	if _, err := load(t, dir, "gaffer.toml", config.Options{}); err == nil || !strings.Contains(err.Error(), "/dev/null: is not a regular file") {
		t.Fatalf("got %v, want an error about /dev/null", err)
	}
	replaceIn(t, filepath.Join(dir, "gaffer.toml"), `, "/dev/null"`, "")

	f, err := load(t, dir, "gaffer.toml", config.Options{})
	if err != nil {
		t.Fatal(err)
	}
	d := func(d time.Duration) *gaffer.Duration { return new(gaffer.Duration(d)) }
	want := gaffer.Template{
		Name: "web", Cmd: "./web --port $PORT", Args: gaffer.Args{"a", "b c"},
		Env: map[string]string{"A": "1", "B.C": "2"}, EnvFiles: []string{filepath.Join(dir, "web.env")},
		OSEnv: new(false), Cwd: filepath.Join(dir, "sub"), UID: "1000", GID: "adm", Shell: true,
		NumProcesses: new(2), Priority: -1, Start: new(false),
		RedirectOutput: []string{"out"}, RedirectInput: true, PTY: true, CustomStreams: []string{"ctl"},
		Sockets: []gaffer.Socket{
			{Name: "front", Listen: "127.0.0.1:8080", Backlog: 7}, {Name: "own", Listen: "unix://" + filepath.Join(dir, "s")},
		},
		OnDemand: true, IdleTimeout: d(5 * time.Minute),
		GracefulTimeout: d(2500 * time.Millisecond), StopSignal: 2, Port: 3000,
		Rollout: &gaffer.Rollout{
			Order: "start-first", MaxSurge: new(2), MaxUnavailable: new(1), Drain: gaffer.Duration(5 * time.Second), Timeout: gaffer.Duration(time.Hour),
		},
		DependsOn: map[string]gaffer.Condition{"db": gaffer.DependsReady, "jobs:mail": gaffer.DependsStarted}, OnLoss: gaffer.LossRestart, FDStore: 4,
		KillMode: gaffer.KillMixed, StopCommand: &gaffer.Command{Cmd: "./web --stop"},
		Hooks: &gaffer.Hooks{
			PreStart: &gaffer.Command{Cmd: "./web --check"},
			PostStop: &gaffer.Command{Cmd: "rm -f run/*", Shell: new(true), Timeout: gaffer.Duration(5 * time.Second)},
		},
		Ready: &gaffer.Ready{Output: "^ready$", Timeout: d(20 * time.Second)},
		Health: &gaffer.Health{
			HTTP: "http://127.0.0.1:$PORT/health", Interval: gaffer.Duration(3 * time.Second), Timeout: gaffer.Duration(2 * time.Second),
			Failures: 4, Successes: 2, StartPeriod: gaffer.Duration(time.Minute), Action: gaffer.HealthTell,
		},
		Restart: gaffer.RestartOnFailure, SuccessExitCodes: []int{0, 3}, MaxRuntime: gaffer.Duration(time.Hour),
		Limits: &gaffer.Limits{
			NoFile: "65536", NProc: "100:unlimited", Core: "unlimited", CPUTime: "10m", FSize: "1GiB", Stack: "8MiB:16MiB", AS: "1000000000", Data: "1GB",
			MemLock: "64KiB", SigPending: "7", MsgQueue: "8", RTPrio: "0", Memory: 512 << 20, CPU: 1.5, Pids: 100, BestEffort: true,
		},
		Nice: new(-5), IOPrio: "best-effort:5", CPUAffinity: "0-3,6", Umask: "027", OOMScoreAdj: new(-500), MaxMemory: 1 << 30,
		Sandbox: &gaffer.Sandbox{
			NoNewPrivs: true, Capabilities: []string{"net_bind_service"}, ReadPaths: []string{"/srv", "data"}, WritePaths: []string{"$HOME/x"}, PrivateTmp: true, BestEffort: true,
		},
		Logs: &gaffer.LogFiles{
			To: "file", MaxSize: 1 << 20, MaxFiles: 3, MaxTotal: 5_000_000, MaxAge: gaffer.Duration(24 * time.Hour), Compress: new(false),
		},
		Watch: &gaffer.Watch{
			Paths: []string{"src/**/*.py"}, Ignore: []string{"*.log"}, DefaultIgnore: new(false), Debounce: d(0), Action: "HUP", Poll: gaffer.Duration(2 * time.Second),
		},
		Scale: &gaffer.Autoscale{
			Min: new(0), Max: 4, Queue: "echo 1", Target: 2, Interval: gaffer.Duration(5 * time.Second), Cooldown: d(time.Minute), Timeout: gaffer.Duration(3 * time.Second),
		},
		ExitWith: true,
		Flapping: &gaffer.Flapping{Attempts: 3, Window: gaffer.Duration(time.Minute), RetryIn: d(7 * time.Second), MaxRetry: new(-1)},
		Backoff: &gaffer.Backoff{
			First: d(time.Millisecond), Factor: 3, Max: d(time.Second), Jitter: new(0.5), ResetAfter: d(5 * time.Second),
		},
	}
	if diff := cmp.Diff([]gaffer.Template{want}, f.Templates[:1]); diff != "" {
		t.Error(diff)
	}
	// What the file above leaves at its zero value, nobody can see to be read.
	for _, name := range zeroFields(f.Templates[0]) {
		if name != "Detach" && name != "StopSequence" && name != "Schedule" { // which has a test of its own
			t.Errorf("field %s is not in this test", name)
		}
	}
}

func TestTOMLReadsASchedule(t *testing.T) {
	f, err := load(t, write(t, map[string]string{"gaffer.toml": `
[process.report]
cmd = "./report"
[process.report.schedule]
cron = "0 3 * * *"
timezone = "Europe/Paris"
overlap = "queue"
catch_up = "all"
catch_up_within = "24h"
jitter = 90
retries = 3
retry_delay = "0s"
[process.poll]
cmd = "./poll"
schedule = { every = "15m" }
`}), "gaffer.toml", config.Options{})
	if err != nil {
		t.Fatal(err)
	}
	want := []*gaffer.Schedule{
		{
			Cron: "0 3 * * *", Timezone: "Europe/Paris", Overlap: gaffer.OverlapQueue, CatchUp: gaffer.CatchUpAll,
			CatchUpWithin: gaffer.Duration(24 * time.Hour), Jitter: gaffer.Duration(90 * time.Second), Retries: 3, RetryDelay: new(gaffer.Duration(0)),
		},
		{Every: gaffer.Duration(15 * time.Minute)},
	}
	for i, tmpl := range f.Templates {
		if diff := cmp.Diff(want[i], tmpl.Schedule); diff != "" {
			t.Error(diff)
		}
	}
}

func replaceIn(t *testing.T, path, old, with string) {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(strings.ReplaceAll(string(b), old, with)), 0o644); err != nil {
		t.Fatal(err)
	}
}

func zeroFields(t gaffer.Template) (names []string) {
	v := reflect.ValueOf(t)
	for i := range v.NumField() {
		if tag := v.Type().Field(i).Tag.Get("toml"); tag != "" && tag != "-" && v.Field(i).IsZero() {
			names = append(names, v.Type().Field(i).Name)
		}
	}
	return names
}

func TestTOMLStopSequence(t *testing.T) {
	want := []gaffer.StopStep{{Signal: 3, Wait: gaffer.Duration(10 * time.Second)}, {Signal: 15, Wait: gaffer.Duration(5 * time.Second)}}
	for _, text := range []string{
		"[process.web]\ncmd = \"web\"\nstop_sequence = [{ signal = \"SIGQUIT\", wait = \"10s\" }, { signal = 15, wait = 5 }]",
		"[process.web]\ncmd = \"web\"\n[[process.web.stop_sequence]]\nsignal = \"quit\"\nwait = 10\n[[process.web.stop_sequence]]\nsignal = \"term\"\nwait = 5",
	} {
		f, err := load(t, write(t, map[string]string{"gaffer.toml": text}), "gaffer.toml", config.Options{})
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, f.Templates[0].StopSequence); diff != "" {
			t.Error(diff)
		}
	}
	for text, want := range map[string]string{
		`stop_sequence = ["SIGTERM"]`:                   "want a table",
		`stop_sequence = "SIGTERM"`:                     "want a list of tables such as",
		`stop_sequence = [{ signal = 15 }]`:             "how long to wait",
		`stop_sequence = [{ sig = 15, wait = 1 }]`:      "unknown field",
		`hooks.pre_start = 7`:                           "want a command in quotes, or a table",
		`hooks.pre_start = { command = "x" }`:           "unknown field",
		`hooks.pre_stard = "x"`:                         "pre_start",
		`hooks.pre_start = { cmd = "x", timeout = -1 }`: "must not be negative",
	} {
		dir := write(t, map[string]string{"gaffer.toml": "[process.web]\ncmd = \"web\"\n" + text})
		if _, err := load(t, dir, "gaffer.toml", config.Options{}); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", text, err)
		}
	}
}

func TestTOMLKeepsTheOrderOfTheFile(t *testing.T) {
	dir := write(t, map[string]string{"gaffer.toml": `
process.zeta = { cmd = "true" }
[process."jobs:mail"]
cmd = "true"
[process.alpha]
cmd = "true"
[process.alpha.env]
A = "1"
[process.beta]
cmd = "true"
`})
	f, err := load(t, dir, "gaffer.toml", config.Options{})
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"zeta", "jobs:mail", "alpha", "beta"}, names(f)); diff != "" {
		t.Error(diff)
	}
}

func names(f *config.File) (names []string) {
	for _, t := range f.Templates {
		names = append(names, t.Name)
	}
	return names
}

func TestTOMLDefaultsToTheFilesDirectory(t *testing.T) {
	dir := write(t, map[string]string{
		"a$b/gaffer.toml": "[process.web]\ncmd = 'true'\n[process.sub]\ncmd = 'true'\ncwd = './x'\n" +
			"[process.abs]\ncmd = 'true'\ncwd = '/'\n[process.var]\ncmd = 'true'\ncwd = '$HOME/x'\n",
	})
	f, err := load(t, dir, "a$b/gaffer.toml", config.Options{})
	if err != nil {
		t.Fatal(err)
	}
	base := dir + "/a$$b"
	for i, want := range []string{base, base + "/x", "/", "$HOME/x"} {
		if got := f.Templates[i].Cwd; got != want {
			t.Errorf("%s: cwd %s, want %s", f.Templates[i].Name, got, want)
		}
	}
}

func TestTOMLReadsWindowsFiles(t *testing.T) {
	dir := write(t, map[string]string{"gaffer.toml": "\xef\xbb\xbf[process.web]\r\ncmd = \"true\"\r\n"})
	f, err := load(t, dir, "gaffer.toml", config.Options{})
	if err != nil || f.Templates[0].Cmd != "true" {
		t.Fatalf("got %v, %v", f, err)
	}
}

func TestTOMLSplitsArgsGivenAsText(t *testing.T) {
	dir := write(t, map[string]string{"gaffer.toml": "[process.web]\ncmd = 'true'\nargs = \"a 'b c'\"\n"})
	f, err := load(t, dir, "gaffer.toml", config.Options{})
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(gaffer.Args{"a", "b c"}, f.Templates[0].Args); diff != "" {
		t.Error(diff)
	}
}

func TestTOMLIncludesFiles(t *testing.T) {
	dir := write(t, map[string]string{
		"gaffer.toml":   "include = ['conf.d/*.toml', 'more.toml']\n[process.web]\ncmd = 'true'\n",
		"conf.d/b.toml": "[process.b]\ncmd = 'true'\n",
		"conf.d/a.toml": "[process.a]\ncmd = 'true'\n",
		"conf.d/c.txt":  "not read",
		"more.toml":     "[process.more]\ncmd = 'true'\n",
	})
	f, err := load(t, dir, "gaffer.toml", config.Options{})
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"web", "a", "b", "more"}, names(f)); diff != "" {
		t.Error(diff)
	}
	if want := filepath.Join(dir, "conf.d"); f.Templates[1].Cwd != want {
		t.Errorf("cwd %s, want %s", f.Templates[1].Cwd, want)
	}
	if len(f.Read) != 4 {
		t.Errorf("read %v, want 4 files", f.Read)
	}
}

func TestTOMLCountsReplaceNumprocesses(t *testing.T) {
	dir := write(t, map[string]string{"gaffer.toml": "[process.web]\ncmd = 'true'\nport = 65530\n[process.x]\ncmd = 'true'\n"})
	f, err := load(t, dir, "gaffer.toml", config.Options{Counts: map[string]int{"web": 3, "x": 0}})
	if err != nil {
		t.Fatal(err)
	}
	if *f.Templates[0].NumProcesses != 3 || *f.Templates[1].NumProcesses != 0 {
		t.Errorf("got %d and %d", *f.Templates[0].NumProcesses, *f.Templates[1].NumProcesses)
	}
	for want, counts := range map[string]map[string]int{
		"template wbe: not found; did you mean web?":       {"wbe": 1},
		"template other: not found; there are web, x":      {"other": 1},
		"x=-1: the number of processes must not be negati": {"x": -1},
		"template web: with 7 processes the last port is":  {"web": 7},
	} {
		_, err := load(t, dir, "gaffer.toml", config.Options{Counts: counts})
		if err == nil || !strings.HasPrefix(err.Error(), want) {
			t.Errorf("%v: got %v, want %s", counts, err, want)
		}
	}
}

func TestEnvFilesAreAddedToEachTemplate(t *testing.T) {
	dir := write(t, map[string]string{
		"gaffer.toml": "[process.a]\ncmd = 'true'\nenv_files = ['a.env']\n[process.b]\ncmd = 'true'\n",
		"a.env":       "A=1\n", "extra.env": "A=2\n",
	})
	extra := filepath.Join(dir, "extra.env")
	f, err := load(t, dir, "gaffer.toml", config.Options{EnvFiles: []string{extra}})
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{filepath.Join(dir, "a.env"), extra}, f.Templates[0].EnvFiles); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff([]string{extra}, f.Templates[1].EnvFiles); diff != "" {
		t.Error(diff)
	}
}

func TestCommandsAndStepsAreWrittenAsTheyAreRead(t *testing.T) {
	want := gaffer.Template{
		Name: "web", Cmd: "web", Cwd: "/",
		StopSequence: []gaffer.StopStep{{Signal: 3, Wait: gaffer.Duration(time.Second)}, {Signal: 15, Wait: gaffer.Duration(time.Minute)}},
		Hooks: &gaffer.Hooks{
			PreStart: &gaffer.Command{Cmd: `say "it's"`},
			OnFail:   &gaffer.Command{Cmd: "tell\tme", Shell: new(false), Timeout: gaffer.Duration(time.Second)},
		},
	}
	text, err := config.FormatTOML([]gaffer.Template{want})
	if err != nil {
		t.Fatal(err)
	}
	f, err := load(t, write(t, map[string]string{"gaffer.toml": string(text)}), "gaffer.toml", config.Options{})
	if err != nil {
		t.Fatalf("%v\n%s", err, text)
	}
	if diff := cmp.Diff([]gaffer.Template{want}, f.Templates); diff != "" {
		t.Errorf("%s\n%s", diff, text)
	}
}
