package webhook

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/gafferpm/gaffer"
)

func TestEventsOfWhileItWasDownArePosted(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		j, q, r := newJournal(), &Memory{}, newReceiver(nil)
		a := begin(t, j, q, r, hook)
		j.add("web", "web")
		synctest.Wait()
		end(t, a)
		j.add("web", "web")
		a = begin(t, j, q, r, hook)
		synctest.Wait()
		if diff := cmp.Diff(numbers(1, 4), r.got()); diff != "" {
			t.Error(diff)
		}
		end(t, a)
	})
}

func TestWhatWaitsSurvivesARestart(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		j, q := newJournal(), &Memory{}
		var down atomic.Bool
		down.Store(true)
		r := newReceiver(func(uint64, int) *http.Response {
			if down.Load() {
				return nil
			}
			return status(200)
		})
		a := begin(t, j, q, r, hook)
		j.add("web", "db", "web")
		time.Sleep(time.Minute)
		end(t, a)
		j.trim(0) // what waits does not need the journal
		down.Store(false)
		a = begin(t, j, q, r, hook)
		synctest.Wait()
		got := r.got()
		if slices.Index(got, 1) > slices.Index(got, 3) {
			t.Errorf("got %v: web is out of order", got)
		}
		slices.Sort(got)
		if diff := cmp.Diff(numbers(1, 3), got); diff != "" {
			t.Error(diff)
		}
		bodies := map[uint64]string{}
		for _, arrived := range r.tries() {
			if first := bodies[arrived.seq]; first != "" && first != arrived.body {
				t.Errorf("event %d: first %s, then %s", arrived.seq, first, arrived.body)
			}
			bodies[arrived.seq] = arrived.body
		}
		end(t, a)
	})
}

// A crash at any moment: every event comes at least once, the first time in the
// order of its template, and with the same number when it comes again.
func TestCrashesLoseNothing(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		j, q := newJournal(), &Memory{}
		r := newReceiver(func(uint64, int) *http.Response {
			time.Sleep(time.Duration(rand.IntN(50)) * time.Millisecond)
			if rand.IntN(4) == 0 {
				return status(500)
			}
			return status(200)
		})
		names := []string{"a", "b", "c", "d", "e", "f"}
		for range 60 {
			crashing := &crashQueue{Memory: q}
			a := begin(t, j, crashing, r, hook)
			for range rand.IntN(8) {
				j.add(names[rand.IntN(len(names))])
				time.Sleep(time.Duration(rand.IntN(20)) * time.Millisecond)
			}
			q = crashing.crash() // from here on nothing is kept any more
			a.abort()
		}
		a := begin(t, j, q, r, hook)
		time.Sleep(24 * time.Hour)
		if st := only(t, a); st.Pending != 0 || len(st.Dead) != 0 || st.Missed != 0 {
			t.Errorf("got %+v", st)
		}
		end(t, a)

		seen, latest := map[uint64]bool{}, map[string]uint64{}
		for _, seq := range r.got() {
			if seen[seq] {
				continue
			}
			seen[seq] = true
			name := j.events[seq-1].Name
			if seq < latest[name] {
				t.Errorf("%s: event %d came first after %d", name, seq, latest[name])
			}
			latest[name] = seq
		}
		for seq := range j.last {
			if !seen[seq+1] {
				t.Errorf("event %d never came", seq+1)
			}
		}
		if len(seen) < 60 {
			t.Errorf("only %d events were made", len(seen))
		}
	})
}

// crashQueue is a queue that a crash cuts off.
type crashQueue struct {
	*Memory
	dead bool
}

func (q *crashQueue) crash() *Memory {
	q.mu.Lock()
	q.dead = true
	q.mu.Unlock()
	return q.snapshot()
}

func (q *crashQueue) Update(changes map[string][]byte) error {
	q.mu.Lock()
	dead := q.dead
	q.mu.Unlock()
	if dead {
		return errors.New("the program has crashed")
	}
	return q.Memory.Update(changes)
}

