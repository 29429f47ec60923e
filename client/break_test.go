package client_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gafferpm/gaffer"
	"github.com/gafferpm/gaffer/client"
)

// cutter is a socket in front of a daemon's, whose connections can be cut.
type cutter struct {
	listener net.Listener
	behind   string // path of the daemon's socket

	mu    sync.Mutex // guards conns
	conns []net.Conn
	all   sync.WaitGroup
}

func newCutter(t *testing.T, d *daemon) *cutter {
	t.Helper()
	path := strings.TrimPrefix(d.socket, "unix://")
	l, err := net.Listen("unix", filepath.Join(filepath.Dir(path), "cut"))
	if err != nil {
		t.Fatal(err)
	}
	c := &cutter{listener: l, behind: path}
	c.all.Go(c.serve)
	t.Cleanup(func() {
		_ = l.Close() // it is of no use any more
		c.cut()
		c.all.Wait()
	})
	return c
}

func (c *cutter) host() string { return "unix://" + c.listener.Addr().String() }

func (c *cutter) serve() {
	for {
		front, err := c.listener.Accept()
		if err != nil {
			return
		}
		back, err := net.Dial("unix", c.behind)
		if err != nil {
			_ = front.Close() // the daemon is gone
			continue
		}
		c.mu.Lock()
		c.conns = append(c.conns, front, back)
		c.mu.Unlock()
		for _, pair := range [][2]net.Conn{{front, back}, {back, front}} {
			c.all.Go(func() {
				_, _ = io.Copy(pair[0], pair[1]) // until it is cut
				_ = pair[0].Close()
				_ = pair[1].Close()
			})
		}
	}
}

// cut cuts all connections.
func (c *cutter) cut() {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, conn := range c.conns {
		_ = conn.Close() // it may be closed already
	}
	c.conns = nil
}

