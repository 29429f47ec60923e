package client_test

import (
	"context"
	"errors"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/gafferpm/gaffer"
	"github.com/gafferpm/gaffer/client"
)

// wantErr wants an error of a sort whose text has all of the parts.
func wantErr(t *testing.T, err, want error, parts ...string) {
	t.Helper()
	if !errors.Is(err, want) {
		t.Errorf("error %v, want one that is %q", err, want)
		return
	}
	for _, p := range parts {
		if !strings.Contains(err.Error(), p) {
			t.Errorf("error %q does not say %q", err, p)
		}
	}
}

func TestHostsThatAreNone(t *testing.T) {
	for _, host := range []string{
		"", "gaffer.sock", "/run/gaffer.sock", "unix://gaffer.sock", "unix://host/gaffer.sock", "ftp://127.0.0.1", "http://", "https:///x",
		"http://127.0.0.1:7777/v1", "http://user:word@127.0.0.1", "http://[::1", "127.0.0.1:7777",
	} {
		_, err := client.New(host, client.Options{})
		wantErr(t, err, gaffer.ErrInvalid, "host")
	}
	for _, host := range []string{"unix:///run/x", "http://127.0.0.1:7777", "http://127.0.0.1:7777/", "https://example.org", "http://[::1]:7777"} {
		c, err := client.New(host, client.Options{})
		if err != nil {
			t.Errorf("%s: %v", host, err)
			continue
		}
		if c.Host() != host {
			t.Errorf("%s became %s", host, c.Host())
		}
	}
}

func newClient(t *testing.T, host string, opts client.Options) *client.Client {
	t.Helper()
	c, err := client.New(host, opts)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() }) // it never fails
	return c
}

func TestNoDaemonIsToldWithWhatStartsOne(t *testing.T) {
	dir := t.TempDir()
	nothing := filepath.Join(dir, "nothing.sock")
	c := newClient(t, "unix://"+nothing, client.Options{})
	for what, err := range map[string]error{
		"Ping": c.Ping(t.Context()), "Start": c.Start(t.Context(), "web"), "Shutdown": c.Shutdown(t.Context()),
	} {
		t.Log(what)
		wantErr(t, err, client.ErrNoDaemon, nothing, "gaffer daemon", "no such file")
		wantErr(t, err, syscall.ENOENT)
	}
	_, err := c.Subscribe(t.Context(), gaffer.All, gaffer.EventOptions{})
	wantErr(t, err, client.ErrNoDaemon)

	left := filepath.Join(dir, "left.sock") // of a daemon that was killed
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: left})
	if err != nil {
		t.Fatal(err)
	}
	l.SetUnlinkOnClose(false)
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	wantErr(t, newClient(t, "unix://"+left, client.Options{}).Ping(t.Context()), client.ErrNoDaemon, left, "refused")

	free, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := "http://" + free.Addr().String()
	if err := free.Close(); err != nil {
		t.Fatal(err)
	}
	wantErr(t, newClient(t, address, client.Options{}).Ping(t.Context()), client.ErrNoDaemon, address, "refused")
}

func TestSocketOfSomebodyElse(t *testing.T) {
	if os.Getuid() == 0 {
		t.Skip("root may connect to every socket")
	}
	path := filepath.Join(t.TempDir(), "sock")
	l, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	if err := os.Chmod(path, 0); err != nil {
		t.Fatal(err)
	}
	wantErr(t, newClient(t, "unix://"+path, client.Options{}).Ping(t.Context()), client.ErrForbidden, path, "permission denied")
}

func TestKeysDecideWhatMayBeDone(t *testing.T) {
	d := newDaemon(t)
	near := d.overUnix(t)
	for _, key := range []string{"", "nonsense", d.key + "x"} {
		_, err := d.overTLS(t, key).List(t.Context(), gaffer.All)
		wantErr(t, err, client.ErrUnauthorized)
		_, err = d.overTLS(t, key).Subscribe(t.Context(), gaffer.All, gaffer.EventOptions{})
		wantErr(t, err, client.ErrUnauthorized)
	}
	key, err := near.NewKey(t.Context(), "for the mail", "operator", "jobs:*")
	if err != nil {
		t.Fatal(err)
	}
	if key.ID == "" || key.Key == "" || key.Role != "operator" || key.Target != "jobs:*" || key.Created.IsZero() {
		t.Errorf("key %+v", key)
	}
	for _, name := range []string{"jobs:mail", "web"} {
		if err := near.Add(t.Context(), dummy(name, false)); err != nil {
			t.Fatal(err)
		}
	}
	far := d.overTLS(t, key.Key)
	if err := far.Start(t.Context(), "jobs:mail"); err != nil {
		t.Error(err)
	}
	wantErr(t, far.Start(t.Context(), "web"), client.ErrForbidden, "jobs:*")
	wantErr(t, far.Remove(t.Context(), "jobs:mail"), client.ErrForbidden, "admin")
	_, err = far.Keys(t.Context())
	wantErr(t, err, client.ErrForbidden)

	list, err := near.Keys(t.Context())
	if err != nil || len(list) != 2 || list[1].ID != key.ID || list[1].Key != "" || list[1].LastUsed.IsZero() {
		t.Errorf("keys %+v, %v", list, err)
	}
	events, err := far.Subscribe(t.Context(), "jobs:*", gaffer.EventOptions{})
	if err != nil {
		t.Fatal(err)
	}
	defer events.Close()
	if err := near.DeleteKey(t.Context(), key.ID); err != nil {
		t.Error(err)
	}
	wantErr(t, near.DeleteKey(t.Context(), key.ID), gaffer.ErrNotFound)
	wantErr(t, far.Start(t.Context(), "jobs:mail"), client.ErrUnauthorized)
	for err == nil { // a stream ends with its key
		_, err = events.Next(t.Context())
	}
	wantErr(t, err, client.ErrUnauthorized)
	_, err = near.NewKey(t.Context(), "x", "king", "")
	wantErr(t, err, gaffer.ErrInvalid, "role")
}

