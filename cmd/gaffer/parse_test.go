package main

import (
	"errors"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/spf13/cobra"

	"github.com/gafferpm/gaffer"
)

func TestScaleReadsTheLastSign(t *testing.T) {
	for text, want := range map[string]struct {
		target gaffer.Target
		change string
	}{
		"web=3": {"web", "=3"}, "web+2": {"web", "+2"}, "web-1": {"web", "-1"}, "web-2-1": {"web-2", "-1"}, "jobs:*=0": {"jobs:*", "=0"}, "*+1": {"*", "+1"},
	} {
		target, change, err := parseScale(text)
		if err != nil || target != want.target || change.String() != want.change {
			t.Errorf("%s: got %s %s, %v", text, target, change, err)
		}
	}
	for _, text := range []string{"", "web", "=3", "web=", "web=x", "web+-3", "web=-3", "we b=3", "web=3x", "-1", "web=99999999999999999999"} {
		target, change, err := parseScale(text)
		var usage *usageError
		if !errors.As(err, &usage) {
			t.Errorf("%q: got %s %s, %v; want a mistake on the command line", text, target, change, err)
		}
	}
}

func FuzzScale(f *testing.F) {
	for _, s := range []string{"web=3", "x-1", "jobs:*+2", "a-b-3"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		target, change, err := parseScale(s)
		if err != nil {
			return
		}
		again, changeAgain, err := parseScale(string(target) + change.String())
		if err != nil || again != target || changeAgain != change {
			t.Errorf("%q: %s %s becomes %s %s, %v", s, target, change, again, changeAgain, err)
		}
	})
}

func TestTimesAreReadAsPeopleWriteThem(t *testing.T) {
	zone := time.FixedZone("", 3600)
	now := time.Date(2026, 11, 22, 10, 30, 0, 0, zone)
	for text, want := range map[string]time.Time{
		"10m":                       now.Add(-10 * time.Minute),
		"1h30m":                     now.Add(-90 * time.Minute),
		"0s":                        now,
		"3d":                        time.Date(2026, 11, 19, 10, 30, 0, 0, zone),
		"09:15":                     time.Date(2026, 11, 22, 9, 15, 0, 0, zone),
		"09:15:30":                  time.Date(2026, 11, 22, 9, 15, 30, 0, zone),
		"2026-01-31":                time.Date(2026, 1, 31, 0, 0, 0, 0, zone),
		"2026-01-31 12:00":          time.Date(2026, 1, 31, 12, 0, 0, 0, zone),
		"2026-01-31T12:00:01":       time.Date(2026, 1, 31, 12, 0, 1, 0, zone),
		"2026-01-31T12:00:01.5Z":    time.Date(2026, 1, 31, 12, 0, 1, 5e8, time.UTC),
		"2026-01-31T12:00:01+02:00": time.Date(2026, 1, 31, 10, 0, 1, 0, time.UTC),
	} {
		got, err := parseTime(text, now)
		if err != nil || !got.Equal(want) {
			t.Errorf("%s: got %s, %v; want %s", text, got, err, want)
		}
	}
	for _, text := range []string{"", "yesterday", "-1h", "25:00", "2026-13-01", "d", "xd", "-3d", "10"} {
		if got, err := parseTime(text, now); err == nil {
			t.Errorf("%q: got %s", text, got)
		}
	}
}

func FuzzTime(f *testing.F) {
	for _, s := range []string{"10m", "3d", "09:15", "2026-01-31", "2026-01-31T12:00:01Z"} {
		f.Add(s)
	}
	now := time.Date(2026, 11, 22, 10, 30, 0, 0, time.UTC)
	f.Fuzz(func(t *testing.T, s string) {
		if at, err := parseTime(s, now); err == nil && at.IsZero() && !strings.HasPrefix(s, "0001") {
			t.Errorf("%q is no time", s)
		}
	})
}

// templateOf is the template that flags make of one.
func templateOf(t *testing.T, from gaffer.Template, args ...string) (gaffer.Template, error) {
	t.Helper()
	var f templateFlags
	cmd := &cobra.Command{}
	f.add(cmd)
	err := cmd.ParseFlags(args)
	f.apply(&from)
	return from, err
}

func TestEachFieldOfATemplateHasAFlag(t *testing.T) {
	var f templateFlags
	cmd := &cobra.Command{}
	f.add(cmd)
	others := map[string]string{"name": "", "cmd": "", "args": "", "env_files": "env-file", "sockets": "socket", "hooks": "hook"}
	for field := range reflect.TypeFor[gaffer.Template]().Fields() {
		name, _, _ := strings.Cut(field.Tag.Get("json"), ",")
		flag := strings.ReplaceAll(name, "_", "-")
		if other, special := others[name]; special {
			flag = other
		}
		if name == "-" || flag == "" {
			continue
		}
		if cmd.Flags().Lookup(flag) == nil {
			t.Errorf("field %s has no flag --%s", name, flag)
		}
	}
}

