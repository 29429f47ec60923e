package gaffer

import (
	"context"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"time"

	"github.com/gafferpm/gaffer/internal/schedule"
)

// agenda is what has come of a template's schedule. It belongs to the keeper, of which it
// is nil without one.
type agenda struct {
	plan    *schedule.Plan // nil while nothing is to be run
	zone    *time.Location
	run     *run      // what is under way
	ending  bool      // it was told to end
	waiting []*run    // what is to follow, in order
	anchor  time.Time // what the plan is to go on after, of the manager before
	watched bool      // it is told when the clock is set
}

// run is one run of a scheduled template.
type run struct {
	due  time.Time // zero: somebody has asked for it
	why  string
	over bool
	err  error // why it was not made, or not to its end
}

func newAgenda(r *recipe) *agenda {
	if r.Schedule == nil {
		return nil
	}
	return &agenda{zone: r.rule.Zone}
}

// idle says that the slots of a scheduled template are to stay empty just now.
func (k *keeper) idle() bool {
	return k.agenda != nil && (k.agenda.run == nil || k.agenda.ending)
}

// scheduled sees what is due, and what has come of the run that is under way.
func (k *keeper) scheduled() {
	a := k.agenda
	if a == nil || k.intent == fresh {
		return
	}
	if k.size() == 0 {
		k.disarm("stopped")
		return
	}
	now := k.m.reading()
	if a.plan == nil {
		a.plan = schedule.NewPlan(*k.recipe.rule, now, a.anchor)
		a.anchor = time.Time{}
	}
	k.watchClock(k.recipe.Schedule.Cron != "")
	k.finish()
	due, skipped := a.plan.Due(now)
	k.missed(skipped, due)
	for _, d := range due {
		k.fallsDue(d)
	}
	k.finish()
	k.proceed()
}

// disarm gives up what was to be run.
func (k *keeper) disarm(why string) {
	a := k.agenda
	if a.plan == nil && a.run == nil && len(a.waiting) == 0 {
		return
	}
	a.plan = nil
	k.watchClock(false)
	k.giveUp(why)
}

// giveUp ends the run that is under way, as far as it is counted, and those that wait.
func (k *keeper) giveUp(why string) {
	a := k.agenda
	for _, r := range append(a.waiting, a.run) {
		if r != nil {
			r.over, r.err = true, conflictf("template %s: the run was given up: %s", k.name, why)
		}
	}
	a.run, a.waiting, a.ending = nil, nil, false
}

// watchClock has the keeper told, or not, when the clock is set.
func (k *keeper) watchClock(is bool) {
	if k.agenda.watched != is {
		k.agenda.watched = is
		k.m.clock.watch(k, is)
	}
}

// missed tells of runs that are not made because nobody was there when they were due.
func (k *keeper) missed(s schedule.Skipped, due []schedule.Run) {
	if s.Count == 0 && !s.More {
		return
	}
	more := ""
	if s.More {
		more = "more than "
	}
	message := fmt.Sprintf("missed %s%s, the last one of %s", more, plural(s.Count, "run", "runs"), k.agenda.when(s.Last))
	if len(due) > 0 && k.recipe.Schedule.CatchUp != CatchUpNone {
		message += "; another run makes up for them"
	}
	k.publish(Event{Kind: KindSkip, Due: s.Last, Message: message})
}

// when is a time as the schedule's clock shows it.
func (a *agenda) when(t time.Time) string { return t.In(a.zone).Format("2006-01-02 15:04:05 MST") }

// fallsDue: it is time for a run.
func (k *keeper) fallsDue(d schedule.Run) {
	a := k.agenda
	r := &run{due: d.Due, why: "due " + a.when(d.Due)}
	if d.Late {
		r.why = "missed at " + a.when(d.Due)
	}
	if k.recipe.Schedule.CatchUp == CatchUpAll && (d.Late || len(a.waiting) > 0) {
		if a.waiting = append(a.waiting, r); len(a.waiting) > schedule.Most {
			k.skip(0, fmt.Sprintf("more than %d wait", schedule.Most))
		}
		return
	}
	k.arrange(r)
}

// arrange puts a run where the overlap policy has it.
func (k *keeper) arrange(r *run) {
	a := k.agenda
	busy := a.run != nil || k.live > 0
	a.waiting = append(a.waiting, r)
	switch k.recipe.Schedule.Overlap {
	case OverlapQueue:
		for busy && len(a.waiting) > 1 {
			k.skip(0, "the next one is due, and only one waits")
		}
	case OverlapReplace:
		for len(a.waiting) > 1 {
			k.skip(0, "the next one is due")
		}
		if busy {
			k.endRun("the next run is due")
		}
	default:
		if busy {
			k.skip(len(a.waiting)-1, "the run before is still under way")
		}
	}
}

