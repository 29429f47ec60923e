package gaffer

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
	_ "time/tzdata" // whatever this system has
)

// scheduled makes a template one with that schedule.
func scheduled(s Schedule) func(*Template) {
	return func(t *Template) {
		if s.Cron != "" && s.Timezone == "" {
			s.Timezone = "UTC"
		}
		t.Schedule, t.Backoff = &s, nil
	}
}

// wallClock is a clock that can be set.
type wallClock struct {
	m      *Manager
	offset atomic.Int64 // a time.Duration
}

func (c *wallClock) now() time.Time { return time.Now().Round(0).Add(time.Duration(c.offset.Load())) }

// set sets the clock on, or back, as the system would tell the manager.
func (c *wallClock) set(by time.Duration) {
	c.offset.Add(int64(by))
	c.m.clock.set()
	synctest.Wait()
}

// inTime runs a test with a running manager and a clock that can be set. It is midnight,
// on Saturday, the first of January 2000.
func inTime(t *testing.T, test func(*world, *wallClock)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		c := &wallClock{}
		h := &fakeHost{}
		m, err := New(Options{host: h, wall: c.now})
		if err != nil {
			t.Fatal(err)
		}
		c.m = m
		w := &world{T: t, Manager: m, host: h}
		w.events, err = m.Subscribe(context.Background(), All, EventOptions{})
		w.ok(err)
		ctx, cancel := context.WithCancel(context.Background())
		done := make(chan error)
		go func() { done <- m.Run(ctx) }()
		synctest.Wait()
		test(w, c)
		cancel()
		if err := <-done; err != nil {
			t.Errorf("Run: %v", err)
		}
	})
}

// ran are the times of runs and skips since the last call.
func (w *world) ran() string {
	var all []string
	for _, e := range w.seen() {
		switch e.Kind {
		case KindRun:
			all = append(all, e.Message)
		case KindSkip:
			all = append(all, "skip "+e.Message)
		}
	}
	text := strings.Join(all, ", ")
	return strings.NewReplacer("2000-01-", "", ":00 UTC", "", " UTC", "").Replace(text)
}

func (w *world) wantRuns(want string) {
	w.Helper()
	if got := w.ran(); got != want {
		w.Errorf("runs\n got %s\nwant %s", got, want)
	}
}

func TestAScheduleRunsWhenItIsDueAndNotBefore(t *testing.T) {
	inTime(t, func(w *world, _ *wallClock) {
		w.add("job", "exit 10m 0", numprocesses(2), scheduled(Schedule{Cron: "0 3 * * *"}))
		w.wantEvents("create job", "start job")
		st := w.status("job")
		if st.State != Waiting || !st.Armed || st.Active != "active" || len(st.Processes) != 0 || st.Reason != "next run 2000-01-01 03:00:00 UTC" ||
			!st.NextRun.Equal(time.Date(2000, 1, 1, 3, 0, 0, 0, time.UTC)) {
			t.Errorf("status %+v", st)
		}
		w.after(3*time.Hour - time.Millisecond)
		w.wantEvents()
		w.after(time.Millisecond)
		w.wantEvents("run job", "spawn job.1", "spawn job.2")
		if st := w.status("job"); st.State != Running || st.Armed || st.NextRun.Day() != 2 {
			t.Errorf("status %+v", st)
		}
		w.after(10 * time.Minute)
		w.wantEvents("exit job.1", "exit job.2")
		st = w.status("job")
		if st.State != Waiting || !st.Armed || st.Running != 0 || len(st.Processes) != 2 || st.Processes[0].State != Done || st.Processes[0].LastExit == nil {
			t.Errorf("status %+v", st)
		}
		w.after(24 * time.Hour)
		w.wantEvents("run job", "spawn job.1", "spawn job.2", "exit job.1", "exit job.2")
		w.ok(w.Stop(w.ctx(), "job"))
		w.after(48 * time.Hour)
		w.wantEvents("stop job")
		if st := w.status("job"); st.State != Stopped || st.Armed || !st.NextRun.IsZero() {
			t.Errorf("status %+v", st)
		}
		w.ok(w.Start(w.ctx(), "job"))
		w.after(time.Hour) // what was due while it was stopped is not made up for
		w.wantEvents("start job")
	})
}

