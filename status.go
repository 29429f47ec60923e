package gaffer

import "slices"

// statusOf is how the template is, with the selected processes.
func (k *keeper) statusOf(sel selection) Status {
	st := k.status()
	if sel.one() {
		st.Processes = slices.DeleteFunc(st.Processes, func(p Process) bool { return !sel.process(k.name, p.Slot, p.ID) })
	}
	return st
}

// exists says whether there is what a selection selects of the template.
func (k *keeper) exists(sel selection) bool {
	switch {
	case sel.id != 0:
		return len(k.selected(sel)) > 0
	case sel.slot != 0:
		return sel.slot <= max(k.size(), len(k.slots))
	}
	return true
}

func (k *keeper) status() Status {
	st := Status{
		Name: k.name, Group: groupOf(k.name), State: k.state(), Active: "stopped",
		MaxProcesses: k.count, Reason: k.reason, Rollout: k.rolloutStatus(), Processes: make([]Process, 0, len(k.slots)),
		Limits: k.recipe.limitsInForce(),
	}
	if k.intent == up {
		st.Active = "active"
	}
	for _, s := range k.slots {
		st.Restarts += s.restarts
		if s.current != nil && s.current.runs() {
			st.Running++
		}
		if p, ok := k.slotStatus(s); ok {
			st.Processes = append(st.Processes, p)
		}
	}
	if st.Reason == "" {
		st.Reason = k.waitReason()
	}
	if k.sleeps() && k.count > 0 && k.live == 0 && k.intent == up {
		st.Armed = k.demand.fault == ""
		if st.Reason == "" {
			st.Reason = k.expects()
		}
	}
	if st.State == Waiting && st.Reason == "" {
		st.Reason = k.gate.why
	}
	k.showAgenda(&st)
	if st.Reason == "" && (st.State == Starting || st.State == Unhealthy) {
		st.Reason = k.complaint()
	}
	return st
}

// slotStatus is how a slot is; what is left of one that is not wanted and has
// no process is shown as stopped as long as it can tell how it ended.
func (k *keeper) slotStatus(s *slot) (Process, bool) {
	switch {
	case s.current != nil:
		return s.status(""), true
	case s.old != nil:
		o := slot{n: s.n, current: s.old, restarts: s.restarts, lastExit: s.lastExit}
		return o.status(""), true
	case s.n <= k.size() && s.rest != restless:
		return s.status(""), true
	case s.n <= k.size() && !k.pauseUntil.IsZero():
		p := s.status(InFlapping)
		p.RetryAt = k.pauseUntil
		return p, true
	case s.n <= k.size() && !s.retryAt.IsZero():
		return s.status(""), true
	case s.n <= k.size() && !k.gate.passed:
		p := s.status(Waiting)
		p.Reason = k.gate.why
		return p, true
	case s.n <= k.size():
		return s.status(Starting), true
	case k.intent == failed:
		return s.status(Failed), s.lastExit != nil
	}
	return s.status(Stopped), s.lastExit != nil
}

// state is the word a person wants for the template.
func (k *keeper) state() State {
	switch {
	case k.live > 0 && k.size() == 0:
		return Stopping
	case k.intent == failed:
		return Failed
	case k.intent != up || k.recipe.Detach:
		return Stopped
	case !k.pauseUntil.IsZero():
		return InFlapping
	case k.sleeps() && k.count > 0 && k.demand.fault != "":
		return InBackoff
	case k.sleeps() && k.count > 0:
		return Waiting
	case k.idle() && k.live == 0:
		return k.between()
	}
	if !k.gate.passed && k.size() > 0 && k.live == 0 {
		return Waiting
	}
	state, resting, bad := Running, 0, false
	if k.sick() {
		state = Unhealthy
	}
	for n := 1; n <= k.size(); n++ {
		s := k.at(n)
		switch {
		case s != nil && s.current == nil && s.rest != restless:
			resting++
			bad = bad || s.rest == restFailed
		case s == nil || s.current != nil && s.current.shown() == Starting:
			state = Starting
		case s.current == nil && !s.retryAt.IsZero():
			return InBackoff
		case s.current == nil:
			state = Starting
		}
	}
	switch {
	case resting == 0 || resting < k.size():
		return state
	case bad:
		return Failed
	}
	return Done
}

// waitReason is why the first slot that waits is empty.
func (k *keeper) waitReason() string {
	for n := 1; n <= k.size(); n++ {
		if s := k.at(n); s != nil && s.current == nil && k.waits(s) {
			return s.reason
		}
	}
	return ""
}

// sick says whether a process is unhealthy.
func (k *keeper) sick() bool {
	for n := 1; n <= k.size(); n++ {
		if s := k.at(n); s != nil && s.current != nil && s.current.shown() == Unhealthy {
			return true
		}
	}
	return false
}

// complaint is what the probe of a process said that is not ready, or not well.
func (k *keeper) complaint() string {
	for _, s := range k.slots {
		if p := s.current; p != nil && p.said != "" {
			return p.said
		}
	}
	return ""
}
