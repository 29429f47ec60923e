package gaffer

import (
	"context"
	"maps"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// dependencies know of all templates what others may wait for. Keepers never ask each
// other: each tells here how it is, and those who depend on it are told that it has
// changed. It belongs to nobody: mu guards it.
type dependencies struct {
	used atomic.Bool // somebody depends on something

	mu         sync.Mutex
	known      map[string]bool // names of all templates
	facts      map[string]facts
	needs      map[string]map[string]Condition
	dependents map[string]map[string]*keeper
}

// facts are what others may wait for of a template.
type facts struct {
	exists  bool
	started bool
	ready   bool
	healthy bool
	done    bool
	success bool
	// lost says of the conditions that can be lost that not one process is left for which
	// they hold.
	lostStarted bool
	lostReady   bool
	lostHealthy bool
	asked       bool  // a process is being asked how healthy it is, for the first time
	settled     bool  // it is as it will be until something happens
	state       State // for people
}

// meets says whether the condition is met.
func (f facts) meets(c Condition) bool {
	switch c {
	case DependsStarted:
		return f.started
	case DependsReady:
		return f.ready
	case DependsHealthy:
		return f.healthy
	case DependsDone:
		return f.done
	}
	return f.success
}

// stuck says that a condition which is not met will not be by what is on its way.
func (f facts) stuck(c Condition) bool {
	switch {
	case !f.exists:
		return true
	case !c.lossable():
		return f.settled && f.lostStarted
	case c == DependsHealthy:
		return f.settled && !f.asked
	}
	return f.settled
}

// lost says whether a condition that was met is so no more.
func (f facts) lost(c Condition) bool {
	switch c {
	case DependsStarted:
		return f.lostStarted
	case DependsReady:
		return f.lostReady
	case DependsHealthy:
		return f.lostHealthy
	}
	return false
}

// learn notes what a template needs.
func (d *dependencies) learn(k *keeper, needs map[string]Condition) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for name := range d.needs[k.name] {
		delete(d.dependents[name], k.name)
		if len(d.dependents[name]) == 0 {
			delete(d.dependents, name)
		}
	}
	delete(d.needs, k.name)
	if len(needs) == 0 {
		return
	}
	if d.needs == nil {
		d.needs, d.dependents = map[string]map[string]Condition{}, map[string]map[string]*keeper{}
	}
	d.used.Store(true)
	d.needs[k.name] = maps.Clone(needs)
	for name := range needs {
		if d.dependents[name] == nil {
			d.dependents[name] = map[string]*keeper{}
		}
		d.dependents[name][k.name] = k
	}
}

// registered notes that there is a template of that name, or that there is none any more.
func (d *dependencies) registered(name string, is bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.known == nil {
		d.known = map[string]bool{}
	}
	if is {
		d.known[name] = true
		return
	}
	delete(d.known, name)
	delete(d.facts, name)
	for _, k := range d.dependents[name] {
		k.box.post(k.dependencyChanged)
	}
}

// changed notes how a template is, and tells those who depend on it.
func (d *dependencies) changed(name string, f facts) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.facts[name] == f {
		return
	}
	if d.facts == nil {
		d.facts = map[string]facts{}
	}
	d.facts[name] = f
	for _, k := range d.dependents[name] {
		k.box.post(k.dependencyChanged)
	}
}

// look is how the templates are that one needs.
func (d *dependencies) look(needs map[string]Condition) map[string]facts {
	d.mu.Lock()
	defer d.mu.Unlock()
	found := make(map[string]facts, len(needs))
	for name := range needs {
		f := d.facts[name]
		f.exists = d.known[name] // and has perhaps not told yet how it is
		found[name] = f
	}
	return found
}

// needed are the templates that depend on one, sorted.
func (d *dependencies) needed(name string) []string {
	d.mu.Lock()
	defer d.mu.Unlock()
	return slices.Sorted(maps.Keys(d.dependents[name]))
}

func (d *dependencies) isNeeded(name string) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return len(d.dependents[name]) > 0
}

// closure are templates and all that they depend on, directly or not.
func (d *dependencies) closure(names []string) map[string]bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	names = slices.Clone(names)
	all := make(map[string]bool, len(names))
	for len(names) > 0 {
		name := names[len(names)-1]
		names = names[:len(names)-1]
		if all[name] {
			continue
		}
		all[name] = true
		for need := range d.needs[name] {
			names = append(names, need)
		}
	}
	return all
}

// ranks are the places of all templates in the order of start: of what one depends on,
// none comes later.
func (d *dependencies) ranks() map[string]int {
	d.mu.Lock()
	defer d.mu.Unlock()
	if len(d.needs) == 0 {
		return nil
	}
	needs := map[string][]string{}
	for name, on := range d.needs {
		needs[name] = slices.Collect(maps.Keys(on))
		for n := range on {
			if _, there := d.needs[n]; !there {
				needs[n] = nil
			}
		}
	}
	return depthsOf(needs)
}

