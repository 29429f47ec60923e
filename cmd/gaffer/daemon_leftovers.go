package main

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/gafferpm/gaffer"
	"github.com/gafferpm/gaffer/internal/proc"
)

// leftovers are the processes of an earlier daemon of the same state directory that
// was killed. They run, and nobody looks after them: to start their services again
// beside them would make two of each, so they are ended first.
type leftovers struct {
	log      *slog.Logger
	tell     func(status string)        // somebody who waits
	instance string                     // that daemon's
	births   []proc.Birth               // of processes whose end it did not see
	adopted  map[uint64]bool            // ids of processes that are taken over
	known    map[string]gaffer.Template // what it ran, by name
}

// looks is how often to look again for what was started while others were ended.
const looks = 3

// end ends all that are there. The error says that some can't be ended.
func (l *leftovers) end(ctx context.Context) error {
	var found []proc.Stray
	for look := range looks {
		found = proc.Strays(proc.Search{Mark: l.marked, Births: l.births, Variable: "GAFFER_NAME"})
		if len(found) == 0 {
			return nil
		}
		if look == 0 {
			l.announce(found)
		}
		wait, cancel := context.WithTimeout(ctx, l.patience(found))
		killed, err := proc.EndStrays(wait, found, l.signal)
		cancel()
		if err != nil {
			return fmt.Errorf("processes of a daemon that was killed: %w", err)
		}
		for _, s := range killed {
			l.log.Warn("a left process had to be killed", "template", s.Value, "pid", s.PID)
		}
	}
	return fmt.Errorf("processes of a daemon that was killed go on starting others; process %d is one of %d: %w", found[0].PID, len(found), gaffer.ErrConflict)
}

// marked says whether an entry of an environment is of that daemon's processes.
func (l *leftovers) marked(entry string) bool {
	value, ok := strings.CutPrefix(entry, "GAFFER_INSTANCE=")
	return ok && slices.ContainsFunc(strings.Split(value, "/"), func(mark string) bool {
		id, ours := strings.CutPrefix(mark, l.instance+".")
		n, err := strconv.ParseUint(id, 10, 64)
		return ours && (err != nil || !l.adopted[n])
	})
}

// oneOff says whether an entry of an environment is of a command that such a daemon was
// asked to execute: that is none of its processes, whose number is never 0.
func (l *leftovers) oneOff(entry string) bool {
	value, ok := strings.CutPrefix(entry, "GAFFER_INSTANCE=")
	return ok && slices.ContainsFunc(strings.Split(value, "/"), func(mark string) bool {
		return strings.HasPrefix(mark, l.instance+".0.")
	})
}

// oneOffTime is how long what is killed may take to be gone.
const oneOffTime = 5 * time.Second

// endOneOffs ends those: nobody is connected to them any more.
func (l *leftovers) endOneOffs(ctx context.Context) {
	found := proc.Strays(proc.Search{Mark: l.oneOff, Variable: "GAFFER_NAME"})
	if len(found) == 0 {
		return
	}
	l.log.Warn("commands that were executed by a manager that was killed are ended", "processes", len(found))
	ctx, cancel := context.WithTimeout(ctx, oneOffTime)
	defer cancel()
	if _, err := proc.EndStrays(ctx, found, func(proc.Stray) syscall.Signal { return syscall.SIGKILL }); err != nil {
		l.log.Error("a command can't be ended", "reason", err)
	}
}

func (l *leftovers) announce(found []proc.Stray) {
	var names []string
	for _, s := range found {
		if s.Main && s.Value != "" && !slices.Contains(names, s.Value) {
			names = append(names, s.Value)
		}
	}
	slices.SortFunc(names, naturally)
	text := fmt.Sprintf("the last daemon was killed and has left %s running", processes(len(found)))
	if len(names) > 0 {
		text += " (" + list(names) + ")"
	}
	text += "; ending them before theirs are started again"
	l.log.Warn(text)
	l.tell(text)
}

// signal is by which one is asked to end: as its template says.
func (l *leftovers) signal(s proc.Stray) syscall.Signal {
	if t, ok := l.known[s.Value]; ok && t.StopSignal != 0 {
		return syscall.Signal(t.StopSignal)
	}
	return syscall.SIGTERM
}

// patience is that of the most patient.
func (l *leftovers) patience(found []proc.Stray) time.Duration {
	var most time.Duration
	for _, s := range found {
		grace := gaffer.DefaultGracefulTimeout
		if t, ok := l.known[s.Value]; ok && t.GracefulTimeout != nil {
			grace = time.Duration(*t.GracefulTimeout)
		}
		most = max(most, grace)
	}
	return most
}

// unfinished are the processes of a journal, from an event on, that it has no end
// of. Those that were left alone from the beginning are none.
func unfinished(journal gaffer.Journal, after uint64, adopted map[uint64]bool) ([]proc.Birth, error) {
	alive := map[uint64]proc.Birth{}
	for {
		const some = 1024
		events, err := journal.Read(after, some)
		if err != nil || len(events) == 0 {
			births := make([]proc.Birth, 0, len(alive))
			for _, b := range alive {
				births = append(births, b)
			}
			return births, err
		}
		for _, e := range events {
			switch {
			case e.Kind == gaffer.KindExit, adopted[e.ID]:
				delete(alive, e.ID)
			case e.Kind == gaffer.KindSpawn && e.PID > 0 && e.Message != "detached":
				alive[e.ID] = proc.Birth{PID: e.PID, At: e.Time, Value: e.Name}
			}
		}
		after = events[len(events)-1].Seq
	}
}
