package gaffer

import (
	"context"
	"flag"
	"fmt"
	"io"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"
)

// Whatever is asked in whatever order, and whatever crashes meanwhile: when all
// has settled as many run as are wanted, every spawn has one exit, no id is given
// twice, no two processes are in one slot, and nothing is left after Run.
func TestRandomOperations(t *testing.T) {
	if f := flag.Lookup("rapid.checks"); f.Value.String() == f.DefValue {
		if err := f.Value.Set(sequences(3000)); err != nil {
			t.Fatal(err)
		}
		defer func() { _ = f.Value.Set(f.DefValue) }()
	}
	checks := 0
	rapid.Check(t, func(rt *rapid.T) {
		checks++
		var w *randomWorld
		synctest.Test(t, func(t *testing.T) {
			w = newRandomWorld(t, rt)
			w.run()
		})
		if w.panicked != nil {
			panic(w.panicked)
		}
	})
	t.Logf("%d sequences", checks)
}

type randomWorld struct {
	*rapid.T
	m       *Manager
	h       *fakeHost
	store   *fakeStore
	events  Stream[Event]
	wanted  map[string]int  // templates that are added, and started, by what they want; -1: stopped
	stopped map[string]int  // the wanted number of those that are stopped
	asked   map[string]int  // what each template's numprocesses says
	overlap map[string]bool // names of templates that were ever restarted with overlap
	pending []chan struct{}
	// panicked is how rapid ends a sequence that comes to nothing. It must not leave the
	// bubble by itself, which would end the program.
	panicked any
}

func newRandomWorld(t *testing.T, rt *rapid.T) *randomWorld {
	h, store := &fakeHost{}, &fakeStore{kept: map[string]Kept{}}
	m, err := New(Options{host: h, Store: store, Journal: &fakeJournal{}})
	if err != nil {
		t.Fatal(err)
	}
	events, err := m.Subscribe(context.Background(), All, EventOptions{})
	if err != nil {
		t.Fatal(err)
	}
	return &randomWorld{T: rt, m: m, h: h, store: store, events: events, wanted: map[string]int{}, stopped: map[string]int{}, asked: map[string]int{}, overlap: map[string]bool{}}
}

func (w *randomWorld) run() {
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error)
	go func() { done <- w.m.Run(ctx) }()
	defer func() {
		if w.panicked = recover(); w.panicked != nil {
			cancel()
			if err := <-done; err != nil {
				w.Logf("Run: %v", err)
			}
		}
	}()
	synctest.Wait()
	w.h.slowDown(time.Duration(w.IntN(3)) * 400 * time.Millisecond)
	for range w.IntN(25) + 1 {
		w.step()
	}
	w.h.breakWith(nil)
	w.h.slowDown(0)
	w.settle()
	w.check()
	cancel()
	w.checkKept()
	if err := <-done; err != nil {
		w.Errorf("Run: %v", err)
	}
	if left := w.h.alive(); len(left) > 0 {
		w.Errorf("%d processes are left after Run", len(left))
	}
	w.checkEvents()
}

// IntN draws a number below n.
func (w *randomWorld) IntN(n int) int { return rapid.IntRange(0, n-1).Draw(w.T, "n") }

var randomCommands = []string{"run", "run", "stubborn", "slow 3s", "crash 50ms 1", "crash 20s 0"}

// randomHooks succeed, fail, hang and can't be started.
var randomHooks = []string{"exit 0s 0", "exit 2s 0", "exit 1s 1", "run", "broken"}

