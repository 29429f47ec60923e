package gaffer

import (
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gafferpm/gaffer/internal/proc"
)

func readyBy(r Ready) func(*Template) { return func(t *Template) { t.Ready = &r } }

func byTCP(timeout time.Duration) func(*Template) {
	return readyBy(Ready{TCP: "127.0.0.1:1", Timeout: new(Duration(timeout))})
}

func keptHealthy(h Health) func(*Template) { return func(t *Template) { t.Health = &h } }

// tells has a process tell of itself.
func (p *fakeProc) tells(text string, uid int) {
	p.handler.(proc.Notified).Notified(proc.Message{Text: []byte(text), PID: p.pid, UID: uint32(uid)})
}

func TestAProcessIsStartingUntilItIsReady(t *testing.T) {
	inWorld(t, func(w *world) {
		added := make(chan error)
		go func() { added <- w.Add(w.ctx(), template("web", "run", byTCP(time.Minute))) }()
		w.after(10 * time.Second)
		w.wantState("web", Starting, 0)
		if st := w.status("web"); st.Reason != "connection refused" || st.Processes[0].PID == 0 {
			t.Errorf("status %+v", st)
		}
		select {
		case err := <-added:
			t.Errorf("Add has not waited: %v", err)
		default:
		}
		w.probes.say("web", true)
		w.ok(<-added)
		w.wantState("web", Running, 1)
		w.wantEvents("create web", "start web", "spawn web.1", "ready web.1")
		n := w.probes.count()
		w.after(time.Hour)
		if w.probes.count() != n {
			t.Error("it is still asked")
		}
	})
}

func TestTheFirstProbesComeSoon(t *testing.T) {
	inWorld(t, func(w *world) {
		w.probes.say("web", true)
		begin := time.Now()
		w.add("web", "run", byTCP(time.Minute))
		if took := time.Since(begin); took > 0 {
			t.Errorf("it took %s", took)
		}
		w.probes.say("web", false)
		go func() { time.Sleep(100 * time.Millisecond); w.probes.say("web", true) }()
		begin = time.Now()
		w.ok(w.Restart(w.ctx(), "web", StopFirst))
		if took := time.Since(begin); took > 300*time.Millisecond {
			t.Errorf("it took %s", took)
		}
	})
}

func TestWhatIsNotReadyInTimeHasFailed(t *testing.T) {
	inWorld(t, func(w *world) {
		begin := time.Now()
		w.add("web", "run", byTCP(20*time.Second))
		if took := time.Since(begin); took < 20*time.Second || took > 25*time.Second {
			t.Errorf("Add took %s", took)
		}
		seen := w.seen()
		var unready *Event
		for i := range seen {
			if seen[i].Kind == KindUnready {
				unready = &seen[i]
			}
		}
		if unready == nil || unready.Message != "not ready within 20s: connection refused" {
			t.Errorf("event %+v", unready)
		}
		w.after(10 * time.Minute)
		for w.status("web").State != InBackoff {
			w.after(time.Second)
		}
		st := w.status("web")
		if p := st.Processes[0]; !strings.HasPrefix(p.LastExit.Reason, "not ready within 20s") || st.Restarts < 5 {
			t.Errorf("status %+v, exit %+v", st, p.LastExit)
		}
		w.probes.say("web", true)
		w.after(time.Minute)
		w.wantState("web", Running, 1)
	})
}

func TestAOneShotThatIsNotReadyHasFailed(t *testing.T) {
	inWorld(t, func(w *world) {
		w.add("web", "run", byTCP(time.Second), restarts(RestartNever))
		w.wantState("web", Failed, 0)
	})
}

func TestReadinessByNotification(t *testing.T) {
	inWorld(t, func(w *world) {
		go func() { _ = w.Add(w.ctx(), template("web", "run", readyBy(Ready{Notify: true}))) }()
		w.after(time.Second)
		w.wantState("web", Starting, 0)
		p := w.host.alive()[0]
		if !p.spec.Notify {
			t.Error("it has no socket")
		}
		p.tells("READY=1", 12345)
		synctest.Wait()
		w.wantState("web", Starting, 0) // who is that?
		p.tells("STATUS=loading\x1b[31m\nX\nMAINPID=", w.env.uid)
		synctest.Wait()
		w.wantState("web", Starting, 0)
		if got := w.status("web").Processes[0].Message; got != "loading [31m" {
			t.Errorf("it says %q", got)
		}
		p.tells("READY=1\nSTATUS=here", 0)
		synctest.Wait()
		w.wantState("web", Running, 1)
		p.tells("STOPPING=1", 0)
		synctest.Wait()
		w.wantState("web", Starting, 0)
		p.tells("READY=1", 0)
		p.end(0, 0)
		p.tells("READY=1", 0)
		synctest.Wait()
		w.wantEvents("create web", "start web", "spawn web.1", "ready web.1", "unready web.1", "ready web.1", "exit web.1", "spawn web.1")
	})
}

