package gaffer

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"time"
)

// What a keeper is asked to do. These run in its mailbox; each changes what is
// wanted and returns when that is so: a condition for wait, with the error there
// is to tell by then.

type outcome struct {
	until func() bool
	err   func() error
	tried func() bool // others need not wait any longer; nil: as until
}

// asked is what a keeper was asked to do.
type asked struct {
	k     *keeper
	o     outcome
	done  chan struct{} // closed when it is as it was asked to be
	tried chan struct{} // closed when others need not wait any longer; nil: that is done
}

// wait waits until it is as it was asked to be.
func (a *asked) wait(ctx context.Context) error { return a.k.await(ctx, a.done, a.o) }

// waitTried waits until others need not wait for it any longer.
func (a *asked) waitTried(ctx context.Context) error {
	if a.tried == nil {
		return a.wait(ctx)
	}
	return a.k.await(ctx, a.tried, outcome{})
}

func (k *keeper) start() (outcome, error) {
	if err := k.usable(); err != nil {
		return outcome{}, err
	}
	k.begin()
	if k.recipe.Detach {
		return k.detach(), nil
	}
	return outcome{until: k.settled, tried: k.tried}, nil
}

// begin makes the template wanted.
func (k *keeper) begin() {
	event := Event{Kind: KindStart}
	kept := k.rearm(&event)
	k.intent, k.reason, k.gaveUp = up, "", ""
	k.flaps, k.pauseUntil, k.resumedAt = flapping{}, time.Time{}, time.Time{}
	if !kept {
		k.gate = gate{passed: k.gate.passed && k.live > 0}
		for _, s := range k.slots {
			s.forget()
		}
	}
	k.settleDown()
	k.publish(event)
}

// detach starts detached processes, which are then forgotten.
func (k *keeper) detach() outcome {
	var failed error
	pending := k.count
	k.detaching += pending
	for n := 1; n <= k.count; n++ {
		p := &process{k: k, recipe: k.recipe, id: k.m.newID(), slot: n, state: Starting}
		k.m.launchDetached(p, func(pid int, err error) {
			k.detaching--
			pending--
			if err != nil {
				failed = named(k.name, fmt.Errorf("%s", launchError(err)))
				k.reason = launchError(err)
				k.publish(Event{Kind: KindBackoff, ID: p.id, Slot: p.slot, Message: k.reason + "; not tried again"})
				return
			}
			k.publish(Event{Kind: KindSpawn, ID: p.id, Slot: p.slot, PID: pid, Message: "detached"})
		})
	}
	return outcome{until: func() bool { return pending == 0 }, err: func() error { return failed }}
}

func (k *keeper) stop(why string) outcome {
	if k.recipe.Detach {
		return outcome{} // what it started is left alone
	}
	before := k.m.lastID()
	if k.intent == fresh || k.intent == up {
		k.publish(Event{Kind: KindStop})
	}
	k.superseded(why)
	k.intent, k.why = down, why
	k.pauseUntil, k.reason = time.Time{}, ""
	without := k.without(before)
	return outcome{until: func() bool { return without() && k.binding == 0 }}
}

// close stops the template for good, because the manager stops.
func (k *keeper) close() outcome {
	k.closing = true
	stopped := k.stop("the manager stops")
	return outcome{until: func() bool { return k.asides == 0 && (stopped.until == nil || stopped.until()) }}
}

func (k *keeper) remove() outcome {
	if !k.removing && k.intent == up {
		k.publish(Event{Kind: KindStop})
	}
	k.superseded("removed")
	k.removing, k.intent, k.why = true, down, "removed"
	return outcome{until: func() bool { return k.ended }}
}

