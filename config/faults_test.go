package config_test

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"github.com/gafferpm/gaffer"
	"github.com/gafferpm/gaffer/config"
)

func TestTOMLShowsEveryFaultAtItsPlace(t *testing.T) {
	dir := write(t, map[string]string{"gaffer.toml": `[process.web]
cmd = 3
numproceses = 2
graceful_timeout = "soon"
env = { PORT = 3000 }

[process."a/b"]
cmd = "true"

[process.worker]
	command = "x"
backoff = { first = "1s", max = "1ms" }
redirect_output = ["a", "b", "c"]

[proces.typo]
cmd = "true"

[process.neg]
cmd = "true"
numprocesses = -1
stop_signal = "TREM"
[process.neg.flapping]
attempts = 1.5
`})
	_, err := load(t, dir, "gaffer.toml", config.Options{})
	var faults config.Faults
	if !errors.As(err, &faults) {
		t.Fatalf("got %v, want Faults", err)
	}
	want := `gaffer.toml:2:7: cmd: want a text in quotes, not a number: write "3"
    2 | cmd = 3
      |       ~
gaffer.toml:3:1: unknown field numproceses in process.web; did you mean numprocesses?
    3 | numproceses = 2
      | ~~~~~~~~~~~
gaffer.toml:4:20: graceful_timeout: duration "soon": want a text like "1.5s" or "2m", or a number of seconds
    4 | graceful_timeout = "soon"
      |                    ~~~~~~
gaffer.toml:5:16: env.PORT: want a text in quotes, not a number: write "3000"
    5 | env = { PORT = 3000 }
      |                ~~~~
gaffer.toml:7:10: name "a/b": want a letter, then up to 62 letters, digits, '_' or '-', with at most one "group:" of the same kind in front
    7 | [process."a/b"]
      |          ~~~~~
gaffer.toml:11:2: unknown field command in process.worker; did you mean cmd?
   11 | 	command = "x"
      | 	~~~~~~~
gaffer.toml:15:2: unknown name proces; did you mean process?
   15 | [proces.typo]
      |  ~~~~~~
gaffer.toml:21:15: stop_signal: signal "TREM": unknown; want a name such as HUP or SIGTERM, or a number
   21 | stop_signal = "TREM"
      |               ~~~~~~
gaffer.toml:23:12: attempts: want a whole number, not a number
   23 | attempts = 1.5
      |            ~~~`
	got := strings.ReplaceAll(err.Error(), dir+"/", "")
	if diff := cmp.Diff(strings.Split(want, "\n"), strings.Split(got, "\n")); diff != "" {
		t.Error(diff)
	}
	if !errors.Is(err, gaffer.ErrInvalid) {
		t.Error("the error is not ErrInvalid")
	}
}

