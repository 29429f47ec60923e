package gaffer

import (
	"slices"
	"time"
)

// RestartPolicy says which ends that nobody asked for are followed by a new process.
type RestartPolicy string

// The restart policies. What is not followed by a new process is done, or has failed.
const (
	RestartAlways    RestartPolicy = "always"
	RestartOnFailure RestartPolicy = "on-failure" // all but a success
	RestartNever     RestartPolicy = "never"
)

func (t *Template) validatePolicy(f *faults) {
	switch t.Restart {
	case "", RestartAlways, RestartOnFailure, RestartNever:
	default:
		f.add("restart", "%q: want always, on-failure or never", string(t.Restart))
	}
	for _, code := range t.SuccessExitCodes {
		if code < 0 || code > 255 {
			f.add("success_exit_codes", "%d: want 0 to 255", code)
		}
	}
	if t.SuccessExitCodes != nil && t.restartPolicy() == RestartAlways {
		f.add("success_exit_codes", "with restart = always nothing depends on them; want restart = on-failure or never")
	}
	if t.MaxRuntime < 0 {
		f.add("max_runtime", "%s: must not be negative", t.MaxRuntime)
	}
	if t.Restart == RestartNever && (t.Flapping != nil || t.Backoff != nil) {
		f.add("restart", "never: there is nothing to wait for: leave out flapping and backoff")
	}
	if t.Detach && (t.Restart != "" || t.SuccessExitCodes != nil || t.MaxRuntime != 0) {
		f.add("detach", "a detached program is not watched: leave out restart, success_exit_codes and max_runtime")
	}
}

// restartPolicy is the policy with its default.
func (t *Template) restartPolicy() RestartPolicy {
	switch {
	case t.Schedule != nil:
		return RestartOnFailure // and schedule.retries says how often
	case t.Restart == "":
		return RestartAlways
	}
	return t.Restart
}

// succeeded says whether an exit is a success. One that nobody saw, and one by a signal,
// is none.
func (t *Template) succeeded(e *Exit) bool {
	if e.Signal != 0 || e.Status < 0 {
		return false
	}
	if t.SuccessExitCodes == nil {
		return e.Status == 0
	}
	return slices.Contains(t.SuccessExitCodes, e.Status)
}

// rest is how a slot is that is left empty because its process has ended.
type rest int8

const (
	restless rest = iota // it is to have a process
	restDone             // its process has ended as it should
	restFailed
)

// What events say of such an end, and what is read in them by the next manager.
const (
	saysDone     = "done"
	saysNotAgain = "not started again"
	ranTooLong   = "ran longer than "
)

// failedItself says that the end of a process that was asked to stop is a failure of its
// own, and nothing else asks for it. One that always runs is just replaced after its time.
func (k *keeper) failedItself(s *slot, p *process) bool {
	if p.fault == overdue && k.recipe.restartPolicy() == RestartAlways {
		return false
	}
	return p.fault != faultless && s.n <= k.size()
}

// reconsider ends the rest of slots that a template's new policy would not have left
// empty.
func (k *keeper) reconsider() {
	if k.agenda != nil {
		return // they wait for their time
	}
	policy := k.recipe.restartPolicy()
	for _, s := range k.slots {
		if s.rest != restless && (policy == RestartAlways || policy == RestartOnFailure && s.rest == restFailed) {
			s.forget()
		}
	}
}

// doneBy says that a process has ended as it should, and by its template's policy none is
// to follow.
func (k *keeper) doneBy(p *process, exit *Exit) bool {
	return p.recipe.restartPolicy() != RestartAlways && p.fault == faultless && p.recipe.succeeded(exit)
}

// rests leaves the slot of a process empty that has ended and by the template's policy
// is not followed by another one. It says whether that is so.
func (k *keeper) rests(s *slot, p *process, exit *Exit) bool {
	success := p.fault == faultless && p.recipe.succeeded(exit)
	switch policy := k.recipe.restartPolicy(); {
	case k.agenda != nil:
		if !success && k.failedRun(s, p, exit) {
			return true
		}
	case policy == RestartAlways, policy == RestartOnFailure && !success:
		return false
	}
	event := Event{Kind: KindExit, Exit: exit, Message: saysDone}
	s.rest, s.crashes, s.crashed, s.retryAt, s.reason = restDone, 0, false, time.Time{}, ""
	if !success {
		s.rest, s.reason, event.Message = restFailed, exit.Reason, saysNotAgain
	}
	k.publishIn(s, p, event)
	return true
}

// expire asks what has run for longer than it may to stop.
func (k *keeper) expire(now time.Time) {
	limit := time.Duration(k.recipe.MaxRuntime)
	if limit == 0 {
		return
	}
	for _, s := range k.slots {
		if p := s.current; p != nil && p.state == Running && !p.leaving() && !now.Before(p.os.Started().Add(limit)) {
			p.fault = overdue
			k.leave(p, KindStopPID, ranTooLong+limit.String())
		}
	}
}

// expiry is when the first process has run for as long as it may, zero if none is
// bound.
func (k *keeper) expiry() (due time.Time) {
	limit := time.Duration(k.recipe.MaxRuntime)
	if limit == 0 {
		return due
	}
	for _, s := range k.slots {
		if p := s.current; p != nil && p.state == Running {
			due = sooner(due, p.os.Started().Add(limit))
		}
	}
	return due
}

// sooner is the earlier of two times, of which zero is none.
func sooner(a, b time.Time) time.Time {
	if a.IsZero() || !b.IsZero() && b.Before(a) {
		return b
	}
	return a
}