// restartAll replaces all processes. exact says that the template was named,
// not just met by a glob: then it is also started if it was stopped. why is for the
// event, "" when somebody just asked.
func (k *keeper) restartAll(how RestartMode, exact bool, why string) (outcome, error) {
	if err := k.usable(); err != nil {
		return outcome{}, err
	}
	switch {
	case k.recipe.Detach && exact:
		return outcome{}, conflictf("template %s: it is detached; start runs it again", k.name)
	case k.recipe.Detach || k.intent != up && !exact:
		return outcome{}, nil
	case k.agenda != nil && why != "":
		return k.runAgain(why), nil
	case k.agenda != nil:
		return k.restartRuns(), nil
	}
	k.publish(Event{Kind: KindRestart, Message: why})
	if k.intent != up {
		k.begin()
		return outcome{until: k.settled}, nil
	}
	if k.recipe.Rollout != nil && k.live > 0 {
		return k.follow(k.roll(nil, k.previous)), nil
	}
	return k.follow(k.replaceSlots(how)), nil
}

// replaceSlots has all processes replaced, slot after slot.
func (k *keeper) replaceSlots(how RestartMode) *restarting {
	k.superseded("something else was asked for")
	r := &restarting{before: k.m.lastID(), how: how}
	k.restarting = r
	k.flaps, k.pauseUntil = flapping{}, time.Time{}
	for _, s := range k.slots {
		s.forget()
	}
	return r
}

// stopOne stops one process, which is replaced if its template is wanted.
func (k *keeper) stopOne(p *process, kind Kind, why string) outcome {
	k.leave(p, kind, why)
	if p.slot <= len(k.slots) {
		k.slots[p.slot-1].forget()
	}
	return outcome{until: func() bool { return !k.has(p) && (kind != KindReap || k.settled()) }}
}

// restartOne replaces one process. The new one is started first if that is asked for, or
// is how the template's rollouts go.
func (k *keeper) restartOne(p *process, how RestartMode) (outcome, error) {
	s := k.at(p.slot)
	if s != nil && s.current == p && s.old != nil && !s.old.leaving() && !p.runs() {
		return outcome{}, conflictf("%s: it is being restarted", p.name())
	}
	first := how == Overlap || k.recipe.Rollout != nil && k.recipe.Rollout.rule().surge > 0
	if !first || k.agenda != nil || k.intent != up || k.restarting != nil || p.slot > k.size() ||
		s == nil || s.current != p || s.old != nil || !p.runs() {
		return k.stopOne(p, KindReap, "restarted"), nil
	}
	s.forget()
	s.old = p
	k.spawn(s)
	next := s.current
	failed := func() bool { return s.current != next && k.has(p) && !p.leaving() }
	return outcome{
		until: func() bool { return failed() || !k.has(p) && k.settled() },
		err: func() error {
			if !failed() {
				return nil
			}
			return conflictf("%s: the new process has failed: %s; the old one goes on", p.name(), next.said)
		},
	}, nil
}

func (k *keeper) scale(c Change, why string) (int, outcome, error) {
	if err := k.usable(); err != nil {
		return 0, outcome{}, err
	}
	n := c.apply(k.count)
	if n > MaxProcesses {
		return 0, outcome{}, invalidf("template %s: %d processes: more than %d", k.name, n, MaxProcesses)
	}
	if err := checkPorts(k.name, k.recipe.Port, n); err != nil {
		return 0, outcome{}, err
	}
	k.resize(n, why)
	return n, outcome{until: func() bool { return k.settled() && k.fits() }}, nil
}

func checkPorts(name string, port, n int) error {
	if port > 0 && port+n-1 > 65535 {
		return invalidf("template %s: with port %d and %d processes the last port is beyond 65535", name, port, n)
	}
	return nil
}

func (k *keeper) resize(n int, why string) {
	message := fmt.Sprintf("numprocesses %d, was %d", n, k.count)
	if why != "" {
		message = fmt.Sprintf("scaled from %d to %d: %s", k.count, n, why)
	}
	k.publish(Event{Kind: KindUpdate, Message: message})
	k.count = n
}

