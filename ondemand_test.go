//go:build linux

package gaffer

import (
	"net"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func onDemand(idle time.Duration) func(*Template) {
	return func(t *Template) {
		t.OnDemand = true
		if idle > 0 {
			t.IdleTimeout = new(Duration(idle))
		}
	}
}

// awaits waits for an event of a kind.
func (r *real) awaits(kind Kind) Event {
	r.Helper()
	for {
		e, err := r.events.Next(r.ctx)
		if err != nil {
			r.Fatalf("no %s: %v", kind, err)
		}
		if e.Kind == kind {
			return e
		}
	}
}

func (r *real) statusIs(name string, state State, reason string) {
	r.Helper()
	list, err := r.Status(r.ctx, Target(name))
	r.ok(err)
	if st := list[0]; st.State != state || !strings.Contains(st.Reason, reason) {
		r.Errorf("%s: %s, %q; want %s, %q", name, st.State, st.Reason, state, reason)
	}
}

func TestFirstConnectionStarts(t *testing.T) {
	r := newReal(t, Options{})
	one, path := freePort(t), filepath.Join(t.TempDir(), "s")
	tmpl := program("web", "listener", numprocesses(2), onDemand(0), listensAt(Socket{Name: "one", Listen: one}, Socket{Name: "two", Listen: "unix:" + path}))
	r.ok(r.Add(r.ctx, tmpl))
	r.statusIs("web", Waiting, "for the first connection on one, two")
	r.ok(r.Restart(r.ctx, "web", StopFirst)) // nothing is there to be
	if pids := r.pids("web"); len(pids) > 0 {
		t.Fatalf("started before anybody has connected: %v", pids)
	}
	r.asks("unix", path)
	r.asks("tcp", one)
	if e := r.awaits(KindStart); e.Message != "" {
		t.Errorf("got %+v", e)
	}
	if e := r.awaits(KindStart); e.Message != "a connection on two" {
		t.Errorf("got %+v", e)
	}
	for range 2 {
		r.awaits(KindSpawn)
	}
	r.statusIs("web", Running, "")
	r.ok(r.Stop(r.ctx, "web"))
	r.statusIs("web", Stopped, "")
	if _, _, err := asks("unix", path); err == nil {
		t.Error("a stopped template has answered")
	}
	r.ok(r.Start(r.ctx, "web"))
	r.statusIs("web", Waiting, "for the first connection")
	r.asks("tcp", one)
	for range 2 {
		r.awaits(KindSpawn)
	}
	// It goes on when it is no longer to be started on demand, and when it is again.
	before := r.pids("web")
	tmpl.OnDemand = false
	r.ok(r.Update(r.ctx, tmpl))
	tmpl.OnDemand = true
	r.ok(r.Update(r.ctx, tmpl))
	if now := r.pids("web"); now[0] != before[0] || now[1] != before[1] {
		t.Errorf("processes %v, were %v", now, before)
	}
}

func TestIdleProcessesAreStopped(t *testing.T) {
	t.Parallel()
	for _, listen := range []string{"", "unix"} {
		t.Run(listen, func(t *testing.T) {
			r := newReal(t, Options{})
			network, at := "tcp", freePort(t)
			address := at
			if listen != "" {
				network, at = "unix", filepath.Join(t.TempDir(), "s")
				address = "unix:" + at
			}
			r.ok(r.Add(r.ctx, program("web", "listener", onDemand(time.Second), listensAt(Socket{Name: "web", Listen: address}))))
			var first int
			for range 2 {
				_, pid := r.asks(network, at)
				if pid == first {
					t.Error("it was not stopped in between")
				}
				first = pid
				if e := r.awaits(KindExit); !strings.Contains(e.Exit.Reason, "idle") {
					t.Errorf("got %+v", e.Exit)
				}
				r.statusIs("web", Waiting, "for the first connection on web")
			}
		})
	}
}

func TestConnectionKeepsItAwake(t *testing.T) {
	t.Parallel()
	r := newReal(t, Options{})
	at := freePort(t)
	r.ok(r.Add(r.ctx, program("web", "listener", onDemand(time.Second), listensAt(Socket{Name: "web", Listen: at}))))
	began := time.Now()
	c, err := net.Dial("tcp", at)
	r.ok(err)
	r.awaits(KindSpawn)
	time.AfterFunc(2500*time.Millisecond, func() { c.Close() })
	r.awaits(KindExit)
	if took := time.Since(began); took < 3*time.Second {
		t.Errorf("stopped after %s, with somebody connected for most of it", took)
	}
}

func TestWhatEndsInOrderSleepsAgain(t *testing.T) {
	t.Parallel()
	r := newReal(t, Options{})
	at := freePort(t)
	// It leaves who has connected where he is: that must not become a loop.
	r.ok(r.Add(r.ctx, script("web", "exit 0", onDemand(0), backsOff(Backoff{First: new(Duration(300 * time.Millisecond)), Factor: 1}),
		listensAt(Socket{Name: "web", Listen: at}), func(t *Template) { t.Restart = RestartOnFailure })))
	c, err := net.Dial("tcp", at)
	r.ok(err)
	defer c.Close()
	began := time.Now()
	for range 4 {
		r.awaits(KindExit)
	}
	if took := time.Since(began); took < 500*time.Millisecond {
		t.Errorf("four times within %s", took)
	}
	// One that crashes is in back-off like any other.
	r.ok(r.Update(r.ctx, script("web", "exit 3", onDemand(0), backsOff(Backoff{First: new(Duration(time.Hour)), Max: new(Duration(time.Hour))}),
		listensAt(Socket{Name: "web", Listen: at}))))
	for e := r.awaits(KindBackoff); !strings.Contains(e.Message, "exit status 3"); e = r.awaits(KindBackoff) {
	}
	r.statusIs("web", InBackoff, "exit status 3")
}

// Who depends on what sleeps can connect to it, and need not wait; that it comes and goes
// is no loss.
func TestOnDemandIsThereForThoseWhoDependOnIt(t *testing.T) {
	t.Parallel()
	r := newReal(t, Options{})
	at := freePort(t)
	r.ok(r.Add(r.ctx, program("db", "listener", onDemand(time.Second), listensAt(Socket{Name: "db", Listen: at}))))
	r.ok(r.Add(r.ctx, script("app", "exec sleep 100", func(t *Template) {
		t.DependsOn, t.OnLoss = map[string]Condition{"db": DependsStarted}, LossRestart
	})))
	r.statusIs("app", Running, "")
	r.statusIs("db", Waiting, "for the first connection")
	before := r.pids("app")
	r.asks("tcp", at)
	if e := r.awaits(KindExit); e.Name != "db" {
		t.Errorf("%s has ended", e.Name)
	}
	r.asks("tcp", at)
	if now := r.pids("app"); len(now) != 1 || now[0] != before[0] {
		t.Errorf("processes %v, were %v", now, before)
	}
}

// What sleeps waits for what it depends on each time that it is woken up.
func TestOnDemandWaitsForItsDependenciesAgain(t *testing.T) {
	r := newReal(t, Options{})
	at := freePort(t)
	r.ok(r.Add(r.ctx, script("db", "exec sleep 100")))
	r.ok(r.Add(r.ctx, program("web", "listener", onDemand(0), listensAt(Socket{Name: "web", Listen: at}), func(t *Template) {
		t.DependsOn = map[string]Condition{"db": DependsStarted}
	})))
	r.ok(r.Stop(r.ctx, "db"))
	c, err := net.Dial("tcp", at)
	r.ok(err)
	defer c.Close()
	for r.awaits(KindStart).Name != "web" {
	}
	for e := r.awaits(KindStart); e.Message != "a connection on web"; e = r.awaits(KindStart) {
	}
	r.statusIs("web", Waiting, "db")
	r.ok(r.Start(r.ctx, "db"))
	for r.awaits(KindSpawn).Name != "web" {
	}
}

// Nobody would answer on the sockets of what is scaled to 0.
func TestOnDemandScaledToNothingDoesNotListen(t *testing.T) {
	r := newReal(t, Options{})
	at := freePort(t)
	r.ok(r.Add(r.ctx, program("web", "listener", onDemand(0), listensAt(Socket{Name: "web", Listen: at}))))
	_, err := r.Scale(r.ctx, "web", Change{'=', 0})
	r.ok(err)
	if c, err := net.Dial("tcp", at); err == nil {
		c.Close()
		t.Error("it listens")
	}
	list, err := r.Status(r.ctx, "web")
	r.ok(err)
	if st := list[0]; st.Armed || strings.Contains(st.Reason, "connection") {
		t.Errorf("got %+v", st)
	}
	_, err = r.Scale(r.ctx, "web", Change{'=', 1})
	r.ok(err)
	r.statusIs("web", Waiting, "for the first connection")
	r.asks("tcp", at)
}

func TestOnDemandThatCannotListenSaysSo(t *testing.T) {
	t.Parallel()
	r := newReal(t, Options{})
	taken, err := net.Listen("tcp4", "127.0.0.1:0")
	r.ok(err)
	defer taken.Close()
	at := taken.Addr().String()
	r.ok(r.Load(r.ctx, program("web", "listener", onDemand(0), listensAt(Socket{Name: "web", Listen: at}))))
	r.settled()
	r.statusIs("web", InBackoff, "address already in use")
	taken.Close()
	if name, _ := r.waitAsks(at); name != "web" {
		t.Errorf("answered by %q", name)
	}
}

func TestBadOnDemandIsRefused(t *testing.T) {
	web := listensAt(Socket{Name: "web", Listen: ":80"})
	for want, set := range map[string]func(*Template){
		"on_demand: there is nothing to connect to":    func(t *Template) { t.OnDemand = true },
		"idle_timeout: only what is started on demand": func(t *Template) { web(t); t.IdleTimeout = new(Duration(time.Minute)) },
		"idle_timeout: 1ms: want at least 1s":          func(t *Template) { web(t); onDemand(time.Millisecond)(t) },
		"idle_timeout: udp://:80: knows no connections": func(t *Template) {
			listensAt(Socket{Name: "web", Listen: "udp://:80"})(t)
			onDemand(time.Minute)(t)
		},
	} {
		tmpl := script("web", "x", set)
		if err := tmpl.Validate(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %s", err, want)
		}
	}
}
