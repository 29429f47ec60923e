package api

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"unicode/utf8"
)

// seeds are bodies with what bodies can have wrong.
var seeds = []string{
	``, `{}`, `null`, `[]`, `0`, `"x"`, `{"name":"web","cmd":"true"}`, `{"name":"web","cmd":"true","numprocesses":1e99}`,
	`{"name":"a","cmd":"b","env":{"A":"1"},"args":"x 'y z'","uid":0,"flapping":{"window":"1s","max_retry":-1},"backoff":{"first":0.5}}`,
	`{"name":"a","cmd":"'","graceful_timeout":"1e999s","stop_signal":"SIGNOPE","redirect_output":[1,null]}`,
	`{"source":"app:x","templates":[{"name":"a","cmd":"b"},{"cmd":1},null,[]],"adopt":"yes"}`,
	`{"signal":9}`, `{"signal":"HUP"}`, `{"signal":-1}`, `{"count":"+1"}`, `{"count":1e3}`, `{"count":-5}`, `{"mode":"overlap"}`,
	`{"name":"k","role":"viewer","target":"jobs:*"}`, `{"name":"` + strings.Repeat("x", 200) + `","role":"root"}`,
	`{"name":"web","name":"other","cmd":"true"}`, `{"a":` + strings.Repeat(`[`, 9000), "{\"\xff\":1}", `{"name":"web","cmd":"true"} trailing`, "\ufeff{}",
}

// Whatever a body has in it, the answer is what is wrong with it, or that it was
// understood: never a fault of the program.
func FuzzBodies(f *testing.F) {
	for i := range 32 {
		for _, s := range seeds {
			f.Add(uint8(i), s)
		}
	}
	s, err := New(refusing{}, Options{Keys: &keysInMemory{}, Config: refusing{}, Webhooks: hooks{}, Shutdown: func() {}, Upgrade: func(string) error { return nil }})
	if err != nil {
		f.Fatal(err)
	}
	h := s.Handler(Caller{By: "fuzz", Role: Admin})
	var with []route
	for _, r := range routes() {
		if r.body != nil {
			with = append(with, r)
		}
	}
	f.Fuzz(func(t *testing.T, which uint8, body string) {
		r := with[int(which)%len(with)]
		req := request(t, &r, "http://localhost")
		req = httptest.NewRequestWithContext(t.Context(), req.Method, req.URL.String(), strings.NewReader(body))
		w := httptest.NewRecorder()
		h.ServeHTTP(w, req)
		checkAnswer(t, w)
	})
}

// checkAnswer wants an answer that says what is wrong with a request, if anything.
func checkAnswer(t *testing.T, w *httptest.ResponseRecorder) {
	t.Helper()
	if w.Code == http.StatusInternalServerError && strings.Contains(w.Body.String(), `"detail":"asked"`) {
		return // it came through to the Controller
	}
	if w.Code >= 500 {
		t.Fatalf("%d %s", w.Code, w.Body)
	}
	if w.Code < 400 {
		return
	}
	var p Problem
	if err := json.Unmarshal(w.Body.Bytes(), &p); err != nil || p.Status != w.Code || p.Code == "" || p.Detail == "" {
		t.Fatalf("%d %s %v", w.Code, w.Body, err)
	}
	if len(p.Errors) > maxFaults+1 || !utf8.Valid(w.Body.Bytes()) {
		t.Fatalf("%d faults in %q", len(p.Errors), w.Body)
	}
}

// Whatever a path, a query or a header has in it, the answer is one.
func FuzzRequests(f *testing.F) {
	for _, r := range routes() {
		f.Add(r.method, r.path, "", "")
	}
	f.Add("GET", "/v1/processes/%2e%2e/status", "wait=1s", "Bearer gaffer_a_b")
	f.Add("GET", "/plugins/hook/%00", "a=%zz", "Bearer")
	f.Add("PUT", "/v1/processes/web", "create=true&create=no;x", "")
	f.Add("BREW", "//v1/../v1/ping", "?", "Basic x")
	opts := everything(f, &audits{})
	s, err := New(refusing{}, opts)
	if err != nil {
		f.Fatal(err)
	}
	e := &endpoint{s: s, opts: &Endpoint{Insecure: true}}
	h := s.Handler(Caller{By: "fuzz", Role: Admin})
	f.Fuzz(func(t *testing.T, method, path, query, authorization string) {
		u := &url.URL{Path: path, RawQuery: query}
		req, err := http.NewRequestWithContext(t.Context(), method, "http://localhost/", nil)
		if err != nil {
			return
		}
		req.URL, req.Host, req.RequestURI = u, "localhost", path
		if authorization != "" {
			req.Header.Set("Authorization", authorization)
		}
		w := httptest.NewRecorder()
		h.ServeHTTP(w, req)
		if w.Code >= 500 && !strings.Contains(w.Body.String(), `"detail":"asked"`) {
			t.Fatalf("%d %s", w.Code, w.Body)
		}
		req.Header.Set("Origin", query)
		req.Host = path
		if err := e.checkHost(req); err == nil && !isLoopback(hostOf(path)) {
			t.Fatalf("host %q is let in", path)
		}
		if _, err := e.checkOrigin(httptest.NewRecorder(), req); err == nil {
			if u, err := url.Parse(query); err != nil || !strings.EqualFold(u.Host, path) {
				t.Fatalf("origin %q of host %q is let in", query, path)
			}
		}
	})
}
