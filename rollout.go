package gaffer

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"
)

// Rollout says how processes are replaced by a restart, and by an update of what they
// depend on: a few at a time, and the old ones go on until the new ones are ready. What
// does not become ready ends it, and the template that was good is back.
type Rollout struct {
	// Order is "start-first": a new process is ready before the old one of its slot is
	// asked to stop, or "stop-first". Default "start-first".
	Order string `json:"order,omitempty" toml:"order,omitempty"`
	// MaxSurge is how many processes more than wanted there may be. Default 1; with
	// "stop-first" there are none.
	MaxSurge *int `json:"max_surge,omitempty" toml:"max_surge,omitempty"`
	// MaxUnavailable is how many slots may be without a ready process. Default 0; with
	// "stop-first" 1.
	MaxUnavailable *int `json:"max_unavailable,omitempty" toml:"max_unavailable,omitempty"`
	// Drain is the time between a new process being ready and the old one of its slot being
	// asked to stop. Default 0.
	Drain Duration `json:"drain,omitempty" toml:"drain,omitempty"`
	// Timeout is how long all of it may take. Default 10m.
	Timeout Duration `json:"timeout,omitempty" toml:"timeout,omitempty"`
}

// The orders of a rollout.
const (
	StartFirstOrder = "start-first"
	StopFirstOrder  = "stop-first"
)

// DefaultRolloutTimeout is how long a rollout may take.
const DefaultRolloutTimeout = 10 * time.Minute

// RolloutStatus is how the latest rollout of a template went, or goes.
type RolloutStatus struct {
	State  string    `json:"state"` // "rolling", "done", "failed", or "rolled-back"
	Since  time.Time `json:"since"`
	Done   int       `json:"done"`  // slots that have a new process which is ready
	Total  int       `json:"total"` // slots
	Reason string    `json:"reason,omitempty"`
}

// The states of a rollout.
const (
	RolloutRolling    = "rolling"
	RolloutDone       = "done"
	RolloutFailed     = "failed" // it was stopped, and there was nothing to go back to
	RolloutRolledBack = "rolled-back"
)

func (r *Rollout) validate(f *faults, t *Template) {
	if r == nil {
		return
	}
	if t.Detach {
		f.add("detach", "a detached program is not replaced: leave out rollout")
	}
	surge, unavailable := r.MaxSurge, r.MaxUnavailable
	switch r.Order {
	case "", StartFirstOrder:
	case StopFirstOrder:
		if surge != nil && *surge != 0 {
			f.add("rollout.max_surge", "%d: with order = stop-first there is none more", *surge)
		}
	default:
		f.add("rollout.order", "%q: want start-first or stop-first", r.Order)
	}
	if surge != nil && *surge < 0 {
		f.add("rollout.max_surge", "%d: must not be negative", *surge)
	}
	if unavailable != nil && *unavailable < 0 {
		f.add("rollout.max_unavailable", "%d: must not be negative", *unavailable)
	}
	if rule := r.rule(); rule.surge == 0 && rule.unavailable == 0 {
		f.add("rollout", "max_surge and max_unavailable are both 0: nothing could be replaced")
	}
	if r.Drain < 0 {
		f.add("rollout.drain", "%s: must not be negative", r.Drain)
	}
	if r.Timeout < 0 {
		f.add("rollout.timeout", "%s: must not be negative", r.Timeout)
	}
}

// rolloutRule is a Rollout with its defaults filled in.
type rolloutRule struct {
	surge, unavailable int
	drain, timeout     time.Duration
}

func (r *Rollout) rule() rolloutRule {
	rule := rolloutRule{surge: 1, drain: time.Duration(r.Drain), timeout: DefaultRolloutTimeout}
	if r.Order == StopFirstOrder {
		rule.surge, rule.unavailable = 0, 1
	}
	if r.MaxSurge != nil {
		rule.surge = *r.MaxSurge
	}
	if r.MaxUnavailable != nil {
		rule.unavailable = *r.MaxUnavailable
	}
	if r.Timeout != 0 {
		rule.timeout = time.Duration(r.Timeout)
	}
	return rule
}

// rolling is a rollout in progress. It belongs to its keeper.
type rolling struct {
	rolloutRule
	good     *recipe   // what to go back to; nil: there is nothing else
	previous *recipe   // what the template was before good
	back     bool      // it goes back already
	until    time.Time // when it has to be done
}

// outdated says whether a process is to be replaced.
func (r *restarting) outdated(k *keeper, p *process) bool {
	if p.id > r.before {
		return false
	}
	// On the way back, and to another template, what is as it should be already is good.
	return r.roll == nil || !r.roll.back && r.roll.good == nil || !p.recipe.sameProcess(k.recipe)
}

// roll begins a rollout. good is the recipe that the template had, if another one is to
// follow it, and previous the one before that.
func (k *keeper) roll(good, previous *recipe) *restarting {
	rule := k.recipe.Rollout.rule()
	r := k.replaceSlots(Overlap)
	for _, s := range k.slots { // what an earlier rollout was about to put in the place of one that serves
		if p := s.current; s.old != nil && !s.old.leaving() && p != nil && !p.runs() {
			k.leave(p, KindReap, "replaced")
		}
	}
	r.roll = &rolling{rolloutRule: rule, good: good, previous: previous, until: time.Now().Add(rule.timeout)}
	k.rollout = &RolloutStatus{State: RolloutRolling, Since: time.Now()}
	k.publish(Event{Kind: KindRollout, Message: rolloutBegun})
	return r
}