func TestEveryBeginsWithTheStart(t *testing.T) {
	inTime(t, func(w *world, c *wallClock) {
		w.add("job", "exit 1s 0", scheduled(Schedule{Every: Duration(15 * time.Minute)}))
		w.after(14 * time.Minute)
		c.set(time.Hour)
		w.wantEvents("create job", "start job")
		w.after(time.Minute)
		c.set(-5 * time.Hour)
		w.after(30 * time.Minute)
		if got := w.ran(); strings.Count(got, "due") != 3 {
			t.Errorf("runs %s", got)
		}
	})
}

func TestAFailedRunIsSeenUntilTheNext(t *testing.T) {
	inTime(t, func(w *world, _ *wallClock) {
		w.add("job", "exit 1s 4", scheduled(Schedule{Cron: "@hourly"}))
		w.after(61 * time.Minute)
		st := w.status("job")
		if st.State != Failed || !st.Armed || st.Active != "active" || st.Reason != "exit status 4; next run 2000-01-01 02:00:00 UTC" {
			t.Errorf("status %+v", st)
		}
		w.ok(w.Update(w.ctx(), template("job", "exit 1s 0", scheduled(Schedule{Cron: "@hourly"}))))
		w.wantState("job", Failed, 0)
		w.after(time.Hour)
		w.wantState("job", Waiting, 0)
	})
}

func TestARunIsRetried(t *testing.T) {
	inTime(t, func(w *world, _ *wallClock) {
		w.add("job", "exit 1s 4", numprocesses(1), scheduled(Schedule{Cron: "@daily", Retries: 2, RetryDelay: new(Duration(time.Minute))}))
		w.after(24*time.Hour + 2*time.Second)
		w.wantState("job", InBackoff, 0)
		if st := w.status("job"); st.Armed || st.Processes[0].RetryAt.IsZero() {
			t.Errorf("status %+v", st)
		}
		w.happened()
		w.after(time.Minute)
		w.wantEvents("spawn job.1", "exit job.1", "backoff job.1")
		w.after(2*time.Minute + 2*time.Second)
		w.wantEvents("spawn job.1", "exit job.1")
		w.wantState("job", Failed, 0)
		w.after(22 * time.Hour)
		w.wantEvents()
		w.after(3 * time.Hour)
		w.wantEvents("run job", "spawn job.1", "exit job.1", "backoff job.1", "spawn job.1", "exit job.1", "backoff job.1", "spawn job.1", "exit job.1")
	})
}

func TestARunThatCantBeStartedHasFailed(t *testing.T) {
	inTime(t, func(w *world, _ *wallClock) {
		w.add("job", "broken", scheduled(Schedule{Cron: "@hourly", Retries: 1}))
		w.after(61 * time.Minute)
		w.wantEvents("create job", "start job", "run job", "backoff job.1", "backoff job.1")
		if st := w.status("job"); st.State != Failed || !st.Armed || !strings.Contains(st.Reason, "broken") {
			t.Errorf("status %+v", st)
		}
		w.after(time.Hour)
		w.wantEvents("run job", "backoff job.1", "backoff job.1")
	})
}

func TestARunThatTakesTooLongHasFailed(t *testing.T) {
	inTime(t, func(w *world, _ *wallClock) {
		w.add("job", "run", maxRuntime(10*time.Minute), scheduled(Schedule{Cron: "@hourly"}))
		w.after(time.Hour + 9*time.Minute)
		w.wantState("job", Running, 1)
		w.after(2 * time.Minute)
		if st := w.status("job"); st.State != Failed || !strings.Contains(st.Reason, "ran longer than 10m") {
			t.Errorf("status %+v", st)
		}
	})
}

func TestRunsThatOverlap(t *testing.T) {
	for overlap, want := range map[OverlapPolicy]string{
		"":             "due 01 01:00, skip due 01 02:00: the run before is still under way, skip due 01 03:00: the run before is still under way, due 01 04:00",
		OverlapQueue:   "due 01 01:00, skip due 01 02:00: the next one is due, and only one waits, due 01 03:00",
		OverlapReplace: "due 01 01:00, due 01 02:00, due 01 03:00, due 01 04:00",
	} {
		inTime(t, func(w *world, _ *wallClock) {
			w.add("job", "exit 130m 0", scheduled(Schedule{Cron: "@hourly", Overlap: overlap}))
			w.after(4*time.Hour + time.Minute)
			if overlap == OverlapReplace {
				w.wantState("job", Running, 1)
			}
			w.wantRuns(want)
			if n := len(w.host.alive()); n != 1 {
				t.Errorf("%s: %d run", overlap, n)
			}
		})
	}
}

