package gaffer

import (
	"fmt"
	"sync/atomic"
	"time"

	"github.com/gafferpm/gaffer/internal/proc"
)

// keeper keeps the wanted number of processes of one template running. All its
// fields belong to its mailbox: its methods run there and never block. Requests
// change what is wanted; reconcile, which runs after each of them and after all
// else that happens, closes the gap between that and what is.
type keeper struct {
	m     *Manager
	name  string       // set once; anybody's
	shown atomic.Int32 // how many slots there are; anybody's to read
	box   mailbox

	// What is wanted.
	recipe     *recipe
	intent     intent
	wanted     bool // while it is fresh: it is to be started
	removing   bool
	closing    bool // the manager stops: nothing is started any more
	frozen     bool // nor is anything else done
	count      int  // the wanted number of processes
	why        string
	restarting *restarting // what a restart still has to do
	previous   *recipe     // what it was before the latest update
	gate       gate        // what it waits for before anything is started

	// What is.
	slots      []*slot // slots[i].n is i+1
	live       int     // processes that exist, or are about to
	starting   int     // those of them that are about to
	gaps       int     // slots without a current process
	cut        int     // no process from this slot on is left untold to stop
	flaps      flapping
	pauseUntil time.Time      // while it flaps: when the slots are filled again
	resumedAt  time.Time      // when the last such pause ended
	reason     string         // why it failed
	rollout    *RolloutStatus // how the latest one goes, or went
	gaveUp     string         // why it had failed when the manager before ended
	demand     *demand        // of one that is, or was, started on demand
	listening  []Socket       // what is to be open for it
	binding    int            // how often that is yet to be made so
	detaching  int            // detached processes that are being started
	asides     int            // hooks that are run and that nothing waits for
	storing    bool           // descriptors are kept for slots
	ended      bool           // removed, and nothing is left of it
	guarded    bool           // its memory is looked at

	agenda  *agenda     // nil without a schedule
	known   known       // what the Store was told
	timer   *time.Timer // wakes reconcile at the next time that something is due
	waiters []waiter
}

// intent is what is wanted of a template as a whole.
type intent int8

const (
	fresh  intent = iota // it was added and nobody has asked for anything yet
	up                   // it should run
	down                 // it should not
	failed               // it should not, because it crashed too often
)

// restarting is a restart that goes from slot to slot.
type restarting struct {
	before uint64 // processes with an id up to this one are to be replaced
	how    RestartMode
	roll   *rolling // nil: it goes from slot to slot
	err    error    // why it was given up
}

// waiter waits for something to be true of a keeper.
type waiter struct {
	until func() bool
	done  chan struct{}
}

func newKeeper(m *Manager, r *recipe) *keeper {
	k := &keeper{m: m, name: r.Name, recipe: r, wanted: r.starts(), count: r.wanted(), agenda: newAgenda(r)}
	k.mayDoze()
	k.box.after = k.reconcile
	return k
}

// reconcile closes the gap between what is wanted and what is.
func (k *keeper) reconcile() {
	if k.frozen {
		return
	}
	now := time.Now()
	k.resume(now)
	k.expire(now)
	k.scheduled()
	k.lookAtGate()
	k.doze(now)
	k.empty()
	k.restart()
	k.fill(now)
	k.release()
	k.trim()
	k.listen()
	k.shown.Store(int32(len(k.slots)))
	k.end()
	k.tellFacts()
	k.notify()
	k.guard()
	k.arm(now)
}

// size is how many slots should have a process.
func (k *keeper) size() int {
	if k.intent != up || k.removing || k.recipe.Detach || k.sleeps() {
		return 0
	}
	return k.count
}

// resume ends a pause that is over.
func (k *keeper) resume(now time.Time) {
	if k.pauseUntil.IsZero() || now.Before(k.pauseUntil) {
		return
	}
	k.pauseUntil, k.resumedAt = time.Time{}, now
	for _, s := range k.slots {
		s.retryAt = time.Time{}
	}
}

// empty tells the processes of slots that nobody wants any more to stop, the
// highest slot first.
func (k *keeper) empty() {
	if k.intent == fresh {
		return // what was found running is looked at when it is clear what is wanted
	}
	size := k.size()
	shrunk := size < k.cut
	k.cut = size
	if !shrunk {
		return
	}
	kind, why := KindReap, scaledDown
	if k.intent != up || k.removing {
		kind, why = KindStopPID, k.why
	} else if k.sleeps() {
		why = idled
	}
	for i := len(k.slots) - 1; i >= size; i-- {
		for _, p := range k.slots[i].processes() {
			k.leave(p, kind, why)
		}
	}
}

