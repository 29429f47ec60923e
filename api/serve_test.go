package api_test

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/gafferpm/gaffer"
	"github.com/gafferpm/gaffer/api"
)

// running is a manager that runs until the test ends.
func running(t testing.TB) *gaffer.Manager {
	t.Helper()
	m, err := gaffer.New(gaffer.Options{NoCgroup: true})
	if err != nil {
		t.Fatal(err)
	}
	started := make(chan struct{})
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
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

// answer is what a request was answered with.
type answer struct {
	status int
	header http.Header
	body   []byte
}

func (a *answer) problem(t testing.TB) api.Problem {
	t.Helper()
	var p api.Problem
	if err := json.Unmarshal(a.body, &p); err != nil {
		t.Fatalf("%d %s: %v", a.status, a.body, err)
	}
	return p
}

func ask(t testing.TB, h http.Handler, method, path, body string, header ...string) *answer {
	t.Helper()
	r := httptest.NewRequest(method, path, strings.NewReader(body)).WithContext(t.Context())
	for i := 0; i < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	res := w.Result()
	b, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return &answer{res.StatusCode, res.Header, bytes.TrimSpace(b)}
}

func serve(t testing.TB, c gaffer.Controller, opts api.Options) *api.Server {
	t.Helper()
	s, err := api.New(c, opts)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestATemplateIsAddedScaledAndRemoved(t *testing.T) {
	h := serve(t, running(t), api.Options{}).Handler(api.Caller{By: "test", Role: api.Admin})
	a := ask(t, h, "POST", "/v1/processes?wait=10s", `{"name":"web","cmd":"sleep 1000","graceful_timeout":"100ms"}`)
	if a.status != 201 || !strings.Contains(string(a.body), `"state":"running"`) || a.header.Get("Location") != "/v1/processes/web" {
		t.Fatalf("add: %d %v %s", a.status, a.header, a.body)
	}
	if a = ask(t, h, "POST", "/v1/processes/web/scale?wait=10s", `{"count":"+2"}`); a.status != 200 || !strings.Contains(string(a.body), `"max_processes":3`) {
		t.Errorf("scale: %d %s", a.status, a.body)
	}
	if a = ask(t, h, "POST", "/v1/processes/web/stop", ``); a.status != 202 && a.status != 200 {
		t.Errorf("stop: %d %s", a.status, a.body)
	}
	if a = ask(t, h, "DELETE", "/v1/processes/web?wait=10s", ``); a.status != 200 || string(a.body) != `[{"name":"web"}]` {
		t.Errorf("remove: %d %s", a.status, a.body)
	}
	if a = ask(t, h, "GET", "/v1/processes/web", ``); a.status != 404 || a.problem(t).Code != "not_found" {
		t.Errorf("get: %d %s", a.status, a.body)
	}
}
