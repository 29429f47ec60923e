// Command bare is what the daemon's API is compared with: net/http with handlers
// that do nothing but write the bytes that the daemon has answered, over a unix
// socket.
//
//	bare SOCKET ANSWERS
//
// ANSWERS is a file of JSON: the answer of a status, and the data of one event.
package main

import (
	"context"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/signal"
	"strconv"
	"sync"
	"syscall"
)

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, "bare:", err)
		os.Exit(1)
	}
}

// answers are what the daemon has answered.
type answers struct {
	Header http.Header `json:"header"`
	Status []byte      `json:"status"`
	Event  []byte      `json:"event"`
}

func run() error {
	ctx, cancel := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer cancel()
	text, err := os.ReadFile(os.Args[2])
	if err != nil {
		return err
	}
	var a answers
	if err := json.Unmarshal(text, &a); err != nil {
		return fmt.Errorf("%s: %w", os.Args[2], err)
	}
	l, err := net.Listen("unix", os.Args[1])
	if err != nil {
		return err
	}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /v1/processes/{target}/status", a.status)
	h := &history{event: a.Event, grown: make(chan struct{}), text: []byte("id: 0\n\n")}
	mux.HandleFunc("POST /v1/processes/{target}/signal", func(w http.ResponseWriter, r *http.Request) {
		h.add()
		a.status(w, r)
	})
	mux.HandleFunc("GET /v1/events", h.follow)
	server := &http.Server{Handler: mux}
	go func() {
		<-ctx.Done()
		server.Close()
	}()
	if err := server.Serve(l); ctx.Err() == nil {
		return err
	}
	return nil
}

func (a *answers) status(w http.ResponseWriter, _ *http.Request) {
	for name, values := range a.Header {
		w.Header()[name] = values
	}
	_, _ = w.Write(a.Status) // a client that has gone is nobody's loss
}

// history is all events so far, as they are sent. The mutex guards its fields.
type history struct {
	event []byte

	mu    sync.Mutex
	text  []byte
	last  int
	grown chan struct{} // closed when there is more
}

func (h *history) add() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.last++
	h.text = append(h.text, "id: "...)
	h.text = strconv.AppendInt(h.text, int64(h.last), 10)
	h.text = append(h.text, "\nevent: audit\ndata: "...)
	h.text = append(h.text, h.event...)
	h.text = append(h.text, "\n\n"...)
	close(h.grown)
	h.grown = make(chan struct{})
}

// after returns what is new after so many bytes, and a channel that is closed
// when there is more.
func (h *history) after(n int) ([]byte, <-chan struct{}) {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.text[n:], h.grown
}

func (h *history) follow(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", "text/event-stream")
	control := http.NewResponseController(w)
	for sent := 0; ; {
		text, grown := h.after(sent)
		sent += len(text)
		if _, err := w.Write(text); err != nil || control.Flush() != nil {
			return
		}
		select {
		case <-grown:
		case <-r.Context().Done():
			return
		}
	}
}
