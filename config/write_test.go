package config_test

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"pgregory.net/rapid"

	"github.com/gafferpm/gaffer"
	"github.com/gafferpm/gaffer/config"
)

// templates draws ones that are valid, with any of their fields set.
func drawTemplates(t *rapid.T) []gaffer.Template {
	name := rapid.StringMatching(`([a-z][a-z0-9_-]{0,5}:)?[A-Za-z][a-zA-Z0-9_-]{0,8}`)
	names := rapid.SliceOfNDistinct(name, 1, 4, rapid.ID).Draw(t, "names")
	var list []gaffer.Template
	for _, n := range names {
		if tmpl := drawTemplate(t, n); tmpl.Validate() == nil {
			list = append(list, tmpl)
		}
	}
	if len(list) == 0 {
		t.Skip("none is valid")
	}
	return list
}

func drawTemplate(t *rapid.T, name string) gaffer.Template {
	text := rapid.StringMatching(`[a-z "'\\$#\x01\n\t=é世\x7f]{0,8}`)
	word := rapid.StringMatching(`[a-z]{1,5}`)
	duration := rapid.Map(rapid.Int64Range(0, 1<<50), func(n int64) gaffer.Duration { return gaffer.Duration(n) })
	tmpl := gaffer.Template{
		Name:            name,
		Cmd:             rapid.StringMatching(`[a-z./$]{1,8}( ("[a-z $]*"|'[a-z\\$]*'|\\.|\$\{A:-b\}|[a-z$]+)){0,3}`).Draw(t, "cmd"),
		Args:            maybe(t, rapid.SliceOfN(text, 0, 3)),
		Env:             rapid.MapOfN(rapid.StringMatching(`[A-Za-z_.][A-Za-z0-9_. é"-]{0,4}`), text, 0, 3).Draw(t, "env"),
		EnvFiles:        maybe(t, rapid.SliceOfN(rapid.StringMatching(`/none/[a-z" ]{1,5}`), 1, 2)),
		OSEnv:           optional(t, rapid.Bool()),
		Cwd:             "/" + word.Draw(t, "cwd"),
		UID:             gaffer.Account(rapid.StringMatching(`([a-z]{1,4}|[0-9]{1,4})?`).Draw(t, "uid")),
		Shell:           rapid.Bool().Draw(t, "shell"),
		NumProcesses:    optional(t, rapid.IntRange(0, 9)),
		Priority:        rapid.IntRange(-3, 3).Draw(t, "priority"),
		Start:           optional(t, rapid.Bool()),
		RedirectOutput:  maybe(t, rapid.SliceOfN(word, 0, 2)),
		RedirectInput:   rapid.Bool().Draw(t, "input"),
		CustomStreams:   maybe(t, rapid.SliceOfNDistinct(rapid.StringMatching(`c[a-z]{2}`), 1, 2, rapid.ID)),
		GracefulTimeout: optional(t, duration),
		StopSignal:      gaffer.Signal(rapid.IntRange(0, 64).Draw(t, "signal")),
		Port:            rapid.IntRange(0, 60000).Draw(t, "port"),
	}
	if tmpl.RedirectOutput == nil || len(tmpl.RedirectOutput) == 1 {
		tmpl.PTY = rapid.Bool().Draw(t, "pty")
	}
	if rapid.Bool().Draw(t, "backoff") {
		tmpl.Backoff = &gaffer.Backoff{
			First: optional(t, duration), Factor: rapid.Float64Range(1, 10).Draw(t, "factor"),
			Jitter: optional(t, rapid.Float64Range(0, 1)), ResetAfter: optional(t, duration),
		}
	}
	if rapid.Bool().Draw(t, "sockets") {
		for _, n := range rapid.SliceOfNDistinct(rapid.IntRange(0, 5), 1, 3, rapid.ID).Draw(t, "which") {
			s := gaffer.Socket{Name: "s" + string(rune('a'+n)), Listen: "127.0.0.1:80" + string(rune('0'+n)), Backlog: rapid.IntRange(0, 1).Draw(t, "backlog")}
			if n > 2 {
				s = gaffer.Socket{Name: s.Name, Listen: "unix:///run/" + s.Name, Mode: gaffer.Mode(rapid.IntRange(0, 0o777).Draw(t, "mode")), UID: "5", GID: "g"}
			}
			tmpl.Sockets = append(tmpl.Sockets, s)
		}
		if tmpl.OnDemand = rapid.Bool().Draw(t, "on demand"); tmpl.OnDemand {
			tmpl.IdleTimeout = optional(t, duration)
		}
	}
	if rapid.Bool().Draw(t, "schedule") {
		tmpl.Backoff = nil
		tmpl.Schedule = &gaffer.Schedule{
			Cron: rapid.SampledFrom([]string{"0 3 * * *", "*/5 9-17 * * mon-fri", "@daily"}).Draw(t, "cron"), Timezone: rapid.SampledFrom([]string{"", "UTC"}).Draw(t, "timezone"),
			Overlap: rapid.SampledFrom([]gaffer.OverlapPolicy{"", "skip", "queue"}).Draw(t, "overlap"), CatchUp: rapid.SampledFrom([]gaffer.CatchUpPolicy{"", "one"}).Draw(t, "catch_up"),
			Jitter: duration.Draw(t, "jitter"), Retries: rapid.IntRange(0, 3).Draw(t, "retries"), RetryDelay: optional(t, duration),
		}
	}
	if rapid.Bool().Draw(t, "logs") {
		tmpl.Logs = &gaffer.LogFiles{
			MaxSize: gaffer.Size(rapid.Int64Range(4<<10, 1<<30).Draw(t, "max_size")), MaxFiles: rapid.IntRange(2, 100).Draw(t, "max_files"),
			MaxAge: gaffer.Duration(rapid.Int64Range(0, 1<<60).Draw(t, "max_age")), Compress: optional(t, rapid.Bool()),
		}
	}
	if rapid.Bool().Draw(t, "limits") {
		tmpl.Limits = &gaffer.Limits{
			NoFile: gaffer.Rlimit(rapid.SampledFrom([]string{"", "100", "unlimited", "64:100"}).Draw(t, "nofile")), Core: gaffer.Rlimit(rapid.SampledFrom([]string{"", "0", "8MiB"}).Draw(t, "core")),
			Memory: gaffer.Size(rapid.Int64Range(1<<20, 1<<50).Draw(t, "memory")), CPU: rapid.Float64Range(0.01, 64).Draw(t, "cpus"), Pids: rapid.IntRange(0, 9).Draw(t, "pids"),
			BestEffort: rapid.Bool().Draw(t, "best"),
		}
		tmpl.Nice, tmpl.OOMScoreAdj = optional(t, rapid.IntRange(-20, 19)), optional(t, rapid.IntRange(-1000, 1000))
		tmpl.IOPrio = rapid.SampledFrom([]string{"", "idle", "realtime:3"}).Draw(t, "ioprio")
		tmpl.CPUAffinity, tmpl.Umask = rapid.SampledFrom([]string{"", "0-3,6"}).Draw(t, "cpu_affinity"), rapid.SampledFrom([]string{"", "027"}).Draw(t, "umask")
		tmpl.MaxMemory = gaffer.Size(rapid.Int64Range(1<<20, 1<<50).Draw(t, "max_memory"))
	}
	if rapid.Bool().Draw(t, "sandbox") {
		tmpl.Sandbox = &gaffer.Sandbox{
			NoNewPrivs: rapid.Bool().Draw(t, "nnp"), Capabilities: maybe(t, rapid.SliceOfNDistinct(rapid.SampledFrom([]string{"chown", "CAP_KILL", "sys_admin"}), 0, 3, rapid.ID)),
			ReadPaths: maybe(t, rapid.SliceOfN(word, 1, 2)), WritePaths: maybe(t, rapid.SliceOfN(word, 1, 2)), PrivateTmp: rapid.Bool().Draw(t, "tmp"),
		}
	}
	if rapid.Bool().Draw(t, "watch") {
		tmpl.Watch = &gaffer.Watch{
			Paths: maybe(t, rapid.SliceOfN(rapid.StringMatching(`[a-z*?'" ]{1,5}(/\*\*)?`), 1, 3)), Ignore: maybe(t, rapid.SliceOfN(word, 1, 2)),
			DefaultIgnore: optional(t, rapid.Bool()), Action: rapid.SampledFrom([]string{"", "restart", "SIGHUP"}).Draw(t, "action"),
			Poll: gaffer.Duration(rapid.SampledFrom([]int64{0, 1e9, 1500e6}).Draw(t, "poll")),
		}
		tmpl.ExitWith = rapid.Bool().Draw(t, "exit_with")
	}
	if n := tmpl.NumProcesses; rapid.Bool().Draw(t, "scale") && (n == nil || *n > 0 && *n < 90) {
		tmpl.Scale = &gaffer.Autoscale{Min: optional(t, rapid.Just(1)), Max: rapid.IntRange(90, 99).Draw(t, "max"), CPU: rapid.Float64Range(1, 200).Draw(t, "cpu"), Cooldown: optional(t, duration)}
	}
	if rapid.Bool().Draw(t, "flapping") {
		tmpl.Flapping = &gaffer.Flapping{Attempts: 2, Window: 1e9, RetryIn: optional(t, duration), MaxRetry: optional(t, rapid.IntRange(-1, 3))}
	}
	return tmpl
}

