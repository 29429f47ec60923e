package client_test

import (
	"context"
	"errors"
	"io"
	"strings"
	"testing"

	"github.com/gafferpm/gaffer"
	"github.com/gafferpm/gaffer/client"
)

func (d *daemon) add(t *testing.T, name, script string, change func(*gaffer.Template)) {
	t.Helper()
	tmpl := gaffer.Template{Name: name, Cmd: script, Shell: true}
	change(&tmpl)
	if err := d.manager.Add(t.Context(), tmpl); err != nil {
		t.Fatal(err)
	}
}

func onTerminal(t *gaffer.Template) { t.PTY = true }

// watches reads what a process writes until it has written a text.
func watches(t *testing.T, a *client.Attachment, want string) {
	t.Helper()
	got := ""
	for !strings.Contains(got, want) {
		o, err := a.Next(t.Context())
		if err != nil {
			t.Fatalf("%v, after %q; want %q", err, got, want)
		}
		got += string(o.Data)
	}
}

func TestTwoWatchOneTerminal(t *testing.T) {
	d := newDaemon(t)
	d.add(t, "web", "stty -echo; echo ready; while read -r x; do [ $x = end ] && exit 6; echo got $x; stty size; done", func(tmpl *gaffer.Template) {
		tmpl.PTY, tmpl.Backoff = true, &gaffer.Backoff{First: new(gaffer.Duration(1e12)), Max: new(gaffer.Duration(1e12))}
	})
	c := d.overUnix(t)
	var both [2]*client.Attachment
	for i := range both {
		a, err := c.Attach(t.Context(), "web", client.AttachOptions{Tail: -1})
		if err != nil {
			t.Fatal(err)
		}
		defer a.Close()
		both[i] = a
		watches(t, a, "ready\r\n")
	}
	for i, size := range []string{"20 30\r\n", "20 31\r\n"} {
		if err := both[i].Resize(gaffer.WindowSize{Cols: 30 + i, Rows: 20}); err != nil {
			t.Fatal(err)
		}
		if err := both[i].Write("stdin", []byte("hello\n")); err != nil {
			t.Fatal(err)
		}
		for _, a := range both {
			watches(t, a, "got hello\r\n"+size)
		}
	}
	if err := both[0].Write("nothing", []byte("x")); err != nil {
		t.Fatal(err)
	}
	var refused *client.InputError
	if _, err := both[0].Next(t.Context()); !errors.As(err, &refused) || !strings.Contains(refused.Text, "nothing") {
		t.Errorf("a stream that is not there: %v", err)
	}
	if err := both[1].Write("stdin", []byte("end\n")); err != nil {
		t.Fatal(err)
	}
	for _, a := range both {
		if a.Exit() != nil {
			t.Error("it is said to have ended before that was read")
		}
		if o, err := a.Next(t.Context()); !errors.Is(err, io.EOF) {
			t.Errorf("%q, %v", o.Data, err)
		}
		if e := a.Exit(); e == nil || e.Status != 6 {
			t.Errorf("exit %+v", e)
		}
	}
}

func TestAttachThatCantBe(t *testing.T) {
	d := newDaemon(t)
	c := d.overUnix(t)
	d.add(t, "two", "sleep 1000", func(tmpl *gaffer.Template) { tmpl.NumProcesses = new(2) })
	d.add(t, "once", "true", func(tmpl *gaffer.Template) { tmpl.Detach = true })
	for target, want := range map[gaffer.Target]error{"none": gaffer.ErrNotFound, "two": gaffer.ErrInvalid, "two.3": gaffer.ErrNotFound, "once": gaffer.ErrConflict, "a b": gaffer.ErrInvalid} {
		if _, err := c.Attach(t.Context(), target, client.AttachOptions{}); !errors.Is(err, want) {
			t.Errorf("%s: %v, want %v", target, err, want)
		}
	}
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := c.Attach(ended, "two.1", client.AttachOptions{}); !errors.Is(err, context.Canceled) {
		t.Errorf("%v", err)
	}
}

// The daemon ends, or its client does.
func TestSessionsThatAreLost(t *testing.T) {
	t.Parallel()
	d := newDaemon(t)
	d.add(t, "web", "exec cat", onTerminal)
	c, other := d.overUnix(t), d.overUnix(t)
	a, err := c.Attach(t.Context(), "web", client.AttachOptions{})
	if err != nil {
		t.Fatal(err)
	}
	defer a.Close()
	s, err := c.Exec(t.Context(), "web", gaffer.ExecOptions{Args: []string{"sleep", "1000"}})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	closed, err := other.Attach(t.Context(), "web", client.AttachOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if err := other.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := closed.Next(t.Context()); err == nil || errors.Is(err, io.EOF) {
		t.Errorf("of a client that is closed: %v", err)
	}
	if _, err := other.Attach(t.Context(), "web", client.AttachOptions{}); err == nil {
		t.Error("a client that is closed attaches")
	}
	d.stop()
	// It was stopped in order, which the daemon's own end may have kept from being told.
	if _, err := a.Next(t.Context()); (!errors.Is(err, io.EOF) || a.Exit() == nil) && !errors.Is(err, client.ErrLost) {
		t.Errorf("attached: %v, %+v", err, a.Exit())
	}
	if _, err := s.Next(t.Context()); !errors.Is(err, io.EOF) || s.Exit() == nil || s.Exit().Signal != 9 {
		t.Errorf("executed: %v, %+v", err, s.Exit())
	}
	if _, err := c.Exec(t.Context(), "web", gaffer.ExecOptions{Args: []string{"true"}}); !errors.Is(err, client.ErrNoDaemon) {
		t.Errorf("without a daemon: %v", err)
	}
}

func TestLinesOfAnAttachment(t *testing.T) {
	d := newDaemon(t)
	d.add(t, "web", "echo one; echo two >&2; exec cat", func(tmpl *gaffer.Template) { tmpl.RedirectInput = true })
	a, err := d.overTLS(t, d.key).Attach(t.Context(), "web", client.AttachOptions{Lines: true, Tail: -1, Labels: []string{"stdout"}})
	if err != nil {
		t.Fatal(err)
	}
	defer a.Close()
	if err := a.Write("stdin", []byte("three\nfour\n")); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"one", "three", "four"} {
		if o, err := a.Next(t.Context()); err != nil || string(o.Data) != want || o.Label != "stdout" {
			t.Errorf("%+v, %v, want %s", o, err, want)
		}
	}
}

// What is executed is audited, without its arguments, which may be secret.
func TestExecIsAudited(t *testing.T) {
	d := newDaemon(t)
	d.add(t, "web", "sleep 1000", func(*gaffer.Template) {})
	c := d.overTLS(t, d.key)
	audits, err := d.manager.Subscribe(t.Context(), gaffer.All, gaffer.EventOptions{Kinds: []gaffer.Kind{gaffer.KindAudit}})
	if err != nil {
		t.Fatal(err)
	}
	defer audits.Close()
	for _, step := range []struct {
		program, want string
	}{{"true", "exec true"}, {"nowhere", "exec nowhere: refused: "}} {
		s, err := c.Exec(t.Context(), "web", gaffer.ExecOptions{Args: []string{step.program, "secret"}, Env: map[string]string{"A": "secret"}})
		if err == nil {
			defer s.Close()
		}
		e, err := audits.Next(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if e.Name != "web" || e.By == "" || !strings.HasPrefix(e.Message, step.want) || strings.Contains(e.Message, "secret") {
			t.Errorf("%+v", e)
		}
	}
}