// restart goes on with a restart: it replaces the first slot that has an old
// process, once nothing is in between.
func (k *keeper) restart() {
	r := k.restarting
	if r == nil {
		return
	}
	if r.roll != nil {
		if k.goOn(r, time.Now()) {
			k.rolledOut(r)
		}
		return
	}
	for i := 0; i < min(k.size(), len(k.slots)); i++ {
		s := k.slots[i]
		p := s.current
		switch {
		case s.old != nil && p != nil && p.runs() && !s.old.leaving():
			k.leave(s.old, KindReap, "restarted") // it was left by something that is over
			return
		case s.old != nil, p == nil && !k.waits(s), p != nil && !p.runs():
			return // on its way
		case p == nil || p.id > r.before:
			continue
		case r.how == Overlap:
			s.old = p
			k.spawn(s)
			return
		}
		k.leave(p, KindReap, "restarted")
		return
	}
	k.restarting = nil
}

// waits says that an empty slot is left so for the time being.
func (k *keeper) waits(s *slot) bool {
	return !k.pauseUntil.IsZero() || !s.retryAt.IsZero() || s.rest != restless || k.idle()
}

// fill starts processes in the slots that are empty and need not wait.
func (k *keeper) fill(now time.Time) {
	if k.gaps == 0 && len(k.slots) >= k.size() || k.idle() {
		return
	}
	for n := 1; n <= k.size(); n++ {
		if n > len(k.slots) {
			k.slots = append(k.slots, &slot{n: n, since: now})
			k.gaps++
		}
		s := k.slots[n-1]
		if !s.retryAt.IsZero() && !now.Before(s.retryAt) {
			s.retryAt = time.Time{}
		}
		if s.current == nil && s.old == nil && !k.waits(s) && k.gate.passed {
			k.spawn(s)
		}
	}
}

// spawn has a process started in a slot.
func (k *keeper) spawn(s *slot) {
	p := &process{k: k, recipe: k.recipe, id: k.m.newID(), slot: s.n, state: Starting, since: time.Now()}
	p.log.Source, p.log.Limit = p, k.m.opts.TailBytes
	p.stored = s.duplicates()
	k.m.attachFollowers(p)
	if s.current == nil {
		k.gaps--
	}
	s.current = p
	k.live++
	k.starting++
	k.prepare(p)
}

// vacate takes a process out of its slot. With an overlap, one that was not
// replaced after all has the slot again.
func (k *keeper) vacate(s *slot, p *process) {
	k.live--
	if s.old == p {
		s.old = nil
		return
	}
	s.current, s.since = nil, time.Now()
	if s.old != nil && !s.old.leaving() {
		s.current, s.old = s.old, nil
		return
	}
	k.gaps++
}

// launched: a process was started.
func (k *keeper) launched(p *process, os proc.Process) {
	s := k.slots[p.slot-1]
	k.starting--
	p.os, p.state, p.since = os, Running, os.Started()
	if s.crashed {
		s.restarts++
	}
	s.crashed, s.reason = false, ""
	k.publishIn(s, p, Event{Kind: KindSpawn, Failures: s.crashes})
	if p.leaving() {
		k.tell(p)
		return
	}
	k.began(p)
	k.aside(p, p.recipe, hookPostStart)
}

// launchFailed: a process could not be started.
func (k *keeper) launchFailed(p *process, err error) {
	s := k.slots[p.slot-1]
	k.starting--
	k.vacate(s, p)
	reason := launchError(err)
	p.said = reason
	if p.leaving() {
		p.said = p.why
		k.cancelled(s, p)
		return
	}
	if k.rolloutOf(p) != nil {
		k.rolloutFailed(p.name() + " " + reason)
	}
	if r := k.restarting; r != nil && r.roll == nil {
		r.err = fmt.Errorf("%s: %s; the restart was given up", p.name(), reason)
		k.restarting = nil
	}
	if s.current != nil {
		return // the old one goes on
	}
	if k.agenda != nil {
		k.failedStart(s, p, reason)
		return
	}
	s.crashes++
	delay := k.startDelay(s)
	s.retryAt, s.reason = time.Now().Add(delay), reason
	k.publishIn(s, p, Event{
		Kind: KindBackoff, Failures: s.crashes, RetryAt: s.retryAt,
		Message: reason + nextTry + round(delay).String(),
	})
}

// startDelay is how long to wait after a start that has failed: that is never tried again
// without a pause.
func (k *keeper) startDelay(s *slot) time.Duration {
	rule := k.startRule()
	return max(rule.shake(rule.step(s.crashes-1)), time.Millisecond)
}

// startRule is the rule of back-off where there has to be one.
func (k *keeper) startRule() backoffRule {
	rule := k.recipe.backoff()
	if rule.first == 0 {
		rule = (*Backoff)(nil).rule()
	}
	return rule
}

