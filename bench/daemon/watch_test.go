//go:build linux

package main

import (
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"testing"
)

// stream serves some server-sent events, in pieces that end anywhere.
func stream(t *testing.T, text string) *server {
	t.Helper()
	s := &server{name: daemon, socket: filepath.Join(shortDir(t), "sock")}
	l, err := net.Listen("unix", s.socket)
	if err != nil {
		t.Fatal(err)
	}
	h := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		for i := range len(text) {
			fmt.Fprint(w, text[i:i+1])
			if i%3 == 0 || i == len(text)-1 {
				_ = http.NewResponseController(w).Flush() // a subscriber that has gone is the test's end
			}
		}
		<-r.Context().Done()
	})}
	served := make(chan struct{})
	go func() {
		defer close(served)
		_ = h.Serve(l) // it ends with the test
	}()
	t.Cleanup(func() {
		h.Close()
		<-served
	})
	return s
}

func event(seq int) string {
	return fmt.Sprintf("id: %d\nevent: audit\ndata: {\"seq\":%[1]d}\n\n", seq)
}

const missedTwo = "event: missed\ndata: {\"missed\":2}\n\n"

func TestSubscribersSeeEveryLossAndRepetition(t *testing.T) {
	b := bareBench(t)
	b.subscribers = 3
	for name, c := range map[string]struct {
		text string
		want watched
	}{
		"all there":                      {"id: 4\n\n" + event(5) + event(6) + event(7), watched{Complete: 3, Events: 9}},
		"a heartbeat":                    {event(5) + ": \n\n" + event(6) + event(7), watched{Complete: 3, Events: 9}},
		"a loss that is told":            {event(4) + missedTwo + event(7), watched{Complete: 3, Events: 6, Told: 6}},
		"a loss at the end":              {event(5) + missedTwo, watched{Complete: 3, Events: 3, Told: 6}},
		"a loss in silence":              {event(4) + event(7), watched{Complete: 3, Events: 6, Untold: 6}},
		"a loss at the begin in silence": {"id: 4\n\n" + event(6) + event(7), watched{Complete: 3, Events: 6, Untold: 3}},
		"more told than lost":            {event(4) + missedTwo + event(6) + event(7), watched{Complete: 3, Events: 9, Told: 6, Again: 3}},
		"a repetition":                   {event(5) + event(6) + event(6) + event(7), watched{Complete: 3, Events: 12, Again: 3}},
	} {
		t.Run(name, func(t *testing.T) {
			w, err := b.subscribe(t.Context(), stream(t, c.text))
			if err != nil {
				t.Fatal(err)
			}
			defer w.end()
			got, err := w.until(t.Context(), 7)
			if err != nil {
				t.Fatal(err)
			}
			if got.Last == 0 {
				t.Error("no time of the last event")
			}
			if got.Last = 0; got != c.want {
				t.Errorf("subscribers saw %+v, want %+v", got, c.want)
			}
		})
	}
}

func TestSubscribersNoticeAStreamThatIsCut(t *testing.T) {
	b := bareBench(t)
	b.subscribers = 2
	s := &server{name: daemon, socket: filepath.Join(shortDir(t), "sock")}
	l, err := net.Listen("unix", s.socket)
	if err != nil {
		t.Fatal(err)
	}
	h := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprint(w, event(1))
		_ = http.NewResponseController(w).Flush() // so that it is known to be a stream
	})}
	go func() { _ = h.Serve(l) }() // it ends with the test
	defer h.Close()
	w, err := b.subscribe(t.Context(), s)
	if err != nil {
		t.Fatal(err)
	}
	defer w.end()
	got, err := w.until(t.Context(), 7)
	if err != nil {
		t.Fatal(err)
	}
	if got.Complete != 0 || got.Ended != 2 {
		t.Errorf("subscribers saw %+v, want 2 that were cut", got)
	}
}

// shortDir is a directory for a socket, whose path can't be long.
func shortDir(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "gaffer")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := os.RemoveAll(dir); err != nil {
			t.Error(err)
		}
	})
	return dir
}
