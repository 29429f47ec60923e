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

// marked says whether an entry of an environment is of that daemon's processes. Those that
// are to be left alone when their service has ended are none: the service itself is found by
// its birth. Nor are errands: those that there are by now are this daemon's.
func (l *leftovers) marked(entry string) bool {
	value, ok := strings.CutPrefix(entry, "GAFFER_INSTANCE=")
	if !ok || isErrand(entry, l.instance) {
		return false
	}
	marks := strings.Split(value, "/")
	for i, mark := range marks {
		id, ours := strings.CutPrefix(mark, l.instance+".")
		n, err := strconv.ParseUint(id, 10, 64)
		if ours && (err != nil || !l.adopted[n]) && (i+1 == len(marks) || marks[i+1] != "spared") {
			return true
		}
	}
	return false
}

// endErrandsOf ends what a manager that was killed has run beside its services: hooks, and
// what finds out how they are. Services themselves have gone on.
func endErrandsOf(ctx context.Context, instance string) error {
	found := proc.Strays(proc.Search{Mark: func(entry string) bool { return isErrand(entry, instance) }})
	if len(found) == 0 {
		return nil
	}
	wait, cancel := context.WithTimeout(ctx, errandPatience)
	defer cancel()
	_, err := proc.EndStrays(wait, found, func(proc.Stray) syscall.Signal { return syscall.SIGKILL })
	return err
}

// errandPatience is how long it is waited for the end of what was killed.
const errandPatience = 5 * time.Second

func isErrand(entry, instance string) bool {
	value, ok := strings.CutPrefix(entry, "GAFFER_INSTANCE=")
	return ok && slices.ContainsFunc(strings.Split(value, "/"), func(mark string) bool {
		return strings.HasPrefix(mark, instance+".0.")
	})
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
