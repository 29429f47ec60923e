package gaffer

import (
	"strings"
	"time"

	"github.com/gafferpm/gaffer/internal/output"
)

// slot is one of the places of a template that want a process. It belongs to the
// template's keeper.
type slot struct {
	n       int
	current *process // nil while the slot is empty
	old     *process // with an overlap, the one that current replaces

	crashes  int       // in a row
	restarts int       // crashes that were followed by a new process
	retryAt  time.Time // before which nothing is started
	crashed  bool      // the next process follows a crash
	rest     rest      // it is left empty, for its process has done what it should, or failed
	reason   string    // why the slot is empty
	since    time.Time // since when
	stored   []stored
	lastExit *Exit
	lastLog  *output.Log[*process] // what the process before wrote
}

// processes are those that are in the slot, old ones first.
func (s *slot) processes() []*process {
	var all []*process
	for _, p := range [...]*process{s.old, s.current} {
		if p != nil {
			all = append(all, p)
		}
	}
	return all
}

// forget starts the slot's history anew: what it waits for is given up.
func (s *slot) forget() {
	s.crashes, s.crashed, s.retryAt, s.rest, s.reason = 0, false, time.Time{}, restless, ""
}

// forgive is forget, but what has done what it should stays so.
func (s *slot) forgive() {
	was := s.rest
	s.forget()
	if was == restDone {
		s.rest = was
	}
}

// status is the slot as others see it. paused says that the template flaps.
func (s *slot) status(paused State) Process {
	st := Process{Slot: s.n, Restarts: s.restarts, LastExit: s.lastExit}
	if p := s.current; p != nil {
		st.ID, st.State, st.Since = p.id, p.shown(), p.since
		if p.os != nil {
			st.PID = p.os.PID()
		}
		st.Reason, st.Message = p.why, p.status
		if st.Reason == "" {
			st.Reason = p.said
		}
		if does := p.waitsFor(); does != "" {
			st.Reason = strings.TrimPrefix(st.Reason+", "+does, ", ")
		}
		return st
	}
	st.State, st.Since, st.Reason = paused, s.since, s.reason
	switch {
	case paused != "":
	case s.rest == restDone:
		st.State = Done
	case s.rest == restFailed:
		st.State = Failed
	default:
		st.State, st.RetryAt = InBackoff, s.retryAt
	}
	return st
}