func TestFullQueueLeavesEventsInTheJournal(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		j := newJournal()
		var down atomic.Bool
		down.Store(true)
		r := newReceiver(func(uint64, int) *http.Response {
			if down.Load() {
				return nil
			}
			return status(200)
		})
		a := begin(t, j, &Memory{}, r, hook)
		for range 5000 {
			j.add("web")
		}
		synctest.Wait()
		if n := only(t, a).Pending; n < maxPending || n > maxPending {
			t.Errorf("%d events wait, want about %d", n, maxPending)
		}
		waiting := uint64(only(t, a).Pending)
		j.trim(2000) // and 3000 are gone
		down.Store(false)
		time.Sleep(time.Hour)
		st := only(t, a)
		got := uint64(len(r.got()))
		if got < waiting+2000 || got > waiting+2000+readAhead+1 || !slices.IsSorted(r.got()) {
			t.Errorf("%d events came, want %d and what was read ahead, in order", got, waiting+2000)
		}
		if st.Missed != 5000-got || st.Pending != 0 {
			t.Errorf("%d missed and %d pending, want %d and 0", st.Missed, st.Pending, 5000-got)
		}
		end(t, a)
	})
}

func TestQueueThatCanNotBeWrittenDoesNotStopPosts(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		j, q, r := newJournal(), &fullQueue{Memory: &Memory{}}, newReceiver(nil)
		var log bytes.Buffer
		a, err := New([]Hook{hook}, q, Options{transport: r, Logger: slog.New(slog.NewTextHandler(&log, nil))})
		if err != nil {
			t.Fatal(err)
		}
		if err := a.start(t.Context(), j); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		q.set(true)
		for range 10 {
			j.add("web")
			time.Sleep(time.Second)
		}
		if got := r.got(); len(got) != 10 {
			t.Errorf("got %v", got)
		}
		if n := strings.Count(log.String(), "the queue is not kept"); n != 1 {
			t.Errorf("said %d times that it is not kept: %s", n, &log)
		}
		q.set(false)
		time.Sleep(2 * time.Second)
		end(t, a)
		a = begin(t, j, q, r, hook)
		synctest.Wait()
		if got := r.got(); len(got) != 10 {
			t.Errorf("got %v: what was posted was posted again", got)
		}
		end(t, a)
	})
}

type fullQueue struct {
	*Memory
	full bool
}

func (q *fullQueue) set(full bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.full = full
}

func (q *fullQueue) Update(changes map[string][]byte) error {
	q.mu.Lock()
	full := q.full
	q.mu.Unlock()
	if full {
		return errors.New("no space left on device")
	}
	return q.Memory.Update(changes)
}

func TestStopPostsWhatIsTakenAtOnce(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		j := newJournal()
		r := newReceiver(func(seq uint64, _ int) *http.Response {
			time.Sleep(time.Second)
			if seq == 2 {
				return status(500)
			}
			return status(200)
		})
		a := begin(t, j, &Memory{}, r, hook)
		j.add("a", "b", "c", "d", "e")
		start := time.Now()
		end(t, a) // not even read yet
		got := r.got()
		slices.Sort(got)
		if diff := cmp.Diff([]uint64{1, 3, 4, 5}, got); diff != "" {
			t.Error(diff)
		}
		if took := time.Since(start); took != 2*time.Second {
			t.Errorf("took %s, want 2s", took)
		}
		if st := only(t, a); st.Pending != 1 {
			t.Errorf("got %+v", st)
		}
		end(t, a) // a second time is fine
		if err := a.Reload(context.Background(), nil); !errors.Is(err, gaffer.ErrClosed) {
			t.Errorf("got %v, want closed", err)
		}
	})
}

func TestStopPutsBackWhatTakesTooLong(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		j, q := newJournal(), &Memory{}
		hangs := hanging{}
		a := begin(t, j, q, hangs, hook)
		j.add("a", "b")
		time.Sleep(time.Second)
		start := time.Now()
		ctx, cancel := context.WithTimeout(context.Background(), 3*time.Second)
		defer cancel()
		if err := a.Stop(ctx); err != nil {
			t.Error(err)
		}
		if took := time.Since(start); took != 3*time.Second {
			t.Errorf("took %s, want 3s", took)
		}
		r := newReceiver(nil)
		a = begin(t, j, q, r, hook)
		synctest.Wait()
		got := r.got()
		slices.Sort(got)
		if diff := cmp.Diff([]uint64{1, 2}, got); diff != "" {
			t.Error(diff)
		}
		if st := only(t, a); st.Failed != 0 {
			t.Errorf("got %+v: a stop is no failure", st)
		}
		end(t, a)
	})
}

// hanging is a receiver that never answers.
type hanging struct{}

