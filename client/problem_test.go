package client

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"testing"

	"github.com/gafferpm/gaffer"
)

func TestRedirectIsNotFollowed(t *testing.T) {
	elsewhere := newScripted(t, func(http.ResponseWriter, *http.Request) { t.Error("the redirect was followed") })
	s := newScripted(t, func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, elsewhere.Host(), http.StatusTemporaryRedirect)
	})
	s.key = "gaffer_secret"
	if err := s.Ping(t.Context()); err == nil || !strings.Contains(err.Error(), "307") {
		t.Errorf("error %v", err)
	}
}

func TestProblemsAreTheErrorsOfTheLibrary(t *testing.T) {
	for _, c := range []struct {
		status int
		body   string
		is     error
		text   string
	}{
		{404, `{"code":"not_found","detail":"template web: not found"}`, gaffer.ErrNotFound, "template web: not found"},
		{422, `{"code":"invalid","detail":"template web: cmd: is required\nport: too large","errors":[{"location":"body.cmd","message":"is required"},{"location":"body.port","message":"too large"}]}`,
			gaffer.ErrInvalid, "template web: cmd: is required\nport: too large"},
		{422, `{"code":"invalid","detail":"2 things are wrong with the request","errors":[{"location":"body.cmd","message":"is required"},{"location":"query.wait","message":"no"}]}`,
			gaffer.ErrInvalid, "cmd: is required\nwait: no"},
		{422, `{"code":"invalid","detail":"body.count: change x","errors":[{"location":"body.count","message":"change x"}]}`,
			gaffer.ErrInvalid, "count: change x"},
		{404, "404 page not found", gaffer.ErrNotFound, "answered 404 Not Found"},
		{502, "<html>", nil, "answered 502 Bad Gateway"},
		{500, `{"title":"Internal Server Error"}`, nil, "Internal Server Error"},
		{422, `{"errors":"no list"}`, gaffer.ErrInvalid, "answered 422"},
	} {
		s := newScripted(t, func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "application/problem+json; charset=utf-8")
			w.WriteHeader(c.status)
			fmt.Fprint(w, c.body)
		})
		_, err := s.List(t.Context(), "web")
		if err == nil || !strings.HasSuffix(err.Error(), c.text) && !strings.Contains(err.Error(), c.text) {
			t.Errorf("%d %s: error %q, want %q", c.status, c.body, err, c.text)
		}
		if c.is != nil && !errors.Is(err, c.is) {
			t.Errorf("%d %s: error %v is not %v", c.status, c.body, err, c.is)
		}
	}
}

func FuzzProblem(f *testing.F) {
	f.Add(404, []byte(`{"code":"not_found","detail":"web: not found"}`))
	f.Add(422, []byte(`{"code":"invalid","errors":[{"location":"body.cmd","message":"is required"},{}]}`))
	f.Add(500, []byte(`null`))
	c, err := New("http://127.0.0.1", Options{})
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, status int, body []byte) {
		err := c.refused(&http.Response{
			StatusCode: status, Status: strconv.Itoa(status), Body: io.NopCloser(bytes.NewReader(body)),
			Header: http.Header{"Content-Type": {"application/problem+json"}},
		})
		if err == nil || err.Error() == "" {
			t.Errorf("error %v", err)
		}
	})
}
