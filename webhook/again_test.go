package webhook

import (
	"context"
	"errors"
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/gafferpm/gaffer"
)

func TestARetryThatIsNotKeptSaysSo(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		j, q := newJournal(), &fullQueue{Memory: &Memory{}}
		r := newReceiver(func(uint64, int) *http.Response { return nil })
		a := begin(t, j, q, r, Hook{Name: "x", URL: "http://h/", MaxAttempts: 1})
		j.add("web")
		synctest.Wait()
		q.set(true)
		if n, err := a.Retry("x"); n != 1 || err == nil {
			t.Errorf("got %d, %v; want one and an error", n, err)
		}
		synctest.Wait()
		q.set(false)
		if _, err := a.Retry("x"); err != nil {
			t.Error(err)
		}
		end(t, a)
	})
}

func TestARetryIsKeptWhenItIsAnswered(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		j, q := newJournal(), &Memory{}
		r := newReceiver(func(uint64, int) *http.Response { return nil })
		a := begin(t, j, q, r, Hook{Name: "x", URL: "http://h/", MaxAttempts: 1})
		j.add("web")
		synctest.Wait()
		if st := only(t, a); len(st.Dead) != 1 {
			t.Fatalf("got %+v", st)
		}
		end(t, a) // nobody else keeps anything any more
		if _, err := a.Retry("x"); err != nil {
			t.Fatal(err)
		}
		left, err := New([]Hook{{Name: "x", URL: "http://h/"}}, q.snapshot(), Options{})
		if err != nil {
			t.Fatal(err)
		}
		if st := only(t, left); st.Pending != 1 || len(st.Dead) != 0 {
			t.Errorf("kept: %+v", st)
		}
	})
}

// brittle is a journal whose streams break after one event.
type brittle struct{ *journal }

func (b brittle) Subscribe(ctx context.Context, target gaffer.Target, how gaffer.EventOptions) (gaffer.Stream[gaffer.Event], error) {
	s, err := b.journal.Subscribe(ctx, target, how)
	return &breaking{Stream: s}, err
}

type breaking struct {
	gaffer.Stream[gaffer.Event]
	broken bool
}

func (s *breaking) Next(ctx context.Context) (gaffer.Event, error) {
	if s.broken {
		return gaffer.Event{}, errors.New("input/output error")
	}
	s.broken = true
	return s.Stream.Next(ctx)
}

func TestAReaderThatGetsOnIsNotSlowedDown(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		j, r := newJournal(), newReceiver(nil)
		a := begin(t, brittle{j}, &Memory{}, r, hook)
		j.add("a", "b", "c", "d", "e", "f", "g", "h")
		time.Sleep(15 * time.Second) // less than two per event
		if diff := cmp.Diff(numbers(1, 8), r.got()); diff != "" {
			t.Error(diff)
		}
		end(t, a)
	})
}

func TestAHookThatWasAwayBeginsAnew(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		j, q, r := newJournal(), &Memory{}, newReceiver(nil)
		a := begin(t, j, q, r, hook)
		j.add("web")
		synctest.Wait()
		end(t, a)
		end(t, begin(t, j, q, r)) // it was taken out while nothing ran
		j.add("web", "web")
		a = begin(t, j, q, r, hook)
		j.add("web")
		synctest.Wait()
		if diff := cmp.Diff([]uint64{1, 4}, r.got()); diff != "" {
			t.Error(diff)
		}
		end(t, a)
	})
}