func (hanging) RoundTrip(req *http.Request) (*http.Response, error) {
	<-req.Context().Done()
	return nil, req.Context().Err()
}

func TestReceiverThatHangsTimesOut(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		j := newJournal()
		a := begin(t, j, &Memory{}, hanging{}, Hook{Name: "x", URL: "http://h/", Timeout: 3 * time.Second})
		j.add("web")
		time.Sleep(3500 * time.Millisecond)
		if st := only(t, a); st.Failed != 1 || st.LastError != "no answer within 3s" {
			t.Errorf("got %+v", st)
		}
		end(t, a)
	})
}

func TestReloadKeepsTheQueueOfThoseThatStay(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		j, q := newJournal(), &Memory{}
		old, moved, added := newReceiver(func(uint64, int) *http.Response { return nil }), newReceiver(nil), newReceiver(nil)
		route := routes{"old.example": old, "new.example": moved, "added.example": added}
		a := begin(t, j, q, route, Hook{Name: "stays", URL: "http://old.example"}, Hook{Name: "goes", URL: "http://old.example"})
		j.add("web", "web")
		synctest.Wait()
		err := a.Reload(t.Context(), []Hook{{Name: "added", URL: "http://added.example"}, {Name: "stays", URL: "http://new.example"}})
		if err != nil {
			t.Fatal(err)
		}
		j.add("web")
		synctest.Wait()
		if diff := cmp.Diff(numbers(1, 3), moved.got()); diff != "" {
			t.Error(diff)
		}
		if diff := cmp.Diff([]uint64{3}, added.got()); diff != "" {
			t.Error(diff)
		}
		if list := a.List(); len(list) != 2 || list[0].Name != "added" || list[1].Name != "stays" {
			t.Errorf("got %+v", list)
		}
		// One that comes back has what waited, and nothing of the time between.
		if err := a.Reload(t.Context(), []Hook{{Name: "goes", URL: "http://new.example"}}); err != nil {
			t.Fatal(err)
		}
		j.add("db")
		synctest.Wait()
		if diff := cmp.Diff([]uint64{1, 2, 3, 4}, dedup(moved.got())); diff != "" {
			t.Error(diff)
		}
		if n := len(moved.got()); n != 6 {
			t.Errorf("%d posts, want 6: 1 to 3 for one hook, 1, 2 and 4 for the other", n)
		}
		// A wrong configuration changes nothing.
		if err := a.Reload(t.Context(), []Hook{{Name: "x"}}); !errors.Is(err, gaffer.ErrInvalid) {
			t.Errorf("got %v, want invalid", err)
		}
		if list := a.List(); len(list) != 1 || list[0].Name != "goes" {
			t.Errorf("got %+v", list)
		}
		end(t, a)
	})
}

func dedup(list []uint64) []uint64 {
	list = slices.Clone(list)
	slices.Sort(list)
	return slices.Compact(list)
}

func TestLettersToHooksThatNeverComeBackAreForgotten(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		j, q := newJournal(), &Memory{}
		r := newReceiver(func(uint64, int) *http.Response { return nil })
		a := begin(t, j, q, r, hook)
		j.add("web")
		synctest.Wait()
		end(t, a)
		time.Sleep(29 * 24 * time.Hour)
		count := func() (n int) {
			if _, err := New(nil, q, Options{}); err != nil {
				t.Fatal(err)
			}
			_ = q.Range(func(key string, _ []byte) error {
				if strings.HasPrefix(key, letterKey) {
					n++
				}
				return nil
			})
			return n
		}
		if n := count(); n != 1 {
			t.Errorf("%d letters after 29 days, want 1", n)
		}
		time.Sleep(2 * 24 * time.Hour)
		if n := count(); n != 0 {
			t.Errorf("%d letters after 31 days, want none", n)
		}
	})
}

func TestAnotherJournalIsReadFromItsBeginning(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		j, q, r := newJournal(), &Memory{}, newReceiver(nil)
		a := begin(t, j, q, r, hook)
		j.add("web", "web", "web")
		synctest.Wait()
		end(t, a)
		fresh := newJournal()
		fresh.add("web")
		a = begin(t, fresh, q, r, hook)
		fresh.add("web")
		synctest.Wait()
		if diff := cmp.Diff([]uint64{1, 2, 3, 1, 2}, r.got()); diff != "" {
			t.Error(diff)
		}
		end(t, a)
	})
}
