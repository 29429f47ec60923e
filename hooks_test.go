package gaffer

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gafferpm/gaffer/internal/proc"
)

func hooks(h Hooks) func(*Template)    { return func(t *Template) { t.Hooks = &h } }
func command(cmd string) *Command      { return &Command{Cmd: "sh " + cmd} }
func (h *fakeHost) of(hook string) int { return len(h.runs(hook)) }
func (p *fakeProc) variable(n string) string {
	for _, v := range p.spec.Env {
		if value, found := strings.CutPrefix(v, n+"="); found {
			return value
		}
	}
	return ""
}

// runs are the runs of a hook; of "" those of processes themselves.
func (h *fakeHost) runs(hook string) (list []*fakeProc) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, p := range h.procs {
		if p.variable("GAFFER_HOOK") == hook {
			list = append(list, p)
		}
	}
	return list
}

func (w *world) reason(name string) string {
	w.Helper()
	st := w.status(name)
	if len(st.Processes) == 0 {
		return st.Reason
	}
	return string(st.Processes[0].State) + ": " + st.Processes[0].Reason
}

func TestPreStartRunsBeforeTheProcess(t *testing.T) {
	inWorld(t, func(w *world) {
		began := time.Now()
		go w.add("web", "run", hooks(Hooks{PreStart: command("exit 3s 0")}))
		w.after(time.Second)
		w.wantState("web", Starting, 0)
		if got := w.reason("web"); got != "starting: runs pre_start" || w.host.of("") != 0 {
			t.Errorf("%q, %d processes", got, w.host.of(""))
		}
		w.after(5 * time.Second)
		w.wantState("web", Running, 1)
		run, main := w.host.runs("pre_start")[0], w.host.runs("")[0]
		if main.started.Sub(began) != 3*time.Second {
			t.Errorf("started after %s", main.started.Sub(began))
		}
		for name, want := range map[string]string{"GAFFER_NAME": "web", "GAFFER_SLOT": "1", "GAFFER_ID": "1", "MAINPID": ""} {
			if got := run.variable(name); got != want {
				t.Errorf("%s=%s, want %s", name, got, want)
			}
		}
		w.wantEvents("create web", "start web", "spawn web.1")
	})
}

func TestPreStartThatFailsIsAStartThatFails(t *testing.T) {
	inWorld(t, func(w *world) {
		w.add("web", "run", hooks(Hooks{PreStart: command("exit 1s 4")}))
		w.wantState("web", InBackoff, 0)
		if got := w.reason("web"); got != "backoff: can't be started: pre_start: exit status 4" {
			t.Error(got)
		}
		w.ok(w.Update(w.ctx(), template("web", "run")))
		w.after(time.Minute)
		w.wantState("web", Running, 1)
	})
}

func TestStopDuringPreStartGivesTheStartUp(t *testing.T) {
	inWorld(t, func(w *world) {
		go w.add("web", "run", hooks(Hooks{PreStart: command("run"), PostStop: command("exit 0s 0")}))
		w.after(time.Second)
		began := time.Now()
		w.ok(w.Stop(w.ctx(), "web"))
		if took := time.Since(began); took != 0 {
			t.Errorf("the stop took %s", took)
		}
		w.wantState("web", Stopped, 0)
		if len(w.host.alive()) > 0 || w.host.of("") > 0 || w.host.of("post_stop") > 0 {
			t.Error("something runs, or ran")
		}
		w.wantEvents("create web", "start web", "stop web")
	})
}

func TestPostStartIsToldAndNoMore(t *testing.T) {
	inWorld(t, func(w *world) {
		w.add("web", "run", hooks(Hooks{PostStart: command("exit 1s 2")}))
		w.wantState("web", Running, 1)
		w.after(2 * time.Second)
		w.wantState("web", Running, 1)
		if got := w.host.runs("post_start")[0].variable("MAINPID"); got != "1001" {
			t.Errorf("MAINPID=%s", got)
		}
		events := w.seen()
		if e := events[len(events)-1]; e.Kind != KindHook || e.Message != "post_start: exit status 2" || e.ID != 1 || e.Slot != 1 {
			t.Errorf("event %+v", e)
		}
	})
}