func TestAReplacedRunIsGoneBeforeTheNextBegins(t *testing.T) {
	inTime(t, func(w *world, _ *wallClock) {
		w.add("job", "slow 5s", numprocesses(2), scheduled(Schedule{Cron: "@hourly", Overlap: OverlapReplace}))
		w.after(2*time.Hour + time.Second)
		w.wantEvents("create job", "start job", "run job", "spawn job.1", "spawn job.2", "reap job.1", "reap job.2")
		w.wantState("job", Running, 0)
		w.after(5 * time.Second)
		w.wantEvents("exit job.1", "exit job.2", "run job", "spawn job.1", "spawn job.2")
	})
}

// A clock that jumps by an hour both ways.
func TestTheClockIsSet(t *testing.T) {
	for how, missed := range map[CatchUpPolicy]string{
		CatchUpNone: "skip missed 1 run, the last one of 01 03:00", "": "missed at 01 03:00", CatchUpAll: "missed at 01 03:00",
	} {
		inTime(t, func(w *world, c *wallClock) {
			w.add("job", "exit 1s 0", scheduled(Schedule{Cron: "0 3 * * *", CatchUp: how}))
			w.after(150 * time.Minute)
			c.set(time.Hour) // 3:30
			w.wantRuns(missed)
			c.set(-time.Hour)
			w.after(2 * time.Hour)
			w.wantRuns("")
			w.after(22*time.Hour + 30*time.Minute)
			w.wantRuns("due 02 03:00")
			c.set(-time.Hour)
			w.after(2 * time.Hour)
			w.wantRuns("")
		})
	}
}

func TestAClockSetBackPutsOffWhatIsDue(t *testing.T) {
	inTime(t, func(w *world, c *wallClock) {
		w.add("job", "exit 1s 0", scheduled(Schedule{Cron: "0 3 * * *"}))
		w.after(179 * time.Minute)
		c.set(-time.Hour)
		w.after(59 * time.Minute)
		w.wantRuns("")
		w.after(2 * time.Minute)
		w.wantRuns("due 01 03:00")
	})
}

func TestAllThatWasMissedIsMadeUpForInOrder(t *testing.T) {
	inTime(t, func(w *world, c *wallClock) {
		w.add("job", "exit 30m 0", scheduled(Schedule{Cron: "@hourly", CatchUp: CatchUpAll}))
		c.set(3*time.Hour + 30*time.Minute)
		w.after(time.Minute)
		w.wantRuns("missed at 01 01:00")
		w.after(30 * time.Minute) // 4:01: what is due now comes behind
		w.wantRuns("missed at 01 02:00")
		w.after(90 * time.Minute)
		w.wantRuns("missed at 01 03:00, due 01 04:00, due 01 05:00")
	})
}

func TestSummerTime(t *testing.T) {
	inTime(t, func(w *world, c *wallClock) {
		c.set(time.Date(2026, 3, 28, 12, 0, 0, 0, time.UTC).Sub(c.now()))
		w.add("job", "exit 1s 0", scheduled(Schedule{Cron: "30 2 * * *", Timezone: "Europe/Paris"}))
		if st := w.status("job"); st.Reason != "next run 2026-03-29 03:00:00 CEST" {
			t.Errorf("status %+v", st)
		}
		w.after(48 * time.Hour)
		w.wantRuns("due 2026-03-29 03:00:00 CEST, due 2026-03-30 02:30:00 CEST")
	})
}

func TestJitterIsBounded(t *testing.T) {
	inTime(t, func(w *world, _ *wallClock) {
		w.add("job", "exit 1s 0", scheduled(Schedule{Cron: "@hourly", Jitter: Duration(10 * time.Minute)}))
		for range 50 {
			next := w.status("job").NextRun
			if late := next.Sub(next.Truncate(time.Hour)); late >= 10*time.Minute {
				t.Fatalf("next run %s", next)
			}
			w.after(time.Hour)
		}
		if n := strings.Count(w.ran(), "due"); n < 49 || n > 50 {
			t.Errorf("%d runs", n)
		}
	})
}

