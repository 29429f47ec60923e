package state

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/gafferpm/gaffer"
)

// simple is what should be wanted of a template, in the simplest words: its fields
// by name, "" being one that is not set.
type simple struct {
	source string
	file   map[string]string // as the source says; nil for one that was added at run time
	is     map[string]string // as it is wanted
}

// simpleFields are the fields that templates of the test have.
var simpleFields = []string{"cmd", "priority", "env.A", "env.B", countField, startField}

// simpleTemplate makes a template of fields.
func simpleTemplate(name string, f map[string]string) gaffer.Template {
	t := gaffer.Template{Name: name, Cmd: f["cmd"], NumProcesses: new(number(f[countField])), Env: map[string]string{}}
	if f[startField] == "false" {
		t.Start = new(false)
	}
	if f["priority"] != "" {
		t.Priority = number(f["priority"])
	}
	for _, v := range []string{"A", "B"} {
		if f["env."+v] != "" {
			t.Env[v] = f["env."+v]
		}
	}
	return t
}

// simplify is the opposite of simpleTemplate, of what is wanted.
func simplify(w gaffer.Wanted) map[string]string {
	f := map[string]string{
		"cmd": w.Template.Cmd, "priority": "", "env.A": w.Template.Env["A"], "env.B": w.Template.Env["B"],
		countField: strconv.Itoa(w.Count), startField: strconv.FormatBool(w.Active),
	}
	if w.Template.Priority != 0 {
		f["priority"] = strconv.Itoa(w.Template.Priority)
	}
	return f
}

// sources is a state machine: users and sources that define templates, and
// daemons that come and go.
type sources struct {
	t     *rapid.T
	dir   string
	s     *State
	m     *fakeManager
	c     *configurator
	model map[string]*simple
	files map[string]gaffer.Desired // by source: what it says at present
}

func TestWhatIsWantedFollowsTheRules(t *testing.T) {
	dir, run := memoryDir(t), 0
	rapid.Check(t, func(t *rapid.T) {
		run++
		w := &sources{t: t, dir: filepath.Join(dir, strconv.Itoa(run)), model: map[string]*simple{}, files: map[string]gaffer.Desired{}}
		w.begin(nil, nil)
		defer func() { w.ok(w.s.Close()) }()
		t.Repeat(map[string]func(*rapid.T){
			"":        func(*rapid.T) { w.check() },
			"apply":   func(t *rapid.T) { w.t = t; w.apply() },
			"user":    func(t *rapid.T) { w.t = t; w.user() },
			"restart": func(t *rapid.T) { w.t = t; w.restart() },
		})
	})
}

func (w *sources) ok(err error) {
	if err != nil {
		w.t.Fatal(err)
	}
}

func (w *sources) begin(desired []gaffer.Desired, loadErr error) {
	var err error
	w.s, err = Open(w.dir, Options{})
	w.ok(err)
	w.m = newFake(w.s)
	w.c = &configurator{s: w.s, m: w.m}
	w.ok(w.s.restore(context.Background(), w.m, desired, loadErr))
}

var (
	aName   = rapid.SampledFrom([]string{"a", "b", "c", "d"})
	aSource = rapid.SampledFrom([]string{"/f", "/g", "app:h"})
	aValue  = rapid.SampledFrom([]string{"1", "2", "3"})
)

func (w *sources) fields() map[string]string {
	f := map[string]string{}
	for _, name := range simpleFields {
		f[name] = aValue.Draw(w.t, name)
	}
	if f["env.A"] == "3" {
		f["env.A"] = ""
	}
	if f["priority"] == "3" {
		f["priority"] = ""
	}
	f[startField] = strconv.FormatBool(f[startField] != "3")
	return f
}

