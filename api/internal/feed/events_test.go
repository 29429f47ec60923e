package feed_test

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/gafferpm/gaffer"
	"github.com/gafferpm/gaffer/api/internal/feed"
)

const eventStream = "Accept: text/event-stream"

func decode(t *testing.T, line string) gaffer.Event {
	t.Helper()
	var e gaffer.Event
	if err := json.Unmarshal([]byte(line), &e); err != nil {
		t.Fatalf("%q: %v", line, err)
	}
	return e
}

func TestEventsComeAsLinesOfJSON(t *testing.T) {
	w := newWorld(t, worldOptions{})
	w.audits(1, 2)
	in := w.follow("/v1/events?since=0")
	w.audits(3, 3)
	for i := 1; i <= 3; i++ {
		e := decode(t, in.line())
		if e.Seq != uint64(i) || e.Message != fmt.Sprint("number ", i) || e.Kind != gaffer.KindAudit {
			t.Errorf("event %d is %+v", i, e)
		}
	}
	for name, want := range map[string]string{
		"Content-Type": "application/x-ndjson", "Cache-Control": "no-store", "X-Accel-Buffering": "no",
		"X-Content-Type-Options": "nosniff", "Last-Event-ID": "0",
	} {
		if got := in.resp.Header.Get(name); got != want {
			t.Errorf("%s: %q, want %q", name, got, want)
		}
	}
}

func TestEventsComeAsServerSentEvents(t *testing.T) {
	w := newWorld(t, worldOptions{})
	w.audits(1, 1)
	in := w.follow("/v1/events", eventStream)
	if got := in.resp.Header.Get("Content-Type"); got != "text/event-stream" {
		t.Errorf("content type %q", got)
	}
	if got := in.message(); got != "id: 1" {
		t.Errorf("it begins with %q, want the position", got)
	}
	w.audits(2, 2)
	head, data, _ := strings.Cut(in.message(), "\ndata: ")
	if head != "id: 2\nevent: audit" {
		t.Errorf("message begins %q", head)
	}
	if e := decode(t, data); e.Message != "number 2" {
		t.Errorf("event %+v", e)
	}
}

func TestEventsAreChosen(t *testing.T) {
	w := newWorld(t, worldOptions{})
	w.ok(w.m.Add(w.ctx, shell("web", "exec sleep 100")))
	w.ok(w.m.Add(w.ctx, shell("mail", "exec sleep 100")))
	w.ok(w.m.Stop(w.ctx, gaffer.All))
	for query, want := range map[string]string{
		"target=web&kind=spawn,exit":            "web spawn, web exit",
		"kind=spawn&kind=create":                "web create, web spawn, mail create, mail spawn",
		"target=mail&tail=2":                    "mail stop_pid, mail exit",
		"since=0&target=ma*&kind=create&tail=0": "mail create",
	} {
		_, body := w.whole("/v1/events?follow=false&tail=-1&" + query)
		if strings.Contains(query, "tail") {
			_, body = w.whole("/v1/events?follow=false&" + query)
		}
		var got []string
		for line := range strings.Lines(strings.TrimSuffix(body, "{\"end\":true}\n")) {
			e := decode(t, line)
			got = append(got, e.Name+" "+string(e.Kind))
		}
		if s := strings.Join(got, ", "); s != want {
			t.Errorf("%s: %s, want %s", query, s, want)
		}
	}
}

func TestEventsWithoutFollowEndWithAMark(t *testing.T) {
	w := newWorld(t, worldOptions{})
	w.audits(1, 1)
	if _, body := w.whole("/v1/events?follow=false&tail=-1"); !strings.HasSuffix(body, "}\n{\"end\":true}\n") {
		t.Errorf("lines end in %q", body)
	}
	if _, body := w.whole("/v1/events?follow=false", eventStream); body != "event: end\ndata: {\"end\":true}\n\n" {
		t.Errorf("messages: %q", body)
	}
}

func TestDrainEndsStreamsWithAMark(t *testing.T) {
	w := newWorld(t, worldOptions{})
	in, poll := w.follow("/v1/events"), make(chan string, 1)
	go func() {
		_, body := w.whole("/v1/events?feed=longpoll&since=0")
		poll <- body
	}()
	w.audits(1, 1)
	<-poll
	in.line()
	w.ok(w.feed.Drain(w.ctx))
	if rest, err := in.ends(); rest != "{\"end\":true}\n" || err != nil {
		t.Errorf("it ends in %q, %v", rest, err)
	}
	if code, body := w.whole("/v1/events"); code != http.StatusServiceUnavailable {
		t.Errorf("after the drain: %d %s", code, body)
	}
	w.ok(w.feed.Drain(w.ctx))
}

