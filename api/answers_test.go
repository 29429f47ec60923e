package api

import (
	"bytes"
	"context"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/gafferpm/gaffer"
)

// planned is a Configurator whose answers have something everywhere.
type planned struct{ gaffer.Controller }

func (planned) Plan(_ context.Context, d gaffer.Desired) (gaffer.Plan, error) {
	return gaffer.Plan{Source: d.Source, Digest: "x", Steps: []gaffer.Step{{
		Op: gaffer.OpUpdate, Name: "web", Restart: true, Message: "m", Error: "e",
		Fields: []gaffer.FieldChange{{Field: "cmd", Old: `"a"`, New: `"b"`, Restart: true}},
	}}}, nil
}

func (p planned) Apply(ctx context.Context, d gaffer.Desired) (gaffer.Plan, error) {
	plan, _ := p.Plan(ctx, d)
	return plan, gaffer.ErrConflict // of a step, which says so
}

func (planned) Reload(context.Context) (gaffer.Plan, error) { return gaffer.Plan{}, nil }

func (planned) Origins(context.Context, gaffer.Target) ([]gaffer.Origin, error) {
	return []gaffer.Origin{{
		Name: "web", Source: "run time", Template: gaffer.Template{Name: "web", Cmd: "true"},
		Overrides: []gaffer.Override{{Field: "start", Value: "false", Base: "true"}},
	}}, nil
}

// sending are Forwards.
type sending struct{}

func (sending) List(context.Context) ([]Forward, error) {
	return []Forward{{Name: "a", Type: "loki", URL: "http://x", Target: "*", Sent: 7, Behind: time.Now()}, {Name: "b", Streams: []string{"stderr"}, LastError: "e"}}, nil
}

// hooks are Webhooks.
type hooks struct{}

func (hooks) List(context.Context) ([]Webhook, error) {
	return []Webhook{{Name: "hook", URL: "http://x", Target: "*"}, {Name: "b", Kinds: []gaffer.Kind{"exit"}, LastError: "e", Dead: []DeadLetter{{Seq: 1, Error: "x"}}}}, nil
}

func (hooks) Retry(_ context.Context, name string) error {
	if name != "hook" {
		return gaffer.ErrNotFound
	}
	return nil
}

// asker asks a server and validates what it answers.
type asker struct {
	t     *testing.T
	doc   *openAPI
	h     http.Handler
	asked map[string]bool // operations that gave what they are for
}

// ask asks for a route of the table and wants a status.
func (a *asker) ask(id, path, body string, want int, header ...string) []byte {
	a.t.Helper()
	var r *route
	table := routes()
	for i := range table {
		if table[i].id == id {
			r = &table[i]
		}
	}
	req := httptest.NewRequestWithContext(a.t.Context(), r.method, path, strings.NewReader(body))
	for i := 0; i < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	w := httptest.NewRecorder()
	a.h.ServeHTTP(w, req)
	if w.Code != want {
		a.t.Errorf("%s %s %s: %d %s, want %d", r.method, path, body, w.Code, w.Body, want)
		return nil
	}
	if want < 300 {
		a.asked[id] = true
	}
	a.validate(r, path, w)
	return w.Body.Bytes()
}

func (a *asker) validate(r *route, path string, w *httptest.ResponseRecorder) {
	a.t.Helper()
	op := a.doc.Paths[r.path][strings.ToLower(r.method)]
	answer, ok := op.Responses[strconv.Itoa(w.Code)]
	if !ok && w.Code >= 400 {
		if answer, ok = op.Responses[strconv.Itoa(w.Code/100)+"XX"]; !ok {
			answer, ok = op.Responses["default"]
		}
	}
	if name, found := strings.CutPrefix(answer.Ref, "#/components/responses/"); found {
		answer, ok = a.doc.Components.Responses[name]
	}
	kind, _, _ := strings.Cut(w.Header().Get("Content-Type"), ";")
	if !ok {
		a.t.Errorf("%s %s: the document has no answer %d", r.method, path, w.Code)
	}
	if w.Body.Len() == 0 {
		return
	}
	content, ok := answer.Content[kind]
	if !ok {
		a.t.Errorf("%s %s: the document has no answer %d of the type %q", r.method, path, w.Code, kind)
		return
	}
	if !strings.Contains(kind, "json") {
		return
	}
	texts := [][]byte{w.Body.Bytes()}
	if kind == "application/x-ndjson" {
		texts = bytes.Split(bytes.TrimSpace(w.Body.Bytes()), []byte("\n"))
	}
	for _, text := range texts {
		if string(text) == `{"end":true}` {
			continue
		}
		var v any
		if err := json.Unmarshal(text, &v); err != nil {
			a.t.Errorf("%s %s: %v of %s", r.method, path, err, text)
		}
		if wrong := a.doc.valid(content.Schema, v, "answer"); len(wrong) > 0 {
			a.t.Errorf("%s %s: %q\n%s", r.method, path, wrong, text)
		}
	}
}