// gate is what a template waits for before it starts its processes. It belongs to its
// keeper.
type gate struct {
	passed bool   // it need not wait, or has waited
	stuck  bool   // nothing that is on its way will end the waiting
	why    string // it waits
	loss   *loss  // nil: it depends on nothing
}

// loss is what has become of conditions that were met.
type loss struct {
	lost  bool      // since the gate was passed, a condition was lost
	whose string    // the first one that was
	again time.Time // when it is acted on that it is met again; zero: it is not
	count int       // in a row
	at    time.Time // when the latest one was
}

// again is when the gate is to be looked at, zero if something else tells.
func (g *gate) again() (due time.Time) {
	if g.loss != nil {
		due = g.loss.again
	}
	return due
}

// How long a condition has to be met again before it is acted on: longer and longer when
// that happens again and again, so that one that comes and goes does not take all that
// depends on it with it.
const (
	lossPatience  = 2 * time.Second
	lossFactor    = 2
	lossPatienceX = 5 * time.Minute
	lossForgotten = 10 * time.Minute
)

// tellFacts tells those who depend on the template how it is.
func (k *keeper) tellFacts() {
	switch g := &k.m.graph; {
	case !g.used.Load():
		return
	case k.ended || !g.isNeeded(k.name):
		return
	}
	k.m.graph.changed(k.name, k.facts())
}

func (k *keeper) facts() facts {
	f := facts{
		exists: true, state: k.state(), settled: k.settled(),
		started: true, ready: true, healthy: true, done: true, success: true,
		lostStarted: true, lostReady: true, lostHealthy: true,
	}
	size := k.size()
	for n := 1; n <= size; n++ {
		s := k.at(n)
		if s == nil {
			f.started, f.done, f.success = false, false, false
			continue
		}
		p := s.current
		resting := p == nil && s.rest != restless
		f.done = f.done && resting
		f.success = f.success && resting && s.rest == restDone
		runs := p != nil && p.state == Running
		f.started = f.started && (runs || resting)
		f.lostStarted = f.lostStarted && !runs
		runs = runs && p.ready
		f.ready = f.ready && runs
		f.lostReady = f.lostReady && !runs
		f.asked = f.asked || runs && p.health == unknown
		runs = runs && p.health == healthy
		f.healthy = f.healthy && runs
		f.lostHealthy = f.lostHealthy && !runs
	}
	if k.answers() {
		f.started, f.ready, f.healthy, f.done, f.success = true, true, true, false, false
		f.lostStarted, f.lostReady, f.lostHealthy = false, false, false
		return f
	}
	if size == 0 {
		f.started, f.done, f.success = false, false, false
	}
	f.ready, f.healthy = f.ready && f.started, f.healthy && f.started
	return f
}

// look finds out whether the template may start its processes.
func (k *keeper) lookAtGate() {
	g := &k.gate
	if len(k.recipe.DependsOn) == 0 {
		k.gate = gate{passed: true}
		return
	}
	if g.loss == nil {
		g.loss = &loss{}
	}
	found := k.m.graph.look(k.recipe.DependsOn)
	why, stuck, lost := "", false, ""
	for _, name := range slices.Sorted(maps.Keys(k.recipe.DependsOn)) {
		f, want := found[name], k.recipe.DependsOn[name]
		if want.lossable() && lost == "" && (!f.exists || f.lost(want)) {
			lost = name
		}
		if f.meets(want) {
			continue
		}
		if why == "" {
			why = want.unmet(name, f)
		}
		stuck = stuck || f.stuck(want)
	}
	g.why, g.stuck = why, stuck
	if !g.passed {
		k.mayPass(why)
		return
	}
	if k.recipe.OnLoss == "" || k.recipe.OnLoss == LossIgnore || k.intent != up || k.idle() {
		g.loss.lost = false
		return
	}
	k.weigh(lost, why)
}

// mayPass opens the gate if nothing is waited for any more. One that has stopped because
// of a loss waits for a while.
func (k *keeper) mayPass(why string) {
	g, l := &k.gate, k.gate.loss
	switch {
	case why != "":
		if l.again = (time.Time{}); l.lost {
			l.at = time.Now()
		}
	case !l.lost:
		g.passed = true
	case l.again.IsZero():
		l.again = time.Now().Add(l.patience())
	case !time.Now().Before(l.again):
		g.passed, l.lost, l.again = true, false, time.Time{}
		l.count++
	}
}

