package feed_test

import (
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/gafferpm/gaffer"
	"github.com/gafferpm/gaffer/api/internal/feed"
)

// secondVersion serves a controller with HTTP/2.
func secondVersion(t *testing.T, f *feed.Feed, c gaffer.Controller) func(path string) *http.Response {
	t.Helper()
	server := httptest.NewUnstartedServer(routes(f, c))
	server.EnableHTTP2 = true
	server.StartTLS()
	t.Cleanup(server.Close)
	return func(path string) *http.Response {
		resp, err := server.Client().Get(server.URL + path)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = resp.Body.Close() })
		if resp.ProtoMajor != 2 {
			t.Fatalf("the protocol is %s", resp.Proto)
		}
		return resp
	}
}

func TestStreamsWorkWithHTTP2(t *testing.T) {
	w := newWorld(t, worldOptions{})
	w.audits(1, 3)
	get := secondVersion(t, w.feed, w.m)
	b, err := io.ReadAll(get("/v1/events?tail=-1&follow=false").Body)
	if err != nil || strings.Count(string(b), "\n") != 4 || !strings.HasSuffix(string(b), "\n{\"end\":true}\n") {
		t.Errorf("%q, %v", b, err)
	}
	resp := get("/v1/events")
	w.ok(w.feed.Drain(w.ctx))
	if b, err := io.ReadAll(resp.Body); string(b) != "{\"end\":true}\n" || err != nil {
		t.Errorf("drained: %q, %v", b, err)
	}
}

func TestCutShowsWithHTTP2(t *testing.T) {
	w := newWorld(t, worldOptions{})
	w.add("web", "exec sleep 100")
	get := secondVersion(t, w.feed, lossy{w.m})
	if b, err := io.ReadAll(get("/v1/processes/web/streams/stdout").Body); err == nil {
		t.Errorf("%q looks whole", b)
	}
}

func TestStalledClientOfHTTP2IsCut(t *testing.T) {
	w := newWorld(t, worldOptions{})
	closed := make(chan struct{})
	f := feed.New(feed.Options{Stall: 100 * time.Millisecond})
	long := strings.Repeat("x", 10000)
	for range 2000 {
		w.m.Audit("test", "web", long)
	}
	get := secondVersion(t, f, farewell{w.m, closed})
	get("/v1/events?since=0") // and nobody reads the body
	ctx, cancel := context.WithTimeout(t.Context(), deadline)
	defer cancel()
	select {
	case <-closed:
	case <-ctx.Done():
		t.Fatal("it is not cut")
	}
}

func TestSilenceIsNoStallWithHTTP2(t *testing.T) {
	w := newWorld(t, worldOptions{})
	w.add("web", "sleep 0.5; echo hello; exec sleep 100")
	get := secondVersion(t, feed.New(feed.Options{Stall: 100 * time.Millisecond}), w.m)
	b := make([]byte, len("hello\n"))
	if _, err := io.ReadFull(get("/v1/logs?follow=true&target=web").Body, b); err != nil || string(b) != "hello\n" {
		t.Errorf("%q, %v", b, err)
	}
}