func TestTOMLFaults(t *testing.T) {
	tests := map[string]struct{ text, want string }{
		"nothing":          {"", "gaffer.toml: defines no process"},
		"syntax":           {"[process.web]\ncmd = \n", "gaffer.toml:2:7: unexpected character U+000A at start of value"},
		"open list":        {"[process.web]\nargs = ['a',\n", "gaffer.toml:2:13: array is incomplete"},
		"key twice":        {"[process.a]\ncmd = 'x'\ncmd = 'y'\n", "gaffer.toml:3:1: cmd is defined twice; the first is on line 2"},
		"table twice":      {"[process.a]\ncmd = 'x'\n[process.b]\n[process.a]\n", "gaffer.toml:4:2: [process.a] is defined twice; the first is on line 1"},
		"value and table":  {"[process]\na = 1\n[process.a]\ncmd = 'x'\n", "gaffer.toml:3:2: a is defined twice; the first is on line 2"},
		"closed table":     {"[process.a]\nenv = {}\n[process.a.env]\nB = 'x'\n", "gaffer.toml:3:2: env is defined twice"},
		"dotted again":     {"[process.a]\nenv.B = 'x'\n[process.a.env]\nC = 'x'\n", "gaffer.toml:3:"},
		"list of tables":   {"[[process]]\ncmd = 'x'\n", "gaffer.toml:1:3: [[…]] is a list of tables, and nothing here is one; write [process.web]"},
		"no cmd":           {"[process.web]\n", "gaffer.toml:1:10: cmd: is required"},
		"empty cmd":        {"[process.web]\ncmd = ' '\n", "gaffer.toml:2:7: cmd: is required"},
		"open quote":       {"[process.web]\ncmd = \"x 'y\"\n", "gaffer.toml:2:7: cmd: a single quote is never closed"},
		"name in table":    {"[process.web]\nname = 'x'\ncmd = 'x'\n", "gaffer.toml:2:1: unknown field name in process.web; the name is the table's: [process.x]"},
		"process a number": {"process = 3\n", "gaffer.toml:1:11: process: want tables such as [process.web], not a number"},
		"field for name":   {"[process]\ncmd = 'x'\n", "gaffer.toml:2:1: want a table such as [process.web]; cmd stands in none"},
		"bad flapping":     {"[process.a]\ncmd = 'x'\nflapping = true\n", "gaffer.toml:3:12: flapping: want a table, not true or false"},
		"flapping field":   {"[process.a]\ncmd = 'x'\nflapping = { retries = 1 }\n", "gaffer.toml:3:14: unknown field retries in flapping"},
		"args mixed":       {"[process.a]\ncmd = 'x'\nargs = ['a', 1]\n", "gaffer.toml:3:14: args: want a text in quotes, not a number: write \"1\""},
		"quoted number":    {"[process.a]\ncmd = 'x'\nport = '1'\n", "gaffer.toml:3:8: port: want a whole number, not a text, without quotes"},
		"number too big":   {"[process.a]\ncmd = 'x'\nport = 99999999999999999999\n", "gaffer.toml:3:8:"},
		"date":             {"[process.a]\ncmd = 'x'\nport = 2020-01-01\n", "gaffer.toml:3:8: port: want a whole number, not a date"},
		"date that is not": {"[process.a]\ncmd = 'x'\nport = 2020-13-01\n", "gaffer.toml:3:"},
		"not a number":     {"[process.a]\ncmd = 'x'\nbackoff.factor = nan\n", "gaffer.toml:3:18: factor: want a number, not nan"},
		"negative time":    {"[process.a]\ncmd = 'x'\ngraceful_timeout = -1\n", "gaffer.toml:3:20: graceful_timeout: duration -1: must not be negative"},
		"negative count":   {"[process.a]\ncmd = 'x'\nnumprocesses = -1\n", "gaffer.toml:3:16: numprocesses: -1: must not be negative"},
		"port too high":    {"[process.a]\ncmd = 'x'\nport = 70000\n", "gaffer.toml:3:8: port: 70000: want 1 to 65535"},
		"bad factor":       {"[process.a]\ncmd = 'x'\n[process.a.backoff]\nfactor = 0.5\n", "gaffer.toml:4:10: backoff.factor: 0.5: want at least 1"},
		"bad variable":     {"[process.a]\ncmd = 'x'\nenv.A = \"x\\u0000\"\n", "gaffer.toml:3:9: env.A: has a NUL byte"},
		"include missing":  {"include = ['x.toml']\n", "gaffer.toml:1:12: include: there is no such file"},
		"include a text":   {"include = 'x.toml'\n", "gaffer.toml:1:11: include: want a list of texts, not a text"},
		"include pattern":  {"include = ['[']\n", "gaffer.toml:1:12: include: the pattern is wrong"},
		"NUL":              {"[process.a]\ncmd = 'x'\x00\n", "gaffer.toml:2:10: a NUL byte"},
		"Latin-1":          {"[process.a]\ncmd = '\xe9'\n", "gaffer.toml:2:8: byte 0xe9 is not UTF-8"},
		"UTF-16":           {"\xff\xfe[\x00", "gaffer.toml: is in UTF-16"},
		"too large":        {"#" + strings.Repeat("x", config.MaxFileSize), "gaffer.toml: is larger than 1 MiB"},
		"deep":             {"a = " + strings.Repeat("[", 20000), "gaffer.toml:1:10005: arrays and inline tables are nested"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			dir := write(t, map[string]string{"gaffer.toml": tt.text})
			_, err := load(t, dir, "gaffer.toml", config.Options{})
			if err == nil {
				t.Fatalf("no error, want %s", tt.want)
			}
			got := strings.ReplaceAll(err.Error(), dir+"/", "")
			if !strings.HasPrefix(got, tt.want) {
				t.Errorf("got %s\nwant %s", got, tt.want)
			}
			if len(got) > 2000 {
				t.Errorf("the error has %d bytes", len(got))
			}
		})
	}
}