// skip gives up one of the runs that wait.
func (k *keeper) skip(i int, why string) {
	a := k.agenda
	r := a.waiting[i]
	a.waiting = slices.Delete(a.waiting, i, i+1)
	r.over, r.err = true, conflictf("template %s: not run: %s", k.name, why)
	e := Event{Kind: KindSkip, Due: r.due, Message: r.why + ": " + why}
	k.publish(e)
}

// endRun tells the processes of the run that is under way to stop.
func (k *keeper) endRun(why string) {
	a := k.agenda
	if a.run == nil {
		return
	}
	a.ending = true
	a.run.err = conflictf("template %s: the run was stopped: %s", k.name, why)
	for _, s := range k.slots {
		for _, p := range s.processes() {
			k.leave(p, KindReap, why)
		}
	}
}

// finish ends the run whose slots have all come to rest.
func (k *keeper) finish() {
	a := k.agenda
	if a.run == nil {
		return
	}
	if a.ending && k.live > 0 {
		return
	}
	if !a.ending && !k.atRest() {
		return
	}
	a.run.over = true
	a.run, a.ending = nil, false
	for _, s := range k.slots {
		s.retryAt = time.Time{}
	}
}

// proceed begins the next run that waits.
func (k *keeper) proceed() {
	a := k.agenda
	if a.run != nil || k.live > 0 || len(a.waiting) == 0 {
		return
	}
	a.run, a.waiting = a.waiting[0], a.waiting[1:]
	k.gate = gate{} // each run waits anew for what it depends on
	for _, s := range k.slots {
		s.forget()
	}
	k.publish(Event{Kind: KindRun, Due: a.run.due, Message: a.run.why})
}

// agendaDue is when the next run is due by the clock that timers go by, zero if none is.
func (k *keeper) agendaDue(now time.Time) time.Time {
	if k.agenda == nil || k.agenda.plan == nil {
		return time.Time{}
	}
	wait, ok := k.agenda.plan.Wait(k.m.reading())
	if !ok {
		return time.Time{}
	}
	return now.Add(wait)
}

// failedIn says what is to happen after a process of a run has failed: whether, and when,
// it is tried again.
func (k *keeper) failedIn(s *slot) (delay time.Duration, again bool) {
	s.crashes++
	if k.idle() || s.crashes > k.recipe.Schedule.Retries {
		return 0, false
	}
	return k.recipe.Schedule.retryDelay(s.crashes), true
}

// retries says how far a run has come with trying again.
func (k *keeper) retries(s *slot, delay time.Duration) string {
	return fmt.Sprintf("next try in %s (retry %d of %d)", round(delay), s.crashes, k.recipe.Schedule.Retries)
}

// failedRun: a process of a run has ended and that is no success. It says whether it is
// tried again.
func (k *keeper) failedRun(s *slot, p *process, exit *Exit) bool {
	delay, again := k.failedIn(s)
	if !again {
		return false
	}
	s.crashed, s.reason, s.retryAt = true, exit.Reason, time.Now().Add(delay)
	e := Event{Kind: KindExit, Exit: exit, Failures: s.crashes, RetryAt: s.retryAt, Message: k.retries(s, delay)}
	k.publishIn(s, p, e)
	e.Kind, e.Exit, e.Message = KindBackoff, nil, exit.Reason+"; "+e.Message
	k.publishIn(s, p, e)
	return true
}

// saysNotTriedAgain is at the end of what is said of a process that could not be started.
const saysNotTriedAgain = "; not tried again"

// failedStart: a process of a run could not be started.
func (k *keeper) failedStart(s *slot, p *process, reason string) {
	delay, again := k.failedIn(s)
	e := Event{Kind: KindBackoff, Failures: s.crashes, Message: reason + saysNotTriedAgain}
	s.reason = reason
	if again {
		s.retryAt = time.Now().Add(max(delay, time.Millisecond))
		e.RetryAt, e.Message = s.retryAt, reason+"; "+k.retries(s, delay)
	} else {
		s.rest = restFailed
	}
	k.publishIn(s, p, e)
}

