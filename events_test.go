package gaffer

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"
)

// fakeJournal keeps events in memory, beyond a manager's end.
type fakeJournal struct {
	mu     sync.Mutex
	kept   []Event
	seq    uint64 // Last
	id     uint64
	broken error
}

func (j *fakeJournal) Append(events []Event) error {
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.broken != nil {
		return j.broken
	}
	j.kept = append(j.kept, events...)
	return nil
}

func (j *fakeJournal) Read(after uint64, limit int) ([]Event, error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	i, _ := slices.BinarySearchFunc(j.kept, after+1, func(e Event, seq uint64) int { return int(e.Seq) - int(seq) })
	return slices.Clone(j.kept[i:min(len(j.kept), i+limit)]), nil
}

func (j *fakeJournal) Last() (seq, id uint64) { return j.seq, j.id }

// inJournal runs a test with the events of a manager that never runs.
func inJournal(t *testing.T, kept Journal, test func(t *testing.T, m *Manager)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		m, err := New(Options{host: &fakeHost{}, Journal: kept})
		if err != nil {
			t.Fatal(err)
		}
		test(t, m)
		if err := m.Close(); err != nil {
			t.Error(err)
		}
	})
}

func lastGiven(m *Manager) uint64 {
	given, _ := m.events.last()
	return given
}

// say publishes events with the numbers of their order as messages.
func say(m *Manager, n int) {
	for range n {
		m.Audit("tester", fmt.Sprintf("t%d", lastGiven(m)%3), "")
	}
}

// hear reads a stream to its end, as "1 2 missed3 6".
func hear(t *testing.T, s Stream[Event]) string {
	t.Helper()
	var heard []string
	for {
		e, err := s.Next(context.Background())
		var missed Missed
		switch {
		case errors.Is(err, io.EOF):
			return strings.Join(heard, " ")
		case errors.As(err, &missed):
			heard = append(heard, fmt.Sprintf("missed%d", int(missed)))
		case err != nil:
			t.Fatal(err)
		default:
			heard = append(heard, fmt.Sprint(e.Seq))
		}
	}
}

func TestEventsOfBeforeAreDelivered(t *testing.T) {
	for what, kept := range map[string]Journal{"in memory": nil, "in a journal": &fakeJournal{}} {
		t.Run(what, func(t *testing.T) {
			inJournal(t, kept, func(t *testing.T, m *Manager) {
				say(m, 10)
				for _, c := range []struct {
					target Target
					how    EventOptions
					want   string
				}{
					{All, EventOptions{NoFollow: true}, ""},
					{All, EventOptions{NoFollow: true, Since: new(uint64(0))}, "1 2 3 4 5 6 7 8 9 10"},
					{All, EventOptions{NoFollow: true, Since: new(uint64(7))}, "8 9 10"},
					{All, EventOptions{NoFollow: true, Since: new(uint64(10))}, ""},
					{All, EventOptions{NoFollow: true, Tail: 2}, "9 10"},
					{All, EventOptions{NoFollow: true, Tail: 99}, "1 2 3 4 5 6 7 8 9 10"},
					{All, EventOptions{NoFollow: true, Tail: -1}, "1 2 3 4 5 6 7 8 9 10"},
					{"t1", EventOptions{NoFollow: true, Tail: 2}, "5 8"},
					{"t1", EventOptions{NoFollow: true, Since: new(uint64(2))}, "5 8"},
					{All, EventOptions{NoFollow: true, Tail: -1, Kinds: []Kind{KindExit}}, ""},
				} {
					s, err := m.Subscribe(t.Context(), c.target, c.how)
					if err != nil {
						t.Fatal(err)
					}
					if got := hear(t, s); got != c.want {
						t.Errorf("%s %+v: %q, want %q", c.target, c.how, got, c.want)
					}
				}
			})
		})
	}
}

func TestEventsThatCannotBeAskedForAreRefused(t *testing.T) {
	inJournal(t, nil, func(t *testing.T, m *Manager) {
		say(m, 3)
		for _, how := range []EventOptions{{Since: new(uint64(4))}, {Tail: -2}, {Kinds: []Kind{"nonsense"}}} {
			if _, err := m.Subscribe(t.Context(), All, how); !errors.Is(err, ErrInvalid) {
				t.Errorf("%+v: %v, want invalid", how, err)
			}
		}
	})
}

