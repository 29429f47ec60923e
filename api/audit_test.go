package api

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/gafferpm/gaffer"
)

// post makes a request that changes something, and returns its status.
func post(t testing.TB, s *Server, as Caller, path string, body io.Reader) int {
	t.Helper()
	w := httptest.NewRecorder()
	s.Handler(as).ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), "POST", path, body))
	return w.Code
}

func audited(t testing.TB, c gaffer.Controller) (*Server, *audits) {
	t.Helper()
	told := &audits{}
	s, err := New(c, everything(t, told))
	if err != nil {
		t.Fatal(err)
	}
	return s, told
}

func TestRefusedRequestsFillNoJournal(t *testing.T) {
	s, told := audited(t, refusing{})
	long := strings.Repeat("x", 50_000)
	for range 100 {
		post(t, s, Caller{By: "viewer", Role: Viewer}, "/v1/processes/"+long+"/stop", nil)
		post(t, s, Caller{By: "operator", Role: Operator}, "/v1/processes/web/streams/"+long, nil)
	}
	list := told.take()
	if len(list) != 2*(refusalsTold+1) || !strings.Contains(list[len(list)-1], "too many") {
		t.Errorf("%d audits: %q", len(list), list)
	}
	for _, a := range list {
		if len(a) > 500 {
			t.Errorf("%d bytes: %.100q", len(a), a)
		}
	}
	post(t, s, Caller{By: "somebody else", Role: Viewer}, "/v1/processes/web/stop", nil)
	if list := told.take(); len(list) != 1 {
		t.Errorf("audits %q", list)
	}
}

func TestAuditsQuoteNoValues(t *testing.T) {
	s, told := audited(t, refusing{})
	post(t, s, Caller{By: "admin", Role: Admin}, "/v1/processes", strings.NewReader(`{"name":"web","cmd":"x","env":{"PASSWORD":["hunter2"],"A=B":"hunter2"},"port":-1}`))
	list := told.take()
	if len(list) != 1 || !strings.HasPrefix(list[0], "admin | web | create: refused: invalid: body.") || strings.Contains(list[0], "hunter2") {
		t.Errorf("audits %q", list)
	}
}

func TestSubjectsAreCutBetweenCharacters(t *testing.T) {
	if got := shorten(strings.Repeat("é", 100), longestSubject); got != strings.Repeat("é", 62)+"…" {
		t.Errorf("%q", got)
	}
}

// slow is a Controller whose waiting ends before it has stopped what it stops.
type slow struct{ refusing }

func (slow) Stop(ctx context.Context, _ gaffer.Target) error {
	<-ctx.Done()
	return fmt.Errorf("web: %w", ctx.Err())
}

func TestWhatGoesOnAfterTheWaitingIsAuditedAsBegun(t *testing.T) {
	s, told := audited(t, slow{})
	if code := post(t, s, Caller{By: "op", Role: Operator}, "/v1/processes/web/stop?wait=10ms", nil); code != 504 {
		t.Error(code)
	}
	ctx, hangUp := context.WithCancel(t.Context())
	hangUp()
	r := httptest.NewRequestWithContext(ctx, "POST", "/v1/processes/web/stop?wait=1m", nil)
	s.Handler(Caller{By: "op", Role: Operator}).ServeHTTP(httptest.NewRecorder(), r)
	if got := told.take(); len(got) != 2 || got[0] != "op | web | stop: begun" || got[1] != got[0] {
		t.Errorf("audits %q", got)
	}
}

// taking is a Controller of one process, which tells of what is written to it.
type taking struct {
	refusing
	written func()
	err     error
}

func (c *taking) List(context.Context, gaffer.Target) ([]gaffer.Info, error) {
	return []gaffer.Info{{Status: gaffer.Status{Name: "web", Processes: []gaffer.Process{{ID: 1, Slot: 1}}}}}, nil
}

func (c *taking) Write(context.Context, gaffer.Target, string, []byte) error {
	c.written()
	return c.err
}