// apply applies a source that says something new of some of its templates.
func (w *sources) apply() {
	ctx := context.Background()
	d := w.files[aSource.Draw(w.t, "source")]
	if d.Source == "" {
		d.Source = aSource.Draw(w.t, "new source")
	}
	said := map[string]gaffer.Template{}
	for _, t := range d.Templates {
		said[t.Name] = t
	}
	for range rapid.IntRange(0, 3).Draw(w.t, "changes") {
		name := aName.Draw(w.t, "name")
		if rapid.Bool().Draw(w.t, "gone") {
			delete(said, name)
			continue
		}
		said[name] = simpleTemplate(name, w.fields())
	}
	d.Templates = nil
	for _, name := range slices.Sorted(maps.Keys(said)) {
		d.Templates = append(d.Templates, said[name])
	}
	w.files[d.Source] = d
	d.Adopt, d.Reset = rapid.Bool().Draw(w.t, "adopt"), rapid.Bool().Draw(w.t, "reset")

	planned, err := w.c.Plan(ctx, d)
	w.ok(err)
	d.Expect = planned.Digest
	w.m.did()
	applied, err := w.c.Apply(ctx, d)
	conflicts := w.define(d)
	if conflicts == 0 {
		w.ok(err)
	} else if !errors.Is(err, gaffer.ErrConflict) {
		w.t.Fatalf("%d conflicts and error %v", conflicts, err)
	}
	if did := w.m.did(); did != "" && !planned.Changes() {
		w.t.Fatalf("a plan that changes nothing did %s", did)
	}
	if len(applied.Steps) != len(planned.Steps) {
		w.t.Fatalf("planned\n%s\napplied\n%s", planText(planned), planText(applied))
	}
	d.Adopt, d.Reset, d.Expect = false, false, ""
	again, err := w.c.Plan(ctx, d)
	w.ok(err)
	for _, s := range again.Steps {
		if s.Op != gaffer.OpKeep && s.Op != gaffer.OpConflict {
			w.t.Fatalf("planned again:\n%s", planText(again))
		}
	}
}

// define is apply in the model.
func (w *sources) define(d gaffer.Desired) (conflicts int) {
	defined := map[string]bool{}
	for _, t := range d.Templates {
		defined[t.Name] = true
		says := simplify(gaffer.Wanted{Template: t, Active: starts(&t), Count: count(&t)})
		m := w.model[t.Name]
		switch {
		case m == nil:
			m = &simple{is: maps.Clone(says)}
		case m.source != d.Source && !d.Adopt:
			conflicts++
			continue
		case m.file == nil || d.Reset:
			m.is = maps.Clone(says)
		}
		for f, v := range says {
			if m.file != nil && m.file[f] != v {
				m.is[f] = v
			}
		}
		m.file, m.source = says, d.Source
		w.model[t.Name] = m
	}
	for name, m := range w.model {
		if m.source == d.Source && !defined[name] {
			delete(w.model, name)
		}
	}
	return conflicts
}

// user does one thing at run time.
func (w *sources) user() {
	ctx := context.Background()
	name := aName.Draw(w.t, "name")
	m := w.model[name]
	if m == nil {
		f := w.fields()
		w.ok(w.m.Add(ctx, simpleTemplate(name, f)))
		w.model[name] = &simple{is: f}
		return
	}
	switch rapid.IntRange(0, 4).Draw(w.t, "verb") {
	case 0:
		w.ok(w.m.Remove(ctx, gaffer.Target(name)))
		delete(w.model, name)
	case 1:
		m.is[countField] = aValue.Draw(w.t, "count")
		_, err := w.m.Scale(ctx, gaffer.Target(name), gaffer.Change{Op: '=', N: number(m.is[countField])})
		w.ok(err)
	case 2:
		m.is[startField] = "true"
		w.ok(w.m.Start(ctx, gaffer.Target(name)))
	case 3:
		m.is[startField] = "false"
		w.ok(w.m.Stop(ctx, gaffer.Target(name)))
	case 4:
		f := w.fields()
		t := simpleTemplate(name, f)
		if was := w.m.wanted[name].Template; count(&t) == count(&was) {
			f[countField] = m.is[countField] // a scaled number stays
		}
		f[startField] = m.is[startField]
		w.ok(w.m.Update(ctx, t))
		m.is = f
	}
}

