package gaffer

import (
	"cmp"
	"context"
	"encoding/json"
	"slices"
	"strings"
	"time"
)

// Archive is what a Journal can be besides, so that the latest events of each slot
// outlive those that the journal keeps of everything.
type Archive interface {
	// Past is what was last given to KeepPast, nil if nothing was.
	Past() ([]byte, error)
	// KeepPast replaces it. It is called by one goroutine at a time.
	KeepPast(data []byte) error
}

const (
	// pastEvents is how many of the latest events are remembered of each slot, and
	// of each template beside its slots.
	pastEvents = 16
	// keepPastEvery is how many events are read again from the journal, at most, by
	// a manager that takes over from one that was killed.
	keepPastEvery = 2000
)

// memory is the latest events of each template and slot, however much else has
// happened since. It is no more than what events say: the next manager has the
// same one from the same events.
type memory struct {
	templates map[string]*past
	seq       uint64 // the last event that it has seen
}

// past is what is remembered of a template.
type past struct {
	own   []*Event   // of the template as a whole
	slots [][]*Event // of each of its slots, the first one at 0
	runs  pastRuns   // how far its schedule has come
}

// note takes in an event, which is not changed any more.
func (m *memory) note(e *Event) {
	m.seq = e.Seq
	name := e.Name
	if e.Kind == KindAudit { // its Name is a target
		name, _, _ = strings.Cut(name, ".")
	}
	p := m.templates[name]
	switch {
	case name == "":
		return
	case e.Kind == KindDelete:
		delete(m.templates, name)
		return
	case p == nil && e.Kind == KindAudit:
		return // of no template
	case p == nil:
		if m.templates == nil {
			m.templates = map[string]*past{}
		}
		p = &past{}
		m.templates[name] = p
	}
	if e.Slot == 0 {
		p.runs.note(e)
		p.own = remember(p.own, e)
		return
	}
	if e.Slot < 0 || e.Slot > MaxProcesses {
		return
	}
	for len(p.slots) < e.Slot {
		p.slots = append(p.slots, nil)
	}
	at := &p.slots[e.Slot-1]
	list := *at
	if n := len(list); e.Kind == KindExit && n > 0 && list[n-1].Kind == KindReap && list[n-1].Message == scaledDown {
		*at = []*Event{e} // the slot is no more
		return
	}
	*at = remember(list, e)
}

// remember adds an event to a list that is bounded.
func remember(list []*Event, e *Event) []*Event {
	if len(list) < pastEvents {
		return append(list, e)
	}
	copy(list, list[1:])
	list[len(list)-1] = e
	return list
}

// all is what is remembered, in the order of events.
func (m *memory) all() []*Event {
	var list []*Event
	for _, p := range m.templates {
		list = append(list, p.selected(selection{})...)
		list = append(list, p.runs.all()...)
	}
	slices.SortFunc(list, bySeq)
	return slices.Compact(list)
}

func bySeq(a, b *Event) int {
	switch {
	case a.Seq < b.Seq:
		return -1
	case a.Seq > b.Seq:
		return 1
	}
	return 0
}

// selected is what is remembered of a template, or of one of its slots, unordered.
func (p *past) selected(sel selection) []*Event {
	var list []*Event
	if !sel.one() {
		list = append(list, p.own...)
	}
	for i, events := range p.slots {
		if sel.slot != 0 && i+1 != sel.slot {
			continue
		}
		for _, e := range events {
			if sel.id == 0 || e.ID == sel.id {
				list = append(list, e)
			}
		}
	}
	return list
}

// archived is a memory as an Archive has it.
type archived struct {
	Seq    uint64   `json:"seq"`
	Events []*Event `json:"events"`
}

// recall takes in what the manager before remembered, and what has happened since.
func (j *events) recall() error {
	if j.kept == nil {
		return nil
	}
	if a, ok := j.kept.(Archive); ok {
		data, err := a.Past()
		var was archived
		if err == nil && data != nil {
			err = json.Unmarshal(data, &was)
		}
		if err != nil { // the journal itself tells of the latest events
			j.logger.Error("what happened of each slot can't be read", "error", err)
			was = archived{}
		}
		for _, e := range was.Events {
			if e != nil {
				j.past.note(e)
			}
		}
		j.past.seq = min(was.Seq, j.seq)
		j.archivedAt = j.past.seq
	}
	for j.past.seq < j.seq {
		list, err := j.kept.Read(j.past.seq, recentEvents)
		if err != nil || len(list) == 0 {
			return err
		}
		for i := range list {
			e := list[i]
			j.past.note(&e)
		}
	}
	return nil
}