// lastGood is the recipe to go back to if another one comes now, and the one before that:
// a recipe whose rollout is not done was never good.
func (k *keeper) lastGood() (good, before *recipe) {
	if r := k.restarting; r != nil && r.roll != nil && !r.roll.back && r.roll.good != nil {
		return r.roll.good, r.roll.previous
	}
	return k.recipe, k.previous
}

// superseded ends a restart because something else was asked for before it was done.
func (k *keeper) superseded(by string) {
	r := k.restarting
	if r == nil {
		return
	}
	k.restarting = nil
	if r.roll == nil || r.roll.back {
		return
	}
	r.err = fmt.Errorf("rollout: %s before it was done", by)
	k.rollout = &RolloutStatus{State: RolloutFailed, Since: time.Now(), Reason: by + " before it was done"}
	k.publish(Event{Kind: KindRollout, Message: rolloutGivenUp + k.rollout.Reason})
}

// goOn replaces as many processes as may be replaced just now. It says whether all are.
func (k *keeper) goOn(r *restarting, now time.Time) (done bool) {
	roll := r.roll
	if !now.Before(roll.until) {
		k.rolloutFailed("it took longer than " + roll.timeout.String())
		return false
	}
	surge, missing, left := 0, 0, 0
	slots := k.slots[:min(k.size(), len(k.slots))]
	for _, s := range slots {
		p := s.current
		switch {
		case s.old != nil:
			left++
			if p != nil && p.runs() && !s.old.leaving() && !now.Before(p.readyAt.Add(roll.drain)) {
				k.leave(s.old, KindReap, "replaced")
			}
			surge++
		case p == nil:
			if !k.waits(s) { // else it is not a matter of the rollout
				left++
				missing++
			}
		case !p.runs():
			left++
			missing++
		case r.outdated(k, p):
			left++
		}
	}
	for _, s := range slots {
		p := s.current
		if s.old != nil || p == nil || p.leaving() || !r.outdated(k, p) {
			continue
		}
		switch {
		case s.rest == restDone: // the new one has done what it should already
			k.leave(p, KindReap, "replaced")
		case !p.runs() && missing > 0: // it is missing already
			k.leave(p, KindReap, "replaced")
		case missing < roll.unavailable && roll.surge <= surge:
			missing++
			k.leave(p, KindReap, "replaced")
		case surge < roll.surge:
			surge++
			s.old = p
			k.spawn(s)
		default:
			return false
		}
	}
	return left == 0
}

// rolledOut: all processes were replaced.
func (k *keeper) rolledOut(r *restarting) {
	k.restarting = nil
	if r.roll.back {
		return // it was told when it began
	}
	k.rollout = &RolloutStatus{State: RolloutDone, Since: time.Now()}
	k.publish(Event{Kind: KindRollout, Message: rolloutDone})
}

// goesBack says that a rollout is on its way back.
func (k *keeper) goesBack() bool {
	r := k.restarting
	return r != nil && r.roll != nil && r.roll.back
}

// rolloutOf is the rollout in progress that a process is a new one of, nil if there is
// none.
func (k *keeper) rolloutOf(p *process) *restarting {
	if r := k.restarting; r != nil && r.roll != nil && p.id > r.before {
		return r
	}
	return nil
}

// rolloutFailed stops a rollout, and has the processes back that were good.
func (k *keeper) rolloutFailed(why string) {
	r := k.restarting
	k.restarting = nil
	if r.roll.back {
		return // what runs now is looked after as always
	}
	status := &RolloutStatus{State: RolloutFailed, Since: time.Now(), Reason: why}
	k.rollout = status
	said := "it was stopped"
	if good := r.roll.good; good != nil {
		status.State, said = RolloutRolledBack, wasRolledBack
		k.setRecipe(good)
		k.previous = r.roll.previous
		k.restarting = &restarting{before: k.m.lastID(), roll: &rolling{
			rolloutRule: r.roll.rolloutRule, back: true, until: time.Now().Add(r.roll.timeout),
		}}
		k.m.keepLater(k)
	}
	r.err = fmt.Errorf("rollout: %s; %s", why, said)
	k.publish(Event{Kind: KindRollback, Message: why + "; " + said})
	for _, s := range k.slots {
		// What was about to replace what still runs is not needed any more.
		if p := s.current; s.old != nil && !s.old.leaving() && p != nil && p.id > r.before {
			k.leave(p, KindReap, "the rollout has failed")
		}
	}
}

// keepLater has the Store keep what has changed without anybody asking for it.
func (m *Manager) keepLater(k *keeper) {
	if m.opts.Store == nil {
		return
	}
	go func() {
		ctx := context.Background()
		var kept *Kept
		if k.box.do(ctx, func() { kept = k.unkept() }) != nil {
			return
		}
		if err := m.keep(ctx, kept); err != nil {
			m.logger.Error("what a template was rolled back to is not kept", "template", k.name, "reason", err)
		}
	}()
}