// weigh acts on the loss of a condition, and on its return.
func (k *keeper) weigh(lost, why string) {
	l, now := k.gate.loss, time.Now()
	switch {
	case lost != "":
		first := !l.lost
		if first && now.Sub(l.at) > lossForgotten {
			l.count = 0
		}
		l.lost, l.whose, l.again, l.at = true, lost, time.Time{}, now
		if first && k.recipe.OnLoss == LossStop {
			k.gate.passed = false
			k.dismiss(k.gate.why)
		}
	case !l.lost || why != "":
	case l.again.IsZero():
		l.again = now.Add(l.patience())
	case !now.Before(l.again):
		l.lost, l.again = false, time.Time{}
		l.count++
		k.publish(Event{Kind: KindRestart, Message: l.whose + " was lost, and is there again"})
		k.replaceRunning()
	}
}

// patience is how long a condition has to be met again.
func (l *loss) patience() time.Duration {
	wait := lossPatience
	for range l.count {
		if wait *= lossFactor; wait >= lossPatienceX {
			return lossPatienceX
		}
	}
	return wait
}

// replaceRunning has all processes replaced that there are; what is done is left so.
func (k *keeper) replaceRunning() {
	rests := make([]rest, len(k.slots))
	for i, s := range k.slots {
		rests[i] = s.rest
	}
	if k.recipe.Rollout != nil && k.live > 0 {
		k.roll(nil, k.previous)
	} else {
		k.replaceSlots(StopFirst)
	}
	for i, s := range k.slots {
		if rests[i] == restDone {
			s.rest = restDone
		}
	}
}

// dismiss tells all processes to stop until the gate opens again.
func (k *keeper) dismiss(why string) {
	k.superseded(why)
	for i := len(k.slots) - 1; i >= 0; i-- {
		k.slots[i].forgive()
		for _, p := range k.slots[i].processes() {
			k.leave(p, KindStopPID, why)
		}
	}
}

// dependencyChanged: something of what the template depends on has changed. reconcile,
// which follows, looks at it.
func (k *keeper) dependencyChanged() {}

// startIfDown starts a template because another one needs it, unless it is wanted or has
// done what it should.
func (k *keeper) startIfDown() (outcome, error) {
	if k.intent == up {
		return outcome{}, nil
	}
	return k.start()
}

// withNeeded asks templates, after those that they depend on have been started.
func (m *Manager) withNeeded(ctx context.Context, found []*keeper, f func(*keeper) (outcome, error)) error {
	needed := m.needs(found)
	return m.inOrder(ctx, append(needed, found...), func(k *keeper) (outcome, error) {
		if slices.Contains(needed, k) {
			return k.startIfDown()
		}
		return f(k)
	})
}

// needs are the templates that others depend on, directly or not, and that are not among
// them.
func (m *Manager) needs(found []*keeper) (needed []*keeper) {
	names := make([]string, len(found))
	for i, k := range found {
		names[i] = k.name
	}
	all := m.graph.closure(names)
	if len(all) == len(found) {
		return nil
	}
	for _, name := range names {
		delete(all, name)
	}
	for _, k := range m.snapshot() {
		if all[k.name] {
			needed = append(needed, k)
		}
	}
	return needed
}

// checkDependencies says what is wrong with what a template depends on, as templates are
// now.
func (m *Manager) checkDependencies(ctx context.Context, t *Template) error {
	ctx = context.WithoutCancel(ctx) // who does not wait for the answer has asked all the same
	if len(t.DependsOn) == 0 && len(m.graph.needed(t.Name)) == 0 {
		return nil
	}
	all := []Template{*t}
	for _, k := range m.snapshot() {
		if k.name == t.Name {
			continue
		}
		if err := k.box.do(ctx, func() { all = append(all, k.recipe.Template) }); err != nil {
			return err
		}
	}
	byName := make(map[string]*Template, len(all))
	for i := range all {
		byName[all[i].Name] = &all[i]
	}
	for _, name := range append([]string{t.Name}, m.graph.needed(t.Name)...) {
		if of := byName[name]; of != nil {
			if err := of.checkDependencies(byName); err != nil {
				return named(name, err)
			}
		}
	}
	if path := cycle(all[:1], byName); path != nil {
		return cycleError(path)
	}
	return nil
}

// checkCycle refuses a template that would wait for itself, even where what it depends on
// need not be there yet.
func (m *Manager) checkCycle(t *Template) error {
	if len(t.DependsOn) == 0 {
		return nil
	}
	m.graph.mu.Lock()
	byName := make(map[string]*Template, len(m.graph.needs)+1)
	for name, needs := range m.graph.needs {
		byName[name] = &Template{Name: name, DependsOn: needs}
	}
	byName[t.Name] = t
	path := cycle([]Template{*t}, byName)
	m.graph.mu.Unlock()
	if path != nil {
		return cycleError(path)
	}
	return nil
}

// checkNeeded refuses to remove what others depend on that stay.
func (m *Manager) checkNeeded(found []*keeper) error {
	going := make(map[string]bool, len(found))
	for _, k := range found {
		going[k.name] = true
	}
	for _, k := range found {
		for _, by := range m.graph.needed(k.name) {
			if !going[by] {
				return conflictf("template %s: %s depends on it", k.name, by)
			}
		}
	}
	return nil
}
