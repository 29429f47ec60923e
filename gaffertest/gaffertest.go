// Package gaffertest is the suite that every gaffer.Controller passes: the
// manager of this program, the client of a daemon, and whatever else stands for
// one.
//
//	func TestConformance(t *testing.T) {
//		gaffertest.Run(t, func(t *testing.T) gaffer.Controller {
//			return newThing(t) // of a running manager without templates
//		})
//	}
//
// It runs real processes: scripts of sh that mostly sleep. They run on the machine
// of the test, where the suite makes files for them.
package gaffertest

import (
	"context"
	"errors"
	"io"
	"slices"
	"testing"
	"time"

	"github.com/gafferpm/gaffer"
)

// patience is how long a case of the suite may take before it has failed.
const patience = 60 * time.Second

// aCase is one promise of a Controller.
type aCase struct {
	name string
	test func(*bench)
}

// Run shows that a Controller keeps what it promises, one promise after the other
// as subtests. open is called for each of them. It returns a Controller that may
// do everything, of a manager that runs and has no templates, and arranges by
// t.Cleanup that both end with the test. The Controller must not be used before,
// for ids and events are taken to count from 1.
func Run(t *testing.T, open func(t *testing.T) gaffer.Controller) {
	t.Helper()
	for _, c := range slices.Concat(templateCases, limitCases, verbCases, targetCases, crashCases, eventCases,
		outputCases, writeCases, sessionCases, statsCases, contextCases, crowdCases) {
		t.Run(c.name, func(t *testing.T) {
			ctx, cancel := context.WithTimeout(t.Context(), patience)
			defer cancel()
			c.test(&bench{T: t, c: open(t), ctx: ctx})
		})
	}
}

// bench is where one case is tried.
type bench struct {
	*testing.T
	c   gaffer.Controller
	ctx context.Context // ends with the patience
}

// ok ends the case on an error.
func (b *bench) ok(err error) {
	b.Helper()
	if err != nil {
		b.Fatal(err)
	}
}

// is wants an error of a sort.
func (b *bench) is(err, want error) {
	b.Helper()
	if !errors.Is(err, want) {
		b.Errorf("error %v, want one that is %q", err, want)
	}
}

// sleeps runs until it is told to end, and then ends at once.
const sleeps = "exec sleep 1000"

// script is a template of a script.
func script(name, text string, more ...func(*gaffer.Template)) gaffer.Template {
	t := gaffer.Template{Name: name, Cmd: text, Shell: true}
	for _, f := range more {
		f(&t)
	}
	return t
}

func numprocesses(n int) func(*gaffer.Template) {
	return func(t *gaffer.Template) { t.NumProcesses = &n }
}

func notStarted(t *gaffer.Template) { t.Start = new(false) }

func withInput(t *gaffer.Template) { t.RedirectInput = true }

// add adds a template of a script.
func (b *bench) add(name, text string, more ...func(*gaffer.Template)) {
	b.Helper()
	b.ok(b.c.Add(b.ctx, script(name, text, more...)))
}

// status is how one template is.
func (b *bench) status(name string) gaffer.Status {
	b.Helper()
	list, err := b.c.List(b.ctx, gaffer.Target(name))
	b.ok(err)
	if len(list) != 1 {
		b.Fatalf("List(%s): %d templates, want 1", name, len(list))
	}
	return list[0].Status
}

// names are the templates that a target selects.
func (b *bench) names(target gaffer.Target) []string {
	b.Helper()
	list, err := b.c.List(b.ctx, target)
	b.ok(err)
	names := []string{}
	for _, i := range list {
		names = append(names, i.Status.Name)
	}
	return names
}

// ids are the ids of a template's processes, by slot.
func (b *bench) ids(name string) []uint64 {
	b.Helper()
	var ids []uint64
	for _, p := range b.status(name).Processes {
		ids = append(ids, p.ID)
	}
	return ids
}

// wantRunning wants so many processes of a template to run.
func (b *bench) wantRunning(name string, n int) {
	b.Helper()
	if st := b.status(name); st.Running != n {
		b.Errorf("%s: %d run, want %d: %+v", name, st.Running, n, st)
	}
}

// equal wants two lists to be the same.
func equal[T comparable](b *bench, what string, got, want []T) {
	b.Helper()
	if !slices.Equal(got, want) {
		b.Errorf("%s: got %v, want %v", what, got, want)
	}
}

// events subscribes, for as long as the case takes.
func (b *bench) events(target gaffer.Target, how gaffer.EventOptions) gaffer.Stream[gaffer.Event] {
	b.Helper()
	s, err := b.c.Subscribe(b.ctx, target, how)
	b.ok(err)
	b.Cleanup(s.Close)
	return s
}

// output reads what a target writes, for as long as the case takes.
func (b *bench) output(target gaffer.Target, how gaffer.OutputOptions) gaffer.Stream[gaffer.Output] {
	b.Helper()
	s, err := b.c.Output(b.ctx, target, how)
	b.ok(err)
	b.Cleanup(s.Close)
	return s
}

// await waits for the next event of a kind.
func (b *bench) await(events gaffer.Stream[gaffer.Event], kind gaffer.Kind) gaffer.Event {
	b.Helper()
	for {
		e, err := events.Next(b.ctx)
		if err != nil {
			b.Fatalf("%v, while waiting for %s", err, kind)
		}
		if e.Kind == kind {
			return e
		}
	}
}

// line waits for a line of output.
func (b *bench) line(out gaffer.Stream[gaffer.Output], want string) gaffer.Output {
	b.Helper()
	for {
		o, err := out.Next(b.ctx)
		if err != nil {
			b.Fatalf("%v, while waiting for the line %q", err, want)
		}
		if string(o.Data) == want {
			return o
		}
	}
}

// rest is what a stream delivers until its end.
func rest[T any](b *bench, s gaffer.Stream[T]) []T {
	b.Helper()
	var all []T
	for {
		v, err := s.Next(b.ctx)
		switch {
		case errors.Is(err, io.EOF):
			return all
		case err != nil:
			b.Fatalf("%v, after %d values", err, len(all))
		}
		all = append(all, v)
	}
}
