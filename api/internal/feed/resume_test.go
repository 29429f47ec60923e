package feed_test

import (
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gafferpm/gaffer"
	"github.com/gafferpm/gaffer/api/internal/feed"
)

// A client that is cut again and again, also in the middle of a message, gets each
// event once, in order, while they keep coming.
func TestResumedStreamHasNoGapAndNoRepetition(t *testing.T) {
	for _, accept := range []string{"text/event-stream", "application/x-ndjson"} {
		t.Run(accept, func(t *testing.T) { testResume(t, accept) })
	}
}

func testResume(t *testing.T, accept string) {
	const all = 2000
	w := newWorld(t, worldOptions{})
	w.audits(1, 1)
	first := w.follow("/v1/events", "Accept: "+accept)
	var publishing sync.WaitGroup
	publishing.Go(func() { w.audits(2, all) })
	defer publishing.Wait()

	// The first connection is cut before anything was read of it but its head.
	last := first.resp.Header.Get("Last-Event-ID")
	first.hangUp()
	next := 2
	for next <= all {
		in := w.follow("/v1/events", "Accept: "+accept, "Last-Event-ID: "+last)
		for left := rand.IntN(200) + 1; left > 0 && next <= all; {
			line, isData := strings.CutPrefix(in.line(), "data: ")
			if !isData && accept == "text/event-stream" || line == "" {
				continue
			}
			e := decode(t, line)
			if want := fmt.Sprint("number ", next); e.Message != want || e.Seq != uint64(next) {
				t.Fatalf("event %d %q, want %q", e.Seq, e.Message, want)
			}
			last = fmt.Sprint(e.Seq)
			next++
			left--
		}
		in.hangUp()
	}
}

func TestGapBeyondTheJournalIsTold(t *testing.T) {
	w := newWorld(t, worldOptions{})
	w.audits(1, 5000) // 4096 are kept
	in := w.follow("/v1/events?since=10")
	if got := in.line(); got != `{"missed":894}` {
		t.Errorf("it begins with %s", got)
	}
	if e := decode(t, in.line()); e.Seq != 905 {
		t.Errorf("it goes on with %d", e.Seq)
	}
	in = w.follow("/v1/events?since=10", eventStream)
	in.message() // the position
	if got := in.message(); got != "event: missed\ndata: {\"missed\":894}" {
		t.Errorf("it begins with %q", got)
	}
}

// polled is the answer to a long poll.
type polled struct {
	Last   uint64         `json:"last"`
	Events []gaffer.Event `json:"events"`
	Missed *int           `json:"missed"`
}

func (w *world) poll(query string) polled {
	w.Helper()
	code, body := w.whole("/v1/events?feed=longpoll&" + query)
	var p polled
	if err := json.Unmarshal([]byte(body), &p); err != nil || code != http.StatusOK || p.Events == nil || p.Missed == nil {
		w.Fatalf("%d %q: %v", code, body, err)
	}
	return p
}

func TestLongPollsHaveNoGapAndNoRepetition(t *testing.T) {
	const all = 2000
	w := newWorld(t, worldOptions{})
	w.audits(1, 1)
	last := w.poll("timeout=0").Last
	if last != 1 {
		t.Errorf("the first poll ends at %d", last)
	}
	var publishing sync.WaitGroup
	publishing.Go(func() { w.audits(2, all) })
	defer publishing.Wait()
	for next := uint64(2); next <= all; {
		p := w.poll(fmt.Sprint("since=", last))
		for _, e := range p.Events {
			if e.Seq != next {
				t.Fatalf("event %d, want %d", e.Seq, next)
			}
			next++
		}
		if len(p.Events) == 0 || p.Last != next-1 || *p.Missed != 0 {
			t.Fatalf("%d events, missed %d, last %d before %d", len(p.Events), *p.Missed, p.Last, next)
		}
		last = p.Last
	}
}

func TestLongPollWaitsForTheNext(t *testing.T) {
	subscribed := make(chan struct{})
	w := newWorld(t, worldOptions{wrap: func(c gaffer.Controller) gaffer.Controller { return announcer{c, subscribed} }})
	w.audits(1, 1)
	answer := make(chan polled, 1)
	go func() { answer <- w.poll("kind=create") }()
	<-subscribed
	w.audits(2, 3)
	w.add("web", "exec sleep 100")
	if p := <-answer; len(p.Events) != 1 || p.Events[0].Kind != gaffer.KindCreate || p.Last != p.Events[0].Seq {
		t.Errorf("answer %+v", p)
	}
}

// announcer says when events to come were subscribed to.
type announcer struct {
	gaffer.Controller
	subscribed chan struct{}
}

func (a announcer) Subscribe(ctx context.Context, target gaffer.Target, how gaffer.EventOptions) (gaffer.Stream[gaffer.Event], error) {
	events, err := a.Controller.Subscribe(ctx, target, how)
	if !how.NoFollow {
		a.subscribed <- struct{}{}
	}
	return events, err
}

func TestLongPollWithNothingToTellEnds(t *testing.T) {
	w := newWorld(t, worldOptions{})
	w.audits(1, 3)
	begun := time.Now()
	p := w.poll("since=3&timeout=0.05")
	if took := time.Since(begun); took < 50*time.Millisecond {
		t.Errorf("it took %s", took)
	}
	if len(p.Events) != 0 || p.Last != 3 {
		t.Errorf("answer %+v", p)
	}
	if p := w.poll("kind=exit&since=0&timeout=0"); p.Last != 0 || len(p.Events) != 0 {
		t.Errorf("answer %+v", p)
	}
}

// A poller for what seldom happens must not be told of the same loss for ever.
func TestLongPollGetsPastALoss(t *testing.T) {
	w := newWorld(t, worldOptions{})
	w.audits(1, 5000)
	p := w.poll("kind=exit&since=10&timeout=1")
	if *p.Missed != 894 || p.Last != 904 || len(p.Events) != 0 {
		t.Errorf("answer %+v, missed %d", p, *p.Missed)
	}
	if p = w.poll("kind=exit&since=904&timeout=0.01"); *p.Missed != 0 || p.Last != 904 {
		t.Errorf("answer %+v, missed %d", p, *p.Missed)
	}
	p = w.poll("since=10")
	if *p.Missed != 894 {
		t.Errorf("missed %d", *p.Missed)
	}
	if len(p.Events) == 0 { // they take more than a moment to read
		p = w.poll(fmt.Sprint("since=", p.Last))
	}
	if len(p.Events) == 0 || p.Events[0].Seq != 905 {
		t.Errorf("%d events follow", len(p.Events))
	}
}

func TestLongPollOfAClientThatIsGoneEnds(t *testing.T) {
	w := newWorld(t, worldOptions{})
	resp := make(chan error, 1)
	r, err := http.NewRequest("GET", "http://gaffer/v1/events?feed=longpoll", nil)
	w.ok(err)
	w.client.Timeout = 50 * time.Millisecond
	go func() { _, err := w.client.Do(r); resp <- err }()
	if err := <-resp; err == nil {
		t.Error("it was answered")
	}
	// What is left of it shows when the world ends.
}

func TestKeptConnectionServesOn(t *testing.T) {
	w := newWorld(t, worldOptions{feed: feed.Options{Stall: time.Second}})
	w.audits(1, 1)
	for range 3 {
		w.poll("since=0")
		_, body := w.whole("/v1/events?follow=false")
		if body != "{\"end\":true}\n" {
			t.Errorf("body %q", body)
		}
	}
}
