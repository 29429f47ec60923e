package feed_test

import (
	"bytes"
	"context"
	"flag"
	"fmt"
	"net"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gafferpm/gaffer"
	"github.com/gafferpm/gaffer/api/internal/feed"
)

var full = flag.Bool("full", false, "the load tests in full size")

// counter is a client that counts events as fast as it can, without the cost of a
// real one.
type counter struct {
	conn         net.Conn
	last         uint64 // the number of the last event
	got, missed  uint64
	disorder     bool
	read, events int64 // bytes; how often there was something to read
}

// stream opens a stream of server-sent events on a connection of its own.
func (w *world) stream(path string) net.Conn {
	w.Helper()
	conn, err := net.Dial("unix", w.socket)
	w.ok(err)
	w.Cleanup(func() { _ = conn.Close() })
	_, err = fmt.Fprintf(conn, "GET %s HTTP/1.1\r\nHost: gaffer\r\nAccept: text/event-stream, */*;q=0.1\r\n\r\n", path)
	w.ok(err)
	return conn
}

// count reads until the event of that number, or a loss of it, was seen.
func (c *counter) count(until uint64) error {
	buf := make([]byte, 0, 64<<10)
	for c.last < until {
		n, err := c.conn.Read(buf[len(buf):cap(buf)])
		if err != nil {
			return err
		}
		c.read += int64(n)
		c.events++
		buf = buf[:len(buf)+n]
		buf = append(buf[:0], c.scan(buf)...)
	}
	return nil
}

// scan takes whole lines and returns what is left.
func (c *counter) scan(b []byte) []byte {
	for {
		line, rest, found := bytes.Cut(b, []byte{'\n'})
		if !found {
			return b
		}
		if id, ok := bytes.CutPrefix(line, []byte("id: ")); ok {
			n, _ := strconv.ParseUint(string(id), 10, 64)
			c.got++
			c.disorder = c.disorder || n <= c.last
			c.last = n
		} else if rest, ok := bytes.CutPrefix(line, []byte(`data: {"missed":`)); ok {
			n, _ := strconv.ParseUint(string(bytes.TrimSuffix(rest, []byte{'}'})), 10, 64)
			c.missed += n
		}
		b = rest
	}
}

func TestAThousandSubscribersGetAllEventsOrAreTold(t *testing.T) {
	subscribers, events := 200, 2000
	switch {
	case *full:
		subscribers, events = 1000, 10000
	case testing.Short():
		subscribers, events = 50, 1000
	}
	w := newWorld(t, worldOptions{feed: feed.Options{Stall: time.Hour}})
	w.ctx = context.WithoutCancel(w.ctx) // in full size it takes longer than others may
	w.audits(1, 1)
	last := uint64(events + 1)
	// One that takes nothing, at first.
	stalled := &counter{conn: w.stream("/v1/events?since=1")}
	list := make([]*counter, subscribers)
	var reading sync.WaitGroup
	errs := make(chan error, subscribers)
	for i := range list {
		c := &counter{conn: w.stream("/v1/events?since=1")}
		list[i] = c
		reading.Go(func() { errs <- c.count(last) })
	}
	begun := time.Now()
	w.audits(2, events+1)
	published := time.Since(begun)
	reading.Wait()
	took := time.Since(begun)
	for range list {
		w.ok(<-errs)
	}
	w.ok(stalled.count(last))
	var missed, read, reads uint64
	for _, c := range append(list, stalled) {
		// The position counts like an event.
		if c.got-1+c.missed != uint64(events) || c.disorder {
			t.Errorf("%d events and %d missed are %d, want %d; in order: %t", c.got-1, c.missed, c.got-1+c.missed, events, !c.disorder)
		}
		missed += c.missed
		read += uint64(c.read)
		reads += uint64(c.events)
	}
	t.Logf("%d subscribers, %d events: published in %s, all read after %s (%.0f deliveries/s, %d MB in %d reads), %d missed, %d of them by the stalled one",
		subscribers, events, published.Round(time.Millisecond), took.Round(time.Millisecond),
		float64(subscribers*events)/took.Seconds(), read>>20, reads, missed, stalled.missed)
}

