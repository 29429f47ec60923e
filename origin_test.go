package gaffer

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// The test cases of the manager that gaffer descends from, with real processes.
// docs/origin.md says which of its methods and options each one stands for.

func TestOriginSimpleProcessIsOnlyRegistered(t *testing.T) {
	r := newReal(t, Options{})
	tmpl := program("dummy", "sleep", args("a", "b"), notStarted)
	tmpl.Cwd = t.TempDir()
	r.ok(r.Add(r.ctx, tmpl))
	list, err := r.List(r.ctx, "dummy")
	r.ok(err)
	got := list[0]
	if got.Template.Name != "dummy" || got.Template.Cmd != tmpl.Cmd || len(got.Template.Args) != 2 || got.Template.Cwd != tmpl.Cwd {
		t.Errorf("template %+v", got.Template)
	}
	if got.Status.MaxProcesses != 1 || got.Status.Running != 0 {
		t.Errorf("status %+v", got.Status)
	}
	r.ok(r.Remove(r.ctx, "dummy"))
	if _, err := r.List(r.ctx, "dummy"); !errors.Is(err, ErrNotFound) {
		t.Errorf("List after Remove: %v", err)
	}
}

func TestOriginStartAndStop(t *testing.T) {
	r := newReal(t, Options{})
	r.ok(r.Add(r.ctx, program("dummy", "sleep")))
	if n := r.status("dummy").Running; n != 1 {
		t.Errorf("%d run, want 1", n)
	}
	r.ok(r.Stop(r.ctx, "dummy"))
	if n := r.status("dummy").Running; n != 0 {
		t.Errorf("%d run after the stop", n)
	}
}

func TestOriginSeveralProcessesAndScaling(t *testing.T) {
	r := newReal(t, Options{})
	r.ok(r.Add(r.ctx, program("dummy", "sleep", numprocesses(2))))
	for _, step := range []struct {
		change Change
		want   int
	}{{Change{'+', 1}, 3}, {Change{'+', 3}, 6}, {Change{'-', 2}, 4}, {Change{'=', 0}, 0}} {
		got, err := r.Scale(r.ctx, "dummy", step.change)
		r.ok(err)
		if n := r.status("dummy").Running; got["dummy"] != step.want || n != step.want {
			t.Errorf("%s: wanted %d, %d run; want %d", step.change, got["dummy"], n, step.want)
		}
	}
}

func TestOriginIDsCountFromOne(t *testing.T) {
	r := newReal(t, Options{})
	r.ok(r.Add(r.ctx, program("a", "sleep", numprocesses(3))))
	r.ok(r.Add(r.ctx, program("b", "sleep")))
	for want := uint64(1); want <= 4; want++ {
		if e := r.next(KindSpawn); e.ID != want {
			t.Errorf("id %d, want %d", e.ID, want)
		}
	}
}

func TestOriginRestartChangesTheIDs(t *testing.T) {
	r := newReal(t, Options{})
	r.ok(r.Add(r.ctx, program("dummy", "sleep")))
	for i, target := range []Target{"dummy", All, "dummy.1"} {
		r.ok(r.Restart(r.ctx, target, StopFirst))
		if p := r.status("dummy").Processes[0]; p.ID != uint64(i+2) || p.Slot != 1 {
			t.Errorf("restart of %s: %+v", target, p)
		}
	}
}

func TestOriginSignalsReachTheProcess(t *testing.T) {
	r := newReal(t, Options{})
	file := filepath.Join(t.TempDir(), "log")
	r.ok(r.Add(r.ctx, program("dummy", "dummy", args(file))))
	out := r.output("dummy", OutputOptions{Raw: true, Tail: -1, Labels: []string{"stdout"}})
	r.reads(out, "hello out")
	for _, target := range []Target{"dummy", "1"} {
		r.ok(r.Signal(r.ctx, target, Signal(syscall.SIGHUP)))
		r.reads(out, "hup seen")
	}
	r.ok(r.Stop(r.ctx, "dummy"))
	if got, err := os.ReadFile(file); err != nil || string(got) != "START HUP HUP QUIT STOP" {
		t.Errorf("the process saw %q, %v", got, err)
	}
	if e := r.next(KindExit); e.Exit.Status != 1 || e.PID == 0 || e.ID != 1 || e.Slot != 1 || !strings.Contains(e.Exit.Reason, "stopped") {
		t.Errorf("exit event %+v, %+v", e, e.Exit)
	}
}