func TestPreStopComesBeforeTheSignalAndDoesNotTakeItsTime(t *testing.T) {
	inWorld(t, func(w *world) {
		w.add("web", "stubborn", grace(5*time.Second), hooks(Hooks{
			PostStart: command("run"), PreStop: &Command{Cmd: "sh run", Timeout: Duration(4 * time.Second)},
		}))
		main := w.host.runs("")[0]
		began := time.Now()
		go func() { _ = w.Stop(context.Background(), "web") }()
		w.after(3 * time.Second)
		if got := w.reason("web"); got != "stopping: stopped, runs pre_stop" || len(main.signals) > 0 {
			t.Errorf("%q, signals %v", got, main.signals)
		}
		if alive := w.host.alive(); len(alive) != 2 { // not post_start
			t.Errorf("%d processes", len(alive))
		}
		w.after(5 * time.Second)
		if !slices.Equal(main.signals, []syscall.Signal{syscall.SIGTERM, syscall.SIGCONT}) {
			t.Errorf("signals %v", main.signals)
		}
		w.after(2 * time.Second)
		exit := w.status("web").Processes[0].LastExit
		if exit == nil || exit.Reason != "stopped: ended by SIGKILL, killed after 5s" || exit.Time.Sub(began) != 9*time.Second {
			t.Errorf("exit %+v", exit)
		}
	})
}

func TestPostStopKeepsTheSlot(t *testing.T) {
	inWorld(t, func(w *world) {
		w.add("web", "exit 1s 3", noBackoff, hooks(Hooks{PostStop: command("exit 2s 0")}))
		w.after(1500 * time.Millisecond)
		if got := w.reason("web"); got != "stopping: runs post_stop" {
			t.Error(got)
		}
		st := w.status("web").Processes[0]
		if st.PID != 0 || st.LastExit == nil || st.ID != 1 {
			t.Errorf("status %+v", st)
		}
		hook := w.host.runs("post_stop")[0]
		for name, want := range map[string]string{
			"GAFFER_EXIT_STATUS": "3", "GAFFER_EXIT_SIGNAL": "", "GAFFER_EXIT_REASON": "exit status 3", "GAFFER_ID": "1", "MAINPID": "",
		} {
			if got := hook.variable(name); got != want {
				t.Errorf("%s=%s, want %s", name, got, want)
			}
		}
		w.is(w.Signal(w.ctx(), "web.1", 1), ErrNotFound)
		w.after(2 * time.Second)
		w.wantState("web", Running, 1)
		if second := w.host.runs("")[1]; second.started.Sub(hook.started) != 2*time.Second {
			t.Errorf("filled again after %s", second.started.Sub(hook.started))
		}
		w.wantEvents("create web", "start web", "spawn web.1", "exit web.1", "spawn web.1")
		began := time.Now()
		w.ok(w.Remove(w.ctx(), "web")) // it waits for the hook
		if took := time.Since(began); took != 2*time.Second+10*time.Millisecond {
			t.Errorf("removed after %s", took)
		}
	})
}

func TestOnExitIsForEndsNobodyAskedFor(t *testing.T) {
	inWorld(t, func(w *world) {
		w.add("web", "exit 10s 1", noBackoff, hooks(Hooks{OnExit: command("run")}))
		w.after(5 * time.Second)
		w.ok(w.Restart(w.ctx(), "web", StopFirst))
		if w.host.of("on_exit") != 0 {
			t.Error("on_exit was run after a restart")
		}
		w.after(12 * time.Second)
		w.wantState("web", Running, 1) // nothing waits for it
		if w.host.of("on_exit") != 1 {
			t.Errorf("on_exit was run %d times", w.host.of("on_exit"))
		}
		w.after(time.Minute)
		if n := w.host.of("on_exit"); n < 6 {
			t.Errorf("on_exit was run %d times", n)
		}
	})
}

