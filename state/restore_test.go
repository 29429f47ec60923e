package state

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"strings"
	"testing"

	"github.com/gafferpm/gaffer"
)

// reopened is a world after its daemon was killed and another one has begun.
func (w *world) reopened(dir string, desired []gaffer.Desired, loadErr error) (*bytes.Buffer, error) {
	w.Helper()
	var log bytes.Buffer
	s, err := Open(dir, Options{Logger: slog.New(slog.NewTextHandler(&log, nil))})
	w.ok(err)
	w.s, w.m = s, newFake(s)
	w.c = &configurator{s: s, m: w.m}
	return &log, s.restore(context.Background(), w.m, desired, loadErr)
}

// killable is a world that can be reopened.
func killable(t *testing.T) (w *world, dir string) {
	dir = t.TempDir()
	w = &world{TB: t}
	_, err := w.reopened(dir, nil, nil)
	w.ok(err)
	t.Cleanup(func() { w.ok(w.s.Close()) })
	return w, dir
}

func TestADaemonBeginsWithWhatWasWanted(t *testing.T) {
	w, dir := killable(t)
	ctx := context.Background()
	files := []gaffer.Desired{source("/f", template("web", numprocesses(2)), template("db"), template("cron"))}
	w.apply(files[0])
	w.apply(source("app:shop", template("shop:x"), template("shop:y")))
	w.ok(w.m.Add(ctx, template("mine")))
	w.ok(w.m.Stop(ctx, "db"))
	_, err := w.m.Scale(ctx, "web", gaffer.Change{Op: '=', N: 7})
	w.ok(err)
	w.ok(w.m.Update(ctx, template("cron", command("changed"))))
	w.ok(w.m.Remove(ctx, "shop:x"))

	abandon(t, w.s)
	_, err = w.reopened(dir, files, nil)
	w.ok(err)
	w.is("web=7 db(stopped)=1 cron=1 shop:y=1 mine=1")
	if cmd := w.m.wanted["cron"].Template.Cmd; cmd != "changed" {
		t.Errorf("cron runs %q", cmd)
	}

	// Another file: one is gone, one is new, one says something new, the order is another.
	files = []gaffer.Desired{source("/f", template("new"), template("cron", command("by file")), template("web", numprocesses(2)))}
	abandon(t, w.s)
	log, err := w.reopened(dir, files, nil)
	w.ok(err)
	w.is("new=1 cron=1 web=7 shop:y=1 mine=1")
	if cmd := w.m.wanted["cron"].Template.Cmd; cmd != "by file" || !strings.Contains(log.String(), "fields=cmd") {
		t.Errorf("cron runs %q, and it is said: %s", cmd, log)
	}
	p, err := w.c.Plan(ctx, files[0])
	w.ok(err)
	if p.Changes() {
		t.Errorf("there is something to do at once: %s", planText(p))
	}

	// The file can't be read: it is all as it was.
	abandon(t, w.s)
	log, err = w.reopened(dir, nil, errors.New("gaffer.toml:3: what is that?"))
	w.ok(err)
	w.is("new=1 cron=1 web=7 shop:y=1 mine=1")
	if !strings.Contains(log.String(), "level=ERROR") || !strings.Contains(log.String(), "gaffer.toml:3") {
		t.Errorf("it is said: %s", log)
	}
	w.steps(w.apply(files[0]), "keep new", "keep cron",
		"keep web (changed at run time and kept: numprocesses 7 (here 2))")
}

func TestWithoutFilesAndRecordsThereIsNothingToBeginWith(t *testing.T) {
	w, dir := killable(t)
	abandon(t, w.s)
	broken := errors.New("gaffer.toml:3: what is that?")
	if _, err := w.reopened(dir, nil, broken); !errors.Is(err, broken) {
		t.Errorf("error %v", err)
	}
}