// Every route is asked for, and what it answers is as the document says.
func TestAnswersAreAsTheDocumentSays(t *testing.T) {
	m := runningManager(t)
	shut := make(chan struct{})
	s, err := New(m, Options{
		Keys: &keysInMemory{}, Config: planned{}, Webhooks: hooks{}, Forwards: sending{}, Version: "1", Node: "here", Shutdown: func() { close(shut) },
		Upgrade:  func(string) error { return nil },
		Upgraded: func() *Upgraded { return &Upgraded{Binary: "/x", Time: time.Now(), Reason: "it was broken"} },
	})
	if err != nil {
		t.Fatal(err)
	}
	a := &asker{t, readDocument(t), s.Handler(Caller{By: "test", Role: Admin}), map[string]bool{}}
	const json = "application/json"

	a.ask("health", "/healthz", "", 200)
	a.ask("ping", "/v1/ping", "", 200)
	a.ask("version", "/v1/version", "", 200)
	a.ask("list-processes", "/v1/processes", "", 200)
	a.ask("add-process", "/v1/processes?wait=20s", `{"name":"web","cmd":"sleep 1000","env":{"SECRET":"x"},"backoff":{"first":"1s"},
		"flapping":{"attempts":100,"window":1000},"graceful_timeout":"1s","stop_signal":"int","numprocesses":2,"args":["100"],"uid":0}`, 422)
	a.ask("add-process", "/v1/processes?wait=20s", `{"name":"web","cmd":"sleep 1000","env":{"SECRET":"x"},"backoff":{"first":"1s"},
		"graceful_timeout":"1s","stop_signal":2,"numprocesses":2}`, 201)
	a.ask("add-process", "/v1/processes", `{"name":"web","cmd":"sleep 1000"}`, 409)
	a.ask("add-process", "/v1/processes", `{"name":"bad`, 400)
	a.ask("add-process", "/v1/processes", ``, 400)
	a.ask("add-process", "/v1/processes", `{"name":"bad","cmd":"nowhere-to-be-found"}`, 422)
	a.ask("add-process", "/v1/processes?wait=soon", `{"name":"bad","cmd":"true"}`, 422)
	a.ask("add-process", "/v1/processes?wiat=1s", `{"name":"bad","cmd":"true"}`, 422)
	a.ask("add-process", "/v1/processes", `{"name":"x","cmd":"true"}`, 415, "Content-Type", "text/plain")
	a.ask("add-process", "/v1/processes?wait=20s", `{"name":"jobs:echo","cmd":"cat","redirect_input":true}`, 201, "Content-Type", json)
	a.ask("list-processes", "/v1/processes", "", 200)
	a.ask("get-processes", "/v1/processes/web.1", "", 200)
	a.ask("get-processes", "/v1/processes/jobs:*", "", 200)
	a.ask("get-processes", "/v1/processes/nothing", "", 404)
	a.ask("get-processes", "/v1/processes/a%20b", "", 422)
	a.ask("status", "/v1/processes/*/status", "", 200)
	a.ask("history", "/v1/processes/*/history", "", 200)
	a.ask("stats", "/v1/processes/*/stats", "", 200)
	a.ask("stats", "/v1/processes/nothing/stats", "", 404)
	a.ask("usage", "/v1/processes/*/usage", "", 200)
	a.ask("usage", "/v1/processes/nothing/usage", "", 404)
	a.ask("list-groups", "/v1/groups", "", 200)
	a.ask("get-group", "/v1/groups/jobs", "", 200)
	a.ask("get-group", "/v1/groups/none", "", 404)
	a.ask("update-process", "/v1/processes/web?wait=20s", `{"cmd":"sleep 2000","graceful_timeout":"1s"}`, 200)
	a.ask("update-process", "/v1/processes/web", `{"name":"other","cmd":"sleep 2000"}`, 422)
	a.ask("update-process", "/v1/processes/new", `{"cmd":"true"}`, 404)
	a.ask("update-process", "/v1/processes/*", `{"cmd":"true"}`, 422)
	a.ask("update-process", "/v1/processes/new?create=perhaps", `{"cmd":"true"}`, 422)
	a.ask("update-process", "/v1/processes/new?create=true&wait=20s", `{"cmd":"sleep 1000"}`, 201)
	a.ask("scale", "/v1/processes/web/scale?wait=20s", `{"count":"+1"}`, 200)
	a.ask("scale", "/v1/processes/web/scale?wait=20s", `{"count":1}`, 200)
	a.ask("scale", "/v1/processes/web/scale", `{"count":"many"}`, 422)
	a.ask("scale", "/v1/processes/web/scale", `{}`, 422)
	a.ask("signal", "/v1/processes/web/signal", `{"signal":"WINCH"}`, 200)
	a.ask("signal", "/v1/processes/web/signal", `{"signal":"NOPE"}`, 422)
	a.ask("restart", "/v1/processes/web/restart?wait=20s", `{"mode":"overlap"}`, 200)
	a.ask("restart", "/v1/processes/web/restart", `{"mode":"sideways"}`, 422)
	a.ask("undo", "/v1/processes/web/undo?wait=20s", "", 200)
	a.ask("undo", "/v1/processes/web/undo?wait=20s", "", 200)
	a.ask("run", "/v1/processes/web/run", ``, 409) // it runs all the time
	a.ask("add-process", "/v1/processes", `{"name":"nightly","cmd":"true","schedule":{"cron":"0 0 31 2 *"}}`, 422)
	a.ask("add-process", "/v1/processes", `{"name":"nightly","cmd":"true","schedule":{"cron":"0 3 * * *","jitter":"5m","retries":1}}`, 201)
	a.ask("run", "/v1/processes/nightly/run?wait=20s", ``, 200)
	a.ask("stop", "/v1/processes/web/stop?wait=20s", ``, 200)
	a.ask("start", "/v1/processes/web/start?wait=20s", `{}`, 200)
	a.ask("start", "/v1/processes/web/start?wait=20s", `{"mode":"x"}`, 422)
	a.ask("write-stream", "/v1/processes/jobs:echo/streams/stdin", "hello\n", 200)
	a.ask("write-stream", "/v1/processes/web/streams/stdin", "hello\n", 409)
	a.ask("read-stream", "/v1/processes/jobs:echo/streams/stdout?tail=-1&follow=false", "", 200)
	a.ask("logs", "/v1/logs?tail=-1", "", 200)
	a.ask("logs", "/v1/logs?tail=-1", "", 200, "Accept", "application/x-ndjson")
	a.ask("logs", "/v1/logs?tail=-1", "", 200, "Accept", "text/event-stream")
	a.ask("logs", "/v1/logs?tail=x", "", 422)
	a.ask("events", "/v1/events?tail=-1&follow=false", "", 200)
	a.ask("events", "/v1/events?tail=-1&follow=false", "", 200, "Accept", "text/event-stream")
	a.ask("events", "/v1/events?feed=longpoll&since=0", "", 200)
	a.ask("events", "/v1/events?since=1000000", "", 422)
	a.ask("events", "/v1/events", "", 406, "Accept", "image/png")
	a.ask("monitor", "/v1/stats?follow=false", "", 200)
	a.ask("monitor", "/v1/stats?interval=1", "", 406, "Accept", "text/html, x/y")
	a.ask("attach", "/v1/processes/web/attach", "", 426)
	a.ask("add-process", "/v1/processes?wait=20s", `{"name":"screen","cmd":"sleep 1000","pty":true}`, 201)
	a.ask("resize", "/v1/processes/screen/resize", `{"cols":80,"rows":24}`, 200)
	a.ask("resize", "/v1/processes/screen/resize", `{"cols":0,"rows":24}`, 422)
	a.ask("resize", "/v1/processes/screen/resize", `{"cols":80}`, 422)
	a.ask("resize", "/v1/processes/web/resize", `{"cols":80,"rows":24}`, 409)
	a.ask("exec", "/v1/processes/web/exec", "", 426)
	a.ask("exec", "/v1/processes/nothing/exec", "", 404)
	a.ask("plan", "/v1/plan", `{"source":"app:x","templates":[{"name":"web","cmd":"true"}]}`, 200)
	a.ask("plan", "/v1/plan", `{"source":"app:x","templates":[{"name":"web","cmd":1}]}`, 422)
	a.ask("apply", "/v1/apply", `{"source":"app:x","templates":[]}`, 200)
	a.ask("reload", "/v1/reload", ``, 200)
	a.ask("config", "/v1/config?target=web", "", 200)
	a.ask("config", "/v1/config?target=a%20b", "", 422)
	a.ask("add-key", "/v1/keys", `{"name":"x","role":"viewer","target":"jobs:*"}`, 201)
	keys := s.keys.list()
	a.ask("list-keys", "/v1/keys", "", 200)
	a.ask("remove-key", "/v1/keys/"+keys[0].ID, "", 204)
	a.ask("remove-key", "/v1/keys/"+keys[0].ID, "", 404)
	a.ask("list-webhooks", "/v1/webhooks", "", 200)
	a.ask("list-forwards", "/v1/forwards", "", 200)
	a.ask("retry-webhook", "/v1/webhooks/hook/retry", "", 204)
	a.ask("retry-webhook", "/v1/webhooks/none/retry", "", 404)
	a.ask("metrics", "/metrics", "", 200)
	a.ask("openapi", "/v1/openapi.json", "", 200)
	a.ask("remove-processes", "/v1/processes/jobs:*?wait=20s", "", 200)
	a.ask("remove-processes", "/v1/processes/nothing", "", 404)
	a.ask("upgrade", "/v1/upgrade", `{"binary":"/usr/bin/gaffer"}`, 202)
	a.ask("upgrade", "/v1/upgrade", `{"binary":""}`, 422)
	a.ask("shutdown", "/v1/shutdown", "", 202)
	<-shut
	for _, r := range routes() {
		if !r.hidden && !a.asked[r.id] && r.id != "attach" && r.id != "exec" {
			t.Errorf("%s was not asked for", r.id)
		}
	}
}

