package gaffer

import (
	"errors"
	"slices"
	"strings"
	"testing"
)

func onTerminal(t *Template) { t.PTY = true }

func TestWhatMakesNoSenseBesideATerminal(t *testing.T) {
	for _, c := range []struct {
		field string // "": it is right
		t     Template
	}{
		{"", Template{PTY: true}},
		{"", Template{PTY: true, RedirectInput: true, RedirectOutput: []string{"screen"}, CustomStreams: []string{"ctl"}}},
		{"redirect_output", Template{PTY: true, RedirectOutput: []string{}}},
		{"redirect_output", Template{PTY: true, RedirectOutput: []string{"out", "err"}}},
		{"redirect_output", Template{PTY: true, RedirectOutput: []string{"out", "out"}}},
		{"custom_streams", Template{PTY: true, CustomStreams: []string{"stdout"}}},
		{"pty", Template{PTY: true, Detach: true}},
	} {
		c.t.Name, c.t.Cmd = "sh", "sh"
		err := c.t.Validate()
		var f *FieldError
		if c.field == "" && err != nil || c.field != "" && (!errors.As(err, &f) || f.Field != c.field) {
			t.Errorf("%+v: %v, want a fault of %q", c.t, err, c.field)
		}
	}
}

func TestATerminalIsOneStreamAndHasAKind(t *testing.T) {
	env := newEnvironment([]string{"PATH=/bin", "TERM=dumb"}, "/")
	for _, c := range []struct {
		t    Template
		want string
	}{
		{Template{PTY: true}, "TERM=xterm-256color"},
		{Template{PTY: true, Env: map[string]string{"TERM": "vt100"}}, "TERM=vt100"},
		{Template{}, "TERM=dumb"},
	} {
		c.t.Name, c.t.Cmd = "sh", "sh"
		r, err := newRecipe(c.t, env)
		if err != nil {
			t.Fatal(err)
		}
		spec, _, err := r.spec(1, 1)
		if err != nil {
			t.Fatal(err)
		}
		terms := slices.DeleteFunc(slices.Clone(spec.Env), func(s string) bool { return !strings.HasPrefix(s, "TERM=") })
		if spec.Terminal != c.t.PTY || !slices.Equal(terms, []string{c.want}) {
			t.Errorf("%+v: terminal %v, %v, want %s", c.t, spec.Terminal, terms, c.want)
		}
		if c.t.PTY && !slices.Equal(r.labels, []string{"stdin", "stdout", ""}) {
			t.Errorf("labels %q", r.labels)
		}
	}
	without := Template{Name: "sh", Cmd: "sh"}
	with := Template{Name: "sh", Cmd: "sh", PTY: true}
	typed := Template{Name: "sh", Cmd: "sh", PTY: true, RedirectInput: true, RedirectOutput: []string{"stdout"}}
	recipes := make([]*recipe, 0, 3)
	for _, t1 := range []Template{without, with, typed} {
		r, err := newRecipe(t1, env)
		if err != nil {
			t.Fatal(err)
		}
		recipes = append(recipes, r)
	}
	if recipes[0].sameProcess(recipes[1]) || !recipes[1].sameProcess(recipes[2]) {
		t.Error("a process has a terminal from its beginning, or never")
	}
}

func TestTypingOnATerminalAndItsSize(t *testing.T) {
	r := newReal(t, Options{})
	r.ok(r.Add(r.ctx, script("sh", `trap 'stty size' WINCH; stty -echo; stty size; echo ready; while :; do read -r x && echo "got $x"; done`, onTerminal)))
	out := r.output("sh", OutputOptions{Tail: -1})
	r.reads(out, "24 80\rready\r")
	r.ok(r.Write(r.ctx, "sh", "stdin", []byte("hello\n")))
	if o := r.reads(out, "got hello\r"); o.Label != "stdout" {
		t.Errorf("output %+v", o)
	}
	r.ok(r.Resize(r.ctx, "sh", WindowSize{Cols: 132, Rows: 50}))
	r.ok(r.Write(r.ctx, "sh", "stdin", []byte("more\n"))) // some shells end reading before they look
	r.reads(out, "50 132\r")
	for size, want := range map[WindowSize]error{{}: ErrInvalid, {Cols: 80}: ErrInvalid, {Cols: 1 << 16, Rows: 1}: ErrInvalid, {Cols: -1, Rows: 1}: ErrInvalid} {
		if err := r.Resize(r.ctx, "sh", size); !errors.Is(err, want) {
			t.Errorf("%v: %v", size, err)
		}
	}
	r.ok(r.Add(r.ctx, script("plain", "exec sleep 100")))
	if err := r.Resize(r.ctx, "plain", WindowSize{Cols: 1, Rows: 1}); !errors.Is(err, ErrConflict) || !strings.Contains(err.Error(), "pty = true") {
		t.Errorf("without a terminal: %v", err)
	}
	if err := r.Resize(r.ctx, "none", WindowSize{Cols: 1, Rows: 1}); !errors.Is(err, ErrNotFound) {
		t.Errorf("nothing: %v", err)
	}
}
