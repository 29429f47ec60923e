package api

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/gafferpm/gaffer"
)

// admitted says whether an answer is that of a route that let the caller in.
func admitted(status int) bool {
	return status != http.StatusUnauthorized && status != http.StatusForbidden
}

func everything(t testing.TB, told *audits) Options {
	return Options{
		Keys: &keysInMemory{}, Config: refusing{}, Audit: told.add, Shutdown: func() {},
		Upgrade: func(string) error { return nil },
		Plugins: map[string]string{"hook": t.TempDir()},
	}
}

func TestEveryRouteLetsInThoseOfItsRole(t *testing.T) {
	told := &audits{}
	s, err := New(refusing{}, everything(t, told))
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range routes() {
		for role := Nobody; role <= Admin; role++ {
			for _, target := range []gaffer.Target{"", "*", "web"} {
				w := httptest.NewRecorder()
				s.Handler(Caller{By: "test", Role: role, Target: target}).ServeHTTP(w, request(t, &r, "http://localhost"))
				want := role >= r.role && (!r.whole || target != "web")
				if admitted(w.Code) != want {
					t.Errorf("%s %s as %s of %q: %d %s", r.method, r.path, role, target, w.Code, w.Body)
				}
			}
		}
	}
}

func TestEveryChangeIsAuditedWithItsCaller(t *testing.T) {
	told := &audits{}
	s, err := New(refusing{}, everything(t, told))
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range routes() {
		for _, role := range []Role{Viewer, Admin} {
			s.Handler(Caller{By: "alice " + r.id, Role: role}).ServeHTTP(httptest.NewRecorder(), request(t, &r, "http://localhost"))
			list := told.take()
			change := r.method != http.MethodGet && r.id != "plan" || r.id == "attach" || r.id == "exec"
			if change != (len(list) == 1) || len(list) > 1 || change && !strings.HasPrefix(list[0], "alice "+r.id+" | ") {
				t.Errorf("%s %s as %s: audits %q", r.method, r.path, role, list)
			}
			if change && role < r.role && !strings.Contains(list[0], "refused") {
				t.Errorf("%s %s as %s: audit %q does not say that it was refused", r.method, r.path, role, list[0])
			}
		}
	}
}

func TestEveryRouteOnTCPWantsAKeyOfItsRole(t *testing.T) {
	keys := &keysInMemory{}
	texts := map[Role]string{}
	for role := Viewer; role <= Admin; role++ {
		texts[role] = keys.with(t, role, "")
	}
	narrowed := keys.with(t, Admin, "jobs:*")
	opts := everything(t, &audits{})
	opts.Keys = keys
	_, address := openTCP(t, refusing{}, opts, Endpoint{})
	c := client(t, &http.Transport{})
	ask := func(r *route, key string) int {
		req := request(t, r, "http://"+address)
		if key != "" {
			req.Header.Set("Authorization", "Bearer "+key)
		}
		res, err := c.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		defer res.Body.Close()
		if _, err := io.Copy(io.Discard, res.Body); err != nil {
			t.Fatal(err)
		}
		return res.StatusCode
	}
	for _, r := range routes() {
		if status := ask(&r, ""); r.role > Nobody != (status == http.StatusUnauthorized) {
			t.Errorf("%s %s without a key: %d", r.method, r.path, status)
		}
		for role, key := range texts {
			if status := ask(&r, key); admitted(status) != (role >= r.role) || status == http.StatusUnauthorized {
				t.Errorf("%s %s as %s: %d", r.method, r.path, role, status)
			}
		}
		// What is about another target than the key's is refused, but for lists of
		// what there is.
		status := ask(&r, narrowed)
		about := strings.Contains(r.path, "{target}") || r.id == "add-process"
		if want := !r.whole && !about; admitted(status) != want {
			t.Errorf("%s %s with a key for jobs: %d", r.method, r.path, status)
		}
	}
}

func TestEveryRouteOnAUnixSocketKnowsItsUser(t *testing.T) {
	socket := filepath.Join(shortDir(t), "s")
	open(t, refusing{}, everything(t, &audits{}), Endpoint{Address: "unix://" + socket})
	c := overUnix(t, socket)
	for _, r := range routes() {
		res, err := c.Do(request(t, &r, "http://gaffer"))
		if err != nil {
			t.Fatal(err)
		}
		res.Body.Close()
		if !admitted(res.StatusCode) {
			t.Errorf("%s %s: %d", r.method, r.path, res.StatusCode)
		}
	}
}

func TestRoutesAreNamedOnce(t *testing.T) {
	var ids, paths []string
	for _, r := range routes() {
		if slices.Contains(ids, r.id) || slices.Contains(paths, r.method+r.path) || r.id == "" || r.summary == "" {
			t.Errorf("%s %s (%s): twice there, or without a name", r.method, r.path, r.id)
		}
		ids, paths = append(ids, r.id), append(paths, r.method+r.path)
		if r.audit == "" && r.method != http.MethodGet && r.id != "plan" {
			t.Errorf("%s %s changes something that no audit tells", r.method, r.path)
		}
		if r.audit != "" && r.role < Operator {
			t.Errorf("%s %s lets a %s change something", r.method, r.path, r.role)
		}
	}
}

func TestRolesAreReadAsTheyAreWritten(t *testing.T) {
	for r := Viewer; r <= Admin; r++ {
		if got, err := ParseRole(r.String()); err != nil || got != r {
			t.Errorf("%s: %v %v", r, got, err)
		}
	}
	for _, s := range []string{"", "nobody", "Admin", "root"} {
		if got, err := ParseRole(s); err == nil {
			t.Errorf("%q: %v", s, got)
		}
	}
	if s := fmt.Sprint(Role(9)); s != "role 9" {
		t.Error(s)
	}
}
