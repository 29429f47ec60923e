package gaffer

import (
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"
)

func restarts(p RestartPolicy, codes ...int) func(*Template) {
	return func(t *Template) {
		t.Restart = p
		if len(codes) > 0 {
			t.SuccessExitCodes = codes
		}
		if p == RestartNever {
			t.Backoff = nil
		}
	}
}

func maxRuntime(d time.Duration) func(*Template) {
	return func(t *Template) { t.MaxRuntime = Duration(d) }
}

func TestAOneShotThatSucceedsIsDone(t *testing.T) {
	inWorld(t, func(w *world) {
		w.add("job", "exit 1s 0", restarts(RestartNever), numprocesses(2))
		w.wantState("job", Running, 2)
		w.after(time.Minute)
		w.wantState("job", Done, 0)
		if st := w.status("job"); st.Active != "active" || len(st.Processes) != 2 || st.Processes[0].State != Done || st.Reason != "" {
			t.Errorf("status %+v", st)
		}
		w.wantEvents("create job", "start job", "spawn job.1", "spawn job.2", "exit job.1", "exit job.2")
		w.ok(w.Start(w.ctx(), "job"))
		w.wantState("job", Running, 2)
	})
}

func TestAOneShotThatFailsHasFailed(t *testing.T) {
	inWorld(t, func(w *world) {
		w.add("job", "exit 1s 4", restarts(RestartNever))
		w.after(time.Minute)
		st := w.status("job")
		if st.State != Failed || st.Active != "active" || !strings.Contains(st.Reason, "exit status 4") {
			t.Errorf("status %+v", st)
		}
		w.happened()
		w.ok(w.Restart(w.ctx(), "job", StopFirst))
		w.wantEvents("restart job", "spawn job.1")
	})
}

func TestOneOfSeveralThatIsDoneLeavesTheOthers(t *testing.T) {
	inWorld(t, func(w *world) {
		w.add("job", "run", restarts(RestartOnFailure), numprocesses(2))
		w.host.alive()[0].end(0, 0)
		w.after(time.Second)
		w.wantState("job", Running, 1)
		w.host.alive()[0].end(7, 0) // a crash
		w.after(time.Second)
		w.wantState("job", Running, 1)
		w.host.alive()[0].end(0, 0)
		w.after(time.Second)
		w.wantState("job", Done, 0)
		w.ok(w.Stop(w.ctx(), "job"))
		w.wantState("job", Stopped, 0)
	})
}

func TestWhatIsASuccessIsSaidByItsCodes(t *testing.T) {
	for _, test := range []struct {
		status int
		sig    syscall.Signal
		want   State
	}{{0, 0, Failed}, {3, 0, Done}, {-1, syscall.SIGTERM, Failed}} {
		inWorld(t, func(w *world) {
			w.add("job", "run", restarts(RestartNever, 3, 5))
			w.host.alive()[0].end(test.status, test.sig)
			w.after(time.Second)
			if st := w.status("job").State; st != test.want {
				t.Errorf("after exit status %d: %s, want %s", test.status, st, test.want)
			}
		})
	}
}

func TestFailuresBackOffUntilTheSuccess(t *testing.T) {
	inWorld(t, func(w *world) {
		w.add("job", "exit 10ms 1", restarts(RestartOnFailure))
		w.after(20 * time.Minute)
		w.wantState("job", InBackoff, 0)
		w.ok(w.Update(w.ctx(), template("job", "exit 10ms 0", restarts(RestartOnFailure))))
		w.after(time.Second)
		w.wantState("job", Done, 0)
	})
}

func TestWhatRunsForTooLongIsStopped(t *testing.T) {
	for policy, want := range map[RestartPolicy]State{RestartAlways: Running, RestartOnFailure: Running, RestartNever: Failed} {
		inWorld(t, func(w *world) {
			w.add("job", "run", restarts(policy), maxRuntime(time.Minute))
			w.after(59 * time.Second)
			w.happened()
			w.after(2 * time.Second)
			st := w.status("job")
			if st.State != want {
				t.Errorf("restart %s: %+v", policy, st)
			}
			exit := st.Processes[0].LastExit
			if exit == nil || !strings.Contains(exit.Reason, "ran longer than 1m0s") {
				t.Errorf("restart %s: exit %+v", policy, exit)
			}
			w.after(time.Minute)
			n := 0
			for _, e := range w.happened() {
				if e == "spawn job.1" {
					n++
				}
			}
			if is := n > 0; is != (want == Running) {
				t.Errorf("restart %s: %d more were started", policy, n)
			}
		})
	}
}

func TestAStopDuringTheLastMomentsIsAStop(t *testing.T) {
	inWorld(t, func(w *world) {
		w.add("job", "stubborn", restarts(RestartNever), maxRuntime(time.Minute))
		w.after(61 * time.Second)
		w.wantState("job", Running, 0)
		w.ok(w.Stop(w.ctx(), "job"))
		w.wantState("job", Stopped, 0)
	})
}

func TestANewPolicyWakesWhatRests(t *testing.T) {
	inWorld(t, func(w *world) {
		w.add("job", "exit 1s 0", restarts(RestartNever))
		w.after(2 * time.Second)
		w.wantState("job", Done, 0)
		w.ok(w.Update(w.ctx(), template("job", "exit 1s 0", restarts(RestartOnFailure))))
		w.wantState("job", Done, 0)
		w.ok(w.Update(w.ctx(), template("job", "exit 1s 0")))
		w.wantState("job", Running, 1)
	})
}

func TestANewMaxRuntimeHoldsForWhatRuns(t *testing.T) {
	inWorld(t, func(w *world) {
		w.add("job", "run")
		w.after(time.Minute)
		before := w.ids("job")
		w.ok(w.Update(w.ctx(), template("job", "run", maxRuntime(2*time.Minute))))
		w.after(50 * time.Second)
		if ids := w.ids("job"); ids[0] != before[0] {
			t.Errorf("ids %v, want %v", ids, before)
		}
		w.after(20 * time.Second)
		if ids := w.ids("job"); ids[0] == before[0] {
			t.Error("it still runs")
		}
	})
}

func TestAManagerThatBeginsAnewRunsWhatWasDone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		kept := &archive{}
		job := template("web", "exit 100ms 0", restarts(RestartNever))
		was := runWith(t, kept, false, job)
		time.Sleep(time.Second)
		was.wantState("web", Done, 0)
		runWith(t, kept.asOf(), true, job).wantState("web", Done, 0)
		runWith(t, kept.asOf(), false, job).wantState("web", Running, 1)
	})
}

func TestPoliciesThatCantBe(t *testing.T) {
	for field, bad := range map[string]Template{
		"restart":            {Restart: "sometimes"},
		"success_exit_codes": {Restart: RestartNever, SuccessExitCodes: []int{256}},
		"max_runtime":        {MaxRuntime: -1},
		"detach":             {Detach: true, MaxRuntime: 1},
	} {
		bad.Name, bad.Cmd = "a", "true"
		if err := bad.Validate(); err == nil || !strings.Contains(err.Error(), field+":") {
			t.Errorf("%s: %v", field, err)
		}
	}
	for _, bad := range []Template{
		{Restart: RestartNever, Backoff: &Backoff{}}, {Restart: RestartNever, Flapping: &Flapping{}}, {SuccessExitCodes: []int{1}},
	} {
		bad.Name, bad.Cmd = "a", "true"
		if bad.Validate() == nil {
			t.Errorf("%+v is taken", bad)
		}
	}
}