func TestRunNow(t *testing.T) {
	inTime(t, func(w *world, _ *wallClock) {
		w.add("job", "exit 1m 3", scheduled(Schedule{Cron: "@hourly"}))
		began := time.Now()
		w.ok(w.RunNow(w.ctx(), "job"))
		if took := time.Since(began); took != time.Minute {
			t.Errorf("it took %s", took)
		}
		w.wantState("job", Failed, 0)
		w.wantEvents("create job", "start job", "run job", "spawn job.1", "exit job.1")
		go func() { _ = w.RunNow(w.ctx(), "job") }()
		synctest.Wait()
		w.is(w.RunNow(w.ctx(), "job"), ErrConflict)
		w.after(time.Hour)
		w.ok(w.Stop(w.ctx(), "job"))
		w.is(w.RunNow(w.ctx(), "job"), ErrConflict)

		w.add("queued", "exit 1m 0", scheduled(Schedule{Cron: "@daily", Overlap: OverlapQueue}))
		var errs [3]error
		for i := range errs {
			go func() { errs[i] = w.RunNow(w.ctx(), "queued") }()
			synctest.Wait()
		}
		w.after(3 * time.Minute)
		if errs[0] != nil || errs[1] == nil || errs[2] != nil {
			t.Errorf("errors %v", errs)
		}

		w.add("stopped", "run", scheduled(Schedule{Cron: "@daily"}))
		asked := make(chan error)
		go func() { asked <- w.RunNow(w.ctx(), "stopped") }()
		synctest.Wait()
		w.ok(w.Stop(w.ctx(), "stopped"))
		w.is(<-asked, ErrConflict)

		w.add("once", "exit 1m 0", restarts(RestartNever))
		w.is(w.RunNow(w.ctx(), "once"), ErrConflict)
		w.after(2 * time.Minute)
		w.ok(w.RunNow(w.ctx(), "once"))
		w.wantState("once", Done, 0)
		w.add("web", "run")
		w.is(w.RunNow(w.ctx(), "web"), ErrConflict)
		w.is(w.RunNow(w.ctx(), "nobody"), ErrNotFound)
		w.is(w.RunNow(w.ctx(), "web.1"), ErrInvalid)
	})
}

func TestAProcessOfARunIsStopped(t *testing.T) {
	inTime(t, func(w *world, _ *wallClock) {
		w.add("job", "run", numprocesses(2), scheduled(Schedule{Cron: "@hourly", Retries: 3}))
		w.after(61 * time.Minute)
		w.ok(w.Stop(w.ctx(), "job.1"))
		w.after(time.Minute)
		w.wantState("job", Running, 1)
		w.ok(w.Stop(w.ctx(), "job.2"))
		w.after(time.Minute)
		w.wantState("job", Waiting, 0)
		w.happened()
		w.after(time.Hour)
		w.wantEvents("run job", "spawn job.1", "spawn job.2")
		w.ok(w.Restart(w.ctx(), "job.1", StopFirst))
		w.wantState("job", Running, 2)
	})
}

func TestARestartArmsAgain(t *testing.T) {
	inTime(t, func(w *world, _ *wallClock) {
		w.add("job", "run", scheduled(Schedule{Every: Duration(time.Hour)}))
		w.after(90 * time.Minute)
		w.wantState("job", Running, 1)
		w.ok(w.Restart(w.ctx(), "job", StopFirst))
		w.wantState("job", Waiting, 0)
		w.happened()
		w.after(59 * time.Minute)
		w.wantEvents()
		w.after(2 * time.Minute)
		w.wantEvents("run job", "spawn job.1")
		w.ok(w.Stop(w.ctx(), "job"))
		w.ok(w.Restart(w.ctx(), "job", StopFirst))
		w.wantState("job", Waiting, 0)
	})
}