// leave tells a process to stop, for that reason.
func (k *keeper) leave(p *process, kind Kind, why string) {
	if p.leaving() {
		return
	}
	p.why, p.leave = why, kind
	p.unwatch()
	if p.state == Starting {
		p.withdrawn.Store(true)
		p.giveUpHooks()
		return // it is told as soon as it runs
	}
	k.tell(p)
}

// tell tells a process that runs to stop, and kills it when its time is over.
func (k *keeper) tell(p *process) {
	k.publishOf(p, p.leave, p.why)
	k.urge(p)
}

// exited: a process has ended, and all that it had started.
func (k *keeper) exited(p *process, e proc.Exit) {
	s := k.slots[p.slot-1]
	exit := p.exit(e)
	asked, replaced := p.leaving(), s.old == p
	p.ended = exit
	k.noteRecovery(p, exit.Time)
	s.lastExit, s.lastLog = exit, &p.log
	p.unwatch()
	if p.patience != nil {
		p.patience.Stop()
	}
	switch {
	case replaced, asked && !k.failedItself(s, p):
		event := Event{Kind: KindExit, Exit: exit}
		if !replaced && k.cancelled(s, p) {
			event.Message = saysDone
		}
		k.publishIn(s, p, event)
		k.bury(s, p, exit, false, false)
		return
	case k.rolloutOf(p) != nil && !k.doneBy(p, exit):
		k.rolloutFailed(fmt.Sprintf("%s: %s", p.name(), p.whyFailed(exit)))
		if s.old != nil && !s.old.leaving() { // it goes on
			k.publishIn(s, p, Event{Kind: KindExit, Exit: exit})
			k.bury(s, p, exit, true, false)
			return
		}
	}
	if s.old != nil && !s.old.leaving() && k.rolloutOf(p) == nil { // it goes on, and nothing has happened to the slot
		if r := k.restarting; r != nil {
			r.err = fmt.Errorf("%s: the new process has failed: %s; the restart was given up", p.name(), p.whyFailed(exit))
			k.restarting = nil
		}
		k.publishIn(s, p, Event{Kind: KindExit, Exit: exit, Message: "the one before goes on"})
		k.bury(s, p, exit, true, false)
		return
	}
	if k.rests(s, p, exit) {
		k.bury(s, p, exit, true, s.rest == restFailed)
		return
	}
	k.crashed(s, p, exit)
	k.bury(s, p, exit, true, k.intent == failed)
	if exit.Status > 0 && (k.waits(s) || k.intent == failed) {
		go k.findCause(p)
	}
}

// crashed: a process has ended and nobody asked for it.
func (k *keeper) crashed(s *slot, p *process, exit *Exit) {
	rule := k.recipe.backoff()
	if !p.readyAt.IsZero() && exit.Time.Sub(p.readyAt) >= rule.resetAfter {
		s.crashes = 0
	}
	s.crashes++
	s.crashed, s.reason = true, exit.Reason
	event := Event{Kind: KindExit, Exit: exit, Failures: s.crashes}
	if !k.pauseUntil.IsZero() {
		event.RetryAt, event.Message = k.pauseUntil, "next try in "+round(time.Until(k.pauseUntil)).String()
		k.publishIn(s, p, event)
		return
	}
	if k.recipe.Flapping != nil && k.flap(s, p, event) {
		return
	}
	delay := rule.delay(s.crashes)
	if p.fault == notReady {
		delay = k.startDelay(s)
	}
	if delay == 0 {
		event.Message = "replaced at once"
		k.publishIn(s, p, event)
		return
	}
	s.retryAt = time.Now().Add(delay)
	event.RetryAt, event.Message = s.retryAt, fmt.Sprintf("next try in %s (%s crash in a row)", round(delay), ordinal(s.crashes))
	k.publishIn(s, p, event)
	k.publishIn(s, p, Event{
		Kind: KindBackoff, Failures: s.crashes, RetryAt: s.retryAt, Message: exit.Reason + "; " + event.Message,
	})
}

// flap counts a crash, which is told by that event, and says whether that makes the
// template pause or fail.
func (k *keeper) flap(s *slot, p *process, event Event) bool {
	rule, exit := k.recipe.Flapping.rule(), event.Exit
	v := k.flaps.crashed(exit.Time, rule, k.recovered(exit.Time, rule.window))
	tooMany := fmt.Sprintf("%s within %s", plural(rule.attempts, "crash", "crashes"), rule.window)
	switch v {
	case pause:
		k.pauseUntil = time.Now().Add(rule.retryIn)
		next := fmt.Sprintf("next try in %s (pause %d", rule.retryIn, k.flaps.pauses)
		if rule.maxRetry > 0 {
			next += fmt.Sprintf(" of %d", rule.maxRetry)
		}
		next += ")"
		event.RetryAt, event.Message = k.pauseUntil, next
		k.publishIn(s, p, event)
		k.publish(Event{Kind: KindFlap, Pauses: k.flaps.pauses, RetryAt: k.pauseUntil, Message: tooMany + "; " + next})
		return true
	case giveUp:
		k.intent, k.why = failed, "failed"
		k.reason = fmt.Sprintf("%s, after %s; given up", tooMany, plural(rule.maxRetry, "pause", "pauses"))
		event.Message = "not replaced"
		k.publishIn(s, p, event)
		k.publish(Event{Kind: KindFail, Message: k.reason + gaveUpOf + exit.Reason + ")"})
		return true
	}
	return false
}

