package api

import (
	"encoding/json"
	"net/http/httptest"
	"strings"
	"testing"
)

func TestEveryFaultOfABodyIsToldWithItsPlace(t *testing.T) {
	h := handler(t, Options{Config: refusing{}}, Caller{By: "test", Role: Admin})
	for _, c := range []struct {
		path, body string
		status     int
		faults     map[string]string
	}{
		{"/v1/processes", `{"command":"x","nmae":"web","replicas":2,"cmd":3,"graceful_timeout":"soon","stop_signal":"NOPE","uid":[],
			"flapping":{"windw":"1s","attempts":"x","window":"-1s"},"env":{"A":1},"env_files":"x"}`, 422, map[string]string{
			"body.command": "is not known; did you mean cmd?", "body.nmae": "is not known; did you mean name?", "body.replicas": "did you mean numprocesses?",
			"body.name": "is required", "body.cmd": "expected string", "body.graceful_timeout": `duration "soon"`, "body.stop_signal": `signal "NOPE"`,
			"body.uid": "wrong type", "body.flapping.windw": "did you mean window?", "body.flapping.attempts": "expected integer", "body.flapping.window": "negative",
			"body.env.A": "expected string", "body.env_files": "expected array",
		}},
		{"/v1/plan", `{"source":"app:x","templates":[{"name":"a","cmd":"b"},{"nme":"a","cmd":"b","backoff":{"first":"x"}},7]}`, 422, map[string]string{
			"body.templates[1].nme": "did you mean name?", "body.templates[1].name": "is required", "body.templates[1].backoff.first": "duration", "body.templates[2]": "expected object",
		}},
		{"/v1/processes", `{"name":"x y","cmd":"","numprocesses":-1,"nmae":1}`, 422, map[string]string{
			"body.name": "want a letter", "body.cmd": "is required", "body.numprocesses": "negative", "body.nmae": "did you mean name?",
		}},
		{"/v1/plan", `{"source":"app:x","templates":[{"name":"a","cmd":"b","port":70000},{"name":"b b","cmd":"b","shel":true}]}`, 422, map[string]string{
			"body.templates[0].port": "want 1 to 65535", "body.templates[1].name": "want a letter", "body.templates[1].shel": "did you mean shell?",
		}},
		{"/v1/processes", `{"name":`, 400, map[string]string{"body": "unexpected end of JSON input"}},
		{"/v1/processes", `{"name":"a","cmd":"b"} {}`, 400, map[string]string{"body": "after top-level value"}},
		{"/v1/processes", "\x00", 400, map[string]string{"body": "invalid character"}},
		{"/v1/processes", ``, 400, map[string]string{"body": "is empty"}},
		{"/v1/processes/web/scale", `{"count":[]}`, 422, map[string]string{"body.count": ""}},
		{"/v1/processes/web/scale?count=1", `{"count":1}`, 422, map[string]string{"query.count": "is not known"}},
		{"/v1/processes/web/scale?wait=1s&wait=2s", `{"count":1}`, 422, map[string]string{"query.wait": "more than once"}},
		{"/v1/processes/web/scale?wait=%zz", `{"count":1}`, 400, map[string]string{"query": "escape"}},
		{"/v1/processes/a%20b/scale", `{"count":1}`, 422, map[string]string{"path.target": "want *"}},
	} {
		w := httptest.NewRecorder()
		h.ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), "POST", c.path, strings.NewReader(c.body)))
		var p Problem
		if err := json.Unmarshal(w.Body.Bytes(), &p); err != nil {
			t.Fatal(err)
		}
		if w.Code != c.status || p.Status != c.status || p.Code != "invalid" || p.Detail == "" {
			t.Errorf("%s: %d %s", c.body, w.Code, w.Body)
		}
		told := map[string]string{}
		for _, f := range p.Errors {
			if _, twice := told[f.Location]; twice {
				t.Errorf("%s: %s is told twice: %v", c.body, f.Location, p.Errors)
			}
			told[f.Location] = f.Message
		}
		for place, text := range c.faults {
			if got, ok := told[place]; !ok || !strings.Contains(got, text) {
				t.Errorf("%s: %s: %q, want %q", c.body, place, got, text)
			}
		}
		if len(told) != len(c.faults) {
			t.Errorf("%s: faults %v, want %v", c.body, told, c.faults)
		}
	}
}
