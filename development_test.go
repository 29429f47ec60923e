package gaffer

import (
	"math"
	"strings"
	"testing"
	"time"
)

func TestWatchAndScaleThatCanNotBe(t *testing.T) {
	watch := func(w Watch) Template { return Template{Watch: &w} }
	scale := func(a Autoscale) Template { return Template{Scale: &a} }
	for _, tt := range []struct {
		t    Template
		want string // the faults, without the field's table
	}{
		{watch(Watch{Paths: []string{}}), "watch.paths: nothing is in it"},
		{watch(Watch{Paths: []string{"src/**/*.{py,html}", "[!a-c]x", `a\*b`, "../x", "/etc"}}), ""},
		{watch(Watch{Paths: []string{""}}), `watch.paths: "" can't be a path`},
		{watch(Watch{Paths: []string{"a["}}), `"a[": a [ without a ]`},
		{watch(Watch{Paths: []string{"[]"}}), `"[]": [] matches nothing`},
		{watch(Watch{Paths: []string{"[a/b]"}}), `"[a/b]": a / within [ ]`},
		{watch(Watch{Paths: []string{"[z-a"}}), "a [ without a ]"},
		{watch(Watch{Paths: []string{"[a-]"}}), "can't be read"},
		{watch(Watch{Paths: []string{"{a"}}), "a { without a }"},
		{watch(Watch{Paths: []string{"a}"}}), "a } without a {"},
		{watch(Watch{Paths: []string{"{a,{b,c}}"}}), "braces within braces"},
		{watch(Watch{Paths: []string{strings.Repeat("{a,b}", 5)}}), "more than 4 braces"},
		{watch(Watch{Paths: []string{`a\`}}), `nothing follows the \ at the end`},
		{watch(Watch{Ignore: []string{"!keep"}}), `watch.ignore: "!keep": what is ignored can't be taken back`},
		{watch(Watch{Ignore: []string{"a\x00"}}), "can't be a path"},
		{watch(Watch{Action: "restart"}), ""},
		{watch(Watch{Action: "USR1"}), ""},
		{watch(Watch{Action: "reload"}), `watch.action: "reload": want "restart" or a signal`},
		{watch(Watch{Debounce: new(Duration(time.Hour))}), "watch.debounce: 1h0m0s: want up to 1m0s"},
		{watch(Watch{Debounce: new(Duration(-1))}), "watch.debounce"},
		{watch(Watch{Poll: Duration(time.Millisecond)}), "watch.poll: 1ms: want at least 100ms"},
		{Template{Detach: true, Watch: &Watch{}}, "detach: a detached program is left alone: leave out watch"},
		{Template{Detach: true, Scale: &Autoscale{Max: 2, CPU: 1}}, "detach: a detached program is not counted: leave out scale"},
		{Template{Detach: true, ExitWith: true}, "detach: the end of a detached program is not seen"},

		{scale(Autoscale{Max: 4, CPU: 70}), ""},
		{scale(Autoscale{Max: 4, Min: new(0), Queue: "q", Target: 0.5, Timeout: 1}), ""},
		{scale(Autoscale{CPU: 70}), "scale.max: is required"},
		{scale(Autoscale{Max: -1, CPU: 70}), "scale.max: -1: want 1 to 100000"},
		{scale(Autoscale{Max: 100_001, CPU: 70}), "scale.max: 100001: want 1 to 100000"},
		{scale(Autoscale{Max: 4, Min: new(-1), CPU: 70}), "scale.min: -1: must not be negative"},
		{scale(Autoscale{Max: 4, Min: new(5), CPU: 70}), "scale.min: 5: more than max, 4"},
		{scale(Autoscale{Max: 4, Min: new(0), CPU: 70}), "scale.min: 0: of no process no cpu is known"},
		{scale(Autoscale{Max: 4}), "scale: want one of cpu, rps_file and queue"},
		{scale(Autoscale{Max: 4, CPU: 70, Queue: "q"}), "scale: want one of cpu, rps_file and queue"},
		{scale(Autoscale{Max: 4, CPU: -1}), "scale.cpu: -1: want percent"},
		{scale(Autoscale{Max: 4, CPU: math.NaN()}), "scale.cpu: NaN: want percent"},
		{scale(Autoscale{Max: 4, CPU: math.Inf(1)}), "scale.cpu: +Inf: want percent"},
		{scale(Autoscale{Max: 4, CPU: 70, Target: 3}), "scale.target: it is for rps_file and queue"},
		{scale(Autoscale{Max: 4, RPSFile: "f"}), "scale.target: 0: want how much"},
		{scale(Autoscale{Max: 4, Queue: "q\x00", Target: 1}), "scale.queue: has a NUL byte"},
		{scale(Autoscale{Max: 4, RPSFile: "f", Target: 1, Timeout: 1}), "scale.timeout: it is for the command of queue"},
		{scale(Autoscale{Max: 4, CPU: 1, Interval: 1}), "scale.interval: 1ns: want at least 1s"},
		{scale(Autoscale{Max: 4, CPU: 1, Cooldown: new(Duration(-1))}), "scale.cooldown: -1ns: must not be negative"},
		{Template{NumProcesses: new(9), Scale: &Autoscale{Max: 4, CPU: 1}}, "numprocesses: 9: scale is from 1 to 4"},
		{Template{NumProcesses: new(0), Scale: &Autoscale{Max: 4, CPU: 1}}, "numprocesses: 0: scale is from 1 to 4"},
		{Template{Port: 65530, Scale: &Autoscale{Max: 10, CPU: 1}}, "scale.max: 10: with port 65530 the last port is 65539"},
	} {
		tt.t.Name, tt.t.Cmd = "web", "x"
		err := tt.t.Validate()
		switch {
		case tt.want == "" && err != nil:
			t.Errorf("%v", err)
		case tt.want != "" && (err == nil || !strings.Contains(err.Error(), tt.want)):
			t.Errorf("got %v, want %s", err, tt.want)
		}
	}
}

func TestScaleBeginsWithTheLeast(t *testing.T) {
	for n, a := range map[int]Autoscale{1: {Max: 4}, 3: {Min: new(3), Max: 4}} {
		if tt := (Template{Scale: &a}); tt.wanted() != n {
			t.Errorf("%d, want %d", tt.wanted(), n)
		}
	}
	zero := Template{Scale: &Autoscale{Min: new(0), Max: 4}}
	if zero.wanted() != 1 {
		t.Errorf("%d", zero.wanted())
	}
}

// What is for Apps alone is nothing that a running process depends on, and a copy shares
// nothing of it.
func TestAppsTablesAreNoReasonForARestart(t *testing.T) {
	env := newEnvironment(nil, "/")
	a, err := looseRecipe(Template{Name: "web", Cmd: "x"}, env)
	if err != nil {
		t.Fatal(err)
	}
	full := Template{
		Name: "web", Cmd: "x", ExitWith: true, Watch: &Watch{Paths: []string{"a"}, Ignore: []string{"b"}, DefaultIgnore: new(false), Debounce: new(Duration(0))},
		Scale: &Autoscale{Min: new(1), Max: 3, CPU: 1, Cooldown: new(Duration(0))},
	}
	b, err := looseRecipe(full, env)
	if err != nil {
		t.Fatal(err)
	}
	if !a.sameProcess(b) {
		t.Error("another process")
	}
	c := full.clone()
	c.Watch.Paths[0], c.Watch.Ignore[0], *c.Watch.DefaultIgnore, *c.Watch.Debounce, *c.Scale.Min, *c.Scale.Cooldown = "x", "x", true, 1, 9, 9
	if full.Watch.Paths[0] != "a" || full.Watch.Ignore[0] != "b" || *full.Watch.DefaultIgnore || *full.Watch.Debounce != 0 || *full.Scale.Min != 1 || *full.Scale.Cooldown != 0 {
		t.Errorf("shared: %+v %+v", full.Watch, full.Scale)
	}
}

func TestWorkDir(t *testing.T) {
	t.Setenv("WHERE", "there")
	for want, tt := range map[string]Template{
		"/a/there": {Name: "web", Cmd: "x", Cwd: "/a/$WHERE"},
		"/a/here":  {Name: "web", Cmd: "x", Cwd: "/a/$IT", Env: map[string]string{"IT": "here"}},
	} {
		if got, err := tt.WorkDir(); got != want || err != nil {
			t.Errorf("got %s, %v; want %s", got, err, want)
		}
	}
	wrong := Template{Name: "web", Cmd: "x", Cwd: "$NO_SUCH_VARIABLE"}
	if _, err := wrong.WorkDir(); err == nil || !strings.HasPrefix(err.Error(), "template web: cwd: ") {
		t.Errorf("got %v", err)
	}
}