func TestIncludedFilesAreCheckedToo(t *testing.T) {
	dir := write(t, map[string]string{
		"gaffer.toml": "include = ['more/*.toml']\n[process.a]\ncmd = 'x'\ncmmd = 'x'\n",
		"more/b.toml": "include = ['c.toml']\n[process.a]\ncmd = 'x'\n",
		"more/c.toml": "[process.c]\n",
	})
	_, err := load(t, dir, "gaffer.toml", config.Options{})
	if err == nil {
		t.Fatal("no error")
	}
	got := strings.ReplaceAll(err.Error(), dir+"/", "")
	for _, want := range []string{
		"gaffer.toml:4:1: unknown field cmmd in process.a; did you mean cmd?",
		"more/b.toml:1:1: an included file can't include others",
		"more/b.toml:2:10: process.a is defined twice; the first is in gaffer.toml on line 2",
		"more/c.toml:1:10: cmd: is required",
	} {
		if !strings.Contains(got, want) {
			t.Errorf("got %s\nwithout %s", got, want)
		}
	}
}

func TestExcerptsDoNotWreckTheTerminal(t *testing.T) {
	_, err := config.ParseProcfile("Procfile", []byte("web \x1b[31m no colon\n"+strings.Repeat("x", 5000)+" \n"))
	if err == nil {
		t.Fatal("no error")
	}
	if strings.ContainsAny(err.Error(), "\x1b") {
		t.Errorf("an escape sequence came through: %q", err)
	}
	for line := range strings.Lines(err.Error()) {
		if len([]rune(line)) > 120 {
			t.Errorf("a line of %d characters: %s", len([]rune(line)), line)
		}
	}
}

func TestLoadNamesTheFile(t *testing.T) {
	dir := write(t, map[string]string{"gaffer.toml/x": "", "Procfile": "web: x\n"})
	if err := unix.Mkfifo(filepath.Join(dir, "fifo"), 0o644); err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]string{
		"gaffer.toml": "is a directory, want a file",
		"none.toml":   "no such file or directory",
		"none":        "no such file or directory",
		"fifo":        "is not a regular file",
		"Procfile/x":  "not a directory",
	} {
		_, err := load(t, dir, name, config.Options{})
		if want = filepath.Join(dir, name) + ": " + want; err == nil || err.Error() != want {
			t.Errorf("got %v, want %s", err, want)
		}
	}
}

func TestUnreadableFileIsAnError(t *testing.T) {
	if os.Geteuid() == 0 {
		t.Skip("root can read every file")
	}
	dir := write(t, map[string]string{"Procfile": "web: x\n"})
	if err := os.Chmod(filepath.Join(dir, "Procfile"), 0); err != nil {
		t.Fatal(err)
	}
	if _, err := load(t, dir, "Procfile", config.Options{}); err == nil || !strings.HasSuffix(err.Error(), "Procfile: permission denied") {
		t.Errorf("got %v, want permission denied", err)
	}
}

func TestRootRefusesFilesOfOthers(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("only root refuses files, and only root can give them away")
	}
	files := map[string]string{
		"gaffer.toml": "include = ['more.toml']\n[process.a]\ncmd = 'x'\nenv_files = ['a.env']\n",
		"more.toml":   "[process.b]\ncmd = 'x'\n",
		"a.env":       "A=1\n",
	}
	for name := range files {
		dir := write(t, files)
		path := filepath.Join(dir, name)
		if _, err := load(t, dir, "gaffer.toml", config.Options{}); err != nil {
			t.Fatal(err)
		}
		if err := os.Chmod(path, 0o664); err != nil {
			t.Fatal(err)
		}
		if _, err := load(t, dir, "gaffer.toml", config.Options{}); err == nil || !strings.Contains(err.Error(), path+": can be written by others (mode 0664)") {
			t.Errorf("got %v, want a refusal of what others can write", err)
		}
		if err := os.Chmod(path, 0o644); err != nil {
			t.Fatal(err)
		}
		if err := os.Chown(path, 65534, 65534); err != nil {
			t.Fatal(err)
		}
		if _, err := load(t, dir, "gaffer.toml", config.Options{}); err == nil || !strings.Contains(err.Error(), path+": belongs to user 65534") {
			t.Errorf("got %v, want a refusal of what others own", err)
		}
	}
}

