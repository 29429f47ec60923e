package gaffer

import (
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"
)

func TestNames(t *testing.T) {
	for _, name := range []string{"a", "web", "Web-1_x", "jobs:mail", strings.Repeat("a", 63), "g:" + strings.Repeat("a", 63)} {
		if err := CheckName(name); err != nil {
			t.Errorf("%q: %v", name, err)
		}
	}
	for _, name := range []string{"", "1a", "-a", "a/b", "a.b", "a:b:c", ":a", "a:", "a b", "é", "a\n", strings.Repeat("a", 64)} {
		if err := CheckName(name); !errors.Is(err, ErrInvalid) {
			t.Errorf("%q: %v", name, err)
		}
	}
}

func TestFaultsNameTheirFields(t *testing.T) {
	bad := Template{
		Name: "a/b", Cmd: "'x", NumProcesses: new(-1), Port: 70000,
		Env: map[string]string{"A=B": "", "OK": "a\x00b"}, EnvFiles: []string{""},
		RedirectOutput: []string{"a", "b", "c"}, CustomStreams: []string{"a", "stdin", "x/y"},
		StopSignal: 65, GracefulTimeout: new(Duration(-1)),
		Flapping: &Flapping{Attempts: -1, MaxRetry: new(-2)},
		Backoff:  &Backoff{Factor: 0.5, Jitter: new(2.0), First: new(Duration(time.Minute))},
	}
	want := []string{
		"backoff.factor", "backoff.jitter", "backoff.max", "cmd", "custom_streams", "env", "env.OK", "env_files",
		"flapping.attempts", "flapping.max_retry", "graceful_timeout", "name", "numprocesses", "port", "redirect_output", "stop_signal",
	}
	var got []string
	joined, ok := bad.Validate().(interface{ Unwrap() []error })
	if !ok {
		t.Fatal("the faults are not joined")
	}
	for _, err := range joined.Unwrap() {
		var f *FieldError
		if !errors.As(err, &f) || !errors.Is(err, ErrInvalid) {
			t.Errorf("fault %v", err)
			continue
		}
		got = append(got, f.Field)
	}
	slices.Sort(got)
	if got = slices.Compact(got); !slices.Equal(got, want) {
		t.Errorf("faults of\n     %v\nwant %v", got, want)
	}
}

func TestWhatCannotBeStartedIsRefusedByName(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "file")
	if err := os.WriteFile(file, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		template Template
		names    string
	}{
		{Template{Cmd: "no-such-program-anywhere x"}, "no-such-program-anywhere"},
		{Template{Cmd: "/no/such/program"}, "/no/such/program"},
		{Template{Cmd: file}, file},
		{Template{Cmd: dir}, dir},
		{Template{Cmd: "sh", Cwd: "/no/such/dir"}, "/no/such/dir"},
		{Template{Cmd: "sh", Cwd: file}, file},
		{Template{Cmd: "sh", Cwd: "$NO_SUCH_VARIABLE/x"}, "NO_SUCH_VARIABLE"},
		{Template{Cmd: "sh $NO_SUCH_VARIABLE"}, "NO_SUCH_VARIABLE"},
		{Template{Cmd: "sh", Args: Args{"${NO_SUCH_VARIABLE}"}}, "NO_SUCH_VARIABLE"},
		{Template{Cmd: "sh", Env: map[string]string{"A": "$NO_SUCH_VARIABLE"}}, "NO_SUCH_VARIABLE"},
		{Template{Cmd: "sh", Env: map[string]string{"A": "1", "B": "$A"}}, "variable A"},
		{Template{Cmd: "sh $HOME", OSEnv: new(false)}, "HOME"},
		{Template{Cmd: "sh", EnvFiles: []string{"/no/such/file"}}, "/no/such/file"},
		{Template{Cmd: "sh", UID: "no-such-user"}, "no-such-user"},
		{Template{Cmd: "sh", GID: "no-such-group"}, "no-such-group"},
		{Template{Cmd: "$EMPTY_WORD", Env: map[string]string{"EMPTY_WORD": ""}}, "empty word"},
	} {
		c.template.Name = "web"
		err := c.template.Check()
		if !errors.Is(err, ErrInvalid) || !strings.Contains(err.Error(), c.names) || !strings.HasPrefix(err.Error(), "template web: ") {
			t.Errorf("%+v: %v", c.template, err)
		}
	}
}

// specOf is how slot 2 with id 7 of a template would be started.
func specOf(t *testing.T, tmpl Template, environ ...string) (argv []string, env map[string]string, dir string) {
	t.Helper()
	tmpl.Name = "jobs:mail"
	manager := newEnvironment(environ, "/base")
	manager.instance = "mark"
	r, err := looseRecipe(tmpl, manager)
	if err != nil {
		t.Fatal(err)
	}
	spec, field, err := r.spec(2, 7)
	if err != nil {
		t.Fatalf("%s: %v", field, err)
	}
	env = map[string]string{}
	for _, entry := range spec.Env {
		name, value, _ := strings.Cut(entry, "=")
		if _, twice := env[name]; twice {
			t.Errorf("%s is twice in the environment", name)
		}
		env[name] = value
	}
	return spec.Args, env, spec.Dir
}