func TestOriginFlappingStops(t *testing.T) {
	r := newReal(t, Options{})
	r.ok(r.Add(r.ctx, program("flaps", "crash", flaps(Flapping{Attempts: 1, RetryIn: new(Duration(100 * time.Millisecond)), MaxRetry: new(1)}))))
	r.ok(r.Add(r.ctx, program("goes-on", "crash")))
	for {
		if e := r.next(KindFail); e.Name == "flaps" {
			break
		}
	}
	if st := r.status("flaps"); st.State != Failed || st.Active != "stopped" {
		t.Errorf("flaps: %+v", st)
	}
	if st := r.status("goes-on"); st.Active != "active" {
		t.Errorf("goes-on: %+v", st)
	}
}

func TestOriginEventsOfALife(t *testing.T) {
	r := newReal(t, Options{})
	all := Kinds()
	r.ok(r.Add(r.ctx, program("dummy", "sleep")))
	_, err := r.Scale(r.ctx, "dummy", Change{'+', 1})
	r.ok(err)
	r.ok(r.Remove(r.ctx, "dummy"))
	var kinds []string
	for {
		e := r.next(all...)
		if e.Kind != KindExit {
			kinds = append(kinds, string(e.Kind))
		}
		if e.Kind == KindDelete {
			break
		}
	}
	if got := strings.Join(kinds, " "); got != "create start spawn update spawn stop stop_pid stop_pid delete" {
		t.Errorf("events %s", got)
	}
}

func TestOriginOutputIsLabelled(t *testing.T) {
	r := newReal(t, Options{})
	tmpl := program("dummy", "dummy", args(filepath.Join(t.TempDir(), "log")))
	tmpl.RedirectOutput = []string{"a", "b"}
	r.ok(r.Add(r.ctx, tmpl))
	for label, want := range map[string]string{"a": "hello out", "b": "hello err"} {
		out := r.output("dummy", OutputOptions{Raw: true, Tail: -1, Labels: []string{label}})
		o := r.reads(out, want)
		if o.Label != label || o.Name != "dummy" || o.ID != 1 || o.Slot != 1 || string(o.Data) != want {
			t.Errorf("output %+v", o)
		}
		out.Close()
	}
}

func TestOriginInputIsWritten(t *testing.T) {
	r := newReal(t, Options{})
	r.ok(r.Add(r.ctx, program("echo", "echo", func(t *Template) { t.RedirectInput = true })))
	out := r.output("echo", OutputOptions{Tail: -1})
	r.ok(r.Write(r.ctx, "echo", "stdin", []byte("hello\n")))
	if o := r.reads(out, "hello"); o.Label != "stdout" {
		t.Errorf("output %+v", o)
	}
	r.ok(r.Add(r.ctx, program("deaf", "sleep")))
	if err := r.Write(r.ctx, "deaf", "stdin", []byte("x")); !errors.Is(err, ErrConflict) {
		t.Errorf("Write without redirect_input: %v", err)
	}
	if err := r.Write(r.ctx, "deaf", "nobody", []byte("x")); !errors.Is(err, ErrNotFound) {
		t.Errorf("Write to an unknown stream: %v", err)
	}
}

func TestOriginCustomStreamGoesBothWays(t *testing.T) {
	r := newReal(t, Options{})
	r.ok(r.Add(r.ctx, program("stream", "stream", func(t *Template) { t.CustomStreams = []string{"link"} })))
	out := r.output("stream", OutputOptions{Tail: -1, Labels: []string{"link"}})
	r.ok(r.Write(r.ctx, "stream", "link", []byte("over there\n")))
	if o := r.reads(out, "over there"); o.Label != "link" {
		t.Errorf("output %+v", o)
	}
}

func TestOriginVariablesAreReplaced(t *testing.T) {
	r := newReal(t, Options{})
	split := program("split", "args", func(t *Template) {
		t.Cmd, t.Args = "'"+t.Cmd+"' $A ${GAFFER_SLOT} '$A'", nil
		t.Env["A"] = "x y"
	})
	list := program("list", "args", args("$A", "z"), func(t *Template) { t.Env["A"] = "x y" })
	r.ok(r.Add(r.ctx, split))
	r.ok(r.Add(r.ctx, list))
	r.reads(r.output("split", OutputOptions{Tail: -1}), "x y|1|$A")
	r.reads(r.output("list", OutputOptions{Tail: -1}), "x y|z")
}

func TestOriginCrashIsReplaced(t *testing.T) {
	r := newReal(t, Options{})
	r.ok(r.Add(r.ctx, program("dummy", "exit")))
	first := r.next(KindSpawn)
	exit := r.next(KindExit)
	second := r.next(KindSpawn)
	if exit.Exit.Status != 3 || exit.ID != first.ID || second.ID <= first.ID || second.Slot != first.Slot {
		t.Errorf("%+v, %+v, %+v", first, exit, second)
	}
}
