//go:build linux

package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"strings"
	"time"

	"github.com/gafferpm/gaffer/bench/internal/machine"
	"github.com/gafferpm/gaffer/bench/internal/report"
)

const (
	askers      = 4               // connections that make events happen
	streamLimit = 2 * time.Minute // for all events to reach all subscribers
)

// lastEvent is the record of the latest event, in JSON.
func (s *server) lastEvent(ctx context.Context) ([]byte, error) {
	_, text, err := s.get(ctx, "/v1/events?tail=1&follow=false")
	if err != nil {
		return nil, err
	}
	line, _, ok := bytes.Cut(text, []byte("\n"))
	if !ok {
		return nil, fmt.Errorf("no event: %q", text)
	}
	return line, nil
}

func (s *server) lastSeq(ctx context.Context) (uint64, error) {
	line, err := s.lastEvent(ctx)
	if err != nil {
		return 0, err
	}
	var event struct{ Seq uint64 }
	if err := json.Unmarshal(line, &event); err != nil {
		return 0, fmt.Errorf("event %q: %w", line, err)
	}
	return event.Seq, nil
}

// watched is what the subscribers have seen.
type watched struct {
	Complete int   `json:"complete"` // subscribers that have come to the last event
	Ended    int   `json:"ended"`    // those that were cut before
	Events   int   `json:"events"`   // received by all
	Told     int   `json:"told"`     // told to be lost
	Untold   int   `json:"untold"`   // lost without a word
	Again    int   `json:"again"`    // received once more
	Last     int64 `json:"last"`     // when the last subscriber came to the last event
}

// watchers are the subscribers: one process, used by one goroutine.
type watchers struct {
	cmd   *exec.Cmd
	in    io.WriteCloser
	lines chan string // what it prints; closed at its end
}

func (b *bench) subscribe(ctx context.Context, s *server) (*watchers, error) {
	cmd := exec.CommandContext(ctx, b.programs.watch, s.socket, fmt.Sprint(b.subscribers), "/v1/events")
	in, err := cmd.StdinPipe()
	if err != nil {
		return nil, fmt.Errorf("subscribers: %w", err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, fmt.Errorf("subscribers: %w", err)
	}
	var complaint strings.Builder
	cmd.Stderr = &complaint
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("subscribers: %w", err)
	}
	w := &watchers{cmd, in, make(chan string)}
	go func() {
		defer close(w.lines)
		for text := bufio.NewScanner(out); text.Scan(); {
			w.lines <- text.Text()
		}
	}()
	if _, err := w.line(ctx); err != nil {
		w.end()
		return nil, fmt.Errorf("%w %s", err, strings.TrimSpace(complaint.String()))
	}
	return w, nil
}

// line is the next that the subscribers print.
func (w *watchers) line(ctx context.Context) (string, error) {
	select {
	case text, ok := <-w.lines:
		if !ok {
			return "", errors.New("subscribers: gone")
		}
		return text, nil
	case <-ctx.Done():
		return "", ctx.Err()
	case <-time.After(streamLimit):
		return "", fmt.Errorf("subscribers: nothing after %v", streamLimit)
	}
}

// until waits until all have come to the event of that number.
func (w *watchers) until(ctx context.Context, seq uint64) (all watched, err error) {
	if _, err := fmt.Fprintln(w.in, seq); err != nil {
		return all, fmt.Errorf("subscribers: %w", err)
	}
	text, err := w.line(ctx)
	if err != nil {
		return all, err
	}
	if err := json.Unmarshal([]byte(text), &all); err != nil {
		return all, fmt.Errorf("subscribers: %q: %w", text, err)
	}
	return all, nil
}

// end ends the subscribers, and with them the one that never reads.
func (w *watchers) end() {
	w.in.Close()
	_ = w.cmd.Process.Kill() // it may have gone by itself
	for range w.lines {
		continue // what nobody waits for any more
	}
	_ = w.cmd.Wait() // we have killed it
}

// stream measures how events reach many subscribers.
func (b *bench) stream(ctx context.Context, contestant string) error {
	s, err := b.one(ctx, contestant)
	if err != nil {
		return err
	}
	err = b.measure(ctx, contestant, b.rest, func(rec report.Recorder) error { return b.events(ctx, s, rec) })
	return errors.Join(err, s.end())
}

func (b *bench) events(ctx context.Context, s *server, rec report.Recorder) error {
	peak := s.watchMemory()
	err := b.eventsWatched(ctx, s, rec)
	rec("events-peak", peak())
	if err != nil {
		return err
	}
	machine.Sleep(ctx, b.rest)
	rec("events-after", float64(machine.Measure(s.self()).PSS))
	return nil
}

func (b *bench) eventsWatched(ctx context.Context, s *server, rec report.Recorder) error {
	w, err := b.subscribe(ctx, s)
	if err != nil {
		return err
	}
	defer w.end()
	first, err := s.first(ctx)
	if err != nil {
		return err
	}
	cpu, began := s.cpu(), machine.Now()
	if _, err := b.load(ctx, s, askers, fmt.Sprint(b.eventCount), signalRequest); err != nil {
		return err
	}
	asked := machine.Now()
	last, err := s.until(ctx, first+uint64(b.eventCount))
	if err != nil {
		return err
	}
	all, err := w.until(ctx, last)
	if err != nil {
		return err
	}
	if all.Complete < b.subscribers || all.Untold+all.Again > 0 {
		return fmt.Errorf("events: %d of %d subscribers came to the end; in silence %d were lost and %d repeated",
			all.Complete, b.subscribers, all.Untold, all.Again)
	}
	rec("events-asked", float64(asked-began)/1e6)
	rec("events-all", float64(all.Last-began)/1e6)
	rec("events-cpu", float64(s.cpu()-cpu)/1e6)
	rec("events-told", float64(all.Told))
	rec("events-complete", float64(all.Complete))
	rec("events-received", 100*float64(all.Events)/float64(b.subscribers)/float64(last-first))
	return nil
}

// first is the number of the last event before the test.
func (s *server) first(ctx context.Context) (uint64, error) {
	if s.name == bare {
		return 0, nil
	}
	return s.lastSeq(ctx)
}

// until waits until an event of that number has happened, and returns the last.
func (s *server) until(ctx context.Context, seq uint64) (uint64, error) {
	if s.name == bare {
		return seq, nil
	}
	deadline := time.Now().Add(streamLimit)
	for {
		last, err := s.lastSeq(ctx)
		if err != nil || last >= seq {
			return last, err
		}
		if time.Now().After(deadline) {
			return last, fmt.Errorf("event %d has not happened after %v", seq, streamLimit)
		}
		machine.Sleep(ctx, lookEvery)
	}
}