func TestOnFail(t *testing.T) {
	inWorld(t, func(w *world) {
		w.add("web", "exit 0s 1", flaps(Flapping{MaxRetry: new(0)}), numprocesses(2), hooks(Hooks{OnFail: command("exit 1s 0"), PostStop: command("exit 1s 0")}))
		w.add("job", "exit 1s 7", func(t *Template) { t.Restart = RestartNever; t.Backoff = nil }, hooks(Hooks{OnFail: command("exit 1s 0")}))
		w.add("good", "exit 1s 0", func(t *Template) { t.Restart = RestartNever; t.Backoff = nil }, hooks(Hooks{OnFail: command("exit 1s 0")}))
		w.after(time.Minute)
		w.wantState("web", Failed, 0)
		w.wantState("job", Failed, 0)
		var names []string
		for _, p := range w.host.runs("on_fail") {
			names = append(names, p.name()+" "+p.variable("GAFFER_EXIT_STATUS"))
		}
		slices.Sort(names)
		if got := strings.Join(names, ", "); got != "job 7, web 1" {
			t.Error(got)
		}
	})
}

func TestKillEndsHooksAtOnce(t *testing.T) {
	inWorld(t, func(w *world) {
		all := hooks(Hooks{PreStop: command("run"), PostStop: command("run"), OnExit: command("run")})
		w.add("a", "stubborn", all)
		w.add("b", "exit 1s 1", hooks(Hooks{OnExit: command("run"), PostStop: command("run")}))
		w.add("c", "stubborn", func(t *Template) { t.StopCommand = command("run") })
		w.after(2 * time.Second)
		began := time.Now()
		go func() {
			time.Sleep(time.Second)
			w.Kill()
		}()
		w.ok(w.Stop(w.ctx(), "*"))
		if took := time.Since(began); took != time.Second {
			t.Errorf("the stop took %s", took)
		}
		w.after(0)
		if n := len(w.host.alive()); n > 0 {
			t.Errorf("%d processes are left", n)
		}
	})
}

func TestEndDuringPreStopEndsTheHook(t *testing.T) {
	inWorld(t, func(w *world) {
		w.add("web", "exit 5s 0", hooks(Hooks{PreStop: command("run"), PostStop: command("exit 1s 1")}))
		began := time.Now()
		w.ok(w.Stop(w.ctx(), "web"))
		if took := time.Since(began); took != 6*time.Second || len(w.host.alive()) > 0 {
			t.Errorf("the stop took %s, %d are left", took, len(w.host.alive()))
		}
		w.wantEvents("create web", "start web", "spawn web.1", "stop web", "stop_pid web.1", "exit web.1", "hook web.1")
	})
}

func TestStopCommandAndWhatFollowsIt(t *testing.T) {
	for _, c := range []struct {
		stop, main string
		took       time.Duration
		signals    []syscall.Signal
		reason     string
	}{
		{"exit 1s 0", "exit 9s 0", 9 * time.Second, nil, "stopped: exit status 0"},
		{"exit 1s 0", "stubborn", 6 * time.Second, nil, "stopped: ended by SIGKILL, killed after 5s"},
		{"exit 1s 1", "run", 1010 * time.Millisecond, []syscall.Signal{syscall.SIGTERM, syscall.SIGCONT}, "stopped: ended by SIGTERM"},
		{"run", "stubborn", 35 * time.Second, []syscall.Signal{syscall.SIGTERM, syscall.SIGCONT}, "stopped: ended by SIGKILL, killed after 5s"},
		{"broken", "run", 10 * time.Millisecond, []syscall.Signal{syscall.SIGTERM, syscall.SIGCONT}, "stopped: ended by SIGTERM"},
	} {
		inWorld(t, func(w *world) {
			g := 5 * time.Second
			if strings.HasPrefix(c.main, "exit") {
				g = time.Minute
			}
			w.add("web", c.main, grace(g), func(t *Template) { t.StopCommand = command(c.stop) })
			main := w.host.runs("")[0]
			began := time.Now()
			w.ok(w.Stop(w.ctx(), "web"))
			exit := w.status("web").Processes[0].LastExit
			if took := time.Since(began); took != c.took || !slices.Equal(main.signals, c.signals) || exit.Reason != c.reason {
				t.Errorf("%+v: %s, %v, %+v", c, took, main.signals, exit)
			}
		})
	}
}