// archive keeps what is remembered for the next manager. It runs in the box.
func (j *events) archive() {
	a, ok := j.kept.(Archive)
	if !ok {
		return
	}
	j.mu.Lock()
	now := archived{Seq: j.past.seq, Events: j.past.all()}
	j.archivedAt = now.Seq
	j.mu.Unlock()
	data, err := json.Marshal(now)
	if err == nil {
		err = a.KeepPast(data)
	}
	if err != nil {
		j.logger.Error("what has happened of each slot is not kept", "error", err)
	}
}

// History implements Controller.
func (m *Manager) History(ctx context.Context, target Target) ([]Event, error) {
	sel, found, err := m.resolve(target)
	if err != nil {
		return nil, err
	}
	if err := m.events.settle(ctx); err != nil {
		return nil, err
	}
	m.events.mu.Lock()
	defer m.events.mu.Unlock()
	var list []*Event
	for _, k := range found {
		if p := m.events.past.templates[k.name]; p != nil {
			list = append(list, p.selected(sel)...)
		}
	}
	if sel.id != 0 && len(list) == 0 {
		return nil, notFoundf("%s: not found", target)
	}
	slices.SortFunc(list, bySeq)
	events := make([]Event, len(list))
	for i, e := range list {
		events[i] = *e
	}
	return events, nil
}

// recall gives a template what is remembered of it, if anything is. crashing says that
// what it was waiting for goes on, too: the manager before has not come to an end.
func (k *keeper) recall(crashing bool) (known bool) {
	k.m.events.mu.Lock()
	p := k.m.events.past.templates[k.name]
	if p == nil {
		k.m.events.mu.Unlock()
		return false
	}
	own, runs := slices.Clone(p.own), p.runs
	slots := make(map[int][]*Event, len(p.slots))
	for i, list := range p.slots {
		if len(list) > 0 {
			slots[i+1] = slices.Clone(list)
		}
	}
	k.m.events.mu.Unlock()
	now := time.Now()
	for n, list := range slots {
		if n > k.count {
			continue
		}
		s := k.slotUpTo(n)
		s.recall(list)
		// The clock may have been set since.
		if latest := now.Add(k.longestWait()); s.retryAt.After(latest) {
			s.retryAt = latest
		}
		switch {
		case crashing:
		case k.agenda != nil && s.rest != restless: // how the last run has ended
		default:
			s.forget()
		}
	}
	k.recallAgenda(runs, slots, crashing)
	k.cut = 0
	if crashing && k.wanted && k.recipe.Flapping != nil {
		k.recallFlapping(own, slots)
		if latest := now.Add(k.recipe.Flapping.rule().retryIn); k.pauseUntil.After(latest) {
			k.pauseUntil = latest
		}
		if !k.pauseUntil.After(now) {
			k.pauseUntil = time.Time{}
		}
	}
	return true
}

// recall takes in the events of a slot.
func (s *slot) recall(list []*Event) {
	for _, e := range list {
		switch e.Kind {
		case KindSpawn:
			s.restarts, s.crashes, s.crashed, s.retryAt, s.reason = e.Restarts, e.Failures, false, time.Time{}, ""
			s.rest = restless
		case KindExit:
			s.lastExit, s.restarts, s.since = e.Exit, e.Restarts, e.Time
			s.retryAt, s.reason = e.RetryAt, ""
			switch e.Message {
			case saysDone:
				s.rest = restDone
			case saysNotAgain:
				s.rest, s.reason = restFailed, e.Exit.Reason
			}
			if e.Failures > 0 {
				s.crashes, s.crashed, s.reason = e.Failures, true, e.Exit.Reason
			}
		case KindBackoff:
			switch {
			case !e.RetryAt.IsZero():
				s.crashes, s.retryAt, s.since = e.Failures, e.RetryAt, e.Time
				s.reason, _, _ = strings.Cut(e.Message, nextTry)
			case strings.HasSuffix(e.Message, saysNotTriedAgain):
				s.rest, s.retryAt, s.since = restFailed, time.Time{}, e.Time
				s.reason = strings.TrimSuffix(e.Message, saysNotTriedAgain)
			case s.lastExit != nil: // the cause of a crash was found
				exit := *s.lastExit
				exit.Reason += "; " + e.Message
				s.lastExit = &exit
			}
		}
	}
}