// hooks gives a template some hooks.
func (w *randomWorld) hooks(t *Template) {
	if w.IntN(2) == 0 {
		return
	}
	some := func(from []string) *Command {
		if w.IntN(2) == 0 {
			return nil
		}
		return &Command{Cmd: "sh " + from[w.IntN(len(from))], Timeout: Duration(w.IntN(8)+1) * Duration(time.Second)}
	}
	t.Hooks = &Hooks{
		PreStart: some(randomHooks), PostStart: some(randomHooks), PreStop: some(randomHooks),
		PostStop: some(randomHooks), OnExit: some(randomHooks), OnFail: some(randomHooks),
	}
	if t.StopCommand = some(randomHooks); t.StopCommand != nil && *t.GracefulTimeout == 0 {
		t.StopCommand = nil
	}
	t.KillMode = []KillMode{"", KillMixed, KillProcess}[w.IntN(3)]
}

func (w *randomWorld) step() {
	ctx := context.Background()
	name := string(rune('a' + w.IntN(3)))
	target := Target(name)
	switch op := w.IntN(13); op {
	case 0, 1:
		n := w.IntN(4)
		tmpl := template(name, randomCommands[w.IntN(len(randomCommands))], numprocesses(n), grace(time.Duration(w.IntN(3))*time.Second), w.hooks)
		if _, there := w.number(name); there && op == 0 {
			w.ask(func() error { return w.m.Update(ctx, tmpl) })
			if w.asked[name] != n { // else a number that was scaled to stays
				w.update(name, n)
			}
			w.asked[name] = n
			return
		}
		w.ask(func() error { return w.m.Add(ctx, tmpl) })
		if _, there := w.number(name); !there {
			w.wanted[name], w.asked[name] = n, n
		}
	case 2:
		w.ask(func() error { return w.m.Remove(ctx, target) })
		// Its name stays taken until it is gone: wait, so that the model is exact.
		w.settle()
		delete(w.wanted, name)
		delete(w.stopped, name)
	case 3:
		w.ask(func() error { return w.m.Start(ctx, target) })
		if n, is := w.stopped[name]; is {
			w.wanted[name] = n
			delete(w.stopped, name)
		}
	case 4:
		w.ask(func() error { return w.m.Stop(ctx, target) })
		if n, is := w.wanted[name]; is {
			w.stopped[name] = n
			delete(w.wanted, name)
		}
	case 5:
		how := RestartMode(w.IntN(2))
		w.overlap[name] = w.overlap[name] || how == Overlap
		w.ask(func() error { return w.m.Restart(ctx, target, how) })
		if n, is := w.stopped[name]; is {
			w.wanted[name] = n
			delete(w.stopped, name)
		}
	case 6:
		c := Change{"+-="[w.IntN(3)], w.IntN(4)}
		w.ask(func() error { _, err := w.m.Scale(ctx, target, c); return err })
		if n, there := w.number(name); there {
			w.update(name, c.apply(n))
		}
	case 7:
		sig := []syscall.Signal{syscall.SIGHUP, syscall.SIGKILL}[w.IntN(2)]
		w.ask(func() error { return w.m.Signal(ctx, target, Signal(sig)) })
	case 8:
		if live := w.h.alive(); len(live) > 0 {
			live[w.IntN(len(live))].end(1, 0)
		}
	case 9:
		w.h.breakWith([]error{nil, syscall.EAGAIN}[w.IntN(2)])
	case 10:
		w.ask(func() error { return w.m.Stop(ctx, Target(fmt.Sprintf("%s.%d", name, w.IntN(3)+1))) })
	case 11:
		how := RestartMode(w.IntN(2))
		w.overlap[name] = w.overlap[name] || how == Overlap
		w.ask(func() error { return w.m.Restart(ctx, Target(fmt.Sprintf("%s.%d", name, w.IntN(3)+1)), how) })
	case 12:
		time.Sleep(time.Duration(w.IntN(4000)) * time.Millisecond)
	}
}

func (w *randomWorld) number(name string) (int, bool) {
	if n, is := w.wanted[name]; is {
		return n, true
	}
	n, is := w.stopped[name]
	return n, is
}

func (w *randomWorld) update(name string, n int) {
	if _, is := w.wanted[name]; is {
		w.wanted[name] = n
		return
	}
	w.stopped[name] = n
}