// cancelled: a process of a run was stopped because somebody wanted it so. Its part of
// the run is over.
func (k *keeper) cancelled(s *slot, p *process) bool {
	if k.agenda == nil || k.agenda.run == nil || k.agenda.ending || p.leave != KindStopPID || s.n > k.size() || !k.gate.passed {
		return false
	}
	s.forget()
	s.rest = restDone
	return true
}

// rearm begins the schedule anew, as the template is started: what was due before is past.
// With a manager that has just begun it goes on from what the one before has done. It
// says whether slots stay as they are.
func (k *keeper) rearm(e *Event) bool {
	a := k.agenda
	if a == nil {
		return false
	}
	now := k.m.reading().Wall
	if k.intent == fresh && !a.anchor.IsZero() {
		e.Due = a.anchor
		return true
	}
	for len(a.waiting) > 0 {
		k.skip(0, "its schedule begins anew")
	}
	a.plan, a.anchor = nil, time.Time{}
	e.Due = now
	return a.run != nil
}

// reschedule follows a new recipe.
func (k *keeper) reschedule(was *recipe, e *Event) {
	switch is := k.recipe.Schedule; {
	case is == nil && was.Schedule == nil:
		return
	case is == nil:
		k.disarm("updated")
		k.agenda = nil
		return
	case was.Schedule == nil:
		k.agenda = newAgenda(k.recipe)
	case reflect.DeepEqual(is, was.Schedule):
		return
	}
	a := k.agenda
	for len(a.waiting) > 0 {
		k.skip(0, "updated")
	}
	a.plan, a.zone = nil, k.recipe.rule.Zone
	e.Due = k.m.reading().Wall
}

// restartRuns ends what is under way and begins the schedule anew.
func (k *keeper) restartRuns() outcome {
	e := Event{Kind: KindRestart}
	if k.intent != up {
		k.publish(e)
		k.begin()
		return outcome{until: k.settled}
	}
	k.rearm(&e)
	k.publish(e)
	k.endRun("restarted")
	ended := k.agenda.run
	return outcome{until: func() bool { return ended == nil || ended.over }} // another one may have begun
}

// onceMore is at the end of why a run is repeated.
const onceMore = ", once more"

// runAgain ends the run that is under way, which is then made once more. The schedule goes
// on as it was: an app that asks for this again and again must not put it off for ever.
func (k *keeper) runAgain(why string) outcome {
	a := k.agenda
	if k.intent != up || a.run == nil || a.ending {
		return outcome{} // the next run is made with what is there then
	}
	ended := a.run
	k.publish(Event{Kind: KindRestart, Message: why})
	k.endRun(why)
	if len(a.waiting) == 0 {
		a.waiting = []*run{{due: ended.due, why: strings.TrimSuffix(ended.why, onceMore) + onceMore}}
	}
	return outcome{until: func() bool { return ended.over }}
}

// RunNow implements Controller.
func (m *Manager) RunNow(ctx context.Context, target Target) error {
	if err := m.open(); err != nil {
		return err
	}
	_, found, err := m.templates(target)
	if err != nil {
		return err
	}
	return m.withNeeded(ctx, found, (*keeper).runNow)
}

// inVain says that the template waits for what will not come.
func (k *keeper) inVain() bool {
	return !k.gate.passed && k.gate.stuck && k.live == 0 && k.size() > 0
}

// whyInVain is that as an error.
func (k *keeper) whyInVain() error {
	if !k.inVain() {
		return nil
	}
	return conflictf("template %s: it waits: %s", k.name, k.gate.why)
}

func (k *keeper) runNow() (outcome, error) {
	if err := k.usable(); err != nil {
		return outcome{}, err
	}
	switch {
	case k.recipe.OnDemand:
		return outcome{}, conflictf("template %s: it is started on demand, by a connection", k.name)
	case k.recipe.Detach:
		return outcome{}, conflictf("template %s: it is detached; start runs it again", k.name)
	case k.agenda != nil:
		return k.runScheduled()
	case k.recipe.restartPolicy() == RestartAlways:
		return outcome{}, conflictf("template %s: it runs all the time; want one with a schedule, or with restart = never or on-failure", k.name)
	case k.count == 0:
		return outcome{}, conflictf("template %s: it is scaled to 0", k.name)
	case k.live > 0 || k.intent == up && !k.due(time.Now()).IsZero():
		return outcome{}, conflictf("template %s: it runs already", k.name)
	}
	k.begin()
	return outcome{
		until: func() bool { return k.size() == 0 || k.atRest() || k.inVain() },
		err:   k.whyInVain,
	}, nil
}

