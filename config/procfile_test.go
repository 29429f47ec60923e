package config_test

import (
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/gafferpm/gaffer"
	"github.com/gafferpm/gaffer/config"
)

func TestProcfileReadsEntries(t *testing.T) {
	dir := write(t, map[string]string{"Procfile": "\xef\xbb\xbf# the shop\r\n\r\n" +
		"web: ./web --port $PORT\r\n  worker_1:./work 'a b'  \n\njobs:mail: ./mail a: b\njob: go:run x\n"})
	f, err := load(t, dir, "Procfile", config.Options{})
	if err != nil {
		t.Fatal(err)
	}
	want := []gaffer.Template{
		{Name: "web", Cmd: "./web --port $PORT", Cwd: dir, Port: 5000},
		{Name: "worker_1", Cmd: "./work 'a b'", Cwd: dir, Port: 5100},
		{Name: "jobs:mail", Cmd: "./mail a: b", Cwd: dir, Port: 5200},
		{Name: "job", Cmd: "go:run x", Cwd: dir, Port: 5300},
	}
	if diff := cmp.Diff(want, f.Templates); diff != "" {
		t.Error(diff)
	}
}

func TestProcfileFaults(t *testing.T) {
	tests := map[string]struct{ text, want string }{
		"nothing":        {"# x\n\n", "Procfile: has no entry; want lines such as `web: ./server`"},
		"no colon":       {"web: x\nworker ./x\n", "Procfile:2:1: want `name: command`\n    2 | worker ./x\n      | ~~~~~~~~~~"},
		"no command":     {"web:  \n", "Procfile:1:1: web has no command; want `web: command`"},
		"no name":        {": x\n", `Procfile:1:1: name ""`},
		"slash":          {"web/x: y\n", `Procfile:1:1: name "web/x": want a letter`},
		"digit first":    {"1web: y\n", `Procfile:1:1: name "1web": want a letter`},
		"too long":       {strings.Repeat("x", 64) + ": y\n", `Procfile:1:1: name "xxx`},
		"two groups":     {"a:b:c: y\n", ""},
		"twice":          {"web: x\n\nworker: y\nweb: z\n", "Procfile:4:1: web is defined twice; the first is on line 1"},
		"open quote":     {"web: ./x 'a\n", "Procfile:1:10: reached EOF without closing quote"},
		"open bracket":   {"web: (./x\n", "Procfile:1:6: "},
		"pipe to nobody": {"web: x |\n", "Procfile:1:8: "},
		"NUL":            {"web: x\n\x00", "Procfile:2:1: a NUL byte"},
		"Latin-1":        {"web: x\nw: \xe9", "Procfile:2:4: byte 0xe9 is not UTF-8"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			_, err := config.ParseProcfile("Procfile", []byte(tt.text))
			if tt.want == "" {
				if err != nil {
					t.Fatal(err)
				}
				return
			}
			if err == nil || !strings.HasPrefix(err.Error(), tt.want) {
				t.Errorf("got %v\nwant %s", err, tt.want)
			}
		})
	}
}

func TestProcfileShowsEveryFault(t *testing.T) {
	_, err := config.ParseProcfile("Procfile", []byte("web: x\nbad\nweb: y\na/b: z\n"))
	faults, ok := err.(config.Faults)
	if !ok || len(faults) != 3 {
		t.Fatalf("got %v, want 3 faults", err)
	}
	for i, line := range []int{2, 3, 4} {
		if faults[i].Line != line {
			t.Errorf("fault %d is on line %d, want %d", i, faults[i].Line, line)
		}
	}
}

func TestCommandsWithShellSyntaxRunInAShell(t *testing.T) {
	for cmd, shell := range map[string]bool{
		"./web":                      false,
		"./web --port $PORT":         false,
		"./web --port ${PORT}":       false,
		"./web ${X:-y}":              false,
		`./web "a $X b" 'c * d'`:     false,
		`./web a\*b --x=y --t=a~b`:   false,
		`"./my web" a=b`:             false,
		"python3 -m http.server 1":   false,
		"./a | ./b":                  true,
		"./a && ./b":                 true,
		"./a || ./b":                 true,
		"./a & ./b":                  true,
		"./a &":                      true,
		"./a; ./b":                   true,
		"./a;":                       true,
		"./a > log":                  true,
		"./a 2>&1":                   true,
		"./a < in":                   true,
		"(./a)":                      true,
		"{ ./a; }":                   true,
		"! ./a":                      true,
		"if true; then ./a; fi":      true,
		"while :; do ./a; done":      true,
		"./a `x`":                    true,
		"./a $(x)":                   true,
		`./a "$(x)"`:                 true,
		"./a $((1+1))":               true,
		"./a *.go":                   true,
		"./a file?":                  true,
		"./a [ab]":                   true,
		"./a ~/x":                    true,
		"~/bin/a":                    true,
		"./a {b,c}":                  true,
		"PORT=3000 ./web":            true,
		"X=1 ./web":                  true,
		"X=1":                        true,
		"cd web && ./a":              true,
		"exec ./a":                   true,
		"cd /tmp":                    true,
		"./a # comment":              true,
		"./a $$":                     true,
		"./a $1 $@":                  true,
		"./a ${X%y}":                 true,
		"./a ${#X}":                  true,
		"./a ${X:=y}":                true,
		"./a ${X-y}":                 true,
		"./a ${X:-$Y}":               true,
		"./a <(x)":                   true,
		"[[ -f x ]] && ./a":          true,
		`./a $'x'`:                   true,
		`./a "${X/a/b}"`:             true,
		"for i in 1 2; do ./a; done": true,
	} {
		dir := write(t, map[string]string{"Procfile": "web: " + cmd + "\n"})
		f, err := load(t, dir, "Procfile", config.Options{})
		if err != nil {
			t.Errorf("%s: %v", cmd, err)
			continue
		}
		if f.Templates[0].Shell != shell {
			t.Errorf("%s: shell is %v, want %v", cmd, f.Templates[0].Shell, shell)
		}
		if f.Templates[0].Cmd != cmd {
			t.Errorf("the command is %q, want %q", f.Templates[0].Cmd, cmd)
		}
		if err := f.Templates[0].Validate(); err != nil {
			t.Errorf("%s: %v", cmd, err)
		}
	}
}