func TestSubscriptionGoesOnFromTheJournalToWhatComes(t *testing.T) {
	inJournal(t, &fakeJournal{}, func(t *testing.T, m *Manager) {
		say(m, 5)
		s, err := m.Subscribe(t.Context(), All, EventOptions{Since: new(uint64(3))})
		if err != nil {
			t.Fatal(err)
		}
		say(m, 2)
		synctest.Wait()
		m.events.close()
		if got := hear(t, s); got != "4 5 6 7" {
			t.Errorf("heard %q", got)
		}
	})
}

func TestWhatIsKnownToWaitIsDeliveredWithoutWaiting(t *testing.T) {
	for what, how := range map[string]EventOptions{
		"live": {}, "since the beginning": {Since: new(uint64(0))}, "a tail": {Tail: 3},
	} {
		t.Run(what, func(t *testing.T) {
			inJournal(t, &fakeJournal{}, func(t *testing.T, m *Manager) {
				say(m, 5)
				s, err := m.Subscribe(t.Context(), All, how)
				if err != nil {
					t.Fatal(err)
				}
				known := 0
				for round := range uint64(20) {
					say(m, 1+int(round)*30)
					synctest.Wait()
					for more := true; more; more = s.Len() > 0 {
						known += s.Len()
						ctx, cancel := context.WithTimeout(t.Context(), time.Second)
						if _, err := s.Next(ctx); err != nil {
							t.Fatalf("round %d, with %d known to wait: %v", round, s.Len(), err)
						}
						cancel()
					}
				}
				if known == 0 {
					t.Error("nothing was ever known to wait")
				}
			})
		})
	}
}

func TestSlowSubscriberIsServedFromTheJournal(t *testing.T) {
	kept := &fakeJournal{}
	inJournal(t, kept, func(t *testing.T, m *Manager) {
		s, err := m.Subscribe(t.Context(), "t1", EventOptions{})
		if err != nil {
			t.Fatal(err)
		}
		say(m, 3*recentEvents)
		synctest.Wait()
		m.events.close()
		want := make([]string, 0, recentEvents)
		for seq := 2; seq <= 3*recentEvents; seq += 3 {
			want = append(want, fmt.Sprint(seq))
		}
		if got := hear(t, s); got != strings.Join(want, " ") {
			t.Errorf("heard %d bytes, want %d", len(got), len(strings.Join(want, " ")))
		}
	})
}

func TestWhatTheJournalHasLostIsTold(t *testing.T) {
	kept := &fakeJournal{seq: 20}
	for _, seq := range []uint64{7, 8, 12, 13} { // 9 to 11 and 14 to 20 are gone
		kept.kept = append(kept.kept, Event{Seq: seq, Kind: KindAudit, Name: "t1"})
	}
	inJournal(t, kept, func(t *testing.T, m *Manager) {
		say(m, 1)
		for since, want := range map[uint64]string{
			0: "missed6 7 8 missed3 12 13 missed7 21", 7: "8 missed3 12 13 missed7 21", 13: "missed7 21", 20: "21", 21: "",
		} {
			s, err := m.Subscribe(t.Context(), All, EventOptions{Since: &since, NoFollow: true})
			if err != nil {
				t.Fatal(err)
			}
			if got := hear(t, s); got != want {
				t.Errorf("since %d: %q, want %q", since, got, want)
			}
		}
	})
}

func TestEventsThatAreNotKeptArePublished(t *testing.T) {
	kept := &fakeJournal{broken: errors.New("disk full")}
	inJournal(t, kept, func(t *testing.T, m *Manager) {
		s, err := m.Subscribe(t.Context(), All, EventOptions{})
		if err != nil {
			t.Fatal(err)
		}
		say(m, 2)
		synctest.Wait()
		kept.mu.Lock()
		kept.broken = nil
		kept.mu.Unlock()
		say(m, 1)
		m.events.close()
		if got := hear(t, s); got != "1 2 3" {
			t.Errorf("heard %q", got)
		}
		if len(kept.kept) != 1 || kept.kept[0].Seq != 3 {
			t.Errorf("kept %+v, want the third alone", kept.kept)
		}
	})
}