func TestMoreTimeCanBeAskedFor(t *testing.T) {
	inWorld(t, func(w *world) {
		go func() {
			_ = w.Add(w.ctx(), template("web", "stubborn", readyBy(Ready{Notify: true, Timeout: new(Duration(10 * time.Second))}), grace(10*time.Second)))
		}()
		w.after(9 * time.Second)
		p := w.host.alive()[0]
		p.tells("EXTEND_TIMEOUT_USEC=20000000", 0)
		w.after(19 * time.Second)
		w.wantState("web", Starting, 0)
		p.tells("READY=1", 0)
		synctest.Wait()
		w.wantState("web", Running, 1)
		go func() { _ = w.Stop(w.ctx(), "web") }()
		w.after(9 * time.Second)
		p.tells("EXTEND_TIMEOUT_USEC=20000000", 0)
		w.after(19 * time.Second)
		w.wantState("web", Stopping, 0)
		w.after(2 * time.Second)
		w.wantState("web", Stopped, 0)
	})
}

func TestReadinessByADescriptor(t *testing.T) {
	inWorld(t, func(w *world) {
		go func() {
			_ = w.Add(w.ctx(), template("web", "run", readyBy(Ready{FD: 5}), func(t *Template) { t.CustomStreams = []string{"a"} }))
		}()
		w.after(time.Second)
		p := w.host.alive()[0]
		p.handler.Output(proc.ReadyPipe, []byte("soon"))
		synctest.Wait()
		w.wantState("web", Starting, 0)
		p.handler.Output(proc.ReadyPipe, []byte("now\n"))
		synctest.Wait()
		w.wantState("web", Running, 1)
		if p.spec.ReadyFD != 5 {
			t.Errorf("descriptor %d", p.spec.ReadyFD)
		}
	})
}

func TestReadinessByOutput(t *testing.T) {
	inWorld(t, func(w *world) {
		go func() { _ = w.Add(w.ctx(), template("web", "run", readyBy(Ready{Output: `^ready on \d+$`}))) }()
		w.after(time.Second)
		p := w.host.alive()[0]
		p.handler.Output(1, []byte("not ready on 5\nready on"))
		synctest.Wait()
		w.wantState("web", Starting, 0)
		p.handler.Output(2, []byte("ready on x\n"))
		p.handler.Output(1, []byte(" 80\n"))
		synctest.Wait()
		w.wantState("web", Running, 1)
		var how string
		for _, e := range w.seen() {
			if e.Kind == KindReady {
				how = e.Message
			}
		}
		if how != "wrote: ready on 80" {
			t.Errorf("ready because it %q", how)
		}
	})
}

func TestAStopDoesNotWaitForReadiness(t *testing.T) {
	inWorld(t, func(w *world) {
		go func() { _ = w.Add(w.ctx(), template("web", "run", byTCP(time.Hour), numprocesses(3))) }()
		w.after(time.Second)
		begin := time.Now()
		w.ok(w.Stop(w.ctx(), "web"))
		if took := time.Since(begin); took > time.Second {
			t.Errorf("the stop took %s", took)
		}
		w.wantState("web", Stopped, 0)
		n := w.probes.count()
		w.after(time.Hour)
		if w.probes.count() > n {
			t.Error("it is still asked")
		}
	})
}

func TestARestartWaitsForEachSlotToBeReady(t *testing.T) {
	inWorld(t, func(w *world) {
		w.probes.say("web", true)
		w.add("web", "run", byTCP(time.Minute), numprocesses(2))
		w.happened()
		w.probes.say("web", false)
		w.probes.say("web.2", true)
		for _, how := range []RestartMode{StopFirst, Overlap} {
			restarted := make(chan error)
			go func() { restarted <- w.Restart(w.ctx(), "web", how) }()
			w.after(10 * time.Second)
			// With an overlap the old one goes on, and is not counted.
			if st := w.status("web"); st.Running != 1 || len(w.host.alive()) != map[RestartMode]int{StopFirst: 2, Overlap: 3}[how] {
				t.Errorf("mode %d: %+v, %d live", how, st, len(w.host.alive()))
			}
			w.probes.say("web.1", true)
			w.ok(<-restarted)
			w.wantState("web", Running, 2)
			w.probes.say("web.1", false)
		}
	})
}

