package state

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/gafferpm/gaffer"
)

// world is a state, a manager that has it as its store, and a configurator.
type world struct {
	testing.TB
	s *State
	m *fakeManager
	c *configurator
}

func newWorld(t testing.TB) *world {
	s := open(t, t.TempDir()+"/state", Options{})
	m := newFake(s)
	return &world{TB: t, s: s, m: m, c: &configurator{s: s, m: m}}
}

func (w *world) ok(err error) {
	w.Helper()
	if err != nil {
		w.Fatal(err)
	}
}

// apply plans, applies, and plans again: the plans agree, and then there is
// nothing to do.
func (w *world) apply(d gaffer.Desired) gaffer.Plan {
	w.Helper()
	ctx := context.Background()
	planned, err := w.c.Plan(ctx, d)
	w.ok(err)
	applied, err := w.c.Apply(ctx, d)
	w.ok(err)
	if p, a := planText(planned), planText(applied); p != a {
		w.Errorf("applied\n%s\nwant what was planned\n%s", a, p)
	}
	d.Adopt, d.Reset = false, false
	again, err := w.c.Plan(ctx, d)
	w.ok(err)
	if again.Changes() {
		w.Errorf("planned again after it was applied:\n%s", planText(again))
	}
	return applied
}

// planText has a line for each step.
func planText(p gaffer.Plan) string {
	var lines []string
	for _, s := range p.Steps {
		line := string(s.Op) + " " + s.Name
		for _, f := range s.Fields {
			line += fmt.Sprintf(" %s:%s>%s", f.Field, f.Old, f.New)
		}
		for _, text := range []string{s.Message, s.Error} {
			if text != "" {
				line += " (" + text + ")"
			}
		}
		lines = append(lines, line)
	}
	return strings.Join(lines, "\n")
}

func (w *world) is(want string) {
	w.Helper()
	if got := w.m.String(); got != want {
		w.Errorf("wanted is %q, want %q", got, want)
	}
}

func (w *world) steps(p gaffer.Plan, want ...string) {
	w.Helper()
	if got := planText(p); got != strings.Join(want, "\n") {
		w.Errorf("the plan is\n%s\nwant\n%s", got, strings.Join(want, "\n"))
	}
}

func TestApplyCreatesUpdatesAndRemoves(t *testing.T) {
	w := newWorld(t)
	w.steps(w.apply(source("/f", template("a"), template("b", numprocesses(2)), template("c", notStarted))),
		"create a", "create b", "create c")
	w.is("a=1 b=2 c(stopped)=1")
	w.m.did()
	w.steps(w.apply(source("/f", template("b", numprocesses(3)), template("c", notStarted, command("other")), template("d"))),
		"remove a", "update b numprocesses:2>3", `update c cmd:"run c">"other"`, "create d")
	w.is("b=3 c(stopped)=1 d=1")
	if did := w.m.did(); !strings.HasPrefix(did, "remove a, add d, ") {
		t.Errorf("did %q", did)
	}
	w.steps(w.apply(source("/f")), "remove d", "remove c", "remove b")
	w.is("")
	if text := recordsText(w.s); text != "" {
		t.Errorf("left: %s", text)
	}
}

func TestWhatIsWantedHoldsUntilTheFileSaysSomethingNew(t *testing.T) {
	w := newWorld(t)
	ctx := context.Background()
	w.apply(source("/f", template("web", numprocesses(2))))
	_, err := w.m.Scale(ctx, "web", gaffer.Change{Op: '=', N: 5})
	w.ok(err)
	w.ok(w.m.Stop(ctx, "web"))
	w.steps(w.apply(source("/f", template("web", numprocesses(2)))),
		"keep web (changed at run time and kept: numprocesses 5 (here 2), start false (here true))")
	w.steps(w.apply(source("/f", template("web", numprocesses(2), command("new")))),
		`update web cmd:"run web">"new" (changed at run time and kept: numprocesses 5 (here 2), start false (here true))`)
	w.is("web(stopped)=5")
	w.steps(w.apply(source("/f", template("web", numprocesses(3), command("new")))),
		"update web numprocesses:5>3 (no longer as changed at run time: numprocesses; changed at run time and kept: start false (here true))")
	w.is("web(stopped)=3")
	reset := source("/f", template("web", numprocesses(3), command("new")))
	reset.Reset = true
	w.steps(w.apply(reset), "update web start:false>true (no longer as changed at run time: start)")
	w.is("web=3")
}