func TestVariablesOfSeveralWordsAreSplitByAShell(t *testing.T) {
	dir := write(t, map[string]string{
		"Procfile": "java: java $OPTS -jar x\nquoted: java \"$OPTS\"\none: java $ONE\nempty: java $EMPTY\nnone: java $NONE\nport: x $PORT\nsys: x $SYS\n",
		".env":     "OPTS='-a -b'\nONE=-a\nEMPTY=\n",
	})
	f, err := load(t, dir, "Procfile", config.Options{Environ: []string{"SYS=a b"}})
	if err != nil {
		t.Fatal(err)
	}
	for i, want := range []bool{true, false, false, true, false, false, true} {
		if f.Templates[i].Shell != want {
			t.Errorf("%s: shell is %v, want %v", f.Templates[i].Name, f.Templates[i].Shell, want)
		}
	}
}

func TestPortsOfAProcfile(t *testing.T) {
	const procfile = "web: x\nown: PORT=1 x\nlast: x\n"
	tests := map[string]struct {
		env     string
		options config.Options
		want    []int
	}{
		"default":      {"", config.Options{}, []int{5000, 0, 5200}},
		"environment":  {"", config.Options{Environ: []string{"PORT=4000"}}, []int{4000, 0, 4200}},
		".env wins":    {"PORT=3000\n", config.Options{Environ: []string{"PORT=4000"}}, []int{3000, 0, 3200}},
		"--port wins":  {"PORT=3000\n", config.Options{Port: 2000}, []int{2000, 0, 2200}},
		"empty":        {"PORT=\n", config.Options{Environ: []string{"PORT="}}, []int{5000, 0, 5200}},
		"just fitting": {"", config.Options{Port: 65335}, []int{65335, 0, 65535}},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			dir := write(t, map[string]string{"Procfile": procfile, ".env": tt.env})
			f, err := load(t, dir, "Procfile", tt.options)
			if err != nil {
				t.Fatal(err)
			}
			var got []int
			for _, tmpl := range f.Templates {
				got = append(got, tmpl.Port)
			}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestPortsThatDoNotFitAreRefused(t *testing.T) {
	dir := write(t, map[string]string{"Procfile": "web: x\nworker: x\n"})
	for want, o := range map[string]config.Options{
		"worker would get port 65536, beyond 65535":                        {Port: 65436},
		"web would get port 65535":                                         {Port: 65535},
		"web would get port 65536":                                         {Port: 65035, Counts: map[string]int{"web": 502}},
		"--port: 70000: want 1 to 65535":                                   {Port: 70000},
		"--port: -1: want 1 to 65535":                                      {Port: -1},
		`PORT in the environment: "http": want a number from 1 to 65535`:   {Environ: []string{"PORT=http"}},
		`PORT in the environment: "100000": want a number from 1 to 65535`: {Environ: []string{"PORT=100000"}},
	} {
		_, err := load(t, dir, "Procfile", o)
		if want == "web would get port 65535" { // it fits; the second entry's does not
			want = "worker would get port 65635"
		}
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %s", err, want)
		}
	}
}

func TestProcfileReadsEnvFilesInOrder(t *testing.T) {
	dir := write(t, map[string]string{"Procfile": "web: x\n", ".env": "PORT=1000\n", "b.env": "PORT=2000\n"})
	b := filepath.Join(dir, "b.env")
	f, err := load(t, dir, "Procfile", config.Options{EnvFiles: []string{b}})
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{filepath.Join(dir, ".env"), b}, f.Templates[0].EnvFiles); diff != "" {
		t.Error(diff)
	}
	if f.Templates[0].Port != 2000 {
		t.Errorf("port %d, want that of the later file", f.Templates[0].Port)
	}
	if _, err := load(t, dir, "Procfile", config.Options{EnvFiles: []string{b + "x"}}); err == nil || err.Error() != b+"x: no such file or directory" {
		t.Errorf("got %v, want that the file is missing", err)
	}
	replaceIn(t, b, "PORT", "PO RT")
	if _, err := load(t, dir, "Procfile", config.Options{EnvFiles: []string{b}}); err == nil || !strings.HasPrefix(err.Error(), b+":1: ") {
		t.Errorf("got %v, want the line of the fault", err)
	}
}
