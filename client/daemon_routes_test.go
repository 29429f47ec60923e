package client_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/gafferpm/gaffer"
	"github.com/gafferpm/gaffer/api"
	"github.com/gafferpm/gaffer/client"
)

// hooks are webhooks that say what they were made to say.
type hooks struct {
	list    []api.Webhook
	retried chan string
}

func (h *hooks) List(context.Context) ([]api.Webhook, error) { return h.list, nil }

func (h *hooks) Retry(_ context.Context, name string) error {
	if name != "chat" {
		return fmt.Errorf("webhook %s: %w", name, gaffer.ErrNotFound)
	}
	h.retried <- name
	return nil
}

// sending are forwards that say what they were made to say.
type sending []api.Forward

func (s sending) List(context.Context) ([]api.Forward, error) { return s, nil }

func TestForwardsAreListed(t *testing.T) {
	now := time.Now().UTC().Truncate(time.Second)
	c := newDaemon(t, func(o *api.Options) {
		o.Forwards = sending{{Name: "central", Type: "syslog", URL: "tls://h:6514", Target: "web", Streams: []string{"stderr"}, Sent: 7, Lost: 1, LostBytes: 2, Behind: now, LastError: "e", LastErrorAt: now}}
	}).overUnix(t)
	want := []client.Forward{{
		Name: "central", Type: "syslog", URL: "tls://h:6514", Target: "web", Streams: []string{"stderr"}, Sent: 7, Lost: 1, LostBytes: 2, Behind: now,
		LastError: "e", LastErrorAt: now,
	}}
	got, err := c.Forwards(t.Context())
	if diff := cmp.Diff(want, got); diff != "" || err != nil {
		t.Errorf("%v: %s", err, diff)
	}
	list, err := newDaemon(t).overUnix(t).Forwards(t.Context())
	if len(list) != 0 || err != nil {
		t.Errorf("%v, %v", list, err)
	}
}

func TestWebhooksAreListedAndTriedAgain(t *testing.T) {
	at := time.Date(2026, 11, 22, 10, 0, 0, 0, time.UTC)
	h := &hooks{retried: make(chan string, 1), list: []api.Webhook{{
		Name: "chat", URL: "https://example.org/hook", Target: "jobs:*", Kinds: []gaffer.Kind{gaffer.KindFail},
		Pending: 2, Delivered: 5, Failed: 7, LastError: "answered 500",
		Dead: []api.DeadLetter{{Seq: 9, Kind: gaffer.KindFail, Name: "jobs:a", Attempts: 12, Error: "answered 500", Time: at}},
	}}}
	c := newDaemon(t, func(o *api.Options) { o.Webhooks = h }).overUnix(t)
	want := []client.Webhook{{
		Name: "chat", URL: "https://example.org/hook", Target: "jobs:*", Kinds: []gaffer.Kind{gaffer.KindFail},
		Pending: 2, Delivered: 5, Failed: 7, LastError: "answered 500",
		Dead: []client.DeadLetter{{Seq: 9, Kind: gaffer.KindFail, Name: "jobs:a", Attempts: 12, Error: "answered 500", Time: at}},
	}}
	got, err := c.Webhooks(t.Context())
	if d := cmp.Diff(want, got); d != "" || err != nil {
		t.Errorf("%v\n%s", err, d)
	}
	if err := c.RetryWebhook(t.Context(), "chat"); err != nil {
		t.Error(err)
	}
	if name := <-h.retried; name != "chat" {
		t.Errorf("%s tries again", name)
	}
	wantErr(t, c.RetryWebhook(t.Context(), "no/such"), gaffer.ErrNotFound, "no/such")
}

func TestShutdownIsAskedFor(t *testing.T) {
	asked := make(chan struct{}, 1)
	c := newDaemon(t, func(o *api.Options) { o.Shutdown = func() { asked <- struct{}{} } }).overUnix(t)
	if err := c.Shutdown(t.Context()); err != nil {
		t.Fatal(err)
	}
	select {
	case <-asked:
	case <-t.Context().Done():
		t.Error("nobody was asked")
	}
}

func TestLogsAreNarrowedByTimeAndText(t *testing.T) {
	c := newDaemon(t).overUnix(t)
	err := c.Add(t.Context(), gaffer.Template{Name: "web", Shell: true, Cmd: "echo apple; echo pear; echo apple pie; exec sleep 1000"})
	if err != nil {
		t.Fatal(err)
	}
	all, err := c.Output(t.Context(), "web", gaffer.OutputOptions{Tail: -1})
	if err != nil {
		t.Fatal(err)
	}
	defer all.Close()
	for last := ""; last != "apple pie"; {
		o, err := all.Next(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		last = string(o.Data)
	}
	hour := time.Now().Add(-time.Hour)
	for _, step := range []struct {
		how  gaffer.OutputOptions
		want []string
	}{
		{gaffer.OutputOptions{Tail: -1, NoFollow: true, Grep: "^apple"}, []string{"apple", "apple pie"}},
		{gaffer.OutputOptions{Tail: 1, NoFollow: true, Grep: "^apple$"}, []string{"apple"}},
		{gaffer.OutputOptions{Tail: -1, NoFollow: true, Since: hour, Grep: "pear"}, []string{"pear"}},
		{gaffer.OutputOptions{Tail: -1, NoFollow: true, Text: "e p"}, []string{"apple pie"}},
		{gaffer.OutputOptions{Tail: -1, NoFollow: true, Fields: []string{"level"}}, nil},
		{gaffer.OutputOptions{Tail: -1, NoFollow: true, Gone: true, Grep: "pie"}, []string{"apple pie"}},
		{gaffer.OutputOptions{Tail: -1, NoFollow: true, Until: hour}, nil},
		{gaffer.OutputOptions{Tail: -1, NoFollow: true, Since: time.Now().Add(time.Second)}, nil},
	} {
		logs, err := c.Output(t.Context(), "web", step.how)
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for {
			o, err := logs.Next(t.Context())
			if errors.Is(err, io.EOF) {
				break
			}
			if err != nil {
				t.Fatal(err)
			}
			got = append(got, string(o.Data))
		}
		equal(t, fmt.Sprintf("%+v", step.how), got, step.want...)
	}
	_, err = c.Output(t.Context(), "web", gaffer.OutputOptions{Grep: "("})
	wantErr(t, err, gaffer.ErrInvalid, "grep")
}

func TestUsageIsOfEachProcess(t *testing.T) {
	c := newDaemon(t).overUnix(t)
	if err := c.Add(t.Context(), gaffer.Template{Name: "web", Cmd: "sleep 1000", NumProcesses: new(2)}); err != nil {
		t.Fatal(err)
	}
	uses, err := c.Usage(t.Context(), gaffer.All)
	if err != nil || len(uses) != 2 {
		t.Fatalf("%+v, %v", uses, err)
	}
	st, err := c.Status(t.Context(), "web")
	if err != nil {
		t.Fatal(err)
	}
	for i, p := range st[0].Processes {
		// One that is becoming its program just now has no memory.
		if uses[i].ID != p.ID || uses[i].PID != p.PID {
			t.Errorf("%+v of %+v", uses[i], p)
		}
	}
	_, err = c.Usage(t.Context(), "nosuch")
	wantErr(t, err, gaffer.ErrNotFound)
}