func TestStopSequence(t *testing.T) {
	for obeys, want := range map[string]struct {
		took   time.Duration
		reason string
	}{
		"SIGQUIT": {0, "stopped: exit status 0"},
		"SIGUSR1": {10 * time.Second, "stopped: exit status 0"},
		"SIGHUP":  {13 * time.Second, "stopped: ended by SIGKILL, killed after 13s"},
	} {
		inWorld(t, func(w *world) {
			w.add("web", "obeys "+obeys, func(t *Template) {
				t.StopSequence = []StopStep{{Signal(syscall.SIGQUIT), Duration(10 * time.Second)}, {Signal(syscall.SIGUSR1), Duration(3 * time.Second)}}
			})
			began := time.Now()
			w.ok(w.Stop(w.ctx(), "web"))
			exit := w.status("web").Processes[0].LastExit
			if took := time.Since(began); took != want.took || exit.Reason != want.reason {
				t.Errorf("%s: %s, %+v", obeys, took, exit)
			}
		})
	}
}

func TestKillModeSaysWhoIsAsked(t *testing.T) {
	inWorld(t, func(w *world) {
		for _, mode := range []KillMode{KillGroup, KillMixed, KillProcess} {
			w.add(string(mode), "stubborn", grace(time.Second), func(t *Template) { t.KillMode = mode })
		}
		w.ok(w.Stop(w.ctx(), "*"))
		for _, p := range w.host.runs("") {
			want := 0
			switch KillMode(p.name()) {
			case KillMixed:
				want = 2
			case KillProcess:
				want = 3
			}
			if len(p.alone) != want || p.spec.Spare != (p.name() == string(KillProcess)) {
				t.Errorf("%s: %v were for the main process alone", p.name(), p.alone)
			}
		}
	})
}

func TestHooksChangeWithoutARestart(t *testing.T) {
	inWorld(t, func(w *world) {
		w.add("web", "run", hooks(Hooks{PostStop: command("exit 1s 0")}))
		w.ok(w.Update(w.ctx(), template("web", "run", hooks(Hooks{PostStop: command("exit 5s 0")}), func(t *Template) { t.KillMode = KillMixed })))
		if ids := w.ids("web"); !slices.Equal(ids, []uint64{1}) {
			t.Errorf("ids %v", ids)
		}
		began := time.Now()
		w.ok(w.Restart(w.ctx(), "web", StopFirst))
		if took := time.Since(began); took != 5010*time.Millisecond {
			t.Errorf("the restart took %s", took)
		}
		w.ok(w.Update(w.ctx(), template("web", "run", func(t *Template) { t.KillMode = KillProcess })))
		if ids := w.ids("web"); !slices.Equal(ids, []uint64{3}) {
			t.Errorf("ids %v", ids)
		}
	})
}

func TestWhatHooksWriteIsInTheLogs(t *testing.T) {
	r := newReal(t, Options{})
	live := r.output(All, OutputOptions{})
	one := func(name string) *Command {
		return &Command{Cmd: "echo from " + name + " $GAFFER_HOOK $MAINPID", Shell: new(true)}
	}
	r.ok(r.Add(r.ctx, script("sh", "echo main; exec sleep 100", hooks(Hooks{
		PreStart: one("pre_start"), PostStart: one("post_start"), PreStop: one("pre_stop"), PostStop: one("post_stop"),
	}))))
	r.reads(live, "from post_start")
	r.reads(r.output("sh", OutputOptions{Tail: -1, Labels: []string{"stdout"}}), "main")
	r.ok(r.Stop(r.ctx, "sh"))
	out := r.output("sh", OutputOptions{Tail: -1, NoFollow: true})
	got := map[string]string{}
	for {
		o, err := out.Next(r.ctx)
		if errors.Is(err, io.EOF) {
			break
		}
		r.ok(err)
		got[o.Label] += string(o.Data)
	}
	for _, name := range []string{"pre_start", "post_start", "pre_stop", "post_stop"} {
		if !strings.HasPrefix(got[name], "from "+name+" "+name) {
			t.Errorf("%s: %q", name, got[name])
		}
	}
	if got["stdout"] != "main" || got["pre_start"] != "from pre_start pre_start" {
		t.Errorf("output %v", got)
	}
	r.reads(r.output("sh", OutputOptions{Tail: -1, NoFollow: true, Labels: []string{"post_stop"}}), "from post_stop post_stop")
}