func TestFindPrefersTOML(t *testing.T) {
	dir := write(t, map[string]string{"both/gaffer.toml": "", "both/Procfile": "", "one/Procfile": "", "none/x": ""})
	for sub, want := range map[string]string{"both": "gaffer.toml", "one": "Procfile"} {
		got, err := config.Find(filepath.Join(dir, sub))
		if err != nil || got != filepath.Join(dir, sub, want) {
			t.Errorf("got %s, %v; want %s", got, err, want)
		}
	}
	_, err := config.Find(filepath.Join(dir, "none"))
	if !errors.Is(err, gaffer.ErrNotFound) || !strings.HasPrefix(err.Error(), "no gaffer.toml and no Procfile in "+dir) {
		t.Errorf("got %v", err)
	}
}

func TestCheckLooksForWhatAStartNeeds(t *testing.T) {
	dir := write(t, map[string]string{
		"gaffer.toml": `[process.ok]
cmd = "true"
[process.program]
cmd = "./none"
[process.place]
cmd = "true"
cwd = "none"
[process.user]
cmd = "true"
uid = "nobody-knows"
[process.variable]
cmd = "true $NONE"
[process.env]
cmd = "true"
env = { A = "${NONE}" }
`,
		"Procfile": "ok: true\nweb: ./none -x\n",
	})
	for name, want := range map[string][]string{
		"gaffer.toml": {
			"gaffer.toml:4:7: cmd: ", "gaffer.toml:7:7: cwd: ", "gaffer.toml:10:7: uid: ",
			"gaffer.toml:12:7: cmd: ", "gaffer.toml:15:13: env.A: ",
		},
		"Procfile": {"Procfile:2:6: cmd: "},
	} {
		f, err := load(t, dir, name, config.Options{Environ: os.Environ()})
		if err != nil {
			t.Fatal(err)
		}
		var faults config.Faults
		if !errors.As(f.Check(), &faults) || len(faults) != len(want) {
			t.Errorf("got %v, want %d faults", f.Check(), len(want))
			continue
		}
		for i, fault := range faults {
			if got := strings.TrimPrefix(fault.Error(), dir+"/"); !strings.HasPrefix(got, want[i]) {
				t.Errorf("got %s\nwant %s", got, want[i])
			}
		}
	}
}

func TestManyFaultsTakeNoAge(t *testing.T) {
	var wide, deep strings.Builder
	for i := 0; wide.Len() < config.MaxFileSize-20; i++ {
		fmt.Fprintf(&wide, "k%d=1\n", i)
	}
	for i := 0; deep.Len() < config.MaxFileSize/8; i++ {
		if i%1000 == 0 {
			fmt.Fprintf(&deep, "[process.p%d]\n", i)
		}
		fmt.Fprintf(&deep, "k%d=1\n", i)
	}
	dir := write(t, map[string]string{"wide.toml": wide.String(), "deep.toml": deep.String()})
	start := time.Now()
	_, err := load(t, dir, "wide.toml", config.Options{})
	if err == nil || !strings.Contains(err.Error(), "wide.toml:10001:1: more than 10000 names in one table") {
		t.Errorf("got %v", err)
	}
	_, err = load(t, dir, "deep.toml", config.Options{})
	var faults config.Faults
	if !errors.As(err, &faults) || len(faults) < 10_000 {
		t.Errorf("%d faults", len(faults))
	}
	if took := time.Since(start); took > time.Minute {
		t.Errorf("took %s", took)
	}
}