func TestHealthIsAskedAgainAndAgain(t *testing.T) {
	inWorld(t, func(w *world) {
		w.probes.say("web", true)
		w.add("web", "run", keptHealthy(Health{HTTP: "http://127.0.0.1/", Action: HealthTell, Successes: 2}))
		w.wantState("web", Running, 1)
		w.after(15 * time.Second)
		w.wantEvents("create web", "start web", "spawn web.1")
		w.after(10 * time.Second)
		w.wantEvents("healthy web.1")
		w.probes.say("web", false)
		w.after(20 * time.Second)
		w.wantEvents()
		w.wantState("web", Running, 1)
		w.after(10 * time.Second)
		e := w.seen()
		if len(e) != 1 || e[0].Kind != KindUnhealthy || e[0].Message != "3 probes in a row failed: connection refused" {
			t.Errorf("events %+v", e)
		}
		w.wantState("web", Unhealthy, 1)
		if st := w.status("web"); st.Reason != "connection refused" || st.Processes[0].State != Unhealthy {
			t.Errorf("status %+v", st)
		}
		w.after(time.Minute)
		w.wantEvents()
		w.probes.say("web", true)
		w.after(20 * time.Second)
		w.wantEvents("healthy web.1")
		w.wantState("web", Running, 1)
	})
}

func TestTheUnhealthyIsReplaced(t *testing.T) {
	inWorld(t, func(w *world) {
		w.add("web", "run", keptHealthy(Health{TCP: "127.0.0.1:1", Failures: 1}))
		w.happened()
		w.after(11 * time.Second)
		w.wantEvents("unhealthy web.1", "reap web.1", "exit web.1", "spawn web.1")
		if exit := w.status("web").Processes[0].LastExit; !strings.HasPrefix(exit.Reason, "unhealthy: ") {
			t.Errorf("exit %+v", exit)
		}
		if st := w.status("web"); st.Restarts != 1 {
			t.Errorf("status %+v", st)
		}
	})
}

func TestTheBeginningIsExempt(t *testing.T) {
	inWorld(t, func(w *world) {
		w.add("web", "run", keptHealthy(Health{TCP: "127.0.0.1:1", StartPeriod: Duration(time.Minute)}))
		w.happened()
		w.after(61 * time.Second)
		w.wantEvents()
		w.after(21 * time.Second)
		w.wantEvents("unhealthy web.1", "reap web.1", "exit web.1", "spawn web.1")
		// One success ends the exemption.
		w.probes.say("web", true)
		w.after(15 * time.Second)
		w.wantEvents("healthy web.1")
		w.probes.say("web", false)
		w.after(31 * time.Second)
		w.wantEvents("unhealthy web.1", "reap web.1", "exit web.1", "spawn web.1")
	})
}

func TestProbesOfOneProcessNeverOverlap(t *testing.T) {
	inWorld(t, func(w *world) {
		w.probes.takes = time.Hour
		w.add("web", "run", keptHealthy(Health{TCP: "127.0.0.1:1", Interval: Duration(time.Second), Timeout: Duration(4 * time.Second), Failures: 3}))
		w.happened()
		w.after(14 * time.Second) // at 1s, 6s and 11s, each given up after 4s
		w.wantEvents()
		w.after(2 * time.Second)
		e := w.seen()
		if len(e) == 0 || e[0].Message != "3 probes in a row failed: no answer in time" {
			t.Errorf("events %+v", e)
		}
	})
}

func TestTheWatchdogIsFed(t *testing.T) {
	inWorld(t, func(w *world) {
		w.add("web", "run", keptHealthy(Health{Watchdog: Duration(10 * time.Second)}))
		p := w.host.alive()[0]
		if env := strings.Join(p.spec.Env, "\n"); !strings.Contains(env, "WATCHDOG_USEC=10000000") {
			t.Errorf("environment %s", env)
		}
		w.happened()
		for range 10 {
			w.after(9 * time.Second)
			p.tells("WATCHDOG=1", 0)
		}
		w.wantEvents("healthy web.1")
		w.after(11 * time.Second)
		e := w.seen()
		if len(e) == 0 || e[0].Kind != KindUnhealthy || e[0].Message != "no sign of life for 10s" {
			t.Errorf("events %+v", e)
		}
		w.wantState("web", Running, 1)
		p = w.host.alive()[0]
		p.tells("WATCHDOG_USEC=60000000", 0)
		w.after(50 * time.Second)
		w.wantEvents("healthy web.1")
		p.tells("WATCHDOG=trigger", 0)
		synctest.Wait()
		if e := w.seen(); len(e) == 0 || e[0].Message != "it says so itself" {
			t.Errorf("events %+v", e)
		}
	})
}