func TestNumbersGoOnWhereTheJournalEnded(t *testing.T) {
	inJournal(t, &fakeJournal{seq: 41, id: 7}, func(t *testing.T, m *Manager) {
		say(m, 1)
		if seq := lastGiven(m); seq != 42 {
			t.Errorf("the next event has number %d, want 42", seq)
		}
		if id := m.newID(); id != 8 {
			t.Errorf("the next id is %d, want 8", id)
		}
	})
}

func TestClosedSubscriptionDeliversNothing(t *testing.T) {
	inJournal(t, nil, func(t *testing.T, m *Manager) {
		say(m, 3)
		s, err := m.Subscribe(t.Context(), All, EventOptions{Tail: -1})
		if err != nil {
			t.Fatal(err)
		}
		s.Close()
		if got := hear(t, s); got != "" {
			t.Errorf("heard %q", got)
		}
	})
}

// However a reader stops and resumes, it gets every event once and in order, or
// is told how many are missing.
func TestResumingHasNeitherGapNorRepetition(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		kept := &fakeJournal{}
		m, err := New(Options{host: &fakeHost{}, Journal: kept})
		if err != nil {
			rt.Fatal(err)
		}
		defer func() { _ = m.Close() }()
		var last uint64
		for range rapid.IntRange(1, 8).Draw(rt, "visits") {
			say(m, rapid.IntRange(0, 700).Draw(rt, "said"))
			s, err := m.Subscribe(rt.Context(), All, EventOptions{Since: &last})
			if err != nil {
				rt.Fatal(err)
			}
			say(m, rapid.IntRange(0, 700).Draw(rt, "said while reading"))
			if err := m.events.settle(rt.Context()); err != nil {
				rt.Fatal(err)
			}
			for range rapid.Uint64Range(0, lastGiven(m)-last).Draw(rt, "read") {
				e, err := s.Next(rt.Context())
				if err != nil || e.Seq != last+1 {
					rt.Fatalf("after %d: %d, %v", last, e.Seq, err)
				}
				last = e.Seq
			}
			s.Close()
		}
	})
}

// However fast events come while a tail is asked for, what follows it has no gap.
func TestATailGoesOnWithoutAGap(t *testing.T) {
	m, err := New(Options{host: &fakeHost{}, Journal: &fakeJournal{}})
	if err != nil {
		t.Fatal(err)
	}
	enough, done := make(chan struct{}), make(chan struct{})
	ahead := make(chan struct{}, 20) // how far the teller may be before the listener, lest it fill the memory
	go func() {
		defer close(done)
		for {
			select {
			case <-enough:
				return
			case ahead <- struct{}{}:
				say(m, 3)
			}
		}
	}()
	for range 200 {
		s, err := m.Subscribe(t.Context(), All, EventOptions{Tail: 5})
		if err != nil {
			t.Fatal(err)
		}
		var last uint64
		for range 20 {
			for len(ahead) > 0 {
				<-ahead
			}
			e, err := s.Next(t.Context())
			if err != nil || last != 0 && e.Seq != last+1 {
				t.Fatalf("after %d: %d, %v", last, e.Seq, err)
			}
			last = e.Seq
		}
		s.Close()
	}
	close(enough)
	<-done
	if err := m.Close(); err != nil {
		t.Error(err)
	}
}

func TestATailLooksBackOnlySoFar(t *testing.T) {
	kept := &fakeJournal{seq: 2 * tailReach}
	for seq := range uint64(2 * tailReach) {
		name := "other"
		if seq == 0 || seq == tailReach+9 {
			name = "t1"
		}
		kept.kept = append(kept.kept, Event{Seq: seq + 1, Kind: KindAudit, Name: name})
	}
	inJournal(t, kept, func(t *testing.T, m *Manager) {
		s, err := m.Subscribe(t.Context(), "t1", EventOptions{Tail: 5, NoFollow: true})
		if err != nil {
			t.Fatal(err)
		}
		if got, want := hear(t, s), fmt.Sprint(tailReach+10); got != want {
			t.Errorf("heard %q, want %q", got, want)
		}
	})
}
