package main

import (
	"testing"
	"time"

	"github.com/gafferpm/gaffer"
	"github.com/gafferpm/gaffer/internal/proc"
)

// shortJournal reads three events at a time.
type shortJournal []gaffer.Event

func (j shortJournal) Append([]gaffer.Event) error { panic("nobody writes to it") }
func (j shortJournal) Last() (seq, id uint64)      { return j[len(j)-1].Seq, 0 }
func (j shortJournal) Read(after uint64, limit int) ([]gaffer.Event, error) {
	var some []gaffer.Event
	for _, e := range j {
		if e.Seq > after && len(some) < min(limit, 3) {
			some = append(some, e)
		}
	}
	return some, nil
}

func TestProcessesWithoutAnEndAreUnfinished(t *testing.T) {
	at := time.Now()
	journal := shortJournal{
		{Seq: 3, Kind: gaffer.KindSpawn, Name: "before", ID: 1, PID: 10},
		{Seq: 4, Kind: gaffer.KindSpawn, Name: "web", ID: 2, PID: 11, Time: at},
		{Seq: 5, Kind: gaffer.KindSpawn, Name: "gone", ID: 3, PID: 12},
		{Seq: 6, Kind: gaffer.KindSpawn, Name: "alone", ID: 4, PID: 13, Message: "detached"},
		{Seq: 8, Kind: gaffer.KindStop, Name: "web"},
		{Seq: 9, Kind: gaffer.KindExit, Name: "gone", ID: 3, PID: 12},
	}
	births, err := unfinished(journal, 3, nil)
	if err != nil || len(births) != 1 || births[0].PID != 11 || births[0].Value != "web" || !births[0].At.Equal(at) {
		t.Errorf("got %+v, %v; want web alone", births, err)
	}
}

func TestLeftoversAreKnownByTheirInstance(t *testing.T) {
	l := &leftovers{instance: "OURS"}
	for entry, want := range map[string]bool{
		"GAFFER_INSTANCE=OURS.7":            true,
		"GAFFER_INSTANCE=OUTER.1/OURS.7":    true,
		"GAFFER_INSTANCE=OURS.7/INNER.2":    true,
		"GAFFER_INSTANCE=OURS":              false, // its environment was passed on, no more
		"GAFFER_INSTANCE=OURSELVES.7":       false,
		"GAFFER_INSTANCE=OTHER.7":           false,
		"GAFFER_INSTANCE=":                  false,
		"XGAFFER_INSTANCE=OURS.7":           false,
		"PATH=/GAFFER_INSTANCE=OURS.7/bin":  false,
		"GAFFER_NAME=GAFFER_INSTANCE=OURS.": false,
	} {
		if got := l.marked(entry); got != want {
			t.Errorf("%s: got %v", entry, got)
		}
	}
}

func TestOneOffsAreKnownByTheirNumber(t *testing.T) {
	l := &leftovers{instance: "OURS"}
	for entry, want := range map[string]bool{
		"GAFFER_INSTANCE=OURS.0.1":         true,
		"GAFFER_INSTANCE=OUTER.1/OURS.0.7": true,
		"GAFFER_INSTANCE=OURS.0.7/INNER.2": true,
		"GAFFER_INSTANCE=OURS.7":           false,
		"GAFFER_INSTANCE=OTHER.0.7":        false,
		"X=GAFFER_INSTANCE=OURS.0.7":       false,
	} {
		if got := l.oneOff(entry); got != want {
			t.Errorf("%s: got %v", entry, got)
		}
		if want && !l.marked(entry) {
			t.Errorf("%s: left by a daemon that was killed, it is not found", entry)
		}
	}
}

func TestTheMostPatientLeftoverCounts(t *testing.T) {
	grace := gaffer.Duration(time.Minute)
	l := &leftovers{known: map[string]gaffer.Template{"slow": {Name: "slow", GracefulTimeout: &grace, StopSignal: 2}}}
	if got := l.patience(nil); got != 0 {
		t.Errorf("of none: %v", got)
	}
	if s := l.signal(proc.Stray{Value: "slow"}); s != 2 {
		t.Errorf("got %v", s)
	}
	if got := l.patience([]proc.Stray{{Value: "web"}, {Value: "slow"}}); got != time.Minute {
		t.Errorf("got %v", got)
	}
	if got := l.patience([]proc.Stray{{Value: "web"}}); got != gaffer.DefaultGracefulTimeout {
		t.Errorf("got %v", got)
	}
}