func TestANewWayOfAskingHoldsForWhatRuns(t *testing.T) {
	inWorld(t, func(w *world) {
		w.probes.say("web", true)
		w.add("web", "run", byTCP(time.Minute))
		ids := w.ids("web")
		with := func(more ...func(*Template)) Template { return template("web", "run", more...) }
		w.ok(w.Update(w.ctx(), with(byTCP(time.Minute), keptHealthy(Health{TCP: "127.0.0.1:1"}))))
		w.after(time.Minute)
		w.wantState("web", Running, 1)
		n := w.probes.count()
		w.ok(w.Update(w.ctx(), with()))
		w.after(time.Minute)
		if w.probes.count() != n {
			t.Error("it is still asked")
		}
		if now := w.ids("web"); now[0] != ids[0] {
			t.Errorf("ids %v, want %v", now, ids)
		}
		w.ok(w.Update(w.ctx(), with(keptHealthy(Health{Watchdog: Duration(time.Hour)}))))
		if now := w.ids("web"); now[0] == ids[0] { // it has no socket
			t.Error("it was not replaced")
		}
	})
}

func TestProbesThatCantBe(t *testing.T) {
	for field, list := range map[string][]Template{
		"ready": {
			{Ready: &Ready{}}, {Ready: &Ready{TCP: "a:1", Notify: true}},
		},
		"ready.http":          {{Ready: &Ready{HTTP: "localhost"}}, {Ready: &Ready{HTTP: "ftp://x"}}},
		"ready.tcp":           {{Ready: &Ready{TCP: "80"}}},
		"ready.exec":          {{Ready: &Ready{Exec: "'"}}, {Ready: &Ready{Exec: "''"}}},
		"ready.output":        {{Ready: &Ready{Output: "("}}, {Ready: &Ready{Output: "x"}, RedirectOutput: []string{}}},
		"ready.fd":            {{Ready: &Ready{FD: 2}}, {Ready: &Ready{FD: 3}, CustomStreams: []string{"a"}}, {Ready: &Ready{FD: 300}}},
		"ready.timeout":       {{Ready: &Ready{Notify: true, Timeout: new(Duration(0))}}},
		"ready.interval":      {{Ready: &Ready{Notify: true, Interval: Duration(time.Second)}}, {Ready: &Ready{TCP: "a:1", Interval: 1}}},
		"health":              {{Health: &Health{}}, {Health: &Health{TCP: "a:1", Watchdog: Duration(time.Second)}}},
		"health.watchdog":     {{Health: &Health{Watchdog: 1}}, {Health: &Health{Watchdog: Duration(time.Second), Failures: 1}}},
		"health.interval":     {{Health: &Health{TCP: "a:1", Interval: 1}}},
		"health.failures":     {{Health: &Health{TCP: "a:1", Failures: -1}}},
		"health.successes":    {{Health: &Health{TCP: "a:1", Successes: -1}}},
		"health.action":       {{Health: &Health{TCP: "a:1", Action: "kill"}}},
		"detach":              {{Detach: true, Health: &Health{TCP: "a:1"}}},
		"health.timeout":      {{Health: &Health{TCP: "a:1", Timeout: -1}}},
		"health.http":         {{Health: &Health{HTTP: "http://a b"}}},
		"health.exec":         {{Health: &Health{Exec: "a\x00"}}},
		"ready.unix":          {{Ready: &Ready{Unix: "/a\x00"}}},
		"health.start_period": {{Health: &Health{TCP: "a:1", StartPeriod: -1}}},
	} {
		for _, bad := range list {
			bad.Name, bad.Cmd = "a", "true"
			if err := bad.Validate(); err == nil || !strings.Contains(err.Error(), field+": ") {
				t.Errorf("%s: %v", field, err)
			}
		}
	}
	good := Template{Name: "a", Cmd: "true", Ready: &Ready{HTTP: "http://127.0.0.1:$PORT/"}, Health: &Health{TCP: "${HOST:-x}"}}
	if err := good.Validate(); err != nil {
		t.Error(err)
	}
}

// A manager that takes over knows who was ready, and asks those who were not.
func TestReadinessOutlivesTheManager(t *testing.T) {
	a := ago{
		{Kind: KindSpawn, ID: 1}, {Kind: KindReady, ID: 1}, {Kind: KindUnready, ID: 1},
		{Kind: KindSpawn, ID: 2}, {Kind: KindUnready, ID: 2}, {Kind: KindReady, ID: 2},
		{Kind: KindHealthy, ID: 3}, {Kind: KindSpawn, ID: 4},
	}
	for i, e := range a {
		e.Time = time.Unix(int64(i), 0)
	}
	for id, want := range map[uint64]int64{1: -1, 2: 5, 3: 6, 4: -1} {
		if got := a.ready(id); got.IsZero() != (want < 0) || want >= 0 && got.Unix() != want {
			t.Errorf("%d: %v", id, got)
		}
	}
}