func TestDrainGivesUpWithItsContext(t *testing.T) {
	f := feed.New(feed.Options{})
	w := newWorld(t, worldOptions{})
	entered, leave := make(chan struct{}), make(chan struct{})
	blocked := stubborn{Controller: w.m, entered: entered, leave: leave}
	done := make(chan struct{})
	go func() {
		defer close(done)
		r, _ := http.NewRequest("GET", "/v1/events", nil)
		_ = f.Events(nil, r, blocked)
	}()
	<-entered
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := f.Drain(ctx); err != context.Canceled {
		t.Errorf("drain: %v", err)
	}
	close(leave)
	<-done
	w.ok(f.Drain(w.ctx))
}

// stubborn is a controller whose Subscribe does not return when it should.
type stubborn struct {
	gaffer.Controller
	entered, leave chan struct{}
}

func (s stubborn) Subscribe(context.Context, gaffer.Target, gaffer.EventOptions) (gaffer.Stream[gaffer.Event], error) {
	close(s.entered)
	<-s.leave
	return nil, gaffer.ErrClosed
}

func TestSilentStreamHasAHeartbeat(t *testing.T) {
	w := newWorld(t, worldOptions{feed: feed.Options{Heartbeat: 20 * time.Millisecond}})
	in := w.follow("/v1/events", eventStream)
	for range 3 {
		if got := in.message(); got != ": " {
			t.Errorf("heartbeat %q", got)
		}
	}
	in = w.follow("/v1/events")
	for range 3 {
		if got := in.line(); got != "" {
			t.Errorf("heartbeat %q", got)
		}
	}
	w.audits(1, 1)
	for in.line() == "" {
	}
}

func TestHEADAnswersWithoutABody(t *testing.T) {
	w := newWorld(t, worldOptions{})
	w.add("web", "exec sleep 100")
	for _, path := range []string{"/v1/events", "/v1/stats", "/v1/logs?follow=true", "/v1/processes/web/streams/stdout"} {
		resp := w.request(w.ctx, "HEAD", path, nil)
		_ = resp.Body.Close()
		if resp.StatusCode != http.StatusOK || resp.Header.Get("Cache-Control") != "no-store" {
			t.Errorf("%s: %s %v", path, resp.Status, resp.Header)
		}
	}
}

func TestWhatIsWrongIsToldAllAtOnce(t *testing.T) {
	w := newWorld(t, worldOptions{})
	w.add("web", "exec sleep 100")
	for path, want := range map[string]string{
		"/v1/events?target=..&kind=x,spawn,&since=-1&tail=-2&follow=perhaps&feed=carrier&timeout=1s&kinds=exit": "target kind since tail follow feed timeout kinds",
		"/v1/events?feed=longpoll&tail=3&follow=true&timeout=1h":                                                "tail follow timeout",
		"/v1/events?since=1&since=2":              "since",
		"/v1/events?since=99999":                  "since",
		"/v1/events?since=18446744073709551616":   "since",
		"/v1/events?a=%zz":                        "query",
		"/v1/stats?interval=1ms&follow=2&target=": "interval follow target",
		"/v1/stats?interval=x":                    "interval",
		"/v1/logs?tail=x&stream=a/b&since=yesterday&until=-3&grep=(&prefix=x&raw=y": "tail stream since until grep prefix raw",
		"/v1/logs?since=5m&until=10m":                           "until",
		"/v1/logs?grep=" + strings.Repeat("a", 1001):            "grep",
		"/v1/processes/web/streams/stdout?tail=-3&follow=x&x=1": "tail follow x",
		"/v1/processes/web/attach?tail=x&stream=1":              "tail stream",
	} {
		code, body := w.whole(path)
		if code != http.StatusUnprocessableEntity {
			t.Errorf("%s: status %d: %s", path, code, body)
		}
		for _, name := range strings.Fields(want) {
			if !strings.Contains(body, name) {
				t.Errorf("%s does not name %s: %s", path, name, body)
			}
		}
	}
	code, body := w.whole("/v1/events", "Last-Event-ID: seven")
	if code != http.StatusUnprocessableEntity || !strings.Contains(body, "Last-Event-ID") {
		t.Errorf("Last-Event-ID: %d %s", code, body)
	}
	for path, accept := range map[string]string{
		"/v1/events": "text/html", "/v1/events?feed=longpoll": "text/event-stream", "/v1/stats": "text/plain",
		"/v1/logs": "image/*;q=1, text/plain;q=0", "/v1/processes/web/streams/stdout": "text/plain",
	} {
		if code, body := w.whole(path, "Accept: "+accept); code != http.StatusNotAcceptable {
			t.Errorf("%s as %s: %d %s", path, accept, code, body)
		}
	}
}
