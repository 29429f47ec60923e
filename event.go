package gaffer

import "time"

// Kind says what sort of thing happened.
type Kind string

// The kinds of events. Scale and Update publish update; a surplus or restarted
// process that is told to stop is a reap, any other a stop_pid.
const (
	KindCreate    Kind = "create"    // a template was added
	KindUpdate    Kind = "update"    // a template, or its wanted number, changed
	KindDelete    Kind = "delete"    // a template was removed
	KindStart     Kind = "start"     // a template became wanted
	KindStop      Kind = "stop"      // a template became unwanted
	KindRestart   Kind = "restart"   // a template is being restarted
	KindSpawn     Kind = "spawn"     // a process was started
	KindReap      Kind = "reap"      // a surplus or replaced process was told to stop
	KindStopPID   Kind = "stop_pid"  // a process was told to stop
	KindExit      Kind = "exit"      // a process ended
	KindRollout   Kind = "rollout"   // processes begin to be replaced a few at a time, or all have been
	KindRollback  Kind = "rollback"  // a rollout was stopped, since what is new does not become ready
	KindReady     Kind = "ready"     // a process is ready, of which that is asked
	KindUnready   Kind = "unready"   // a process was not ready in time, or is not any more
	KindHealthy   Kind = "healthy"   // a process does well, of which that is asked
	KindUnhealthy Kind = "unhealthy" // a process does not
	KindHook      Kind = "hook"      // a hook has failed, or stop_command: Message says which and why
	KindBackoff   Kind = "backoff"   // a slot stays empty for a while before the next try
	KindFlap      Kind = "flap"      // crashes are too many: a pause
	KindFail      Kind = "fail"      // crashes are too many: given up
	KindRun       Kind = "run"       // a run of a scheduled template begins
	KindSkip      Kind = "skip"      // a run that was due is not made: Message says why
	KindGap       Kind = "gap"       // numbers of events are missing, or output of a process is: Message says which
	KindAudit     Kind = "audit"     // somebody asked for a change: By says who, Name of what, Message what for
)

// Kinds are all kinds of events.
func Kinds() []Kind {
	return []Kind{
		KindCreate, KindUpdate, KindDelete, KindStart, KindStop, KindRestart,
		KindSpawn, KindRollout, KindRollback, KindReady, KindUnready, KindHealthy, KindUnhealthy, KindReap, KindStopPID, KindExit, KindHook, KindBackoff, KindFlap, KindFail, KindRun, KindSkip, KindGap, KindAudit,
	}
}

// Event is one thing that happened. The fields that do not apply are zero.
type Event struct {
	Seq     uint64    `json:"seq"` // numbers all events of a manager, from 1, without a gap
	Time    time.Time `json:"time"`
	Node    string    `json:"node,omitempty"`
	Kind    Kind      `json:"kind"`
	Name    string    `json:"name"`
	Group   string    `json:"group,omitempty"`
	ID      uint64    `json:"id,omitempty"`
	Slot    int       `json:"slot,omitempty"`
	PID     int       `json:"pid,omitempty"`
	Exit    *Exit     `json:"exit,omitempty"`
	By      string    `json:"by,omitempty"` // of an audit: who asked
	Message string    `json:"message,omitempty"`

	// Restarts, of a spawn, exit or backoff, is how often a crash in that slot was
	// followed by a new process.
	Restarts int `json:"restarts,omitempty"`
	// Failures is how many crashes and starts that failed there have been in a row in
	// the slot: of an exit when it was a crash, of a spawn and of a backoff.
	Failures int `json:"failures,omitempty"`
	// RetryAt, of an exit, backoff or flap, is when the next try is due.
	RetryAt time.Time `json:"retry_at,omitzero"`
	// Due, of a run or skip, is the time that it was due at, unless somebody has asked for
	// it; of a start, restart or update of a template with a schedule, when that counts
	// from.
	Due time.Time `json:"due,omitzero"`
	// Pauses, of a flap, is how many there have been in a row.
	Pauses int `json:"pauses,omitempty"`
}

// Exit is how a process ended.
type Exit struct {
	Status int       `json:"status"`          // exit status; -1 when a signal ended it
	Signal Signal    `json:"signal,omitzero"` // 0 when it exited by itself
	Time   time.Time `json:"time"`
	Reason string    `json:"reason,omitempty"` // "scaled down", "killed after 30s", …
}

// EventOptions say which events to deliver. The zero value is every kind, from
// now on.
type EventOptions struct {
	// Kinds are those wanted. None means all.
	Kinds []Kind
	// Since delivers first what has happened after the event of that number, 0
	// being the beginning. What the journal does not have any more is told as a
	// Missed. ErrInvalid: there is no such event yet. Tail is not used then.
	Since *uint64
	// Tail delivers first as many of the latest events, which are looked for among
	// the latest 65,536 of all kinds and templates; -1 all that are kept.
	Tail int
	// NoFollow ends the stream after what has happened so far.
	NoFollow bool
}
