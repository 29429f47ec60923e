package api

import (
	"context"
	"encoding/json"
	"errors"
	"net/http/httptest"
	"path"
	"strings"
	"testing"

	"github.com/gafferpm/gaffer"
	"github.com/gafferpm/gaffer/api/internal/feed"
	"pgregory.net/rapid"
)

func TestATargetIsWithinAScopeOnlyAsAWhole(t *testing.T) {
	for _, c := range []struct {
		target, scope gaffer.Target
		want          bool
	}{
		{"web", "web", true}, {"web.2", "web", true}, {"web*", "web", false}, {"*", "web", false}, {"webb", "web", false},
		{"jobs:mail", "jobs:*", true}, {"jobs:mail.1", "jobs:*", true}, {"jobs:*", "jobs:*", true}, {"jobs:m*", "jobs:*", true},
		{"jobs", "jobs:*", false}, {"*", "jobs:*", false}, {"jobs*", "jobs:*", false}, {"*:mail", "jobs:*", false}, {"other:mail", "jobs:*", false},
		{"web*", "web*", true}, {"web1*", "web*", true}, {"w*", "web*", false}, {"*web", "web*", false},
		{"*", "*", true}, {"anything.1", "*", true}, {"a:b", "*", true},
	} {
		if got := within(c.target, c.scope); got != c.want {
			t.Errorf("%s within %s: %v", c.target, c.scope, got)
		}
	}
}

// If a target is within a scope, then so is every name that it selects.
func TestNothingOutsideAScopeIsSelectedFromWithin(t *testing.T) {
	glob := rapid.StringMatching(`[ab*]{1,4}(:[ab*]{1,3})?`)
	name := rapid.StringMatching(`[ab]{1,4}(:[ab]{1,3})?`)
	rapid.Check(t, func(t *rapid.T) {
		target, scope, n := glob.Draw(t, "target"), glob.Draw(t, "scope"), name.Draw(t, "name")
		selects := func(g string) bool { ok, err := path.Match(g, n); return ok && err == nil }
		if within(gaffer.Target(target), gaffer.Target(scope)) && selects(target) && !selects(scope) {
			t.Fatalf("%s is within %s, but selects %s", target, scope, n)
		}
	})
}

