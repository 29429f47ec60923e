package gaffer

import (
	"errors"
	"os"
	"strings"
	"sync/atomic"
	"time"

	"github.com/gafferpm/gaffer/internal/proc"
)

// A template that is started on demand sleeps: it is wanted and has no process, and its
// sockets are watched. The first connection wakes it up, and it is like any other. When
// nobody has been connected for long enough, or its processes have all ended as they
// should, it sleeps again.

// demand is what a keeper knows of that. It belongs to the keeper's mailbox.
type demand struct {
	asleep   bool
	watching *watching   // nil: the sockets are not watched
	fault    string      // why they can't be
	from     time.Time   // not watched before: it fell asleep too often
	wokenAt  time.Time   // last
	quick    int         // how often in a row it slept again soon
	usedAt   time.Time   // when somebody was connected last, as far as that was seen
	look     *time.Timer // when that is looked at again; nil: it is not
	alarm    *time.Timer // at from
}

// watching is a watch of the sockets of a template. over may be read by anybody, stop
// belongs to the launcher.
type watching struct {
	sockets []Socket
	over    atomic.Bool
	stop    []func()
}

const (
	// waitsFor begins the reason of a template that sleeps.
	waitsFor = "for the first connection on "
	idled    = "idle"

	watchAgain     = time.Second // after sockets could not be watched
	leastIdleLook  = 250 * time.Millisecond
	mostIdleLook   = 10 * time.Second
	idleLooks      = 8 // within the time after which it is idle
	leastIdleLimit = time.Second
)

func (t *Template) validateOnDemand(f *faults) {
	if t.IdleTimeout != nil && !t.OnDemand {
		f.add("idle_timeout", "only what is started on demand is stopped when it is idle: set on_demand = true")
	}
	if !t.OnDemand {
		return
	}
	if len(t.Sockets) == 0 {
		f.add("on_demand", "there is nothing to connect to: name sockets")
	}
	if t.wanted() == 0 {
		f.add("on_demand", "with numprocesses = 0 nobody would answer who connects")
	}
	if t.IdleTimeout == nil {
		return
	}
	if d := time.Duration(*t.IdleTimeout); d < leastIdleLimit {
		f.add("idle_timeout", "%s: want at least %s", d, leastIdleLimit)
	}
	for _, s := range t.Sockets {
		if strings.HasPrefix(s.Listen, "udp:") || strings.HasPrefix(s.Listen, "unixgram:") {
			f.add("idle_timeout", "%s: knows no connections, of which there could be none", s.Listen)
		}
	}
}

// checkOnDemand says whether it can be had here.
func (t *Template) checkOnDemand() error {
	if t.OnDemand && !proc.CanWatch {
		return &FieldError{"on_demand", invalidf("can't be had on this system")}
	}
	return nil
}

func (k *keeper) sleeps() bool { return k.recipe.OnDemand && k.demand.asleep }

// answers says of a template that is started on demand that who connects is served, at
// once or when it has started. For those who depend on it that is as if it ran.
func (k *keeper) answers() bool {
	if !k.recipe.OnDemand || k.count == 0 || k.intent != up || k.demand.fault != "" || k.sick() {
		return false
	}
	for _, s := range k.slots {
		if s.n <= k.size() && k.waits(s) {
			return false
		}
	}
	return true
}

// mayDoze sees that what is known of demand has a place, if there may be any.
func (k *keeper) mayDoze() {
	if k.recipe.OnDemand && k.demand == nil {
		k.demand = &demand{}
	}
}

// settleDown has the template sleep if nothing of it runs, or is about to.
func (k *keeper) settleDown() {
	if k.demand == nil {
		return
	}
	k.demand.from, k.demand.quick, k.demand.fault = time.Time{}, 0, ""
	k.demand.asleep = k.recipe.OnDemand && k.live == 0
	for _, s := range k.slots {
		if k.waits(s) && s.rest == restless {
			k.demand.asleep = false
		}
	}
}

// sleep has the template sleep again. One that does so soon after it was woken up is
// left alone for a while, as it may have left what woke it where it is.
func (k *keeper) sleep(now time.Time) {
	d := k.demand
	rule := k.startRule()
	if now.Sub(d.wokenAt) >= rule.resetAfter {
		d.quick = 0
	}
	d.quick++
	d.asleep, d.from = true, now.Add(rule.delay(d.quick))
	for _, s := range k.slots {
		s.forget()
	}
}

// doze looks whether the template is to sleep, and has its sockets watched while it does.
func (k *keeper) doze(now time.Time) {
	d := k.demand
	if d == nil || !k.recipe.OnDemand && d.watching == nil && d.look == nil {
		return
	}
	up := k.recipe.OnDemand && k.intent == up && !k.removing && !k.closing
	switch {
	case up && !d.asleep && k.allDone():
		k.sleep(now)
	case up && k.count == 0 && k.live == 0: // more are started when somebody connects
		d.asleep, d.from = true, time.Time{}
	}
	var want []Socket
	if up && d.asleep && k.count > 0 && k.live == 0 && d.fault == "" && !now.Before(d.from) {
		want = k.recipe.Sockets
	}
	k.watch(want)
	d.alarm = again(d.alarm, up && d.asleep && now.Before(d.from), d.from.Sub(now), func() { k.box.hand(func() {}) })
	k.lookForUse(now, up && !d.asleep && k.recipe.IdleTimeout != nil)
}