func TestStreamsAreAuditedBeforeTheirFirstByte(t *testing.T) {
	c := &taking{}
	s, told := audited(t, c)
	c.written = func() {
		if got := told.take(); len(got) != 1 || got[0] != "op | web.1 | send stdin" {
			t.Errorf("audits %q when it is written", got)
		}
	}
	ask := func() int {
		return post(t, s, Caller{By: "op", Role: Operator}, "/v1/processes/web.1/streams/stdin", strings.NewReader("x"))
	}
	if code, got := ask(), told.take(); code != 200 || len(got) != 0 {
		t.Errorf("%d, and audits %q after it", code, got)
	}
	c.err = gaffer.ErrConflict
	if code, got := ask(), told.take(); code != 409 || len(got) != 1 || !strings.HasPrefix(got[0], "op | web.1 | send stdin: broken off: ") {
		t.Errorf("%d, and audits %q after it", code, got)
	}
}

// broken is a body that its sender does not end.
type broken struct{}

func (broken) Read([]byte) (int, error) { return 0, io.ErrUnexpectedEOF }

func TestBodiesToStreamsAreOfAnyLength(t *testing.T) {
	s, _ := audited(t, &taking{written: func() {}})
	const path = "/v1/processes/web.1/streams/stdin"
	if code := post(t, s, Caller{Role: Operator}, path, strings.NewReader(strings.Repeat("x", 3<<20))); code != 200 {
		t.Error(code)
	}
	if code := post(t, s, Caller{Role: Operator}, path, broken{}); code != 400 {
		t.Errorf("one that breaks off: %d", code)
	}
}

func TestProblemsOfOtherPackagesHaveTheirStatus(t *testing.T) {
	if p := problemOf(fmt.Errorf("body: %w", &http.MaxBytesError{Limit: 7})); p.Status != 413 || p.Code != "too_large" {
		t.Errorf("%+v", p)
	}
	s, _ := audited(t, &taking{})
	w := httptest.NewRecorder()
	r := httptest.NewRequestWithContext(t.Context(), "GET", "/v1/processes/web.1/attach", nil)
	for name, value := range map[string]string{"Connection": "Upgrade", "Upgrade": "websocket", "Origin": "https://strange.example"} {
		r.Header.Set(name, value)
	}
	s.Handler(Caller{Role: Operator}).ServeHTTP(w, r)
	if w.Code != 403 || !strings.Contains(w.Body.String(), `"code":"forbidden"`) {
		t.Errorf("a strange page: %d %s", w.Code, w.Body)
	}
}

// panicking is a Controller that is broken.
type panicking struct{ taking }

func (*panicking) Stop(context.Context, gaffer.Target) error { panic("broken") }

func TestAPanicIsAudited(t *testing.T) {
	s, told := audited(t, &panicking{})
	if code, got := post(t, s, Caller{By: "op", Role: Operator}, "/v1/processes/web/stop", nil), told.take(); code != 500 ||
		len(got) != 1 || got[0] != "op | web | stop: broken off: internal error" {
		t.Errorf("%d %q", code, got)
	}
}

func TestAnAnswerThatHasBegunIsCutByAPanic(t *testing.T) {
	s, _ := audited(t, refusing{})
	r := &route{method: "GET", role: Viewer, handle: func(c *call) error {
		c.send(http.StatusOK, []byte(`{"half":`))
		panic("broken")
	}}
	w := httptest.NewRecorder()
	func() {
		defer func() {
			if p := recover(); p != http.ErrAbortHandler {
				t.Errorf("panic %v", p)
			}
		}()
		ctx := context.WithValue(t.Context(), connKey{}, &conn{caller: func() *Caller { return &Caller{Role: Viewer} }})
		(&served{s, r}).ServeHTTP(w, httptest.NewRequestWithContext(ctx, "GET", "/", nil))
	}()
	if got := w.Body.String(); got != `{"half":` {
		t.Errorf("%q", got)
	}
}