func optional[T any](t *rapid.T, g *rapid.Generator[T]) *T {
	if !rapid.Bool().Draw(t, "set") {
		return nil
	}
	return new(g.Draw(t, "value"))
}

func maybe[T any](t *rapid.T, g *rapid.Generator[[]T]) []T {
	if !rapid.Bool().Draw(t, "set") {
		return nil
	}
	return g.Draw(t, "list")
}

func TestTOMLThatIsWrittenIsReadAsTheSame(t *testing.T) {
	dir := t.TempDir()
	rapid.Check(t, func(t *rapid.T) {
		want := drawTemplates(t)
		text, err := config.FormatTOML(want)
		if err != nil {
			t.Fatal(err)
		}
		path := filepath.Join(dir, "gaffer.toml")
		if err := os.WriteFile(path, text, 0o600); err != nil {
			t.Fatal(err)
		}
		f, err := config.Load(path, config.Options{Environ: []string{}})
		if err != nil {
			t.Fatalf("%s\n%v", text, err)
		}
		if diff := cmp.Diff(want, f.Templates, cmpopts.IgnoreFields(gaffer.Template{}, "Env")); diff != "" {
			t.Fatalf("%s\n%s", text, diff)
		}
		for i := range want {
			if diff := cmp.Diff(want[i].Env, f.Templates[i].Env, cmpopts.EquateEmpty()); diff != "" {
				t.Fatalf("%s\n%s", text, diff)
			}
		}
	})
}

