package gaffer

import (
	"context"
	"time"
)

// Controller is what can be asked: the local Manager, and whatever stands for
// one elsewhere. The same verbs, the same answers, the same errors.
//
// A context bounds the waiting, not the doing: a Stop whose context ends has
// still asked everything to stop.
type Controller interface {
	// Add registers a template and, unless its Start is false, starts it. It
	// waits until each process was started or has failed to. ErrConflict: the
	// name is taken. ErrInvalid: it can't be started as it stands; nothing changed.
	Add(ctx context.Context, t Template) error
	// Update replaces the template of that name. Where a field changed that
	// running processes depend on, they are replaced.
	Update(ctx context.Context, t Template) error
	// Remove stops templates and forgets them.
	Remove(ctx context.Context, target Target) error

	// Start makes templates wanted and fills their slots; it waits until each
	// slot was tried.
	Start(ctx context.Context, target Target) error
	// Stop of templates makes them unwanted and stops their processes, in the
	// reverse of the start order; of a slot or id, it stops that one process,
	// which is replaced. It waits until they are gone.
	Stop(ctx context.Context, target Target) error
	// Restart replaces processes: ids change, slots stay. It waits for the new ones.
	Restart(ctx context.Context, target Target, how RestartMode) error
	// Undo goes back to the template before the latest update, by an update. ErrConflict:
	// there was none.
	Undo(ctx context.Context, target Target) error
	// Scale changes the wanted number and returns the new one of each template,
	// by name. It never goes below 0.
	Scale(ctx context.Context, target Target, change Change) (map[string]int, error)
	// Signal sends a signal to a process or to all of a target. It changes
	// nothing that is wanted.
	Signal(ctx context.Context, target Target, sig Signal) error

	// RunNow runs templates that have a schedule, or whose restart is never or
	// on-failure, once and now, and waits until that run is over; how it has ended is in
	// their Status. The schedule goes on as it was. ErrConflict: a template runs all the
	// time, or already; it has a schedule and is stopped; the run was not made, or not to
	// its end.
	RunNow(ctx context.Context, target Target) error

	// List tells of templates and their processes, in the order of definition.
	List(ctx context.Context, target Target) ([]Info, error)
	// History tells what has happened last to each slot of a target, and to its
	// templates as a whole, in the order in which it did: starts, exits, restarts,
	// with the reasons. It goes back beyond the events that are kept of everything.
	History(ctx context.Context, target Target) ([]Event, error)
	// Groups lists the groups that have members, in the order of definition.
	Groups(ctx context.Context) ([]Group, error)
	// Stats reads once what templates use.
	Stats(ctx context.Context, target Target) ([]Stats, error)
	// Monitor reads what templates use every interval (0: 1s; least 100ms). It
	// follows replaced and new processes.
	Monitor(ctx context.Context, target Target, interval time.Duration) (Stream[[]Stats], error)

	// Subscribe delivers events of a target: those to come, and if asked for those
	// of before.
	Subscribe(ctx context.Context, target Target, how EventOptions) (Stream[Event], error)
	// Output delivers what processes write, and will write.
	Output(ctx context.Context, target Target, how OutputOptions) (Stream[Output], error)
	// Write writes to stdin or to a custom stream, named by its label, of the one
	// process that target selects.
	Write(ctx context.Context, target Target, label string, data []byte) error
}

// Stream delivers values until it is closed, or until the context it was made
// with ends. One goroutine reads it.
type Stream[T any] interface {
	// Next waits for the next value. The error is a Missed where values were
	// lost, after which the stream goes on; io.EOF when nothing will come any
	// more; or the context's.
	Next(ctx context.Context) (T, error)
	// Len is how many values are known to wait: Next delivers so many without
	// waiting, and may deliver more.
	Len() int
	// Close ends the stream. A waiting Next returns io.EOF.
	Close()
}

// Once waits for the next event of a target and of the kinds given, none meaning all.
func Once(ctx context.Context, c Controller, target Target, kinds ...Kind) (Event, error) {
	events, err := c.Subscribe(ctx, target, EventOptions{Kinds: kinds})
	if err != nil {
		return Event{}, err
	}
	defer events.Close()
	return events.Next(ctx)
}

// RestartMode says how a restart replaces processes.
type RestartMode int

const (
	// StopFirst stops a process, then starts the one that follows it, one slot
	// after the other.
	StopFirst RestartMode = iota
	// Overlap starts the new process first, then stops the old one.
	Overlap
)

// Group is the templates whose names begin with its name and a colon.
type Group struct {
	Name    string   `json:"name"`
	Members []string `json:"members"`
}

// State is the word for how a template or a process is.
type State string

// The states.
const (
	Stopped    State = "stopped"
	Starting   State = "starting"
	Running    State = "running"
	InBackoff  State = "backoff"
	InFlapping State = "flapping"
	Failed     State = "failed"
	Stopping   State = "stopping"
	Waiting    State = "waiting"   // for what it depends on, for its time, or for a first connection
	Unhealthy  State = "unhealthy" // it runs, but its health probe says that it does not do well
	Done       State = "done"      // all processes have ended as they should, and none is to follow
)

// Info is a template and how it is.
type Info struct {
	Template Template `json:"template"`
	Status   Status   `json:"status"`
}

// Status is how a template is.
type Status struct {
	Name         string `json:"name"`
	Group        string `json:"group"`
	State        State  `json:"state"`
	Active       string `json:"active"` // "active" when it is wanted, else "stopped"
	Running      int    `json:"running"`
	MaxProcesses int    `json:"max_processes"` // the wanted number
	Restarts     int    `json:"restarts"`      // crashes that were replaced, over all slots
	// Armed says that nothing is to run just now: it waits for its time, or for the first
	// connection, as it should.
	Armed bool `json:"armed,omitempty"`
	// NextRun is when a template with a schedule is run next.
	NextRun time.Time `json:"next_run,omitzero"`
	Reason  string    `json:"reason,omitempty"`
	// Rollout is how the latest rollout goes, or went; nil: there was none.
	Rollout   *RolloutStatus `json:"rollout,omitempty"`
	Processes []Process      `json:"processes"`
	// Limits are those of the template, and what makes each hold.
	Limits []LimitStatus `json:"limits,omitempty"`
}

// Process is how one slot of a template is: its process, or what keeps it empty.
type Process struct {
	ID       uint64    `json:"id"` // 0 while the slot is empty
	Slot     int       `json:"slot"`
	PID      int       `json:"pid"`
	State    State     `json:"state"`
	Since    time.Time `json:"since"`
	Restarts int       `json:"restarts"`            // crashes of this slot that were replaced
	Message  string    `json:"message,omitempty"`   // what it says of itself (STATUS of sd_notify)
	Reason   string    `json:"reason,omitempty"`    // why it is not running
	RetryAt  time.Time `json:"retry_at,omitzero"`   // when it is tried again
	LastExit *Exit     `json:"last_exit,omitempty"` // how the one before ended
}