// What restarts a template for a reason of its own leaves the schedule as it is.
func TestAnAppsRestartRepeatsTheRun(t *testing.T) {
	inTime(t, func(w *world, _ *wallClock) {
		w.add("job", "exit 10m 0", scheduled(Schedule{Every: Duration(time.Hour)}))
		for range 5 { // more often than runs are due
			w.after(25 * time.Minute)
			w.ok(w.RestartFor(w.ctx(), "job", "changed: a"))
		}
		w.ok(w.RestartFor(w.ctx(), "job", "changed: a"))
		w.wantRuns("due 01 01:00, due 01 02:00, due 01 02:00, once more, due 01 02:00, once more")
		w.after(10 * time.Minute)
		if st := w.status("job"); st.State != Waiting || st.Processes[0].State != Done {
			t.Errorf("status %+v", st)
		}
		w.after(time.Hour)
		w.wantRuns("due 01 03:00")
		w.ok(w.Stop(w.ctx(), "job"))
		w.ok(w.RestartFor(w.ctx(), "job", "changed: a"))
		w.after(3 * time.Hour)
		w.wantRuns("")
	})
}

func TestARestartIsOverThoughTheNextRunIsDue(t *testing.T) {
	inTime(t, func(w *world, _ *wallClock) {
		w.add("job", "stubborn", grace(time.Hour), scheduled(Schedule{Cron: "*/5 * * * *", Overlap: OverlapReplace}))
		w.after(6 * time.Minute)
		began := time.Now()
		w.ok(w.Restart(w.ctx(), "job", StopFirst))
		if took := time.Since(began); took != time.Hour {
			t.Errorf("it took %s", took)
		}
	})
}

func TestAnUpdateLetsTheRunGoOn(t *testing.T) {
	inTime(t, func(w *world, _ *wallClock) {
		hourly := scheduled(Schedule{Cron: "@hourly"})
		w.add("job", "exit 10m 0", hourly)
		w.after(61 * time.Minute)
		before := w.ids("job")
		next := template("job", "exit 20m 0", scheduled(Schedule{Cron: "30 * * * *"}))
		step, err := w.Preview(w.ctx(), next)
		w.ok(err)
		if step.Restart || slices.ContainsFunc(step.Fields, func(f FieldChange) bool { return f.Restart }) {
			t.Errorf("step %+v", step)
		}
		w.ok(w.Update(w.ctx(), next))
		if ids := w.ids("job"); !slices.Equal(ids, before) {
			t.Errorf("ids %v, want %v", ids, before)
		}
		w.happened()
		w.after(30 * time.Minute)
		w.wantEvents("exit job.1", "run job", "spawn job.1")

		service := template("job", "run")
		if step, err = w.Preview(w.ctx(), service); err != nil || !step.Restart {
			t.Errorf("step %+v, %v", step, err)
		}
		w.ok(w.Update(w.ctx(), service))
		w.after(time.Second)
		if st := w.status("job"); st.State != Running || st.Armed || !st.NextRun.IsZero() {
			t.Errorf("status %+v", st)
		}
		w.ok(w.Update(w.ctx(), template("job", "run", hourly)))
		w.after(time.Second)
		w.wantState("job", Waiting, 0)
	})
}

func TestScaledToNothingNothingIsDue(t *testing.T) {
	inTime(t, func(w *world, _ *wallClock) {
		w.add("job", "exit 1s 0", numprocesses(0), scheduled(Schedule{Cron: "@hourly"}))
		w.after(5 * time.Hour)
		w.wantRuns("")
		_, err := w.Scale(w.ctx(), "job", Change{'=', 2})
		w.ok(err)
		w.after(time.Minute)
		w.wantRuns("")
		w.after(time.Hour)
		w.wantRuns("due 01 06:00")
		w.ok(w.Remove(w.ctx(), "job"))
	})
}

func TestWithoutASchedulesNothingIsWatched(t *testing.T) {
	inTime(t, func(w *world, _ *wallClock) {
		w.add("web", "run")
		w.add("job", "exit 1s 0", scheduled(Schedule{Every: Duration(time.Hour)}))
		if n := len(w.clock.keepers); n != 0 {
			t.Errorf("%d go by the clock", n)
		}
		w.add("daily", "exit 1s 0", scheduled(Schedule{Cron: "@daily"}))
		if n := len(w.clock.keepers); n != 1 {
			t.Errorf("%d go by the clock, want 1", n)
		}
		w.ok(w.Stop(w.ctx(), "daily"))
		if n := len(w.clock.keepers); n != 0 {
			t.Errorf("%d go by the clock", n)
		}
	})
}

