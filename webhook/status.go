package webhook

import (
	"time"

	"github.com/gafferpm/gaffer"
)

// Status is how a hook is. It has no secret in it: of the URL only the host.
type Status struct {
	Name   string        `json:"name"`
	URL    string        `json:"url"`
	Target gaffer.Target `json:"target"`
	Kinds  []gaffer.Kind `json:"kinds"` // none: all
	// Pending is how many events wait in the queue. Those that wait for a place in
	// it are in the journal.
	Pending   int    `json:"pending"`
	Delivered uint64 `json:"delivered"` // since the app was made
	Failed    uint64 `json:"failed"`    // attempts, since then
	// Missed is how many events were lost since then: gone from the journal before
	// there was room for them, too old, or dead letters beyond the limit.
	Missed   uint64 `json:"missed,omitempty"`
	Disabled bool   `json:"disabled,omitempty"` // the receiver answered 410: it wants no more
	// LastError is of the latest attempt that was in vain.
	LastError   string       `json:"last_error,omitempty"`
	LastErrorAt time.Time    `json:"last_error_at,omitzero"`
	Dead        []DeadLetter `json:"dead"`
}

// DeadLetter is an event that was given up.
type DeadLetter struct {
	Seq      uint64      `json:"seq"`
	Kind     gaffer.Kind `json:"kind"`
	Name     string      `json:"name"`
	Attempts int         `json:"attempts"`
	Error    string      `json:"error"`
	Time     time.Time   `json:"time"` // when it was given up
}

// List tells how the hooks are, in their order.
func (a *App) List() []Status {
	a.mu.Lock()
	running := a.running
	a.mu.Unlock()
	list := make([]Status, len(running))
	for i, r := range running {
		list[i] = r.status()
	}
	return list
}

func (s *sender) status() Status {
	s.mu.Lock()
	defer s.mu.Unlock()
	st := Status{
		Name: s.hook.Name, URL: s.hook.shown(), Target: s.hook.Target, Kinds: append([]gaffer.Kind{}, s.hook.Kinds...),
		Pending: s.pending, Delivered: s.delivered, Failed: s.failed, Missed: s.missed, Disabled: s.disabled,
		LastError: s.lastError, LastErrorAt: s.lastTime, Dead: []DeadLetter{},
	}
	for _, l := range s.dead {
		st.Dead = append(st.Dead, DeadLetter{Seq: l.seq, Kind: l.kind, Name: l.name, Attempts: l.Attempts, Error: l.Error, Time: l.Dead})
	}
	return st
}
