package client

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gafferpm/gaffer"
)

// scripted is a server that answers each request by the next of its steps, and
// those after the last by the last.
type scripted struct {
	*Client
	mu    sync.Mutex // guards the rest
	steps []http.HandlerFunc
	asked []*http.Request
}

func newScripted(t testing.TB, steps ...http.HandlerFunc) *scripted {
	t.Helper()
	s := &scripted{steps: steps}
	server := httptest.NewServer(s)
	t.Cleanup(server.Close)
	c, err := New(server.URL, Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() }) // it never fails
	s.Client = c
	return s
}

func (s *scripted) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	s.asked = append(s.asked, r)
	step := s.steps[min(len(s.asked), len(s.steps))-1]
	s.mu.Unlock()
	step(w, r)
}

// asks are the queries that were asked, of one parameter.
func (s *scripted) asks(name string) []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	var all []string
	for _, r := range s.asked {
		all = append(all, r.URL.Query().Get(name))
	}
	return all
}

// cut marks a line that has no end.
const cut = "cut"

// lines answers with lines and then cuts the connection, or goes on if the last is
// "…".
func lines(list ...string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		flush := http.NewResponseController(w)
		w.Header().Set("Content-Type", "application/x-ndjson")
		_ = flush.Flush() // it can
		for _, l := range list {
			if l == "…" {
				<-r.Context().Done()
				return
			}
			if part, found := strings.CutPrefix(l, cut); found {
				fmt.Fprint(w, part)
			} else {
				fmt.Fprintln(w, l)
			}
			_ = flush.Flush()
		}
		panic(http.ErrAbortHandler)
	}
}

func event(seq int) string { return fmt.Sprintf(`{"seq":%d,"kind":"exit","name":"web"}`, seq) }

func problemStep(status int, code, detail string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/problem+json")
		w.WriteHeader(status)
		_ = json.NewEncoder(w).Encode(map[string]any{"status": status, "code": code, "detail": detail})
	}
}

const end = `{"end":true}`

// seqs reads a subscription to its end.
func seqs(t *testing.T, s gaffer.Stream[gaffer.Event]) (got []string, err error) {
	t.Helper()
	for {
		e, err := s.Next(t.Context())
		var missed gaffer.Missed
		switch {
		case errors.As(err, &missed):
			got = append(got, "-"+strconv.Itoa(int(missed)))
		case err != nil:
			return got, err
		default:
			got = append(got, strconv.FormatUint(e.Seq, 10))
		}
	}
}

func wantSeqs(t *testing.T, s gaffer.Stream[gaffer.Event], want string, wantErr error) {
	t.Helper()
	got, err := seqs(t, s)
	if strings.Join(got, " ") != want || !errors.Is(err, wantErr) {
		t.Errorf("got %v and %v, want %s and %v", got, err, want, wantErr)
	}
}

func (s *scripted) subscribe(t *testing.T, how gaffer.EventOptions) gaffer.Stream[gaffer.Event] {
	t.Helper()
	events, err := s.Subscribe(t.Context(), gaffer.All, how)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(events.Close)
	return events
}

func TestEventsGoOnAfterTheLastOneSeen(t *testing.T) {
	s := newScripted(t, lines(event(7), "", event(8), cut+`{"seq":9,"kind":`),
		lines(event(8), event(9), `{"missed":4}`, event(14)), lines(event(15), end))
	wantSeqs(t, s.subscribe(t, gaffer.EventOptions{}), "7 8 9 -4 14 15", io.EOF)
	if got := s.asks("since"); !slices.Equal(got, []string{"", "8", "14"}) {
		t.Errorf("asked for since %q", got)
	}
}

func TestEventsGoOnBeforeTheFirstOneSeen(t *testing.T) {
	begun := func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Last-Event-ID", "41")
		lines()(w, r)
	}
	s := newScripted(t, begun, lines(event(42), end))
	wantSeqs(t, s.subscribe(t, gaffer.EventOptions{}), "42", io.EOF)
	if got := s.asks("since"); !slices.Equal(got, []string{"", "41"}) {
		t.Errorf("asked for since %q", got)
	}
}

func TestEventsGoOnAtTheBeginningWhereNothingHadHappened(t *testing.T) {
	s := newScripted(t, lines(), lines(event(1), end))
	wantSeqs(t, s.subscribe(t, gaffer.EventOptions{}), "1", io.EOF)
	if got := s.asks("since"); !slices.Equal(got, []string{"", "0"}) {
		t.Errorf("asked for since %q", got)
	}
}