func TestNoEventIsLostOrRepeatedWhereConnectionsBreak(t *testing.T) {
	d := newDaemon(t)
	between := newCutter(t, d)
	c := newClient(t, between.host(), client.Options{})
	events, err := c.Subscribe(t.Context(), gaffer.All, gaffer.EventOptions{})
	if err != nil {
		t.Fatal(err)
	}
	defer events.Close()
	const rounds = 8
	seen := uint64(0)
	for i := range rounds {
		if i%2 == 0 {
			between.cut() // at times between events, at times while they come
		}
		name := fmt.Sprintf("web%d", i)
		if err := d.manager.Add(t.Context(), dummy(name, true)); err != nil {
			t.Fatal(err)
		}
		if i%2 == 1 {
			between.cut()
		}
		for last := ""; last != name; {
			e, err := events.Next(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			if seen++; e.Seq != seen {
				t.Fatalf("event %d, want %d", e.Seq, seen)
			}
			if e.Kind == gaffer.KindSpawn {
				last = e.Name
			}
		}
	}
}

func TestOutputGoesOnWhereTheConnectionBroke(t *testing.T) {
	d := newDaemon(t)
	between := newCutter(t, d)
	c := newClient(t, between.host(), client.Options{})
	err := d.manager.Add(t.Context(), gaffer.Template{Name: "web", Cmd: "cat", RedirectInput: true})
	if err != nil {
		t.Fatal(err)
	}
	out, err := c.Output(t.Context(), "web", gaffer.OutputOptions{Tail: -1})
	if err != nil {
		t.Fatal(err)
	}
	defer out.Close()
	say := func(text string) {
		t.Helper()
		if err := d.manager.Write(t.Context(), "web", "stdin", []byte(text+"\n")); err != nil {
			t.Fatal(err)
		}
	}
	say("one")
	one, err := out.Next(t.Context())
	if err != nil || string(one.Data) != "one" {
		t.Fatalf("%q, %v", one.Data, err)
	}
	between.cut()
	// The daemon keeps one time for what comes within a moment, so that it can't
	// tell any more what of it was delivered.
	<-time.After(time.Until(one.Time.Add(50 * time.Millisecond)))
	say("two") // before there is another connection
	var missed gaffer.Missed
	if o, err := out.Next(t.Context()); !errors.As(err, &missed) || missed != 0 {
		t.Fatalf("%q, %v, want the loss of an unknown number", o.Data, err)
	}
	if o, err := out.Next(t.Context()); err != nil || string(o.Data) != "two" {
		t.Fatalf("%q, %v", o.Data, err)
	}
}

func TestStreamWaitsForADaemonThatIsAway(t *testing.T) {
	d := newDaemon(t)
	first := newCutter(t, d)
	away := make(chan struct{}, 100)
	c := newClient(t, first.host(), client.Options{Logger: slog.New(tries(away))})
	events, err := c.Subscribe(t.Context(), gaffer.All, gaffer.EventOptions{})
	if err != nil {
		t.Fatal(err)
	}
	defer events.Close()
	if err := first.listener.Close(); err != nil {
		t.Fatal(err)
	}
	first.cut()
	for range 3 { // the break, and two tries in vain
		select {
		case <-away:
		case <-t.Context().Done():
			t.Fatal("the client does not try")
		}
	}
	wantErr(t, c.Ping(t.Context()), client.ErrNoDaemon)
	if err := d.manager.Add(t.Context(), dummy("web", false)); err != nil {
		t.Fatal(err)
	}
	newCutter(t, d)
	if e, err := events.Next(t.Context()); err != nil || e.Kind != gaffer.KindCreate || e.Seq != 1 {
		t.Errorf("event %+v, %v", e, err)
	}
}

// tries is a logger that counts what it is told.
type tries chan struct{}

func (tries) Enabled(context.Context, slog.Level) bool { return true }
func (c tries) Handle(context.Context, slog.Record) error {
	select {
	case c <- struct{}{}:
	default:
	}
	return nil
}
func (c tries) WithAttrs([]slog.Attr) slog.Handler { return c }
func (c tries) WithGroup(string) slog.Handler      { return c }

func TestStreamsEndWithTheDaemon(t *testing.T) {
	d := newDaemon(t)
	c := d.overUnix(t)
	events, err := c.Subscribe(t.Context(), gaffer.All, gaffer.EventOptions{})
	if err != nil {
		t.Fatal(err)
	}
	defer events.Close()
	if err := d.manager.Add(t.Context(), dummy("web", true)); err != nil {
		t.Fatal(err)
	}
	d.stop()
	var kinds []string
	for err == nil {
		var e gaffer.Event
		if e, err = events.Next(t.Context()); err == nil {
			kinds = append(kinds, string(e.Kind))
		}
	}
	if !errors.Is(err, io.EOF) {
		t.Error(err)
	}
	all := []string{"create", "start", "spawn", "stop", "stop_pid", "exit"}
	if !slices.Equal(kinds, all) {
		t.Errorf("events %v, want %v", kinds, all)
	}
	wantErr(t, c.Ping(t.Context()), client.ErrNoDaemon)
}

func TestOrdersFindAnotherConnectionThanOneThatBroke(t *testing.T) {
	d := newDaemon(t)
	between := newCutter(t, d)
	c := newClient(t, between.host(), client.Options{})
	if err := d.manager.Add(t.Context(), dummy("web", true)); err != nil {
		t.Fatal(err)
	}
	for range 20 {
		between.cut() // what waits for the next request
		if err := c.Start(t.Context(), "web"); err != nil {
			t.Fatal(err)
		}
	}
}

func TestClosedClientAsksNothing(t *testing.T) {
	c := newDaemon(t).overUnix(t)
	if err := c.Ping(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := c.Close(); err != nil {
		t.Fatal(err)
	}
	wantErr(t, c.Ping(t.Context()), net.ErrClosed)
	wantErr(t, c.Stop(t.Context(), "web"), net.ErrClosed)
	if err := c.Close(); err != nil {
		t.Errorf("closed again: %v", err)
	}
}
