// Package state keeps what has to outlive a daemon, in one directory of its own:
// which templates are wanted and where they come from, the events that happened,
// and small values of others (Bucket).
//
// Open takes the directory; only one program can have it. Its State is the Store
// of a gaffer.Manager, State.Journal its Journal. State.Restore gives a new
// manager what was wanted before, and State.Configurator plans and applies what
// files define.
//
// Whatever was acknowledged is there after a kill -9, a full disk or a power
// failure, but for the latest events: these survive a kill, and of a power failure
// the last second may be missing. No number of an event or id of a process is
// given out twice in any case.
package state