func TestFlagsChangeOnlyTheirFields(t *testing.T) {
	on, five := true, 5
	ten := gaffer.Duration(10 * time.Second)
	from := gaffer.Template{
		Name: "web", Cmd: "x", Env: map[string]string{"A": "1", "B": "2"}, EnvFiles: []string{"/old"}, Priority: 7,
		Flapping: &gaffer.Flapping{Attempts: 3, Window: ten, MaxRetry: &five},
	}
	got, err := templateOf(t, from,
		"--env", "A=one=1", "--env", "C=", "--unset", "env.B", "--env-file", "/a", "--env-file", "/b", "--os-env", "--uid", "0", "--gid", "adm",
		"--shell", "--start=true", "-c", "0", "--unset", "priority", "--flapping", "window=20s", "--backoff", "off", "--redirect-output", "none",
		"--limits", "nofile=65536,memory=512MiB,cpu=1.5,core=unlimited", "--limits", "pids=5", "--nice", "-5", "--ioprio", "best-effort:5", "--cpu-affinity", "0-3,6", "--umask", "027",
		"--oom-score-adj", "-100", "--max-memory", "1GiB", "--sandbox", "no_new_privs=true,capabilities=chown:kill", "--sandbox", "read_paths=/a:/b,write-paths=/c",
		"--custom-streams", "a,b", "--graceful-timeout", "1.5", "--stop-signal", "hup", "--port", "80", "--redirect-input", "--detach=false", "--cwd", "/a$b",
		"--socket", "web=:80", "--socket", "own=unix:///s,mode=0660,uid=5,gid=adm,backlog=7", "--on-demand", "--idle-timeout", "1.5",
		"--hook", "pre-start=a $B", "--hook", "on_fail=c", "--hook", "on_exit=d", "--hook", "on_exit=", "--stop-command", "e f", "--kill-mode", "mixed")
	if err != nil {
		t.Fatal(err)
	}
	zero, half := 0, gaffer.Duration(1500*time.Millisecond)
	want := gaffer.Template{
		Name: "web", Cmd: "x", Env: map[string]string{"A": "one=1", "C": ""}, EnvFiles: []string{"/a", "/b"}, OSEnv: &on, UID: "0", GID: "adm",
		Shell: true, Start: &on, NumProcesses: &zero, Flapping: &gaffer.Flapping{Attempts: 3, Window: 2 * ten, MaxRetry: &five},
		Backoff: &gaffer.Backoff{First: new(gaffer.Duration)}, RedirectOutput: []string{}, CustomStreams: []string{"a", "b"},
		Limits: &gaffer.Limits{NoFile: "65536", Memory: 512 << 20, CPU: 1.5, Core: "unlimited", Pids: 5}, Nice: new(-5), IOPrio: "best-effort:5", CPUAffinity: "0-3,6",
		Umask: "027", OOMScoreAdj: new(-100), MaxMemory: 1 << 30,
		Sandbox:         &gaffer.Sandbox{NoNewPrivs: true, Capabilities: []string{"chown", "kill"}, ReadPaths: []string{"/a", "/b"}, WritePaths: []string{"/c"}},
		GracefulTimeout: &half, StopSignal: 1, Port: 80, RedirectInput: true, Cwd: "/a$$b",
		Sockets: []gaffer.Socket{{Name: "web", Listen: ":80"}, {Name: "own", Listen: "unix:///s", Mode: 0o660, UID: "5", GID: "adm", Backlog: 7}}, OnDemand: true, IdleTimeout: &half,
		Hooks: &gaffer.Hooks{PreStart: &gaffer.Command{Cmd: "a $B"}, OnFail: &gaffer.Command{Cmd: "c"}}, StopCommand: &gaffer.Command{Cmd: "e f"}, KillMode: gaffer.KillMixed,
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got\n%+v\nwant\n%+v", got, want)
	}
}