// ask does something beside the others, in the order of the calls, and sometimes
// waits for it.
func (w *randomWorld) ask(f func() error) {
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = f() // it may well be refused
	}()
	synctest.Wait()
	if w.IntN(2) == 0 {
		w.pending = append(w.pending, done)
		return
	}
	<-done
}

// settle waits for all that was asked, and for what it led to.
func (w *randomWorld) settle() {
	for _, done := range w.pending {
		<-done
	}
	w.pending = nil
	time.Sleep(5 * time.Minute)
	synctest.Wait()
}

// check compares what runs with the model. What crashes all the time may be in
// back-off, which is as wanted as it can be.
func (w *randomWorld) check() {
	list, err := w.m.List(context.Background(), All)
	if err != nil {
		w.Fatal(err)
	}
	if len(list) != len(w.wanted)+len(w.stopped) {
		w.Fatalf("%d templates, want %v and %v", len(list), w.wanted, w.stopped)
	}
	for _, info := range list {
		st := info.Status
		n, up := w.wanted[st.Name]
		if !up {
			n = 0
		}
		waiting := 0
		slots := map[int]bool{}
		for _, p := range st.Processes {
			if slots[p.Slot] {
				w.Errorf("%s: slot %d twice", st.Name, p.Slot)
			}
			slots[p.Slot] = true
			if p.State == InBackoff || strings.Contains(p.Reason, "runs pre_start") || n > 0 && strings.Contains(p.Reason, "runs post_stop") {
				waiting++
			}
		}
		hooks := info.Template.Hooks
		crashes := info.Template.Cmd == "sh crash 50ms 1" || hooks != nil && (hooks.PreStart != nil || strings.HasPrefix(info.Template.Cmd, "sh crash"))
		if st.Running+waiting != n || waiting > 0 && !crashes {
			w.Errorf("%s: %d run and %d wait, want %d: %+v", st.Name, st.Running, waiting, n, st)
		}
	}
}

// checkKept compares what the store has with the model.
func (w *randomWorld) checkKept() {
	kept := 0
	for name, k := range w.store.kept {
		if k.Wanted == nil {
			continue
		}
		kept++
		n, there := w.number(name)
		_, active := w.wanted[name]
		if !there || k.Wanted.Active != active || k.Wanted.Count != n {
			w.Errorf("%s is kept as %v %d, want %v %d", name, k.Wanted.Active, k.Wanted.Count, active, n)
		}
	}
	if want := len(w.wanted) + len(w.stopped); kept != want {
		w.Errorf("%d templates are kept, want %d", kept, want)
	}
}

// checkEvents reads all events and checks what must be true of them.
func (w *randomWorld) checkEvents() {
	spawned, exited := map[uint64]int{}, map[uint64]int{}
	slots := map[string]uint64{} // who is in a slot and was not told to stop
	for seq := uint64(1); ; seq++ {
		e, err := w.events.Next(context.Background())
		if err == io.EOF {
			break
		}
		if err != nil {
			w.Fatal(err)
		}
		if e.Seq != seq {
			w.Fatalf("event %d has seq %d", seq, e.Seq)
		}
		place := fmt.Sprintf("%s.%d", e.Name, e.Slot)
		switch e.Kind {
		case KindSpawn:
			spawned[e.ID]++
			if other := slots[place]; other != 0 && !w.overlap[e.Name] {
				w.Errorf("%s: %d is started while %d is there", place, e.ID, other)
			}
			slots[place] = e.ID
		case KindExit:
			if spawned[e.ID] == 0 {
				w.Errorf("%d ended before it was started", e.ID)
			}
			exited[e.ID]++
			if slots[place] == e.ID {
				delete(slots, place)
			}
		}
	}
	for id, n := range spawned {
		if n != 1 || exited[id] != 1 {
			w.Errorf("id %d: %d spawns and %d exits", id, n, exited[id])
		}
	}
}