func TestTOMLIsWrittenForPeople(t *testing.T) {
	got, err := config.FormatTOML([]gaffer.Template{
		{
			Name: "web", Cmd: `./web --name "a b"`, Env: map[string]string{"B": "2", "A b": "it's"}, NumProcesses: new(0), RedirectOutput: []string{},
			StopSignal: 2, GracefulTimeout: new(gaffer.Duration(90e9)), Backoff: &gaffer.Backoff{Factor: 2},
		},
		{Name: "jobs:mail", Cmd: "mail", Args: gaffer.Args{}},
	})
	if err != nil {
		t.Fatal(err)
	}
	want := `[process.web]
cmd = './web --name "a b"'
env = { "A b" = "it's", B = "2" }
numprocesses = 0
redirect_output = []
graceful_timeout = "1m30s"
stop_signal = "SIGINT"

[process.web.backoff]
factor = 2.0

[process."jobs:mail"]
cmd = "mail"
args = []
`
	if diff := cmp.Diff(want, string(got)); diff != "" {
		t.Error(diff)
	}
}

func TestTOMLCanNotHoldEverything(t *testing.T) {
	_, err := config.FormatTOML([]gaffer.Template{{Name: "web", Cmd: "x", Env: map[string]string{"A": "\xff"}}, {Name: "db", Cmd: "\xfe"}})
	want := "template web: env.A: \"\\xff\" is not UTF-8, which gaffer.toml has to be: invalid\n" +
		"template db: cmd: \"\\xfe\" is not UTF-8, which gaffer.toml has to be: invalid"
	if err == nil || err.Error() != want {
		t.Errorf("got %v\nwant %s", err, want)
	}
}