func TestStalledClientsCostBoundedMemory(t *testing.T) {
	const clients, each = 20, 600 << 10 // bytes
	events := 5000
	if *full {
		events = 50000
	}
	w := newWorld(t, worldOptions{feed: feed.Options{Stall: time.Minute}})
	fill := func() {
		long := strings.Repeat("x", 2000)
		for i := range events {
			w.m.Audit("test", "web", long+strconv.Itoa(i))
		}
	}
	fill() // what the manager keeps in any case
	before := heap()
	for range clients {
		w.stream("/v1/events")
	}
	for range clients / 2 {
		w.stream("/v1/events?since=0")
	}
	reader := w.follow("/v1/events")
	fill()
	for seen := 0; seen < events; {
		line := reader.line()
		var n int
		if _, err := fmt.Sscanf(line, `{"missed":%d}`, &n); err == nil {
			seen += n
			continue
		}
		if line != "" {
			seen++
		}
	}
	grown := int64(heap()) - int64(before)
	t.Logf("%d stalled clients, %d events of 2 kB: %d KiB each", clients*3/2, events, grown/(clients*3/2)>>10)
	if grown > clients*3/2*each {
		t.Errorf("%d stalled clients hold %d KiB", clients*3/2, grown>>10)
	}
}

// heap is how many bytes are in use.
func heap() uint64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

func TestStalledClientIsCut(t *testing.T) {
	closed := make(chan struct{})
	w := newWorld(t, worldOptions{
		feed: feed.Options{Stall: 100 * time.Millisecond},
		wrap: func(c gaffer.Controller) gaffer.Controller { return farewell{c, closed} },
	})
	w.add("web", "exec cat /dev/zero")
	long := strings.Repeat("x", 10000)
	for range 1000 {
		w.m.Audit("test", "web", long)
	}
	w.stream("/v1/events?since=0")
	w.stream("/v1/events?since=0")
	w.stream("/v1/processes/web/streams/stdout")
	for range 3 {
		select {
		case <-closed:
		case <-w.ctx.Done():
			t.Fatal("it is not cut")
		}
	}
}

// farewell is a controller that tells when somebody has read enough.
type farewell struct {
	gaffer.Controller
	closed chan struct{}
}

func (c farewell) Subscribe(ctx context.Context, target gaffer.Target, how gaffer.EventOptions) (gaffer.Stream[gaffer.Event], error) {
	events, err := c.Controller.Subscribe(ctx, target, how)
	if target != gaffer.All { // one that looks for an exit
		return events, err
	}
	return departing[gaffer.Event]{events, c.closed}, err
}

func (c farewell) Output(ctx context.Context, target gaffer.Target, how gaffer.OutputOptions) (gaffer.Stream[gaffer.Output], error) {
	output, err := c.Controller.Output(ctx, target, how)
	return departing[gaffer.Output]{output, c.closed}, err
}

type departing[T any] struct {
	gaffer.Stream[T]
	closed chan struct{}
}

func (d departing[T]) Close() {
	d.Stream.Close()
	d.closed <- struct{}{}
}

// Whoever hangs up leaves nothing behind: the test's end looks for goroutines.
func TestClientThatHangsUpFreesEverything(t *testing.T) {
	closed := make(chan struct{})
	w := newWorld(t, worldOptions{wrap: func(c gaffer.Controller) gaffer.Controller { return farewell{c, closed} }})
	w.add("web", "exec cat", withInput)
	before := runtime.NumGoroutine()
	for _, path := range []string{"/v1/events?since=0", "/v1/logs?follow", "/v1/processes/web/streams/stdout"} {
		in := w.follow(path, eventStream+", */*")
		in.hangUp()
		<-closed
	}
	w.client.CloseIdleConnections()
	for runtime.NumGoroutine() > before {
		select {
		case <-w.ctx.Done():
			t.Fatalf("%d goroutines, %d before", runtime.NumGoroutine(), before)
		default:
			runtime.Gosched()
		}
	}
}