// recovered says whether something that runs was started after the last pause and
// has run for longer than window.
func (k *keeper) recovered(at time.Time, window time.Duration) bool {
	for _, s := range k.slots {
		if s.current != nil && k.ranSince(s.current, at, window) {
			return true
		}
	}
	return false
}

// noteRecovery forgets the pauses because of one that has ended, in whatever way,
// after such a run.
func (k *keeper) noteRecovery(p *process, at time.Time) {
	if f := k.recipe.Flapping; f != nil && k.ranSince(p, at, f.rule().window) {
		k.flaps.pauses = 0
	}
}

func (k *keeper) ranSince(p *process, at time.Time, window time.Duration) bool {
	return p.os != nil && !p.os.Started().Before(k.resumedAt) && at.Sub(p.os.Started()) > window
}

// trim forgets the empty slots above the wanted number.
func (k *keeper) trim() {
	if (k.intent != up || k.sleeps()) && !k.removing {
		return // a stopped template's slots remember how it ended
	}
	for n := len(k.slots); n > k.size(); n-- {
		if s := k.slots[n-1]; s.current != nil || s.old != nil {
			return
		}
		k.slots = k.slots[:n-1]
		k.gaps--
	}
}

// end ends a keeper whose template was removed, when nothing is left of it.
func (k *keeper) end() {
	if !k.removing || k.ended || k.live > 0 || k.detaching > 0 || k.binding > 0 {
		return
	}
	k.ended = true
	k.m.forget(k, func() { k.publish(Event{Kind: KindDelete}) })
}

// arm sets the timer to the next time that something is due.
func (k *keeper) arm(now time.Time) {
	due := k.due(now)
	switch {
	case due.IsZero():
		if k.timer != nil {
			k.timer.Stop()
			k.timer = nil
		}
	case k.timer == nil:
		k.timer = time.AfterFunc(due.Sub(now), func() { k.box.hand(func() {}) })
	default:
		k.timer.Reset(due.Sub(now))
	}
}

// due is when a slot is to be filled that has to wait, or a process to end, zero if
// there is none. A timer
// that rings for something long past does no harm: reconcile looks at the time.
func (k *keeper) due(now time.Time) time.Time {
	if k.size() == 0 {
		return time.Time{}
	}
	due := sooner(sooner(k.expiry(), k.gate.again()), sooner(k.rolloutDue(), k.agendaDue(now)))
	if !k.pauseUntil.IsZero() {
		return sooner(due, k.pauseUntil)
	}
	if k.gaps == 0 || k.idle() {
		return due
	}
	for _, s := range k.slots[:min(k.size(), len(k.slots))] {
		if s.current == nil && !s.retryAt.IsZero() {
			due = sooner(due, s.retryAt)
		}
	}
	return due
}

// publish publishes an event of the template.
func (k *keeper) publish(e Event) {
	e.Name, e.Group = k.name, groupOf(k.name)
	k.m.publish(e)
}

// publishOf publishes an event of one process.
func (k *keeper) publishOf(p *process, kind Kind, message string) {
	e := Event{Kind: kind, ID: p.id, Slot: p.slot, Message: message}
	if p.os != nil {
		e.PID = p.os.PID()
	}
	k.publish(e)
}

// publishIn publishes an event of a process and of what its slot has been through.
func (k *keeper) publishIn(s *slot, p *process, e Event) {
	e.ID, e.Slot, e.Restarts = p.id, p.slot, s.restarts
	if p.os != nil {
		e.PID = p.os.PID()
	}
	k.publish(e)
}

// What events say, and what is read in them by the next manager.
const (
	scaledDown = "scaled down"
	replacing  = "replacing its processes"
	nextTry    = "; next try in "
	gaveUpOf   = " ("
)

// round makes a duration short to read.
func round(d time.Duration) time.Duration {
	if d < time.Second {
		return d.Round(time.Millisecond)
	}
	return d.Round(100 * time.Millisecond)
}

func ordinal(n int) string {
	suffix := "th"
	switch {
	case n%100 >= 11 && n%100 <= 13:
	case n%10 == 1:
		suffix = "st"
	case n%10 == 2:
		suffix = "nd"
	case n%10 == 3:
		suffix = "rd"
	}
	return fmt.Sprintf("%d%s", n, suffix)
}