// A manager that takes over, or begins anew, goes on with a schedule where the one before
// has left off.
func TestASchedulesNextManager(t *testing.T) {
	for _, test := range []struct {
		name, cmd string
		s         Schedule
		dies      time.Duration
		away      time.Duration
		state     State // of the first, when it dies
		clean     string
		killed    string
	}{
		{"waiting", "exit 1s 0", Schedule{Cron: "@hourly"}, 90 * time.Minute, time.Minute, Waiting,
			"due 01 02:00", "due 01 02:00"},
		{"never run", "exit 1s 0", Schedule{Cron: "@hourly"}, 30 * time.Minute, 50 * time.Minute, Waiting,
			"missed at 01 01:00, due 01 02:00", "missed at 01 01:00, due 01 02:00"},
		{"away", "exit 1s 0", Schedule{Cron: "@hourly"}, 90 * time.Minute, 23 * time.Hour, Waiting,
			"skip missed 22 runs, the last one of 01 23:00; another run makes up for them, missed at 02 00:00, due 02 01:00",
			"skip missed 22 runs, the last one of 01 23:00; another run makes up for them, missed at 02 00:00, due 02 01:00"},
		{"none", "exit 1s 0", Schedule{Cron: "@hourly", CatchUp: CatchUpNone}, 90 * time.Minute, 2 * time.Hour, Waiting,
			"skip missed 2 runs, the last one of 01 03:00, due 01 04:00", "skip missed 2 runs, the last one of 01 03:00, due 01 04:00"},
		{"failed", "exit 1s 7", Schedule{Cron: "@daily"}, 25 * time.Hour, time.Minute, Failed, "", ""},
		{"broken", "broken", Schedule{Cron: "@daily"}, 25 * time.Hour, time.Minute, Failed, "", ""},
		{"every", "exit 1s 0", Schedule{Every: Duration(time.Hour)}, 90 * time.Minute, 10 * time.Minute, Waiting,
			"due 01 02:00", "due 01 02:00"},
		{"retrying", "exit 1s 7", Schedule{Cron: "@hourly", Retries: 1, RetryDelay: new(Duration(10 * time.Minute))}, 61 * time.Minute, time.Minute, InBackoff, "", ""},
	} {
		for _, resume := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s resume %v", test.name, resume), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					of := template("job", test.cmd, scheduled(test.s))
					first := &archive{}
					was := runWith(t, first, false, of)
					was.after(test.dies)
					was.wantState("job", test.state, 0)
					then := was.status("job")
					next := first.asOf()
					was.ok(was.Stop(was.ctx(), "job"))
					time.Sleep(test.away)
					now := runWith(t, next, resume, of)
					if st := now.status("job"); test.away < 30*time.Minute && (test.state == Failed || resume) && (st.State != then.State || st.Reason != then.Reason || !st.NextRun.Equal(then.NextRun)) {
						t.Errorf("status\n got %+v\nwant %+v", st, then)
					}
					now.after(time.Hour - 10*time.Minute)
					want := test.clean
					if resume {
						want = test.killed
					}
					now.wantRuns(want)
					if n := len(now.host.alive()); n != 0 {
						t.Errorf("%d run", n)
					}
					if n := len(now.host.procs); test.state == InBackoff && (n == 1) != resume {
						t.Errorf("%d were started", n)
					}
				})
			})
		}
	}
}

func TestARunThatWasBegunAndNotStartedIsStarted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		of := template("job", "exit 1s 0", numprocesses(2), scheduled(Schedule{Cron: "@hourly"}))
		first := &archive{}
		was := runWith(t, first, false, of)
		was.after(2*time.Hour + 30*time.Second)
		next := first.asOf()
		for i, e := range next.kept { // it was killed right after the second run was told
			if e.Kind == KindRun && i > 5 {
				next.kept, next.seq = next.kept[:i+1], e.Seq
				break
			}
		}
		now := runWith(t, next, true, of)
		now.after(time.Second)
		if n := len(now.host.procs); n != 2 {
			t.Errorf("%d were started, want 2", n)
		}
		now.after(time.Minute)
		now.wantState("job", Waiting, 0)
		now.wantRuns("")
	})
}