func TestTailIsAskedForUntilItCame(t *testing.T) {
	s := newScripted(t, lines(), lines(event(3)), lines(event(4), end))
	wantSeqs(t, s.subscribe(t, gaffer.EventOptions{Tail: 5, NoFollow: true}), "3 4", io.EOF)
	if got := s.asks("tail"); !slices.Equal(got, []string{"5", "5", ""}) {
		t.Errorf("asked for tail %q", got)
	}
	if got := s.asks("follow"); !slices.Equal(got, []string{"false", "false", "false"}) {
		t.Errorf("asked for follow %q", got)
	}
}

func TestStreamOutlivesWhatPasses(t *testing.T) {
	s := newScripted(t, lines(event(1)), problemStep(503, "closed", "manager closed"),
		problemStep(429, "too_many", "later"), lines(event(2), end))
	wantSeqs(t, s.subscribe(t, gaffer.EventOptions{}), "1 2", io.EOF)
}

func TestStreamEndsWithARefusal(t *testing.T) {
	for status, c := range map[int]struct {
		code string
		want error
	}{
		401: {"unauthorized", ErrUnauthorized}, 403: {"forbidden", ErrForbidden},
		404: {"not_found", gaffer.ErrNotFound}, 422: {"invalid", gaffer.ErrInvalid},
	} {
		s := newScripted(t, lines(event(1)), problemStep(status, c.code, "no more of that"))
		wantSeqs(t, s.subscribe(t, gaffer.EventOptions{}), "1", c.want)
	}
	s := newScripted(t, problemStep(503, "closed", "manager closed"))
	if _, err := s.Subscribe(t.Context(), gaffer.All, gaffer.EventOptions{}); !errors.Is(err, gaffer.ErrClosed) {
		t.Errorf("a stream that could not begin: %v", err)
	}
}

func TestStreamLosesPatience(t *testing.T) {
	s := newScripted(t, lines(event(1)), problemStep(503, "closed", "manager closed"))
	s.patience = time.Millisecond
	wantSeqs(t, s.subscribe(t, gaffer.EventOptions{}), "1", gaffer.ErrClosed)
}

func TestSilentConnectionIsGivenUp(t *testing.T) {
	s := newScripted(t, lines(event(1), "…"), lines(event(2), end))
	s.silence = 100 * time.Millisecond
	wantSeqs(t, s.subscribe(t, gaffer.EventOptions{}), "1 2", io.EOF)
}

func TestConnectionThatNobodyReadsIsKept(t *testing.T) {
	gone := make(chan struct{})
	s := newScripted(t, func(w http.ResponseWriter, r *http.Request) {
		for i := range waiting + 10 {
			fmt.Fprintln(w, event(i+1))
		}
		_ = http.NewResponseController(w).Flush() // it can
		<-r.Context().Done()
		close(gone)
	})
	s.silence = 50 * time.Millisecond
	events := s.subscribe(t, gaffer.EventOptions{})
	select {
	case <-gone:
		t.Error("the connection was given up while its values were not read")
	case <-time.After(300 * time.Millisecond):
	}
	for want := uint64(1); want <= waiting+10; want++ {
		if e, err := events.Next(t.Context()); err != nil || e.Seq != want {
			t.Fatalf("event %d, %v, want %d", e.Seq, err, want)
		}
	}
}

func TestServerThatNeverAnswersIsGivenUp(t *testing.T) {
	s := newScripted(t, func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() })
	s.silence = 100 * time.Millisecond
	_, err := s.Subscribe(t.Context(), gaffer.All, gaffer.EventOptions{})
	if err == nil || !strings.Contains(err.Error(), "no answer within") {
		t.Errorf("Subscribe: %v", err)
	}
	_, err = s.List(t.Context(), gaffer.All)
	if err == nil || !strings.Contains(err.Error(), "no answer within") {
		t.Errorf("List: %v", err)
	}
}

func TestLinesThatAreNoJSONEndTheStream(t *testing.T) {
	for _, line := range []string{"hello", `{"seq":"x"}`, `[]`, `{"missed":"x"}`, `{"end"`} {
		s := newScripted(t, lines(event(1), line, "…"))
		got, err := seqs(t, s.subscribe(t, gaffer.EventOptions{}))
		if len(got) != 1 || err == nil || errors.Is(err, io.EOF) {
			t.Errorf("%s: %v and %v", line, got, err)
		}
	}
}