// again has f called after some time, if that is wanted, and not if not.
func again(t *time.Timer, wanted bool, after time.Duration, f func()) *time.Timer {
	if t != nil {
		t.Stop()
	}
	if !wanted {
		return nil
	}
	return time.AfterFunc(after, f)
}

// allDone says that all slots have had their process, which has ended as it should.
func (k *keeper) allDone() bool {
	if k.live > 0 || k.count == 0 || len(k.slots) < k.count {
		return false
	}
	for _, s := range k.slots[:k.count] {
		if s.rest != restDone {
			return false
		}
	}
	return true
}

// watch has these sockets watched, and no others.
func (k *keeper) watch(want []Socket) {
	w := k.demand.watching
	if w != nil && want != nil && sameSockets(w.sockets, want) {
		return
	}
	if w != nil {
		w.over.Store(true)
		k.m.launcher.post(w.end)
		k.demand.watching = nil
	}
	if want == nil {
		return
	}
	w = &watching{sockets: want}
	k.demand.watching = w
	k.m.launcher.post(func() {
		if err := k.m.watchSockets(k, w); err != nil {
			k.box.hand(func() { k.unwatchable(w, err) })
		}
	})
}

// watchSockets begins to watch. It runs in the launcher.
func (m *Manager) watchSockets(k *keeper, w *watching) error {
	files, err := m.sockets.acquire(k, w.sockets)
	if err != nil {
		return err
	}
	for i, f := range files {
		name := w.sockets[i].Name
		stop, err := m.readable.Watch(f, func() { k.box.hand(func() { k.knocked(w, name) }) })
		if err != nil {
			w.end()
			return err
		}
		w.stop = append(w.stop, stop)
	}
	return nil
}

func (w *watching) end() {
	for _, stop := range w.stop {
		stop()
	}
	w.stop = nil
}

// unwatchable: the sockets can't be watched now.
func (k *keeper) unwatchable(w *watching, err error) {
	if k.demand.watching != w {
		return
	}
	k.demand.watching = nil
	k.demand.fault = launchError(err)
	time.AfterFunc(watchAgain, func() { k.box.hand(func() { k.demand.fault = "" }) })
}

// knocked: somebody has connected.
func (k *keeper) knocked(w *watching, name string) {
	if k.demand.watching != w || !k.sleeps() {
		return
	}
	now := time.Now()
	k.demand.asleep, k.demand.wokenAt, k.demand.usedAt = false, now, now
	k.gate.passed = false // what it depends on was something else when it fell asleep
	k.publish(Event{Kind: KindStart, Message: "a connection on " + name})
}

// lookForUse looks now and then whether somebody is connected.
func (k *keeper) lookForUse(now time.Time, wanted bool) {
	d := k.demand
	if !wanted || k.live == 0 {
		d.look = again(d.look, false, 0, nil)
		d.usedAt = time.Time{}
		return
	}
	if d.look != nil {
		return
	}
	if d.usedAt.IsZero() {
		d.usedAt = now
	}
	pause := min(max(time.Duration(*k.recipe.IdleTimeout)/idleLooks, leastIdleLook), mostIdleLook)
	sockets := k.recipe.Sockets
	var t *time.Timer
	ready := make(chan struct{})
	t = time.AfterFunc(pause, func() {
		<-ready
		n, err := k.m.sockets.connections(sockets)
		k.box.hand(func() { k.looked(t, n, err) })
	})
	d.look = t
	close(ready)
}

// looked: so many are connected.
func (k *keeper) looked(t *time.Timer, n int, err error) {
	d := k.demand
	if d.look != t {
		return
	}
	d.look = nil
	now := time.Now()
	if n > 0 || err != nil || k.starting > 0 || k.restarting != nil {
		d.usedAt = now
		return
	}
	if now.Sub(d.usedAt) >= time.Duration(*k.recipe.IdleTimeout) {
		d.asleep, d.from, d.quick = true, time.Time{}, 0
	}
}

// connections counts who is connected through sockets.
func (s *sockets) connections(list []Socket) (n int, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for i := range list {
		f := list[i].File
		if l := s.open[list[i].address()]; l != nil && f == nil {
			f = l.file
		}
		if f == nil {
			return n, os.ErrClosed
		}
		m, e := proc.Connections(f)
		n, err = n+m, errors.Join(err, e)
	}
	return n, err
}

// expects is what a template that sleeps waits for.
func (k *keeper) expects() string {
	if k.demand.fault != "" {
		return k.demand.fault
	}
	names := make([]string, len(k.recipe.Sockets))
	for i, s := range k.recipe.Sockets {
		names[i] = s.Name
	}
	return waitsFor + strings.Join(names, ", ")
}