// atRest says that each slot is left empty, because its process has ended.
func (k *keeper) atRest() bool {
	for n := 1; n <= k.size(); n++ {
		if s := k.at(n); s == nil || s.current != nil || s.old != nil || s.rest == restless {
			return false
		}
	}
	return true
}

func (k *keeper) runScheduled() (outcome, error) {
	a := k.agenda
	switch {
	case k.size() == 0 && k.intent == up:
		return outcome{}, conflictf("template %s: it is scaled to 0", k.name)
	case k.size() == 0:
		return outcome{}, conflictf("template %s: it is stopped; start arms its schedule", k.name)
	}
	overlap := k.recipe.Schedule.Overlap
	if (overlap == "" || overlap == OverlapSkip) && (a.run != nil || k.live > 0) {
		return outcome{}, conflictf("template %s: a run is under way", k.name)
	}
	r := &run{why: "asked for"}
	k.arrange(r)
	return outcome{
		until: func() bool { return r.over || k.inVain() },
		err: func() error {
			if r.over {
				return r.err
			}
			return k.whyInVain()
		},
	}, nil
}

// replaces says whether an update replaces the processes that run. A run that is under
// way goes on as it has begun.
func (r *recipe) replaces(next *recipe) bool {
	if r.Schedule != nil && next.Schedule != nil {
		return false
	}
	return (r.Schedule == nil) != (next.Schedule == nil) || !r.sameProcess(next)
}

// recallAgenda takes in what the manager before has told of runs. crashing says that it
// has not come to an end, so that a run may be under way.
func (k *keeper) recallAgenda(runs pastRuns, slots map[int][]*Event, crashing bool) {
	a := k.agenda
	if a == nil || !k.wanted || runs.counted == nil {
		return
	}
	a.anchor = runs.counted.Due
	began := runs.begun
	if !crashing || began == nil || runs.halted != nil && runs.halted.Seq > began.Seq {
		return
	}
	a.run = &run{due: began.Due, why: began.Message}
	for n := 1; n <= k.count; n++ {
		s := k.slotUpTo(n)
		if !slices.ContainsFunc(slots[n], func(e *Event) bool { return e.Seq > began.Seq }) {
			s.forget() // it was not tried yet
		}
	}
	k.cut = 0
}

// pastRuns are the events that say how far a schedule has come.
type pastRuns struct {
	counted *Event // the latest that has Due
	begun   *Event // the latest run
	halted  *Event // the latest start, stop or restart
}

func (r *pastRuns) note(e *Event) {
	switch last := r.counted; {
	case e.Due.IsZero():
	case last != nil && (e.Kind == KindRun || e.Kind == KindSkip) && e.Due.Before(last.Due) && e.Due.After(last.Due.Add(-schedule.FarBack)):
		// It has waited while later ones were skipped.
	default:
		r.counted = e
	}
	switch e.Kind {
	case KindRun:
		r.begun = e
	case KindStop:
		r.halted = e
	case KindStart, KindRestart:
		if !e.Due.IsZero() { // else processes were replaced in a run
			r.halted = e
		}
	}
}

// all are those that are there, each once.
func (r *pastRuns) all() (list []*Event) {
	for _, e := range [...]*Event{r.counted, r.begun, r.halted} {
		if e != nil && !slices.Contains(list, e) {
			list = append(list, e)
		}
	}
	return list
}

// longestWait is the longest that a slot waits for its next try.
func (k *keeper) longestWait() time.Duration {
	if s := k.recipe.Schedule; s != nil {
		return max(s.retryDelay(s.Retries), time.Millisecond)
	}
	rule := k.recipe.backoff()
	return time.Duration(float64(max(rule.max, rule.first)) * (1 + rule.jitter))
}

// between is the state of a scheduled template of which nothing runs.
func (k *keeper) between() State {
	for _, s := range k.slots[:min(k.size(), len(k.slots))] {
		if s.rest == restFailed {
			return Failed
		}
	}
	return Waiting
}

// showAgenda says when the next run is.
func (k *keeper) showAgenda(st *Status) {
	a := k.agenda
	if a == nil || a.plan == nil {
		return
	}
	st.NextRun = a.plan.Next(k.m.reading())
	if !k.idle() || k.live > 0 {
		return
	}
	st.Armed = true
	if st.NextRun.IsZero() {
		return
	}
	if st.Reason != "" {
		st.Reason += "; "
	}
	st.Reason += "next run " + st.NextRun.In(a.zone).Format("2006-01-02 15:04:05 MST")
}