func TestOutputTellsThatABreakHasCost(t *testing.T) {
	s := newScripted(t, lines(`{"name":"web","data":"one","time":"2026-11-22T10:00:00.5Z"}`), lines(`{"name":"web","base64":"/w=="}`, end))
	out, err := s.Output(t.Context(), "web", gaffer.OutputOptions{Tail: 3, Labels: []string{"a", "b"}, Raw: true})
	if err != nil {
		t.Fatal(err)
	}
	defer out.Close()
	var got []string
	for {
		o, err := out.Next(t.Context())
		var missed gaffer.Missed
		if errors.As(err, &missed) {
			got = append(got, fmt.Sprintf("-%d", int(missed)))
			continue
		}
		if err != nil {
			break
		}
		got = append(got, string(o.Data))
	}
	if !slices.Equal(got, []string{"one", "-0", "\xff"}) {
		t.Errorf("got %q", got)
	}
	if tails := s.asks("tail"); !slices.Equal(tails, []string{"3", "0"}) {
		t.Errorf("asked for tails %q", tails)
	}
}

func TestLinesGoOnAfterTheLatestOneSeen(t *testing.T) {
	s := newScripted(t, lines(), lines(`{"name":"web","data":"one","time":"2026-11-22T10:00:00.5Z"}`), lines(end))
	out, err := s.Output(t.Context(), "web", gaffer.OutputOptions{Tail: 3})
	if err != nil {
		t.Fatal(err)
	}
	defer out.Close()
	for err == nil || errors.Is(err, gaffer.Missed(0)) {
		_, err = out.Next(t.Context())
	}
	if !errors.Is(err, io.EOF) {
		t.Error(err)
	}
	if tails := s.asks("tail"); !slices.Equal(tails, []string{"3", "3", "-1"}) {
		t.Errorf("asked for tails %q", tails)
	}
	if times := s.asks("since"); !slices.Equal(times, []string{"", "", "2026-11-22T10:00:00.500000001Z"}) {
		t.Errorf("asked for times %q", times)
	}
}

func TestClosedClientEndsItsStreams(t *testing.T) {
	s := newScripted(t, lines(event(1), "…"))
	events := s.subscribe(t, gaffer.EventOptions{})
	if _, err := events.Next(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := events.Next(t.Context()); !errors.Is(err, io.EOF) {
		t.Errorf("Next: %v", err)
	}
	if _, err := s.Subscribe(t.Context(), gaffer.All, gaffer.EventOptions{}); err == nil {
		t.Error("a closed client has opened a stream")
	}
}

func TestReaderThatDoesNotReadBoundsWhatIsHeld(t *testing.T) {
	sent := make(chan int, 1)
	s := newScripted(t, func(w http.ResponseWriter, r *http.Request) {
		flush := http.NewResponseController(w)
		_ = flush.SetWriteDeadline(time.Now().Add(time.Second)) // it can
		n := 0
		for ; n < 1<<20; n++ {
			if _, err := fmt.Fprintln(w, event(n+1)); err != nil {
				break
			}
		}
		sent <- n
	})
	events := s.subscribe(t, gaffer.EventOptions{})
	if n := <-sent; n == 1<<20 {
		t.Error("the client took a million events that nobody read")
	}
	for n := events.Len(); n > 0; n-- {
		if _, err := events.Next(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	if n := events.Len(); n > waiting {
		t.Errorf("%d wait", n)
	}
}

// endless is a line that never ends.
type endless struct{}

func (endless) Read(b []byte) (int, error) {
	for i := range b {
		b[i] = 'x'
	}
	return len(b), nil
}
func (endless) Close() error { return nil }

func TestLinesAreBounded(t *testing.T) {
	_, cancel := context.WithCancel(t.Context())
	conn := newConnection(endless{}, cancel, time.Hour)
	defer conn.close()
	_, err := conn.line()
	if err == nil || !strings.Contains(err.Error(), "longer than 64 MiB") {
		t.Errorf("error %v", err)
	}
	if cap(conn.long) > 2*largestLine {
		t.Errorf("%d bytes are held of a line that is too long", cap(conn.long))
	}
}

func FuzzStream(f *testing.F) {
	f.Add([]byte(event(1) + "\n\n" + event(2) + "\n" + `{"missed":-1}` + "\n" + end + "\n"))
	f.Add([]byte("{\"missed\":3}\n[]\n"))
	c, err := New("http://127.0.0.1", Options{})
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		s := &stream[gaffer.Event]{
			c: c, src: newHappenings(gaffer.All, gaffer.EventOptions{}), ctx: t.Context(),
			items: make(chan item[gaffer.Event], bytes.Count(text, []byte("\n"))+1),
		}
		_, cancel := context.WithCancel(t.Context())
		conn := newConnection(io.NopCloser(bytes.NewReader(text)), cancel, time.Hour)
		defer conn.close()
		if err := s.deliver(conn); err == nil {
			t.Error("the end is no error")
		}
		close(s.items)
		last := uint64(0)
		for it := range s.items {
			if it.err == nil && it.value.Seq < last {
				t.Errorf("event %d after %d", it.value.Seq, last)
			}
			if it.err == nil {
				last = it.value.Seq
			}
		}
	})
}
