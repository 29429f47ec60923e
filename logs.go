package gaffer

import (
	"context"
	"errors"
	"io"
	"slices"
	"time"

	"github.com/gafferpm/gaffer/internal/proc"
)

// Logs keeps what processes write to stdout and stderr beyond the manager's end.
type Logs interface {
	// Capture takes what a process writes to the stream of its slot with that label.
	// The bounds are those of the template, nil the defaults.
	Capture(name string, slot int, label string, id uint64, bounds *LogFiles) proc.Capture
	// Writer takes what is written of such a process by somebody else than itself, under a
	// label of its own.
	Writer(name string, slot int, label string, id uint64, bounds *LogFiles) io.WriteCloser
	// Bound changes the bounds of a template's streams.
	Bound(name string, bounds *LogFiles)
	// Trouble is how many bytes of a template's output could not be kept, and for how long
	// its processes had to wait at most because nobody read what they wrote.
	Trouble(name string) (lost int64, blocked time.Duration)
	// Read delivers what a query asks for.
	// ErrInvalid: How.After is no cursor.
	Read(q LogQuery) (Stream[Output], error)
	// End ends all reading: what was written so far is still delivered.
	End()
}

// LogQuery says what to read of Logs.
type LogQuery struct {
	// Wanted chooses streams; ID, unless 0, lines of the process of that id.
	Wanted func(name string, slot int, label string) bool
	ID     uint64
	// How says the rest: Labels are in Wanted.
	How OutputOptions
	// Match chooses lines, nil is all.
	Match func(line []byte) bool
}

// captures are what takes the output of the process, by stream; nil where nothing does.
func (p *process) captures() []proc.Capture {
	logs := p.k.m.opts.Logs
	if logs == nil || p.recipe.Detach || p.recipe.Logs.inMemory() {
		return nil
	}
	all := make([]proc.Capture, proc.Custom)
	for stream := proc.Stdout; stream < proc.Custom; stream++ {
		if label := p.label(stream); label != "" {
			all[stream] = logs.Capture(p.recipe.Name, p.slot, label, p.id, p.recipe.Logs)
		}
	}
	return all
}

// filed reads what a target's processes write from the logs.
func (m *Manager) filed(sel selection, how OutputOptions, match matcher) (Stream[Output], error) {
	wanted := func(name string, slot int, label string) bool {
		if len(how.Labels) > 0 && !slices.Contains(how.Labels, label) {
			return false
		}
		if how.Gone {
			return sel.template(name) && (sel.slot == 0 || slot == sel.slot)
		}
		m.mu.Lock()
		k := m.keepers[name]
		m.mu.Unlock()
		switch {
		case k == nil || !sel.template(name):
			return false
		case sel.slot != 0:
			return slot == sel.slot
		}
		return slot <= int(k.shown.Load()) // those above have been given up
	}
	return m.opts.Logs.Read(LogQuery{Wanted: wanted, ID: sel.id, How: how, Match: match})
}

// inMemory says whether some of what the keepers' processes write is not in the logs.
func inMemory(ctx context.Context, keepers []*keeper) (is bool, err error) {
	for _, k := range keepers {
		err = errors.Join(err, k.box.do(ctx, func() { is = is || len(k.recipe.CustomStreams) > 0 || k.recipe.Logs.inMemory() }))
	}
	return is, err
}