// recallFlapping counts crashes and pauses as the manager before did.
func (k *keeper) recallFlapping(own []*Event, slots map[int][]*Event) {
	rule := k.recipe.Flapping.rule()
	var from time.Time // what counts is after that
	for _, e := range own {
		switch e.Kind {
		case KindStart, KindRestart:
			k.flaps, k.pauseUntil, k.resumedAt, k.gaveUp = flapping{}, time.Time{}, time.Time{}, ""
			from = e.Time
		case KindFlap:
			k.flaps.pauses, k.pauseUntil, k.resumedAt = e.Pauses, e.RetryAt, e.RetryAt
			from = e.Time
		case KindFail:
			k.gaveUp, _, _ = strings.Cut(e.Message, gaveUpOf)
		case KindUpdate:
			if e.Message == replacing {
				k.flaps, k.pauseUntil, k.resumedAt = flapping{}, time.Time{}, time.Time{}
				from = e.Time
			}
		}
	}
	for _, list := range slots {
		began := map[uint64]time.Time{}
		for _, e := range list {
			switch {
			case e.Kind == KindSpawn:
				began[e.ID] = e.Time
			case e.Kind != KindExit:
			default:
				if t, ok := began[e.ID]; ok && !t.Before(k.resumedAt) && e.Time.Sub(t) > rule.window {
					k.flaps.pauses = 0
				}
				if e.Failures > 0 && e.Time.After(from) {
					k.flaps.crashes = append(k.flaps.crashes, e.Exit.Time)
				}
			}
		}
	}
	slices.SortFunc(k.flaps.crashes, time.Time.Compare)
	if extra := len(k.flaps.crashes) - rule.attempts; extra > 0 {
		k.flaps.crashes = k.flaps.crashes[extra:]
	}
}

// before is what is remembered of a slot.
func (k *keeper) before(slot int) ago {
	k.m.events.mu.Lock()
	defer k.m.events.mu.Unlock()
	if p := k.m.events.past.templates[k.name]; p != nil {
		if slot <= len(p.slots) {
			return slices.Clone(p.slots[slot-1])
		}
	}
	return nil
}

// ago are the latest events of a slot.
type ago []*Event

// began says whether the start of a process was told.
func (a ago) began(p *process) bool {
	for _, e := range a {
		switch e.Kind {
		case KindSpawn, KindReap, KindStopPID:
			if e.ID == p.id {
				return true
			}
		}
	}
	return len(a) == pastEvents && a[0].Time.After(p.since) // it may be among those forgotten
}

// ready is when a process became ready, zero if it was not.
func (a ago) ready(id uint64) (at time.Time) {
	for _, e := range a {
		if e.ID != id {
			continue
		}
		switch e.Kind {
		case KindReady:
			at = e.Time
		case KindHealthy, KindUnhealthy:
			at = cmp.Or(at, e.Time)
		case KindUnready:
			at = time.Time{}
		}
	}
	return at
}

// ended says whether the end of a process was told.
func (a ago) ended(id uint64) bool {
	return slices.ContainsFunc(a, func(e *Event) bool { return e.Kind == KindExit && e.ID == id })
}

// exit is how a process has ended, nil if that was not told.
func (a ago) exit(id uint64) *Exit {
	for _, e := range a {
		if e.Kind == KindExit && e.ID == id {
			return e.Exit
		}
	}
	return nil
}

// forgetGone forgets what has happened to templates that there are no more. One that is
// added meanwhile is there before anything of it is remembered.
func (j *events) forgetGone(snapshot func() []*keeper) {
	j.mu.Lock()
	gone := make(map[string]bool, len(j.past.templates))
	for name := range j.past.templates {
		gone[name] = true
	}
	j.mu.Unlock()
	for _, k := range snapshot() {
		delete(gone, k.name)
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	for name := range gone {
		delete(j.past.templates, name)
	}
}