func TestATemplateThatCantBeRestoredHoldsUpNoOther(t *testing.T) {
	w, dir := killable(t)
	w.apply(source("/f", template("a"), template("b"), template("c")))
	abandon(t, w.s)
	s, err := Open(dir, Options{})
	w.ok(err)
	w.s, w.m = s, newFake(s)
	w.c = &configurator{s: s, m: w.m}
	w.m.refuse["b"] = invalidf("template b: not of this version")
	w.ok(s.restore(context.Background(), w.m, []gaffer.Desired{source("/f", template("a"), template("b"), template("c"))}, nil))
	w.is("a=1 c=1")
	// Once it can be, applying the file brings it back.
	delete(w.m.refuse, "b")
	w.steps(w.apply(source("/f", template("a"), template("b"), template("c"))), "keep a", "create b", "keep c")
	abandon(t, w.s)
	_, err = w.reopened(dir, nil, errors.New("x"))
	w.ok(err)
	w.is("a=1 b=1 c=1")
}

func TestANameAddedAtRunTimeKeepsTheFileOut(t *testing.T) {
	w, dir := killable(t)
	w.ok(w.m.Add(context.Background(), template("web", numprocesses(5))))
	abandon(t, w.s)
	log, err := w.reopened(dir, []gaffer.Desired{source("/f", template("web"), template("db"))}, nil)
	w.ok(err)
	w.is("db=1 web=5")
	if !strings.Contains(log.String(), "level=WARN") || !strings.Contains(log.String(), "added at run time") {
		t.Errorf("it is said: %s", log)
	}
}

func TestTheOrderIsThatOfTheFileEvenWithoutIt(t *testing.T) {
	w, dir := killable(t)
	w.apply(source("/f", template("b"), template("d")))
	w.ok(w.m.Add(context.Background(), template("x")))
	w.apply(source("/f", template("d"), template("c"), template("b"), template("a")))
	abandon(t, w.s)
	_, err := w.reopened(dir, nil, errors.New("unreadable"))
	w.ok(err)
	w.is("d=1 c=1 x=1 b=1 a=1")
}

// A daemon is killed in the middle of applying a file: each template is as before
// or as after, and what is left to do is what the plan says then.
func TestKilledWhileApplyingEachTemplateIsWhole(t *testing.T) {
	before := source("/f", template("a", numprocesses(1)), template("b"), template("c"), template("gone"))
	after := source("/f", template("a", numprocesses(4), command("new"), notStarted), template("b", notStarted),
		template("c", command("new")), template("d"))
	for crash := range 9 {
		w, dir := killable(t)
		w.apply(before)
		w.m.did()
		// The store goes away after so many changes.
		left := crash
		w.m.store = keepFunc(func(ctx context.Context, k []gaffer.Kept) error {
			if left--; left < 0 {
				return errors.New("crashed")
			}
			return w.s.Keep(ctx, k)
		})
		p, err := w.c.plan(context.Background(), []gaffer.Desired{after})
		w.ok(err)
		e := &execution{configurator: w.c, ctx: context.Background()}
		for _, ch := range p.changes {
			switch ch.step.Op {
			case gaffer.OpRemove:
				_ = e.remove(ch)
			case gaffer.OpCreate:
				_ = e.create(ch)
			default:
				_ = e.update(ch)
			}
		}
		abandon(t, w.s)
		_, err = w.reopened(dir, nil, errors.New("unreadable"))
		w.ok(err)
		applied := w.apply(after)
		for _, s := range applied.Steps {
			if s.Message != "" {
				t.Errorf("crash after %d: what a file says is taken for a change at run time: %s", crash, planText(applied))
			}
		}
		w.is("a(stopped)=4 b(stopped)=1 c=1 d=1")
		if crash == 8 && applied.Changes() {
			t.Errorf("nothing crashed, and there is left to do: %s", planText(applied))
		}
	}
}

type keepFunc func(context.Context, []gaffer.Kept) error

func (f keepFunc) Keep(ctx context.Context, k []gaffer.Kept) error { return f(ctx, k) }

