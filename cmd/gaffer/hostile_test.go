package main

import (
	"bytes"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"
	"unicode"

	"github.com/gafferpm/gaffer"
	"github.com/gafferpm/gaffer/client"
)

// evil is what a name, a reason or a command may hold when whoever answers, or what
// a process was called, means harm.
const evil = "x\x1b]0;title\a\x1b[2J\x9b31m\u009b31m\r\n\u202e\x00y"

// hostileDaemon answers everything with as much harm as there is room for.
func hostileDaemon(t *testing.T) string {
	t.Helper()
	now := time.Now()
	exit := &gaffer.Exit{Status: 1, Time: now, Reason: evil}
	status := gaffer.Status{
		Name: evil, Group: evil, State: gaffer.State(evil), Active: evil, Running: 1, MaxProcesses: 2, Reason: evil,
		Processes: []gaffer.Process{
			{ID: 1, Slot: 1, PID: 7, State: gaffer.State(evil), Since: now, Reason: evil, LastExit: exit},
			{Slot: 2, State: gaffer.InBackoff, Since: now, Reason: evil, RetryAt: now.Add(time.Hour), LastExit: exit},
		},
	}
	process := gaffer.ProcessStats{ID: 1, Slot: 1, PID: 7, Command: evil, User: evil, Children: []gaffer.ProcessStats{{PID: 8, Command: evil, User: evil}}}
	template := gaffer.Template{Name: evil, Cmd: evil, Args: gaffer.Args{evil}, Cwd: evil, UID: evil, GID: evil}
	answers := map[string]any{
		"/status":      []gaffer.Status{status},
		"/usage":       []gaffer.Use{{ID: 1, PID: 7}},
		"/stats":       []gaffer.Stats{{Name: evil, Processes: []gaffer.ProcessStats{process, process}}},
		"/v1/groups":   []gaffer.Group{{Name: evil, Members: []string{evil}}},
		"/v1/config":   []gaffer.Origin{{Name: evil, Source: evil, Template: template, Overrides: []gaffer.Override{{Field: evil, Value: evil, Base: evil}}}},
		"/v1/keys":     []client.Key{{ID: evil, Name: evil, Role: evil, Target: evil, Created: now}},
		"/v1/webhooks": []client.Webhook{{Name: evil, URL: evil, Target: evil, Kinds: []gaffer.Kind{evil}, LastError: evil, Dead: []client.DeadLetter{{Kind: evil, Name: evil, Error: evil}}}},
		"/v1/forwards": []client.Forward{{Name: evil, Type: evil, URL: evil, Target: evil, Streams: []string{evil}, LastError: evil}},
		"/v1/events":   gaffer.Event{Seq: 1, Time: now, Node: evil, Kind: evil, Name: evil, Slot: 1, PID: 7, By: evil, Message: evil, Exit: exit},
		"/v1/logs":     gaffer.Output{Name: evil, Slot: 1, ID: 1, Label: evil, Time: now, Data: []byte("harmless")},
		"/v1/version":  client.Version{Version: evil, Go: evil, Node: evil, PID: 7, Started: now},
	}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		answer := any([]gaffer.Info{{Template: template, Status: status}})
		for path, other := range answers {
			if strings.HasSuffix(r.URL.Path, path) {
				answer = other
			}
		}
		if r.URL.Path == "/v1/processes/web/status" {
			named := status
			named.Name = "web"
			answer = []gaffer.Status{named}
		}
		if r.URL.Path == "/v1/keys" && r.Method == http.MethodPost {
			answer = client.Key{Name: evil, Key: evil}
		}
		text, err := json.Marshal(answer)
		if err != nil {
			t.Error(err)
		}
		stream := r.URL.Path == "/v1/events" || r.URL.Path == "/v1/logs"
		w.Header().Set("Content-Type", "application/json")
		if stream {
			w.Header().Set("Content-Type", "application/x-ndjson")
			text = append(text, "\n{\"end\":true}\n"...)
		}
		_, _ = w.Write(text)
	}))
	t.Cleanup(server.Close)
	return server.URL
}

func TestNothingTheDaemonSaysReachesATerminalAsAnOrder(t *testing.T) {
	t.Setenv("GAFFER_KEY", "")
	t.Setenv("GAFFER_KEY_FILE", "")
	t.Setenv("CLICOLOR_FORCE", "")
	host := hostileDaemon(t)
	for _, args := range []string{
		"ps", "ps --no-stats", "status", "status web", "logs web", "events web", "stats web", "stats --tree web", "groups", "graph", "webhooks", "forwards", "keys", "keys add x",
		"start web", "stop web", "stop web.1", "remove web", "version -v", "config show --origin",
	} {
		var out, errs bytes.Buffer
		root := newRoot()
		root.SetOut(&out)
		root.SetErr(&errs)
		root.SetArgs(append(strings.Fields(args), "--host", host))
		// What is wrong is said, too, by main, which shows it clean.
		if err := root.ExecuteContext(t.Context()); err != nil {
			errs.WriteString(said(err))
		}
		if out.Len() == 0 {
			t.Errorf("gaffer %s printed nothing; %s", args, errs.String())
		}
		for _, text := range []string{out.String(), errs.String()} {
			if i := strings.IndexFunc(text, harmful); i >= 0 {
				t.Errorf("gaffer %s: a control character in %q", args, text[max(0, i-20):min(len(text), i+20)])
			}
		}
	}
}

// harmful tells of characters that do more than to show something.
func harmful(r rune) bool {
	return r != '\n' && unicode.IsControl(r) || r == '\u202e'
}