// update takes a new recipe. A wanted number that was changed by scale stays,
// unless the templates differ in theirs.
func (k *keeper) update(r *recipe) (outcome, error) {
	if err := k.usable(); err != nil {
		return outcome{}, err
	}
	was, count := k.recipe, k.count
	if r.wanted() != was.wanted() {
		count = r.wanted()
	}
	if err := checkPorts(r.Name, r.Port, count); err != nil {
		return outcome{}, err
	}
	same := !was.replaces(r)
	good, before := k.lastGood()
	event := Event{Kind: KindUpdate}
	k.setRecipe(r)
	k.reschedule(was, &event)
	k.previous, k.count = good, count
	if was.OnDemand != r.OnDemand && k.intent == up {
		k.settleDown()
	}
	switch {
	case k.intent != up || k.live == 0:
	case same:
		event.Message = "without a restart"
	default:
		event.Message = replacing
	}
	k.publish(event)
	switch {
	case same:
		return outcome{until: func() bool { return k.settled() && k.fits() }}, nil
	case r.Detach && k.intent == up:
		k.replaceAll("updated")
		return k.detach(), nil
	case r.Rollout != nil && k.intent == up && k.live > 0 && !was.Detach && was.Schedule == nil:
		return k.follow(k.roll(good, before)), nil
	}
	last := k.m.lastID()
	k.replaceAll("updated")
	k.flaps, k.pauseUntil, k.resumedAt = flapping{}, time.Time{}, time.Time{}
	without := k.without(last)
	return outcome{until: func() bool { return without() && k.settled() && k.fits() }}, nil
}

// setRecipe has the template be another one from now on, for all but what its processes
// depend on.
func (k *keeper) setRecipe(r *recipe) {
	was := k.recipe
	k.recipe = r
	k.mayDoze()
	if !reflect.DeepEqual(was.DependsOn, r.DependsOn) {
		k.m.mu.Lock()
		k.m.learn(k, r.DependsOn)
		k.m.mu.Unlock()
	}
	k.reconsider()
	if logs := k.m.opts.Logs; logs != nil && !reflect.DeepEqual(was.Logs, r.Logs) {
		logs.Bound(k.name, r.Logs)
	}
	if (!reflect.DeepEqual(was.Ready, r.Ready) || !reflect.DeepEqual(was.Health, r.Health)) && was.sameProcess(r) {
		k.rewatch()
	}
}

// follow waits for the end of a restart.
func (k *keeper) follow(r *restarting) outcome {
	return outcome{
		until: func() bool { return k.restarting != r && !k.goesBack() && k.settled() },
		err:   func() error { return r.err },
	}
}

// priority asks for the template's priority.
func (k *keeper) priority() (p int) {
	// Nothing ends the waiting, which a keeper keeps short.
	_ = k.box.do(context.Background(), func() { p = k.recipe.Priority })
	return p
}

// detaches asks whether the template's processes are left alone.
func (k *keeper) detaches() (is bool) {
	// Nothing ends the waiting, which a keeper keeps short.
	_ = k.box.do(context.Background(), func() { is = k.recipe.Detach })
	return is
}

// replaceAll tells all processes to stop, whose slots are then filled anew.
func (k *keeper) replaceAll(why string) {
	k.superseded("something else was asked for")
	for i := len(k.slots) - 1; i >= 0; i-- {
		k.slots[i].forget()
		for _, p := range k.slots[i].processes() {
			k.leave(p, KindReap, why)
		}
	}
}

// usable says why nothing more can be asked of the template, nil if it can.
func (k *keeper) usable() error {
	switch {
	case k.closing:
		return ErrClosed
	case k.removing:
		return notFoundf("template %s: not found", k.name)
	}
	return nil
}

// settled says that every slot that is wanted was tried.
func (k *keeper) settled() bool {
	if k.starting > 0 && k.size() > 0 || k.binding > 0 {
		return false
	}
	if k.idle() {
		return true
	}
	if !k.gate.passed && k.size() > 0 && k.live == 0 {
		return k.gate.stuck
	}
	for n := 1; n <= k.size(); n++ {
		if n > len(k.slots) {
			return false
		}
		s := k.slots[n-1]
		if s.current == nil && !k.waits(s) && k.gate.passed || s.current != nil && !s.current.runs() {
			return false
		}
	}
	return true
}