func TestARealManagerIsAppliedTo(t *testing.T) {
	dir := t.TempDir()
	ctx := context.Background()
	var files []gaffer.Desired
	run := func(loadErr error, test func(m *gaffer.Manager, c gaffer.Configurator)) {
		t.Helper()
		s, err := Open(dir, Options{})
		if err != nil {
			t.Fatal(err)
		}
		m, err := gaffer.New(gaffer.Options{Store: s, Journal: s.Journal(), NoCgroup: true})
		if err != nil {
			t.Fatal(err)
		}
		if err := s.Restore(ctx, m, files, loadErr); err != nil {
			t.Fatal(err)
		}
		running, end := context.WithCancel(ctx)
		done := make(chan error)
		go func() { done <- m.Run(running) }()
		<-m.Begun()
		test(m, s.Configurator(m, func(context.Context) ([]gaffer.Desired, error) { return files, nil }))
		end()
		if err := <-done; err != nil {
			t.Error(err)
		}
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	}
	status := func(m *gaffer.Manager) string {
		t.Helper()
		infos, err := m.List(ctx, gaffer.All)
		if err != nil {
			t.Fatal(err)
		}
		text := ""
		for _, i := range infos {
			text += fmt.Sprintf("%s %s %d/%d ", i.Template.Name, i.Status.Active, i.Status.Running, i.Status.MaxProcesses)
		}
		return text
	}
	reload := func(c gaffer.Configurator) string {
		t.Helper()
		p, err := c.Reload(ctx)
		if err != nil {
			t.Fatal(err)
		}
		again, err := c.Plan(ctx, files[0])
		if err != nil || again.Changes() {
			t.Errorf("planned again: %s (%v)", planText(again), err)
		}
		return planText(p)
	}
	files = []gaffer.Desired{source("/f", cat("a", "1", 1), cat("b", "1", 2))}
	run(nil, func(m *gaffer.Manager, c gaffer.Configurator) {
		if got := status(m); got != "a active 1/1 b active 2/2 " {
			t.Errorf("begun: %s", got)
		}
		if _, err := m.Scale(ctx, "b", gaffer.Change{Op: '+', N: 1}); err != nil {
			t.Error(err)
		}
		files = []gaffer.Desired{source("/f", cat("b", "2", 2), cat("c", "1", 1))}
		want := "remove a\nupdate b env.V:\"1\">\"2\" (changed at run time and kept: numprocesses 3 (here 2))\ncreate c"
		if got := reload(c); got != want {
			t.Errorf("reloaded: %s\nwant %s", got, want)
		}
		if err := m.Stop(ctx, "c"); err != nil {
			t.Error(err)
		}
		if got := status(m); got != "b active 3/3 c stopped 0/1 " {
			t.Errorf("applied: %s", got)
		}
		origins, err := c.Origins(ctx, "c")
		if err != nil || fmt.Sprint(origins[0].Overrides) != "[{start false true}]" || origins[0].Source != "/f" {
			t.Errorf("origin %v (%v)", origins, err)
		}
		if _, err := c.Origins(ctx, "nobody"); !errors.Is(err, gaffer.ErrNotFound) {
			t.Errorf("error %v", err)
		}
	})
	run(os.ErrPermission, func(m *gaffer.Manager, c gaffer.Configurator) {
		if got := status(m); got != "b active 3/3 c stopped 0/1 " {
			t.Errorf("begun again: %s", got)
		}
		files[0].Templates[1].Start = new(false)
		if got := reload(c); !strings.Contains(got, "keep c") {
			t.Errorf("reloaded: %s", got)
		}
	})
}

func TestWhatIsLeftAloneIsStartedOnceInABoot(t *testing.T) {
	dir := t.TempDir()
	lonely := template("lonely")
	lonely.Detach = true
	restored := func(boot, cmd string) bool {
		t.Helper()
		lonely.Cmd = cmd
		w := &world{TB: t}
		s, err := Open(dir, Options{boot: boot})
		w.ok(err)
		w.s, w.m = s, newFake(s)
		w.ok(s.restore(t.Context(), w.m, []gaffer.Desired{source("/f", lonely)}, nil))
		w.ok(s.Close())
		return w.m.wanted["lonely"].Active
	}
	for i, c := range []struct {
		boot, cmd string
		want      bool
	}{
		{"monday", "a", true},  // it is new
		{"monday", "a", false}, // another daemon
		{"monday", "b", true},  // another program
		{"monday", "b", false},
		{"tuesday", "b", true}, // another boot
		{"tuesday", "b", false},
	} {
		if got := restored(c.boot, c.cmd); got != c.want {
			t.Errorf("start %d, on %s: started %v, want %v", i+1, c.boot, got, c.want)
		}
	}
}