func TestANarrowedKeySeesAndTouchesItsTargetOnly(t *testing.T) {
	m := runningManager(t)
	for _, name := range []string{"web", "jobs:mail", "jobs:index"} {
		if err := m.Add(t.Context(), gaffer.Template{Name: name, Cmd: "sleep 1000"}); err != nil {
			t.Fatal(err)
		}
	}
	s, err := New(m, Options{})
	if err != nil {
		t.Fatal(err)
	}
	h := s.Handler(Caller{By: "test", Role: Admin, Target: "jobs:*"})
	names := func(path string) string {
		t.Helper()
		w := get(t, h, path)
		if w.Code != 200 {
			return w.Result().Status
		}
		var list []struct {
			Name   string
			Status struct{ Name string }
		}
		if err := json.Unmarshal(w.Body.Bytes(), &list); err != nil {
			t.Fatal(err)
		}
		var out []string
		for _, i := range list {
			out = append(out, i.Name+i.Status.Name)
		}
		return strings.Join(out, " ")
	}
	for path, want := range map[string]string{
		"/v1/processes": "jobs:mail jobs:index", "/v1/processes/*": "jobs:mail jobs:index", "/v1/processes/jobs:mail": "jobs:mail",
		"/v1/processes/*/status": "jobs:mail jobs:index", "/v1/processes/*/stats": "jobs:mail jobs:index",
		"/v1/processes/web": "403 Forbidden", "/v1/processes/web/status": "403 Forbidden", "/v1/processes/web.1/stats": "403 Forbidden",
		"/v1/processes/1": "403 Forbidden", "/v1/processes/2/status": "jobs:mail", "/v1/processes/999": "404 Not Found",
		"/v1/processes/w*": "403 Forbidden", "/v1/processes/web/usage": "403 Forbidden", "/v1/groups": "jobs", "/v1/keys": "403 Forbidden", "/v1/config": "403 Forbidden",
	} {
		if got := names(path); got != want {
			t.Errorf("%s: %s, want %s", path, got, want)
		}
	}
	for _, c := range []struct {
		method, path, body string
		want               int
	}{
		{"POST", "/v1/processes/*/stop", "", 403}, {"POST", "/v1/processes/web/stop", "", 403}, {"POST", "/v1/processes/1/stop", "", 403},
		{"POST", "/v1/processes/999/stop", "", 404}, {"DELETE", "/v1/processes/*", "", 403}, {"POST", "/v1/processes", `{"name":"x","cmd":"true"}`, 403},
		{"PUT", "/v1/processes/web?create=true", `{"cmd":"true"}`, 403}, {"PUT", "/v1/processes/x?create=true", `{"cmd":"true"}`, 403},
		{"POST", "/v1/processes/jobs:mail/restart?wait=20s", "", 200}, {"POST", "/v1/processes/jobs:*/signal", `{"signal":"WINCH"}`, 200},
		{"POST", "/v1/processes/jobs:mail.1/stop", "", 202}, {"POST", "/v1/processes/2/scale", `{"count":1}`, 404},
		{"POST", "/v1/plan", `{"source":"app:x","templates":[]}`, 403}, {"POST", "/v1/shutdown", "", 403}, {"POST", "/v1/upgrade", `{"binary":"/x"}`, 403},
		{"DELETE", "/v1/processes/jobs:mail?wait=20s", "", 200},
		{"POST", "/v1/processes?wait=20s", `{"name":"jobs:new","cmd":"true"}`, 201},
	} {
		w := httptest.NewRecorder()
		h.ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), c.method, c.path, strings.NewReader(c.body)))
		if w.Code != c.want && !(c.want == 202 && w.Code == 200) {
			t.Errorf("%s %s: %d %s, want %d", c.method, c.path, w.Code, w.Body, c.want)
		}
	}
	for path, want := range map[string]string{"/v1/events?tail=-1&follow=false": `"name":"web"`, "/v1/stats?follow=false": `"name":"web"`} {
		p, query, _ := strings.Cut(path, "?")
		r := httptest.NewRequestWithContext(t.Context(), "GET", p+"?"+query, nil)
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		if w.Code != 200 || strings.Contains(w.Body.String(), want) || !strings.Contains(w.Body.String(), `"name":"jobs:`) {
			t.Errorf("%s: %d %s", path, w.Code, w.Body)
		}
	}
}

// As long as there is nothing in scope, there is nothing, and no error.
func TestANarrowedKeyMayLookBeforeThereIsAnything(t *testing.T) {
	s := &scoped{Controller: manager(t), scope: "jobs:*"}
	ctx := context.Background()
	if list, err := s.List(ctx, gaffer.All); err != nil || len(list) > 0 {
		t.Errorf("%v %v", list, err)
	}
	if list, err := s.Stats(ctx, gaffer.All); err != nil || len(list) > 0 {
		t.Errorf("%v %v", list, err)
	}
	if _, err := s.List(ctx, "jobs:mail"); !errors.Is(err, gaffer.ErrNotFound) {
		t.Errorf("%v", err)
	}
	if _, err := s.List(ctx, "a b"); !errors.Is(err, gaffer.ErrInvalid) {
		t.Errorf("%v", err)
	}
}

// numbered is a Controller that tells of which target it is asked for events.
type numbered struct {
	refusing
	asked []gaffer.Target
}

func (n *numbered) Subscribe(_ context.Context, t gaffer.Target, _ gaffer.EventOptions) (gaffer.Stream[gaffer.Event], error) {
	n.asked = append(n.asked, t)
	return nil, errAsked
}

func TestTheLatestNumberIsNotLookedForInScope(t *testing.T) {
	n := &numbered{}
	c := &viewing{&scoped{Controller: n, scope: "jobs:*"}}
	if _, err := feed.Latest(t.Context(), c); !errors.Is(err, errAsked) {
		t.Error(err)
	}
	if len(n.asked) != 1 || n.asked[0] != gaffer.All {
		t.Errorf("asked for events of %q", n.asked)
	}
}