// rolloutDue is when a rollout has something to do next, zero if there is none.
func (k *keeper) rolloutDue() (due time.Time) {
	r := k.restarting
	if r == nil || r.roll == nil {
		return due
	}
	due = r.roll.until
	for _, s := range k.slots {
		if p := s.current; s.old != nil && p != nil && p.runs() && !s.old.leaving() {
			due = sooner(due, p.readyAt.Add(r.roll.drain))
		}
	}
	return due
}

// resumeRollout goes on with a rollout that an earlier manager had begun: good is the
// recipe of what it had not replaced yet, nil if that is as it should be.
func (k *keeper) resumeRollout(good *recipe) {
	if k.recipe.Rollout == nil || k.intent != up {
		return
	}
	if k.rollout = k.lastRollout(); k.rollout != nil && k.rollout.State == RolloutRolling {
		k.rollout = nil // it goes on, or was over
	}
	overlap := false
	for _, s := range k.slots {
		overlap = overlap || s.old != nil
	}
	status := k.lastRollout()
	if good == nil && (status == nil || status.State != RolloutRolling) { // just one slot was restarted, if any
		k.leaveReplaced()
		return
	}
	if good == nil && !overlap {
		return
	}
	var newest uint64 // of those that are to be replaced
	for _, s := range k.slots {
		if s.old != nil {
			newest = max(newest, s.old.id)
		}
		if p := s.current; p != nil && !p.recipe.sameProcess(k.recipe) {
			newest = max(newest, p.id)
		}
	}
	if status != nil && status.State != RolloutRolling { // it was on its way back: what differs is not good
		k.restarting = &restarting{before: newest, roll: &rolling{
			rolloutRule: k.recipe.Rollout.rule(), back: true, until: time.Now().Add(k.recipe.Rollout.rule().timeout),
		}}
		k.rollout = status
		return
	}
	if good != nil { // which may have been worked out by another manager
		good = k.again(good)
	}
	r := k.roll(good, k.previous)
	r.before = newest
}

// lastRollout is how the latest rollout went as events tell, nil if they tell of none.
func (k *keeper) lastRollout() *RolloutStatus {
	k.m.events.mu.Lock()
	defer k.m.events.mu.Unlock()
	p := k.m.events.past.templates[k.name]
	if p == nil {
		return nil
	}
	var status *RolloutStatus
	for _, e := range p.own {
		switch {
		case e.Kind == KindRollout && e.Message == rolloutBegun:
			status = &RolloutStatus{State: RolloutRolling, Since: e.Time}
		case e.Kind == KindRollout && e.Message == rolloutDone:
			status = &RolloutStatus{State: RolloutDone, Since: e.Time}
		case e.Kind == KindRollout:
			status = &RolloutStatus{State: RolloutFailed, Since: e.Time, Reason: strings.TrimPrefix(e.Message, rolloutGivenUp)}
		case e.Kind == KindRollback:
			status = &RolloutStatus{State: RolloutFailed, Since: e.Time}
			var back bool
			if status.Reason, back = strings.CutSuffix(e.Message, "; "+wasRolledBack); back {
				status.State = RolloutRolledBack
			}
		}
	}
	return status
}

// What events say of rollouts, and what is read in them by the next manager.
const (
	rolloutBegun   = "begun"
	rolloutDone    = "done"
	rolloutGivenUp = "given up: "
	wasRolledBack  = "it was rolled back"
)

// again is a recipe as it would be for a new process.
func (k *keeper) again(r *recipe) *recipe {
	fresh, err := looseRecipe(r.Template, k.m.env)
	if err != nil {
		return nil
	}
	return fresh
}

// rolloutStatus is how the latest rollout is, nil if there was none.
func (k *keeper) rolloutStatus() *RolloutStatus {
	if k.rollout == nil {
		return nil
	}
	st := *k.rollout
	st.Total = k.size()
	r := k.restarting
	for _, s := range k.slots[:min(k.size(), len(k.slots))] {
		p := s.current
		if p == nil || !p.runs() || s.old != nil {
			continue
		}
		if r == nil && st.State == RolloutDone || r != nil && !r.outdated(k, p) {
			st.Done++
		}
	}
	return &st
}

// undo goes back to the template before the latest update.
func (k *keeper) undo() (outcome, error) {
	if err := k.usable(); err != nil {
		return outcome{}, err
	}
	if k.previous == nil {
		return outcome{}, conflictf("template %s: it has not been updated: there is nothing to go back to", k.name)
	}
	return k.update(k.previous)
}

// Undo implements Controller.
func (m *Manager) Undo(ctx context.Context, target Target) error {
	sel, found, err := m.templates(target)
	if err != nil {
		return err
	}
	return m.inOrder(ctx, found, func(k *keeper) (outcome, error) {
		o, err := k.undo()
		if errors.Is(err, ErrConflict) && !sel.exact() {
			return outcome{}, nil
		}
		return o, err
	})
}