func TestEnvironmentOfAProcess(t *testing.T) {
	file := filepath.Join(t.TempDir(), "env")
	if err := os.WriteFile(file, []byte("FROM_FILE=file\nBOTH=file\nOS=file\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	_, env, _ := specOf(t, Template{
		Cmd: "x", EnvFiles: []string{file}, Port: 5000,
		Env: map[string]string{"BOTH": "env", "SEES": "$OS $FROM_FILE $GAFFER_SLOT $PORT", "DOLLAR": "$$5"},
	}, "OS=os", "KEPT=kept", "OS=again", "GAFFER_ID=outer")
	want := map[string]string{
		"OS": "file", "KEPT": "kept", "FROM_FILE": "file", "BOTH": "env", "SEES": "file file 2 5001", "DOLLAR": "$5",
		"PORT": "5001", "GAFFER_NAME": "jobs:mail", "GAFFER_SLOT": "2", "GAFFER_ID": "7", "GAFFER_INSTANCE": "mark.7",
	}
	if !reflect.DeepEqual(env, want) {
		t.Errorf("got  %v\nwant %v", env, want)
	}
}

func TestEnvironmentWithoutTheManagers(t *testing.T) {
	_, env, _ := specOf(t, Template{Cmd: "x", OSEnv: new(false), Env: map[string]string{"A": "$OS"}}, "OS=os")
	if _, there := env["OS"]; there || env["A"] != "os" {
		t.Errorf("environment %v", env)
	}
}

func TestOwnPortWins(t *testing.T) {
	_, env, _ := specOf(t, Template{Cmd: "x", Port: 5000, Env: map[string]string{"PORT": "80"}})
	if env["PORT"] != "80" {
		t.Errorf("PORT %s", env["PORT"])
	}
}

func TestCommandsBecomeWords(t *testing.T) {
	for _, c := range []struct {
		template Template
		want     []string
	}{
		{Template{Cmd: "x $A '$A' \"$A b\" $$A"}, []string{"x", "1 2", "$A", "1 2 b", "$A"}},
		{Template{Cmd: "x y", Args: Args{"$A", "b c"}}, []string{"x y", "1 2", "b c"}},
		{Template{Cmd: "x", Args: Args{}}, []string{"x"}},
		{Template{Cmd: "echo $A | cat", Shell: true}, []string{"/bin/sh", "-c", "echo $A | cat"}},
		{Template{Cmd: "echo $1", Shell: true, Args: Args{"$A"}}, []string{"/bin/sh", "-c", "echo $1", "jobs:mail", "1 2"}},
		{Template{Cmd: "x ${GAFFER_SLOT}:$PORT", Port: 10}, []string{"x", "2:11"}},
	} {
		if got, _, _ := specOf(t, c.template, "A=1 2"); !slices.Equal(got, c.want) {
			t.Errorf("%+v: %q, want %q", c.template, got, c.want)
		}
	}
}

func TestWorkingDirectories(t *testing.T) {
	for cwd, want := range map[string]string{"": "/base", "x": "/base/x", "/abs": "/abs", "$A/x": "/var/x"} {
		if _, _, dir := specOf(t, Template{Cmd: "x", Cwd: cwd}, "A=/var"); filepath.Clean(dir) != want {
			t.Errorf("%q: %s, want %s", cwd, dir, want)
		}
	}
}

func TestJSONTakesTheTextForms(t *testing.T) {
	var got Template
	err := json.Unmarshal([]byte(`{"name":"web","cmd":"x","args":"a 'b $c' $d","uid":1000,"gid":"staff","stop_signal":"int",
		"graceful_timeout":1.5,"flapping":{"window":"2s","retry_in":3,"max_retry":0},"redirect_output":[],"numprocesses":0}`), &got)
	if err != nil {
		t.Fatal(err)
	}
	want := Template{
		Name: "web", Cmd: "x", Args: Args{"a", "b $$c", "$d"}, UID: "1000", GID: "staff", StopSignal: Signal(syscall.SIGINT),
		GracefulTimeout: new(Duration(1500 * time.Millisecond)), RedirectOutput: []string{}, NumProcesses: new(0),
		Flapping: &Flapping{Window: Duration(2 * time.Second), RetryIn: new(Duration(3 * time.Second)), MaxRetry: new(0)},
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got  %+v\nwant %+v", got, want)
	}
	text, err := json.Marshal(got)
	if err != nil {
		t.Fatal(err)
	}
	var again Template
	if err := json.Unmarshal(text, &again); err != nil || !reflect.DeepEqual(again, want) {
		t.Errorf("%s\nbecame %+v, %v", text, again, err)
	}
}

func FuzzValues(f *testing.F) {
	for _, s := range []string{"1.5s", "30", "1e300", "-1", "NaN", "SIGHUP", "hup", "9", "64", "65"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		var d Duration
		if d.UnmarshalText([]byte(s)) == nil {
			text, _ := d.MarshalText()
			var again Duration
			if err := again.UnmarshalText(text); err != nil || again != d || d < 0 {
				t.Errorf("duration %q is %s, then %s, %v", s, d, again, err)
			}
		}
		if sig, err := ParseSignal(s); err == nil {
			if again, err := ParseSignal(sig.String()); err != nil || again != sig {
				t.Errorf("signal %q is %s, then %s, %v", s, sig, again, err)
			}
		}
	})
}

func TestEnvironIsThatOfSlotOne(t *testing.T) {
	t.Setenv("GAFFER_TEST_OUTER", "outer")
	tmpl := Template{Name: "web", Cmd: "x", Port: 5000, Env: map[string]string{"A": "$GAFFER_TEST_OUTER"}}
	env, err := tmpl.Environ()
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"A=outer", "PORT=5000", "GAFFER_NAME=web", "GAFFER_SLOT=1"} {
		if !slices.Contains(env, want) {
			t.Errorf("%s is missing", want)
		}
	}
	for _, entry := range env {
		if strings.HasPrefix(entry, "GAFFER_ID=") || strings.HasPrefix(entry, markName+"=") {
			t.Errorf("unexpected %s", entry)
		}
	}
}