func TestPreStartTellsItsLastLine(t *testing.T) {
	r := newReal(t, Options{})
	r.ok(r.Add(r.ctx, script("sh", "exec sleep 100", hooks(Hooks{PreStart: &Command{Cmd: "echo no database >&2; exit 1"}}))))
	if st := r.status("sh"); st.Reason != "can't be started: pre_start: exit status 1: no database" {
		t.Errorf("status %+v", st)
	}
}

// What a process has started is left alone if it is asked for that.
func TestKillModeProcessLeavesTheRestAlone(t *testing.T) {
	for _, opts := range []Options{{}, {Subreaper: true, NoCgroup: true}} {
		r := newReal(t, opts)
		for _, mode := range []KillMode{KillProcess, KillMixed} {
			name := string(mode)
			r.ok(r.Add(r.ctx, script(name, `sleep 100 </dev/null >/dev/null 2>&1 & echo "pid $!"; wait`, func(t *Template) { t.KillMode = mode })))
			var pid int
			if _, err := fmt.Sscanf(string(r.reads(r.output(Target(name), OutputOptions{Tail: -1}), "pid ").Data), "pid %d", &pid); err != nil {
				t.Fatal(err)
			}
			r.ok(r.Stop(r.ctx, Target(name)))
			if left := alive(pid); left != (mode == KillProcess) {
				t.Errorf("%s: process %d lives: %v", mode, pid, left)
			}
			if mode == KillProcess {
				_ = syscall.Kill(pid, syscall.SIGKILL)
			}
		}
	}
}

func TestHooksAreChecked(t *testing.T) {
	for field, change := range map[string]func(*Template){
		"hooks.pre_start":        hooks(Hooks{PreStart: &Command{}}),
		"hooks.post_stop":        hooks(Hooks{PostStop: &Command{Cmd: "'a"}}),
		"hooks.on_fail.timeout":  hooks(Hooks{OnFail: &Command{Cmd: "a", Timeout: -1}}),
		"hooks.on_exit":          func(t *Template) { t.Hooks, t.CustomStreams = &Hooks{OnExit: command("a")}, []string{"on_exit"} },
		"stop_command":           func(t *Template) { t.StopCommand, t.GracefulTimeout = command("a"), new(Duration(0)) },
		"stop_sequence":          func(t *Template) { t.StopSequence, t.StopSignal = []StopStep{{2, 1}}, 15 },
		"stop_sequence.1.wait":   func(t *Template) { t.StopSequence = []StopStep{{2, 1}, {3, 0}} },
		"stop_sequence.0.signal": func(t *Template) { t.StopSequence = []StopStep{{0, 1}} },
		"kill_mode":              func(t *Template) { t.KillMode = "none" },
		"detach":                 func(t *Template) { t.Detach, t.RedirectOutput, t.KillMode = true, nil, KillMixed },
	} {
		tmpl := Template{Name: "web", Cmd: "true"}
		change(&tmpl)
		var e *FieldError
		if err := tmpl.Validate(); !errors.As(err, &e) || e.Field != field {
			t.Errorf("%s: %v", field, err)
		}
	}
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "hook"), []byte("#!/bin/sh\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	for cmd, fine := range map[string]bool{
		"./hook": true, "./missing": false, "true $MAINPID $GAFFER_EXIT_STATUS": true, "true $NOTHING": false, "missing": false,
	} {
		tmpl := Template{Name: "web", Cmd: "true", Cwd: dir, Hooks: &Hooks{PostStop: &Command{Cmd: cmd}}}
		if err := tmpl.Check(); (err == nil) != fine {
			t.Errorf("%s: %v", cmd, err)
		}
	}
}