func TestProcfileOfTemplates(t *testing.T) {
	entries, lost, err := config.ToProcfile([]gaffer.Template{
		{Name: "web", Cmd: "./web --port $PORT", Port: 5000, Cwd: "/srv"},
		{Name: "jobs:mail", Cmd: "./mail it's", Args: gaffer.Args{"a b", "$X", "$$5", `"`, "", "${Y:-z}"}, Env: map[string]string{"A": "1"}, NumProcesses: new(3)},
		{Name: "script", Cmd: "a | b", Shell: true, Port: 80},
		{Name: "quoted", Cmd: `cd 'a$b' x\;y`},
	})
	if err != nil {
		t.Fatal(err)
	}
	want := "web: ./web --port \"$PORT\"\njobs:mail: \"./mail it's\" 'a b' \"$X\" \"\\$5\" '\"' '' \"${Y:-z}\"\nscript: a | b\nquoted: 'cd' \"a\\$b\" 'x;y'\n"
	if diff := cmp.Diff(want, string(config.FormatProcfile(entries))); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff([]string{"jobs:mail: env", "jobs:mail: numprocesses", "script: port"}, lost); diff != "" {
		t.Error(diff)
	}
	_, _, err = config.ToProcfile([]gaffer.Template{{Name: "a", Cmd: "x\ny", Shell: true}, {Name: "b", Cmd: "x", Shell: true, Args: gaffer.Args{"1"}}})
	if err == nil || !strings.Contains(err.Error(), "template a: a command of several lines") || !strings.Contains(err.Error(), "template b: a Procfile can't give arguments") {
		t.Errorf("got %v", err)
	}
}

// What gaffer runs of the Procfile are the words that it ran of the template.
func TestProcfileHasTheSameWords(t *testing.T) {
	dir := t.TempDir()
	rapid.Check(t, func(t *rapid.T) {
		tmpl := drawTemplate(t, "web")
		tmpl.Shell = false
		if tmpl.Validate() != nil {
			t.Skip("it is not valid")
		}
		entries, _, err := config.ToProcfile([]gaffer.Template{tmpl})
		if err != nil {
			t.Skip("it can't be in a Procfile")
		}
		path := filepath.Join(dir, "Procfile")
		text := config.FormatProcfile(entries)
		if err := os.WriteFile(path, text, 0o600); err != nil {
			t.Fatal(err)
		}
		f, err := config.Load(path, config.Options{Environ: []string{}})
		if err != nil {
			t.Fatalf("%s\n%v", text, err)
		}
		if f.Templates[0].Shell {
			t.Skip("a shell does it now")
		}
		if want, got := words(t, tmpl), words(t, f.Templates[0]); !slices.Equal(want, got) {
			t.Fatalf("%s\ngot %q, want %q of %q %q", text, got, want, tmpl.Cmd, tmpl.Args)
		}
	})
}

// words are what a template runs, before variables are replaced. A dollar that
// stands for itself may be written once or twice.
func words(t *rapid.T, tmpl gaffer.Template) []string {
	list := []string{tmpl.Cmd}
	if tmpl.Args == nil {
		var err error
		if list, err = gaffer.SplitWords(tmpl.Cmd); err != nil {
			t.Fatal(err)
		}
	}
	list = append(list, tmpl.Args...)
	for i, w := range list {
		list[i] = oneDollar(w)
	}
	return list
}

// oneDollar writes a dollar that stands for itself in one way.
func oneDollar(w string) string {
	var b strings.Builder
	for i := 0; i < len(w); i++ {
		switch rest := w[i:]; {
		case strings.HasPrefix(rest, "$$"):
			b.WriteString("$$")
			i++
		case w[i] == '$' && (len(rest) == 1 || !(rest[1] == '{' || rest[1] == '_' || rest[1] >= 'a' && rest[1] <= 'z' || rest[1] >= 'A' && rest[1] <= 'Z')):
			b.WriteString("$$")
		default:
			b.WriteByte(w[i])
		}
	}
	return b.String()
}
