//go:build linux

package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"time"

	"github.com/gafferpm/gaffer/bench/internal/report"
)

// Who is measured.
const (
	bare   = "bare handler"
	daemon = "gaffer"
	among  = "gaffer, many" // one of many templates
)

const statusPath = "/v1/processes/p1/status"

// requests are sent as they stand here.
const (
	statusRequest = "GET " + statusPath + " HTTP/1.1\r\nHost: daemon\r\n\r\n"
	signalRequest = "POST /v1/processes/p1/signal HTTP/1.1\r\nHost: daemon\r\nContent-Type: application/json\r\n" +
		"Content-Length: 17\r\n\r\n" + `{"signal":"CONT"}`
)

// sample asks a daemon for what the bare server is to answer.
func (b *bench) sample(ctx context.Context) error {
	s, err := b.daemon(ctx, 1)
	if err != nil {
		return err
	}
	err = b.sampleFrom(ctx, s)
	return errors.Join(err, s.end())
}

func (b *bench) sampleFrom(ctx context.Context, s *server) error {
	header, status, err := s.get(ctx, statusPath)
	if err != nil {
		return err
	}
	header.Del("Date")
	header.Del("Content-Length")
	if _, err := b.load(ctx, s, 1, "1", signalRequest); err != nil {
		return err
	}
	event, err := s.lastEvent(ctx)
	if err != nil {
		return err
	}
	text, err := json.Marshal(struct {
		Header http.Header `json:"header"`
		Status []byte      `json:"status"`
		Event  []byte      `json:"event"`
	}{header, status, bytes.TrimSpace(event)})
	if err != nil {
		return fmt.Errorf("answers of the bare server: %w", err)
	}
	return os.WriteFile(b.bare, text, 0o600)
}

// loaded is what came out of a load. Times are in microseconds.
type loaded struct {
	Answers int     `json:"answers"`
	Errors  int     `json:"errors"`
	Seconds float64 `json:"seconds"`
	P50     float64 `json:"p50"`
	P99     float64 `json:"p99"`
	Max     float64 `json:"max"`
}

// load lets the load client ask a server over so many connections, for a time
// ("5s") or so many times ("1000").
func (b *bench) load(ctx context.Context, s *server, connections int, amount, request string) (l loaded, err error) {
	cmd := exec.CommandContext(ctx, b.programs.load, s.socket, fmt.Sprint(connections), amount)
	cmd.Stdin = strings.NewReader(request)
	var complaint bytes.Buffer
	cmd.Stderr = &complaint
	out, err := cmd.Output()
	if err != nil {
		return l, fmt.Errorf("load: %w: %s", err, strings.TrimSpace(complaint.String()))
	}
	if err := json.Unmarshal(out, &l); err != nil {
		return l, fmt.Errorf("load: %w", err)
	}
	if l.Errors > 0 {
		return l, fmt.Errorf("load: %d of %d answers are errors", l.Errors, l.Answers)
	}
	return l, nil
}

// status measures how quickly a server with one child tells how it is.
func (b *bench) status(ctx context.Context, contestant string) error {
	s, err := b.one(ctx, contestant)
	if err != nil {
		return err
	}
	err = b.measure(ctx, contestant, b.rest, func(rec report.Recorder) error { return b.ask(ctx, s, rec) })
	return errors.Join(err, s.end())
}

func (b *bench) ask(ctx context.Context, s *server, rec report.Recorder) error {
	if _, err := b.load(ctx, s, b.connections, inSeconds(warm), statusRequest); err != nil {
		return err
	}
	peak := s.watchMemory()
	cpu := s.cpu()
	l, err := b.load(ctx, s, b.connections, inSeconds(b.loadTime), statusRequest)
	cpu = s.cpu() - cpu
	held := peak()
	if err != nil {
		return err
	}
	rec("status-rate", float64(l.Answers)/l.Seconds)
	rec("status-p50", l.P50)
	rec("status-p99", l.P99)
	rec("status-cpu", float64(cpu)/1e3/float64(l.Answers))
	rec("status-pss", held)
	return nil
}

// warm is how long a server is asked before it is measured.
const warm = 300 * time.Millisecond

// inSeconds is a time as the load client reads it.
func inSeconds(d time.Duration) string { return fmt.Sprintf("%fs", d.Seconds()) }