// What a manager was doing when it was killed is done again by the next one: but for what
// is known to be over.
func TestHooksGoOnWithTheNextManager(t *testing.T) {
	of := template("web", "run", hooks(Hooks{PreStop: command("exit 2s 0"), PostStop: command("exit 3s 0")}), grace(10*time.Second))
	for _, c := range []struct {
		name        string
		told, ended bool // the pre_stop hook is over, the end was told
		pre, post   int
		takes       time.Duration // until the slot is filled again
	}{
		{"during pre_stop", false, false, 1, 1, 2*time.Second + 10*time.Millisecond + 3*time.Second},
		{"after pre_stop", true, false, 0, 1, 10*time.Millisecond + 3*time.Second},
		{"during post_stop", true, true, 0, 1, 3 * time.Second},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				began := time.Now()
				journal := &fakeJournal{kept: []Event{
					{Seq: 1, Kind: KindCreate, Name: "web"}, {Seq: 2, Kind: KindStart, Name: "web"},
					{Seq: 3, Kind: KindSpawn, Name: "web", ID: 1, Slot: 1, PID: 4711, Time: began},
					{Seq: 4, Kind: KindReap, Name: "web", ID: 1, Slot: 1, PID: 4711, Message: "restarted"},
				}, seq: 4, id: 1}
				held := &proc.Held{ID: 1, PID: 4711, PIDFD: -1}
				if c.ended {
					exit := &Exit{Status: 7, Time: began, Reason: "restarted: exit status 7"}
					journal.kept = append(journal.kept, Event{Seq: 5, Kind: KindExit, Name: "web", ID: 1, Slot: 1, Exit: exit})
					journal.seq, held.Exit = 5, &proc.Exit{Status: 7}
				}
				told, err := json.Marshal(note{Name: "web", Slot: 1, Started: began, Template: of, Why: "restarted", Leave: KindReap, Told: c.told})
				if err != nil {
					t.Fatal(err)
				}
				held.Note = told
				h := &noHolder{}
				m, err := New(Options{Holder: h, host: &h.fakeHost, Journal: journal, Resume: true})
				if err != nil {
					t.Fatal(err)
				}
				if err := errors.Join(m.Load(t.Context(), of), m.Adopt(t.Context(), []*proc.Held{held})); err != nil {
					t.Fatal(err)
				}
				ctx, cancel := context.WithCancel(t.Context())
				done := make(chan error)
				go func() { done <- m.Run(ctx) }()
				time.Sleep(time.Minute)
				synctest.Wait()
				if pre, post := h.of("pre_stop"), h.of("post_stop"); pre != c.pre || post != c.post {
					t.Errorf("pre_stop was run %d times, post_stop %d times", pre, post)
				}
				next := h.alive()
				if len(next) != 1 || next[0].variable("GAFFER_ID") != "2" || next[0].started.Sub(began) != c.takes {
					t.Errorf("%d processes; the slot was filled after %s, want %s", len(next), next[0].started.Sub(began), c.takes)
				}
				if c.ended && h.runs("post_stop")[0].variable("GAFFER_EXIT_STATUS") != "7" {
					t.Error("the hook does not know how the process ended")
				}
				if !c.ended && !strings.Contains(h.notes[1], `"told":true`) && !c.told {
					t.Errorf("note %s", h.notes[1])
				}
				if !slices.Equal(h.kept, []uint64{1}) {
					t.Errorf("kept %v", h.kept)
				}
				cancel()
				if err := <-done; err != nil {
					t.Error(err)
				}
			})
		})
	}
}