func TestEachFieldCanBeUnset(t *testing.T) {
	full, err := templateOf(t, gaffer.Template{Name: "web", Cmd: "x", Args: gaffer.Args{"a"}, Env: map[string]string{"A": "1"}},
		"--env-file", "/a", "--os-env=false", "--uid", "0", "--gid", "0", "--shell", "--start=false", "-c", "2", "--priority", "1", "--flapping", "on",
		"--backoff", "on", "--redirect-output", "a", "--custom-streams", "b", "--graceful-timeout", "1s", "--stop-signal", "hup", "--port", "80",
		"--redirect-input", "--detach", "--cwd", "/", "--logs", "max_files=3", "--restart", "never", "--success-exit-codes", "0,3", "--max-runtime", "1h",
		"--depends-on", "db=ready", "--on-loss", "stop", "--rollout", "max_surge=2", "--ready", "tcp=a:1", "--health", "tcp=a:1", "--fdstore", "3", "--watch", "debounce=1s", "--scale", "max=3,cpu=70", "--exit-with", "--pty", "--schedule", "every=1h",
		"--limits", "nofile=100", "--nice", "5", "--ioprio", "idle", "--cpu-affinity", "0",
		"--umask", "027", "--oom-score-adj", "1", "--max-memory", "1GiB", "--sandbox", "private_tmp=true", "--socket", "web=:80", "--on-demand", "--idle-timeout", "1m",
		"--hook", "on_exit=a", "--stop-command", "a", "--stop-sequence", "QUIT=1s,15=2", "--kill-mode", "process")
	if err != nil {
		t.Fatal(err)
	}
	for _, field := range fieldNames {
		before := full
		full, err = templateOf(t, full, "--unset", field)
		if err != nil || reflect.DeepEqual(before, full) {
			t.Errorf("%s: nothing changed, %v", field, err)
		}
	}
	if want := (gaffer.Template{Name: "web", Cmd: "x"}); !reflect.DeepEqual(full, want) {
		t.Errorf("left is %+v", full)
	}
}

func TestFlagsThatAreWrongAreRefused(t *testing.T) {
	for _, args := range [][]string{
		{"--env", "A"}, {"--env", "=x"}, {"-c", "x"}, {"--start=maybe"}, {"--stop-signal", "x"}, {"--graceful-timeout", "-1s"}, {"--graceful-timeout", "soon"},
		{"--flapping", "x"}, {"--flapping", "atempts=1"}, {"--flapping", "attempts=x"}, {"--backoff", "first="}, {"--backoff", "max=-1s"}, {"--unset", "name"}, {"--unset", "x"},
		{"--limits", "nofiles=1"}, {"--limits", "memory=much"}, {"--limits", "pids=x"}, {"--nice", "high"}, {"--max-memory", "x"}, {"--sandbox", "x"},
		{"--sandbox", "private_tmp=maybe"}, {"--sandbox", "paths=/"}, {"--sandbox", "other_paths=/"},
		{"--hook", "pre_start"}, {"--hook", "start=x"}, {"--stop-sequence", "QUIT"}, {"--stop-sequence", "QUIT=x"}, {"--stop-sequence", "X=1s"},
		{"--socket", ":80"}, {"--socket", "web=80"}, {"--socket", "web=:80,mode=x"}, {"--socket", "web=:80,mod=0660"}, {"--socket", "web=:80,backlog=x"}, {"--socket", "web=:80,backlog"},
	} {
		if _, err := templateOf(t, gaffer.Template{}, args...); err == nil {
			t.Errorf("%q was taken", args)
		}
	}
}

func TestCommandsAreShownAsTheyCouldBeTyped(t *testing.T) {
	for want, template := range map[string]gaffer.Template{
		"./web --port $PORT":     {Cmd: "./web --port $PORT"},
		"sh -c 'echo a; echo b'": {Cmd: "sh", Args: gaffer.Args{"-c", "echo a; echo b"}},
		`printf %s 'it'\''s' ''`: {Cmd: "printf", Args: gaffer.Args{"%s", "it's", ""}},
		"sh -c 'a | b'":          {Cmd: "a | b", Shell: true},
	} {
		if got := commandOf(template); got != want {
			t.Errorf("got %s, want %s", got, want)
		}
	}
}

func TestOthersOnTheWayCanReadPlainHTTP(t *testing.T) {
	for host, want := range map[string]bool{
		"http://127.0.0.1:7777": false, "http://localhost:1": false, "http://[::1]:1": false, "https://example.org:1": false, "unix:///x": false,
		"http://10.0.0.1:7777": true, "http://example.org": true,
	} {
		if got := readable(host); got != want {
			t.Errorf("%s can be read on the way: got %v", host, got)
		}
	}
}

func TestTablesOfFlagsKeepTexts(t *testing.T) {
	for text, want := range map[string]string{
		"exec=false,timeout=3s,interval=1s": `{"exec":"false","interval":"1s","timeout":"3s"}`,
		"exec=17,notify=true":               `{"exec":"17","notify":true}`,
		"tcp=127.0.0.1:80,fd=3":             `{"fd":3,"tcp":"127.0.0.1:80"}`,
	} {
		got, err := tableJSON[gaffer.Ready](text)
		if err != nil || string(got) != want {
			t.Errorf("%s: got %s, %v", text, got, err)
		}
	}
	if got, err := tableJSON[gaffer.Schedule]("cron=0 3 * * 1,3,overlap=queue"); err != nil || string(got) != `{"cron":"0 3 * * 1,3","overlap":"queue"}` {
		t.Errorf("got %s, %v", got, err)
	}
}