func TestFieldsChangedAtRunTimeHoldOneByOne(t *testing.T) {
	w := newWorld(t)
	ctx := context.Background()
	env := func(pairs ...string) func(*gaffer.Template) {
		return func(t *gaffer.Template) {
			t.Env = map[string]string{}
			for i := 0; i < len(pairs); i += 2 {
				t.Env[pairs[i]] = pairs[i+1]
			}
		}
	}
	w.apply(source("/f", template("web", env("A", "1", "B", "1"))))
	w.ok(w.m.Update(ctx, template("web", env("A", "1", "B", "2", "C", "2"), command("mine"))))
	w.steps(w.apply(source("/f", template("web", env("A", "9", "B", "1")))),
		`update web env.A:"1">"9" (changed at run time and kept: cmd "mine" (here "run web"), env.B, env.C)`)
	is := w.m.wanted["web"].Template
	if fmt.Sprint(is.Env) != "map[A:9 B:2 C:2]" || is.Cmd != "mine" {
		t.Errorf("in force is %v %q", is.Env, is.Cmd)
	}
	origins, err := w.c.Origins(ctx, "web")
	w.ok(err)
	want := `[{cmd "mine" "run web"} {env.B "2" "1"} {env.C "2" }]`
	if got := fmt.Sprint(origins[0].Overrides); got != want || origins[0].Source != "/f" {
		t.Errorf("origin is %s %s, want %s", origins[0].Source, got, want)
	}
	w.steps(w.apply(source("/f", template("web", env("A", "9", "B", "3")))),
		`update web env.B:"2">"3" (no longer as changed at run time: env.B; changed at run time and kept: cmd "mine" (here "run web"), env.C)`)
}

func TestANameOfSomebodyElseIsAConflict(t *testing.T) {
	w := newWorld(t)
	ctx := context.Background()
	w.ok(w.m.Add(ctx, template("web", numprocesses(4))))
	w.apply(source("app:shop", template("db")))
	d := source("/f", template("db", command("x")), template("mail"), template("web", command("x")))
	p, err := w.c.Apply(ctx, d)
	if !errors.Is(err, gaffer.ErrConflict) {
		t.Errorf("error %v", err)
	}
	w.steps(p,
		"conflict db (source app:shop defines it; to adopt it takes it over) (template db: source app:shop defines it; to adopt it takes it over)",
		"create mail",
		"conflict web (it was added at run time; to adopt it takes it over) (template web: it was added at run time; to adopt it takes it over)")
	w.is("web=4 db=1 mail=1")
	d.Adopt = true
	w.steps(w.apply(d),
		`update db cmd:"run db">"x" (taken over from app:shop)`, "keep mail",
		`update web cmd:"run web">"x" numprocesses:4>1 (taken over from run time)`)
	w.is("web=1 db=1 mail=1")
	// Their own source has nothing more to say.
	w.steps(w.apply(source("app:shop")))
	w.is("web=1 db=1 mail=1")
}

func TestTheExpectedPlanOrNone(t *testing.T) {
	w := newWorld(t)
	ctx := context.Background()
	d := source("/f", template("web"))
	p, err := w.c.Plan(ctx, d)
	w.ok(err)
	d.Expect = p.Digest
	d.Templates[0].Cmd = "something else"
	if _, err := w.c.Apply(ctx, d); !errors.Is(err, gaffer.ErrConflict) {
		t.Errorf("other templates than were planned: error %v", err)
	}
	w.is("")
	d.Templates[0] = template("web")
	_, err = w.c.Apply(ctx, d)
	w.ok(err)
	w.is("web=1")
	if _, err := w.c.Apply(ctx, d); !errors.Is(err, gaffer.ErrConflict) {
		t.Errorf("applied twice: error %v", err)
	}
}

func TestWhatIsWrongChangesNothing(t *testing.T) {
	w := newWorld(t)
	ctx := context.Background()
	w.apply(source("/f", template("a"), template("b")))
	w.m.refuse["c"] = invalidf("template c: no such program")
	w.m.refuse["a"] = invalidf("template a: no such program")
	for what, d := range map[string]gaffer.Desired{
		"can't be started": source("/f", template("c")),
		"no command":       source("/f", gaffer.Template{Name: "x"}),
		"twice":            source("/f", template("x"), template("x")),
		"no source":        source("", template("x")),
		"taken source":     source(RunTime, template("x")),
		"changed":          source("/f", template("a", command("new"))),
	} {
		if _, err := w.c.Apply(ctx, d); !errors.Is(err, gaffer.ErrInvalid) {
			t.Errorf("%s: error %v", what, err)
		}
		w.is("a=1 b=1")
	}
	// What can't be started any more, and is as it was, is in nobody's way.
	w.steps(w.apply(source("/f", template("a"), template("d"))),
		"remove b", "keep a (it could not be started now: template a: no such program)", "create d")
}