// tried says that every slot that is wanted has a process that runs, ready or not, or
// waits for something.
func (k *keeper) tried() bool {
	if k.starting > 0 && k.size() > 0 || k.binding > 0 {
		return false
	}
	if k.idle() {
		return true
	}
	for n := 1; n <= k.size() && k.gate.passed; n++ {
		if s := k.at(n); s == nil || s.current == nil && !k.waits(s) || s.current != nil && s.current.state != Running {
			return false
		}
	}
	return true
}

// fits says that no process is left above the wanted number.
func (k *keeper) fits() bool {
	for _, s := range k.slots[min(k.size(), len(k.slots)):] {
		if s.current != nil || s.old != nil {
			return false
		}
	}
	return true
}

// without is the condition that no process is left with an id up to last.
func (k *keeper) without(last uint64) func() bool {
	return func() bool {
		for _, s := range k.slots {
			if s.old != nil && s.old.id <= last || s.current != nil && s.current.id <= last {
				return false
			}
		}
		return true
	}
}

func (k *keeper) has(p *process) bool {
	s := k.at(p.slot)
	return s != nil && (s.current == p || s.old == p)
}

func (k *keeper) at(n int) *slot {
	if n < 1 || n > len(k.slots) {
		return nil
	}
	return k.slots[n-1]
}

// selected are the processes of a selection, in the order of slots.
func (k *keeper) selected(sel selection) []*process {
	var all []*process
	for _, s := range k.slots {
		for _, p := range s.processes() {
			if sel.process(k.name, p.slot, p.id) {
				all = append(all, p)
			}
		}
	}
	return all
}

// request runs f in the keeper's mailbox and then waits for what f says.
func (k *keeper) request(ctx context.Context, f func() (outcome, error)) error {
	asked, kept, err := k.ask(ctx, f)
	if err != nil {
		return err
	}
	unkept := k.m.keep(ctx, kept)
	return errors.Join(unkept, asked.wait(ctx))
}

// ask runs f in the keeper's mailbox and does not wait for the outcome, so that several
// keepers can be asked in order and waited for together. What is to be kept by then is
// nil if it has not changed.
func (k *keeper) ask(ctx context.Context, f func() (outcome, error)) (*asked, *Kept, error) {
	a := &asked{k: k, done: make(chan struct{})}
	var kept *Kept
	var err error
	// The request is made whether or not the caller waits for it.
	if e := k.box.do(context.WithoutCancel(ctx), func() {
		a.o, err = f()
		kept = k.unkept()
		if err != nil || a.o.until == nil {
			close(a.done)
			return
		}
		k.waiters = append(k.waiters, waiter{a.o.until, a.done})
		if a.o.tried != nil {
			a.tried = make(chan struct{})
			k.waiters = append(k.waiters, waiter{a.o.tried, a.tried})
		}
	}); e != nil {
		return nil, nil, e
	}
	if err != nil {
		return nil, nil, err
	}
	return a, kept, nil
}

// await waits until a request's outcome is there.
func (k *keeper) await(ctx context.Context, done chan struct{}, o outcome) error {
	select {
	case <-done: // even if the context has ended, too
	default:
		select {
		case <-done:
		case <-ctx.Done():
			k.box.hand(func() { k.unwait(done) })
			return ctx.Err()
		}
	}
	if o.err == nil {
		return nil
	}
	var result error
	if e := k.box.do(context.WithoutCancel(ctx), func() { result = o.err() }); e != nil {
		return e
	}
	return result
}

// unwait forgets a waiter who has left.
func (k *keeper) unwait(done chan struct{}) {
	k.waiters = slices.DeleteFunc(k.waiters, func(w waiter) bool { return w.done == done })
}

// notify tells those whose condition has come true.
func (k *keeper) notify() {
	kept := k.waiters[:0]
	for _, w := range k.waiters {
		if w.until() {
			close(w.done)
			continue
		}
		kept = append(kept, w)
	}
	clear(k.waiters[len(kept):])
	k.waiters = kept
	if len(kept) == 0 {
		k.waiters = nil
	}
}