func TestHowFarAScheduleHasComeOutlivesWhatElseHappens(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		of := template("job", "exit 1s 0", scheduled(Schedule{Cron: "0 1 * * *"}))
		first := &archive{}
		was := runWith(t, first, false, of)
		was.after(2 * time.Hour)
		for range 3 * pastEvents {
			was.Audit("somebody", "job", "signal")
		}
		was.after(time.Minute)
		was.events.Close()
		if err := was.Manager.events.settle(t.Context()); err != nil {
			t.Fatal(err)
		}
		was.Manager.events.archive()
		next := first.asOf()
		now := runWith(t, next, true, of)
		now.after(time.Hour)
		now.wantRuns("")
		if at := now.status("job").NextRun; at.Day() != 2 {
			t.Errorf("next run %s", at)
		}
	})
}

func TestEachRunWaitsForWhatItDependsOn(t *testing.T) {
	inTime(t, func(w *world, _ *wallClock) {
		w.add("db", "run")
		w.add("job", "exit 10m 0", dependsOn("db=started"), onLoss(LossStop), scheduled(Schedule{Cron: "@hourly"}))
		w.ok(w.Stop(w.ctx(), "db"))
		w.after(61 * time.Minute)
		if st := w.status("job"); st.State != Waiting || st.Armed || !strings.HasPrefix(st.Reason, "db is not started") {
			t.Errorf("status %+v", st)
		}
		w.ok(w.Start(w.ctx(), "db"))
		w.after(time.Second)
		w.wantState("job", Running, 1)
		w.ok(w.Stop(w.ctx(), "db"))
		w.after(time.Second)
		w.wantState("job", Waiting, 0)
		w.ok(w.Start(w.ctx(), "db"))
		w.after(time.Minute)
		w.wantState("job", Running, 1)
		w.after(10 * time.Minute)
		if st := w.status("job"); st.State != Waiting || !st.Armed {
			t.Errorf("status %+v", st)
		}
		w.ok(w.Stop(w.ctx(), "db")) // between runs nothing is lost
		w.ok(w.Start(w.ctx(), "db"))
		w.happened()
		w.after(time.Hour)
		w.wantEvents("run job", "spawn job.1", "exit job.1")

		w.start(template("next", "run", dependsOn("job=done-successfully")))
		w.after(time.Second)
		w.wantState("next", Running, 1)
	})
}

func TestSchedulesThatCantBe(t *testing.T) {
	for field, bad := range map[string]Schedule{
		"schedule":                 {},
		"schedule.cron":            {Cron: "0 0 31 2 *"},
		"schedule.every":           {Every: Duration(time.Millisecond)},
		"schedule.timezone":        {Cron: "@daily", Timezone: "Europe/Nowhere"},
		"schedule.overlap":         {Cron: "@daily", Overlap: "maybe"},
		"schedule.catch_up":        {Cron: "@daily", CatchUp: "some"},
		"schedule.catch_up_within": {Cron: "@daily", CatchUp: CatchUpNone, CatchUpWithin: 1},
		"schedule.jitter":          {Every: Duration(time.Hour), Jitter: Duration(time.Hour)},
		"schedule.retries":         {Cron: "@daily", Retries: -1},
		"schedule.retry_delay":     {Cron: "@daily", RetryDelay: new(Duration(-1))},
	} {
		tmpl := Template{Name: "a", Cmd: "true", Schedule: &bad}
		if err := tmpl.Validate(); err == nil || !strings.Contains(err.Error(), field+":") {
			t.Errorf("%s: %v", field, err)
		}
	}
	good := &Schedule{Cron: "@daily"}
	for _, bad := range []Template{
		{Schedule: &Schedule{Cron: "@daily", Every: Duration(time.Hour)}}, {Schedule: &Schedule{Every: Duration(time.Hour), Timezone: "UTC"}},
		{Schedule: good, Restart: RestartNever}, {Schedule: good, Backoff: &Backoff{}}, {Schedule: good, Flapping: &Flapping{}}, {Schedule: good, Detach: true},
		{Schedule: good, Rollout: &Rollout{}}, {Schedule: good, OnDemand: true, Sockets: []Socket{{Name: "a", Listen: "127.0.0.1:0"}}},
	} {
		bad.Name, bad.Cmd = "a", "true"
		if bad.Validate() == nil {
			t.Errorf("%+v is taken", bad)
		}
	}
	ok := Template{Name: "a", Cmd: "true", Schedule: good, SuccessExitCodes: []int{0, 3}, MaxRuntime: 1}
	if err := ok.Validate(); err != nil {
		t.Error(err)
	}
}
