package api

import (
	"context"
	"net/http"
	"testing"

	"github.com/gafferpm/gaffer"
)

// discard is a ResponseWriter that costs nothing.
type discard struct{ h http.Header }

func (d *discard) Header() http.Header         { return d.h }
func (d *discard) Write(b []byte) (int, error) { return len(b), nil }
func (d *discard) WriteHeader(int)             {}

// BenchmarkShare is what a request for a status costs beside the server of
// net/http.
func BenchmarkShare(b *testing.B) {
	m := runningManager(b)
	if err := m.Add(b.Context(), gaffer.Template{Name: "web", Cmd: "sleep 1000"}); err != nil {
		b.Fatal(err)
	}
	s, err := New(m, Options{})
	if err != nil {
		b.Fatal(err)
	}
	e := &endpoint{s: s, unix: true}
	r, err := http.NewRequestWithContext(context.WithValue(b.Context(), connKey{}, &conn{ep: e, caller: func() *Caller { return &Caller{Role: Admin} }}), "GET", "http://gaffer/v1/processes/web/status", nil)
	if err != nil {
		b.Fatal(err)
	}
	w := &discard{http.Header{}}
	b.ReportAllocs()
	for b.Loop() {
		e.ServeHTTP(w, r)
	}
}