func TestAFailingStepHoldsUpNoOther(t *testing.T) {
	w := newWorld(t)
	ctx := context.Background()
	w.m.previews = func(string) { w.m.refuse["b"] = nil }
	d := source("/f", template("a"), template("b"), template("c"))
	_, err := w.c.Plan(ctx, d)
	w.ok(err)
	w.m.previews = func(name string) {
		if name == "c" {
			w.m.refuse["b"] = errors.New("template b: too late")
		}
	}
	p, err := w.c.Apply(ctx, d)
	if err == nil || err.Error() != "template b: too late" {
		t.Errorf("error %v", err)
	}
	w.steps(p, "create a", "create b (template b: too late)", "create c")
	w.is("a=1 c=1")
	w.m.refuse, w.m.previews = map[string]error{}, nil
	w.steps(w.apply(d), "keep a", "create b", "keep c")
}

func TestReloadAppliesAllSourcesAtOnce(t *testing.T) {
	w := newWorld(t)
	ctx := context.Background()
	w.apply(source("app:shop", template("shop:db")))
	var files []gaffer.Desired
	var broken error
	w.c.read = func(context.Context) ([]gaffer.Desired, error) { return files, broken }
	reload := func(want ...string) {
		t.Helper()
		p, err := w.c.Reload(ctx)
		w.ok(err)
		w.steps(p, want...)
	}
	files = []gaffer.Desired{source("/f", template("a"), template("b")), source("/g", template("c"))}
	reload("create a", "create b", "create c")
	// b moves to the other file, and is not stopped for that.
	files = []gaffer.Desired{source("/f", template("a")), source("/g", template("b"))}
	reload("remove c", "keep a", "update b (taken over from /f)")
	w.is("shop:db=1 a=1 b=1")
	broken = errors.New("line 3: what is that?")
	if _, err := w.c.Reload(ctx); !errors.Is(err, broken) {
		t.Errorf("error %v", err)
	}
	w.is("shop:db=1 a=1 b=1")
	broken = nil
	files = []gaffer.Desired{source("/f", template("a")), source("/g", template("a"), template("b"))}
	if _, err := w.c.Reload(ctx); !errors.Is(err, gaffer.ErrConflict) {
		t.Errorf("a name in two files: error %v", err)
	}
}

func TestApplyGoesOnWhenNobodyWaits(t *testing.T) {
	w := newWorld(t)
	w.apply(source("/f", template("a")))
	w.m.blocking = make(chan struct{})
	gone, cancel := context.WithCancel(context.Background())
	cancel()
	p, err := w.c.Apply(gone, source("/f", template("b")))
	if !errors.Is(err, context.Canceled) {
		t.Errorf("error %v", err)
	}
	w.steps(p, "remove a", "create b")
	if _, err := w.c.Apply(gone, source("/f")); !errors.Is(err, gaffer.ErrConflict) {
		t.Errorf("while another one is applied: error %v", err)
	}
	close(w.m.blocking)
	w.ok(w.s.begin(context.Background())) // when it has ended
	w.s.end()
	w.is("b=1")
}

func TestNoSourceStandsForTheDaemonsOwnFiles(t *testing.T) {
	w := newWorld(t)
	ctx := context.Background()
	if _, err := w.c.Plan(ctx, gaffer.Desired{}); !errors.Is(err, gaffer.ErrInvalid) {
		t.Errorf("without files: error %v", err)
	}
	if _, err := w.c.Plan(ctx, gaffer.Desired{Templates: []gaffer.Template{template("a")}}); !errors.Is(err, gaffer.ErrInvalid) {
		t.Errorf("templates of nobody: error %v", err)
	}
	files := []gaffer.Desired{source("/f", template("a")), source("/g", template("b"))}
	w.c.read = func(context.Context) ([]gaffer.Desired, error) { return files, nil }
	w.steps(w.apply(gaffer.Desired{}), "create a", "create b")
	w.ok(w.m.Stop(ctx, "b"))
	p, err := w.c.Plan(ctx, gaffer.Desired{})
	w.ok(err)
	w.steps(p, "keep a", "keep b (changed at run time and kept: start false (here true))")
	p, err = w.c.Plan(ctx, gaffer.Desired{Reset: true})
	w.ok(err)
	if _, err := w.c.Apply(ctx, gaffer.Desired{Reset: true, Expect: "another"}); !errors.Is(err, gaffer.ErrConflict) {
		t.Errorf("another plan: error %v", err)
	}
	applied, err := w.c.Apply(ctx, gaffer.Desired{Reset: true, Expect: p.Digest})
	w.ok(err)
	w.steps(applied, "keep a", "update b start:false>true (no longer as changed at run time: start)")
	w.is("a=1 b=1")
	if files[0].Reset {
		t.Error("what was read was changed")
	}
	files, w.c.read = nil, nil
	if p, err := w.c.Reload(ctx); err != nil || p.Changes() {
		t.Errorf("without files there is %s to reload (%v)", planText(p), err)
	}
}
