package webhook

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"github.com/gafferpm/gaffer"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// journal is a source of events that the test makes.
type journal struct {
	mu     sync.Mutex
	events []gaffer.Event
	last   uint64
	more   chan struct{} // closed with each event
}

func newJournal() *journal { return &journal{more: make(chan struct{})} }

// add makes events of templates, one each.
func (j *journal) add(names ...string) {
	j.mu.Lock()
	defer j.mu.Unlock()
	for _, name := range names {
		j.last++
		j.events = append(j.events, gaffer.Event{Seq: j.last, Time: time.Now(), Kind: gaffer.KindExit, Name: name})
	}
	close(j.more)
	j.more = make(chan struct{})
}

// trim forgets all but the latest events.
func (j *journal) trim(keep int) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.events = j.events[len(j.events)-keep:]
}

func (j *journal) Subscribe(_ context.Context, _ gaffer.Target, how gaffer.EventOptions) (gaffer.Stream[gaffer.Event], error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	s := &stream{j: j, at: j.last, follow: !how.NoFollow, until: j.last, done: make(chan struct{})}
	switch {
	case how.Since != nil && *how.Since > j.last:
		return nil, fmt.Errorf("since %d: the last is %d: %w", *how.Since, j.last, gaffer.ErrInvalid)
	case how.Since != nil:
		s.at = *how.Since
	case how.Tail == 1 && j.last > 0:
		s.at = j.last - 1
	}
	return s, nil
}

type stream struct {
	j      *journal
	at     uint64
	until  uint64
	follow bool
	done   chan struct{}
}

func (s *stream) Next(ctx context.Context) (gaffer.Event, error) {
	for {
		s.j.mu.Lock()
		more := s.j.more
		for _, e := range s.j.events {
			if e.Seq <= s.at || !s.follow && e.Seq > s.until {
				continue
			}
			gap := e.Seq - s.at - 1
			s.at = e.Seq
			if gap > 0 {
				s.at--
				s.j.mu.Unlock()
				return gaffer.Event{}, gaffer.Missed(gap)
			}
			s.j.mu.Unlock()
			return e, nil
		}
		s.j.mu.Unlock()
		if !s.follow {
			return gaffer.Event{}, io.EOF
		}
		select {
		case <-more:
		case <-s.done:
			return gaffer.Event{}, io.EOF
		case <-ctx.Done():
			return gaffer.Event{}, ctx.Err()
		}
	}
}

// Len may be more than 0 although Next would wait.
func (s *stream) Len() int { return 1 }

func (s *stream) Close() { close(s.done) }

// try is a post that came to a receiver.
type try struct {
	seq  uint64
	at   time.Duration // since the receiver was made
	body string
}

// receiver answers posts in virtual time.
type receiver struct {
	answer func(seq uint64, attempt int) *http.Response // nil: 204

	mu       sync.Mutex
	start    time.Time
	attempts map[uint64]int
	arrived  []try
	taken    []uint64
}

func newReceiver(answer func(seq uint64, attempt int) *http.Response) *receiver {
	return &receiver{answer: answer, start: time.Now(), attempts: map[uint64]int{}}
}

func (r *receiver) RoundTrip(req *http.Request) (*http.Response, error) {
	body, err := io.ReadAll(req.Body)
	if err != nil {
		return nil, err
	}
	seq, err := strconv.ParseUint(req.Header.Get("Gaffer-Event-Id"), 10, 64)
	if err != nil {
		return nil, err
	}
	r.mu.Lock()
	r.attempts[seq]++
	attempt := r.attempts[seq]
	r.arrived = append(r.arrived, try{seq, time.Since(r.start), string(body)})
	r.mu.Unlock()
	resp := status(204)
	if r.answer != nil {
		resp = r.answer(seq, attempt)
	}
	if req.Context().Err() != nil {
		return nil, req.Context().Err()
	}
	if resp == nil {
		return nil, errors.New("connection refused")
	}
	if resp.StatusCode < 300 {
		r.mu.Lock()
		r.taken = append(r.taken, seq)
		r.mu.Unlock()
	}
	return resp, nil
}

// got are the numbers of the events that were taken, in that order.
func (r *receiver) got() []uint64 {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.taken)
}

func (r *receiver) tries() []try {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.arrived)
}

func status(code int, headers ...string) *http.Response {
	resp := &http.Response{StatusCode: code, Header: http.Header{}, Body: io.NopCloser(bytes.NewReader(nil))}
	for i := 0; i < len(headers); i += 2 {
		resp.Header.Set(headers[i], headers[i+1])
	}
	return resp
}

// begin makes and starts an app with a receiver for all of its hooks.
func begin(t *testing.T, from source, q Queue, to http.RoundTripper, hooks ...Hook) *App {
	t.Helper()
	a, err := New(hooks, q, Options{transport: to})
	if err != nil {
		t.Fatal(err)
	}
	if err := a.start(t.Context(), from); err != nil {
		t.Fatal(err)
	}
	return a
}

func end(t *testing.T, a *App) {
	t.Helper()
	if err := a.Stop(context.Background()); err != nil {
		t.Error(err)
	}
}

var hook = Hook{Name: "all", URL: "https://example.com/hook/token"}

// only is the status of an app's one hook.
func only(t *testing.T, a *App) Status {
	t.Helper()
	list := a.List()
	if len(list) != 1 {
		t.Fatalf("%d hooks, want 1", len(list))
	}
	return list[0]
}

func numbers(from, to uint64) (list []uint64) {
	for n := from; n <= to; n++ {
		list = append(list, n)
	}
	return list
}

// snapshot is a copy of what a queue holds, as a crash would leave it.
func (q *Memory) snapshot() *Memory {
	q.mu.Lock()
	defer q.mu.Unlock()
	return &Memory{values: maps.Clone(q.values)}
}

// inBubble runs a test in virtual time.
func inBubble(t *testing.T, test func(t *testing.T)) {
	t.Helper()
	synctest.Test(t, test)
}
