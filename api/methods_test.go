package api

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	"github.com/gafferpm/gaffer"
)

func TestHEADIsGETWithoutItsBody(t *testing.T) {
	m := manager(t)
	if err := m.Add(t.Context(), gaffer.Template{Name: "web", Cmd: "true"}); err != nil {
		t.Fatal(err)
	}
	s, err := New(m, everything(t, &audits{}))
	if err != nil {
		t.Fatal(err)
	}
	srv := httptest.NewServer(s.Handler(Caller{By: "test", Role: Admin}))
	defer srv.Close()
	c := client(t, &http.Transport{})
	for _, r := range routes() {
		if r.method != http.MethodGet || r.id == "attach" || r.id == "exec" {
			continue
		}
		req := request(t, &r, srv.URL)
		req.Method = http.MethodHead
		res, err := c.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		res.Body.Close()
		if want := map[string]int{"get-group": 404, "config": 500, "plugin-files": 404}[r.id]; res.StatusCode != max(want, 200) {
			t.Errorf("HEAD %s: %d", r.path, res.StatusCode)
		}
	}
}

func TestOPTIONSSaysWhatAPathHas(t *testing.T) {
	s, err := New(refusing{}, Options{})
	if err != nil {
		t.Fatal(err)
	}
	h := s.Handler(Caller{})
	for _, r := range routes() {
		req := request(t, &r, "http://localhost")
		for _, method := range []string{"OPTIONS", "PATCH", "TRACE", "BREW"} {
			req.Method = method
			w := httptest.NewRecorder()
			h.ServeHTTP(w, req)
			allow := strings.Split(w.Header().Get("Allow"), ", ")
			if !slices.Contains(allow, r.method) || !slices.Contains(allow, "OPTIONS") || slices.Contains(allow, "HEAD") != slices.Contains(allow, "GET") {
				t.Errorf("%s %s allows %q", method, r.path, allow)
			}
			if want := map[bool]int{true: 204, false: 405}[method == "OPTIONS"]; w.Code != want {
				t.Errorf("%s %s: %d", method, r.path, w.Code)
			}
			if w.Code == 405 && !strings.Contains(w.Body.String(), `"code":"method"`) {
				t.Errorf("%s %s: %s", method, r.path, w.Body)
			}
		}
	}
}

func TestWhatIsNotThereIsAProblemToo(t *testing.T) {
	h := handler(t, Options{}, Caller{})
	for _, path := range []string{"/nothing", "/v1", "/v1/", "/v1/processes/a/b", "/v2/processes", "/v1/processes/", "/plugins"} {
		w := get(t, h, path)
		var p Problem
		if err := json.Unmarshal(w.Body.Bytes(), &p); err != nil || w.Code != 404 || p.Code != "not_found" || w.Header().Get("Content-Type") != "application/problem+json" {
			t.Errorf("%s: %d %s %v", path, w.Code, w.Body, err)
		}
	}
}
