//go:build linux

package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"time"

	"github.com/gafferpm/gaffer/bench/internal/machine"
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

// status measures how quickly a daemon with one child tells how it is, beside the
// bare server. The two take turns, so that what changes on the machine meets both.
func (b *bench) status(ctx context.Context, random *rand.Rand) error {
	own, err := b.daemon(ctx, 1)
	if err != nil {
		return err
	}
	other, err := b.bareServer(ctx)
	if err != nil {
		return errors.Join(err, own.end())
	}
	err = b.turns(ctx, []*server{own, other}, random)
	return errors.Join(err, own.end(), other.end()) // the bare server has nothing to lose when the first end takes it with it
}

// turns measures servers in turns, each as long as was asked for in all.
func (b *bench) turns(ctx context.Context, servers []*server, random *rand.Rand) error {
	for _, s := range servers {
		if err := b.warmUp(ctx, s); err != nil {
			return err
		}
	}
	turn := min(aTurn, b.loadTime)
	before := machine.Pause(ctx, b.rest, b.quiet)
	for range b.loadTime / turn {
		for _, i := range random.Perm(len(servers)) {
			var figures []report.Figure
			err := b.ask(ctx, servers[i], turn, func(metric string, value float64) {
				figures = append(figures, report.Figure{Metric: metric, Value: value})
			})
			if err != nil {
				return fmt.Errorf("%s: %w", servers[i].name, err)
			}
			after := machine.OthersShare(ctx, look)
			b.result.Add(servers[i].name, max(before, after), figures)
			before = after
		}
	}
	return ctx.Err()
}

func (b *bench) warmUp(ctx context.Context, s *server) error {
	_, err := b.load(ctx, s, b.connections, inSeconds(warm), statusRequest)
	return err
}

// ask measures a server that is asked for a time.
func (b *bench) ask(ctx context.Context, s *server, d time.Duration, rec report.Recorder) error {
	peak := s.watchMemory()
	cpu := s.cpu()
	l, err := b.load(ctx, s, b.connections, inSeconds(d), statusRequest)
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

const (
	warm  = 300 * time.Millisecond // how long a server is asked before it is measured
	aTurn = time.Second            // how long it is asked before it is the other's turn
	look  = 500 * time.Millisecond // how long the machine is looked at between two measurements
)

// inSeconds is a time as the load client reads it.
func inSeconds(d time.Duration) string { return fmt.Sprintf("%fs", d.Seconds()) }