// restart ends the daemon, in one way or the other, and begins another one, whose
// files say what they said last, or something new, or can't be read.
func (w *sources) restart() {
	if rapid.Bool().Draw(w.t, "killed") {
		abandon(w.t, w.s)
	} else {
		w.ok(w.s.Close())
	}
	if len(w.model) > 0 && rapid.Bool().Draw(w.t, "unreadable") {
		w.begin(nil, errors.New("line 1: what?"))
		return
	}
	var desired []gaffer.Desired
	for _, name := range []string{"/f", "/g"} {
		if d := w.files[name]; d.Source != "" {
			desired = append(desired, d)
		}
	}
	w.handOver(desired)
	for _, d := range desired {
		w.define(d)
	}
	w.begin(desired, nil)
}

// handOver gives templates that their source has given up to the other one that
// defines them.
func (w *sources) handOver(desired []gaffer.Desired) {
	defines := func(d gaffer.Desired, name string) bool {
		return slices.ContainsFunc(d.Templates, func(t gaffer.Template) bool { return t.Name == name })
	}
	for name, m := range w.model {
		i := slices.IndexFunc(desired, func(d gaffer.Desired) bool { return d.Source == m.source })
		if i < 0 || defines(desired[i], name) {
			continue
		}
		for _, d := range desired {
			if defines(d, name) {
				m.source = d.Source
			}
		}
	}
}

// check compares what is wanted with the model.
func (w *sources) check() {
	var want, got []string
	for name, m := range w.model {
		overrides := ""
		for _, f := range simpleFields {
			if m.file != nil && m.file[f] != m.is[f] {
				overrides += " " + f
			}
		}
		source := m.source
		if source == "" {
			source = RunTime
		}
		want = append(want, fmt.Sprintf("%s of %s %v but%s", name, source, m.is, overrides))
	}
	origins, err := w.c.Origins(context.Background(), gaffer.All)
	w.ok(err)
	for _, o := range origins {
		overrides := ""
		for _, f := range simpleFields {
			if slices.ContainsFunc(o.Overrides, func(v gaffer.Override) bool { return v.Field == f }) {
				overrides += " " + f
			}
		}
		got = append(got, fmt.Sprintf("%s of %s %v but%s", o.Name, o.Source, simplify(w.m.wanted[o.Name]), overrides))
	}
	slices.Sort(want)
	slices.Sort(got)
	if g, n := strings.Join(got, "\n"), strings.Join(want, "\n"); g != n {
		w.t.Fatalf("there is\n%s\nwant\n%s", g, n)
	}
}

func FuzzRecord(f *testing.F) {
	r := record{name: "web", Order: 3, Source: "/f", File: &gaffer.Template{Name: "web", Cmd: "x"}, Active: true, Count: 2}
	r.Template = r.File
	text, err := r.encode()
	if err != nil {
		f.Fatal(err)
	}
	f.Add(text)
	f.Add([]byte(`{"template":{"name":"web","cmd":"x","args":"a b","env":{},"flapping":{},"redirect_output":[]},"count":-1}`))
	f.Fuzz(func(t *testing.T, text []byte) {
		r, err := decodeRecord("web", text)
		if err != nil {
			return
		}
		again, err := r.encode()
		if err != nil {
			t.Fatal(err)
		}
		back, err := decodeRecord("web", again)
		if err != nil {
			t.Fatalf("%s: %v", again, err)
		}
		if !back.equal(r) {
			t.Errorf("%s\nis read back as %v, was %v", again, back, r)
		}
		if r.File == nil {
			return
		}
		// What is merged with itself is as it was.
		if o := merge(r, r.File, false); !sameTemplate(o.template, r.Template) || o.count != r.Count || o.active != r.Active {
			t.Errorf("%s merged with itself is %v", again, o)
		}
		if o := merge(r, r.File, true); !sameTemplate(o.template, r.File) {
			t.Errorf("%s reset is %v", again, o)
		}
	})
}