// runningManager is a manager that runs until the test ends.
func runningManager(t testing.TB) *gaffer.Manager {
	t.Helper()
	m, err := gaffer.New(gaffer.Options{NoCgroup: true})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	started, ended := make(chan struct{}), make(chan error, 1)
	go func() {
		ended <- m.Run(ctx, gaffer.AppFunc(func(ctx context.Context, _ *gaffer.Manager) error {
			close(started)
			<-ctx.Done()
			return nil
		}))
	}()
	<-started
	t.Cleanup(func() {
		cancel()
		m.Kill()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	return m
}

func TestWithoutAConfiguratorItsRoutesSaySo(t *testing.T) {
	h := handler(t, Options{}, Caller{By: "test", Role: Admin})
	for _, id := range []string{"plan", "apply", "reload", "config", "shutdown", "add-key", "remove-key"} {
		for _, r := range routes() {
			if r.id != id {
				continue
			}
			w := httptest.NewRecorder()
			h.ServeHTTP(w, request(t, &r, "http://localhost"))
			if w.Code != 501 || !strings.Contains(w.Body.String(), `"code":"unsupported"`) {
				t.Errorf("%s: %d %s", id, w.Code, w.Body)
			}
		}
	}
}

func TestViewersSeeNoValuesOfEnv(t *testing.T) {
	m := runningManager(t)
	if err := m.Add(t.Context(), gaffer.Template{
		Name: "web", Cmd: "sh -c 'sleep 1000; :' \"$PASSWORD\"", Env: map[string]string{"PASSWORD": "hunter2"},
	}); err != nil {
		t.Fatal(err)
	}
	s, err := New(m, Options{})
	if err != nil {
		t.Fatal(err)
	}
	for role, sees := range map[Role]bool{Viewer: false, Operator: true, Admin: true} {
		for _, path := range []string{"/v1/processes", "/v1/processes/web"} {
			w := get(t, s.Handler(Caller{By: "test", Role: role}), path)
			text := w.Body.String()
			if w.Code != 200 || strings.Contains(text, "hunter2") != sees || !strings.Contains(text, "PASSWORD") {
				t.Errorf("%s %s: %d %s", role, path, w.Code, text)
			}
		}
		for _, path := range []string{"/v1/processes/web/status", "/v1/processes/web/usage", "/v1/processes/web/stats", "/v1/events", "/metrics"} {
			w := httptest.NewRecorder()
			r := httptest.NewRequestWithContext(t.Context(), "GET", path, nil)
			if path == "/v1/events" {
				r.URL.RawQuery = "tail=-1&follow=false"
			}
			s.Handler(Caller{By: "test", Role: role}).ServeHTTP(w, r)
			if w.Code != 200 || strings.Contains(w.Body.String(), "hunter2") {
				t.Errorf("%s %s: %d %s", role, path, w.Code, w.Body)
			}
		}
	}
	if list, err := m.List(t.Context(), "web"); err != nil || list[0].Template.Env["PASSWORD"] != "hunter2" {
		t.Errorf("the template itself was changed: %v %v", list, err)
	}
}

// A stop is accepted at once when nobody waits, and goes on.
func TestWhatNobodyWaitsForIsDone(t *testing.T) {
	m := runningManager(t)
	if err := m.Add(t.Context(), gaffer.Template{
		Name: "slow", Shell: true, Cmd: "trap '' TERM; echo ready; while :; do sleep 0.05; done",
		GracefulTimeout: new(gaffer.Duration(time.Second / 2)),
	}); err != nil {
		t.Fatal(err)
	}
	output, err := m.Output(t.Context(), "slow", gaffer.OutputOptions{Tail: -1})
	if err != nil {
		t.Fatal(err)
	}
	defer output.Close()
	if _, err := output.Next(t.Context()); err != nil {
		t.Fatal(err)
	}
	told := &audits{}
	s, err := New(m, Options{Audit: told.add})
	if err != nil {
		t.Fatal(err)
	}
	h := s.Handler(Caller{By: "test", Role: Operator})
	ask := func(path string) *httptest.ResponseRecorder {
		w := httptest.NewRecorder()
		h.ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), "POST", path, nil))
		return w
	}
	events, err := m.Subscribe(t.Context(), "slow", gaffer.EventOptions{Kinds: []gaffer.Kind{gaffer.KindExit}})
	if err != nil {
		t.Fatal(err)
	}
	defer events.Close()
	if w := ask("/v1/processes/slow/stop"); w.Code != 202 || !strings.Contains(w.Body.String(), `"state":"stopping"`) {
		t.Errorf("%d %s", w.Code, w.Body)
	}
	if got := told.take(); len(got) != 1 || got[0] != "test | slow | stop: begun" {
		t.Errorf("audits %q", got)
	}
	if w := ask("/v1/processes/slow/stop?wait=10ms"); w.Code != 504 || !strings.Contains(w.Body.String(), `"code":"timeout"`) {
		t.Errorf("%d %s", w.Code, w.Body)
	}
	if w := ask("/v1/processes/nothing/stop"); w.Code != 404 {
		t.Errorf("%d %s", w.Code, w.Body)
	}
	if _, err := events.Next(t.Context()); err != nil {
		t.Error(err)
	}
	if w := ask("/v1/processes/slow/stop?wait=20s"); w.Code != 200 || !strings.Contains(w.Body.String(), `"state":"stopped"`) {
		t.Errorf("%d %s", w.Code, w.Body)
	}
}