func TestErrorsReadAsThoseOfTheManager(t *testing.T) {
	d := newDaemon(t)
	c := d.overUnix(t)
	ctx := t.Context()
	if err := c.Add(ctx, dummy("web", true)); err != nil {
		t.Fatal(err)
	}
	for what, ask := range map[string]func(gaffer.Controller) error{
		"taken":   func(c gaffer.Controller) error { return c.Add(ctx, dummy("web", true)) },
		"faults":  func(c gaffer.Controller) error { return c.Add(ctx, gaffer.Template{Name: "x", NumProcesses: new(-1)}) },
		"name":    func(c gaffer.Controller) error { return c.Add(ctx, gaffer.Template{Name: "a b", Cmd: "sleep 1"}) },
		"changed": func(c gaffer.Controller) error { return c.Update(ctx, gaffer.Template{Name: "web", Port: -1}) },
		"tables": func(c gaffer.Controller) error {
			return c.Add(ctx, gaffer.Template{Name: "x", Cmd: "sleep 1", Flapping: &gaffer.Flapping{Attempts: -1}, Backoff: &gaffer.Backoff{Factor: 0.1}})
		},
		"program":   func(c gaffer.Controller) error { return c.Add(ctx, gaffer.Template{Name: "x", Cmd: "/no/such"}) },
		"not found": func(c gaffer.Controller) error { return c.Update(ctx, dummy("nosuch", true)) },
		"process":   func(c gaffer.Controller) error { return c.Start(ctx, "web.1") },
		"slot":      func(c gaffer.Controller) error { return c.Stop(ctx, "web.7") },
		"signal":    func(c gaffer.Controller) error { return c.Signal(ctx, "web", 77) },
		"input":     func(c gaffer.Controller) error { return c.Write(ctx, "web", "stdin", []byte("x")) },
		"stream":    func(c gaffer.Controller) error { return c.Write(ctx, "web", "nosuch", []byte("x")) },
		"target":    func(c gaffer.Controller) error { _, err := c.List(ctx, "a b"); return err },
		"output":    func(c gaffer.Controller) error { _, err := c.Output(ctx, "nosuch", gaffer.OutputOptions{}); return err },
		"scale": func(c gaffer.Controller) error {
			_, err := c.Scale(ctx, "web", gaffer.Change{Op: '+', N: gaffer.MaxProcesses})
			return err
		},
		"kind": func(c gaffer.Controller) error {
			_, err := c.Subscribe(ctx, "web", gaffer.EventOptions{Kinds: []gaffer.Kind{"a,b"}})
			return err
		},
	} {
		near, far := ask(d.manager), ask(c)
		if near == nil || far == nil || near.Error() != far.Error() {
			t.Errorf("%s:\nfar  %v\nnear %v", what, far, near)
		}
		for _, sort := range []error{gaffer.ErrInvalid, gaffer.ErrConflict, gaffer.ErrNotFound} {
			if errors.Is(near, sort) != errors.Is(far, sort) {
				t.Errorf("%s: %v near: %v, far: %v", what, sort, errors.Is(near, sort), errors.Is(far, sort))
			}
		}
	}
}

func TestTemplateWithFilesCantBeSent(t *testing.T) {
	c := newClient(t, "unix:///nowhere", client.Options{})
	tmpl := dummy("web", true)
	tmpl.Files = []*os.File{os.Stdin}
	wantErr(t, c.Add(t.Context(), tmpl), gaffer.ErrInvalid, "files")
	wantErr(t, c.Update(t.Context(), tmpl), gaffer.ErrInvalid, "files")
	_, err := c.Apply(t.Context(), gaffer.Desired{Source: "/x", Templates: []gaffer.Template{tmpl}})
	wantErr(t, err, gaffer.ErrInvalid, "files")
}

func TestDaemonThatIsAddedToAnswersWhatItCant(t *testing.T) {
	c := newDaemon(t).overUnix(t)
	_, err := c.Plan(t.Context(), gaffer.Desired{Source: "/x"})
	wantErr(t, err, client.ErrUnsupported)
	_, err = c.Reload(t.Context())
	wantErr(t, err, client.ErrUnsupported)
	_, err = c.Webhooks(t.Context())
	if err != nil {
		wantErr(t, err, client.ErrUnsupported)
	}
}

func TestDialThatIsGivenUp(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), time.Nanosecond)
	defer cancel()
	c := newClient(t, "http://127.0.0.1:1", client.Options{})
	wantErr(t, c.Ping(ctx), context.DeadlineExceeded)
	wantErr(t, c.Stop(ctx, "web"), client.ErrNoDaemon)
}
