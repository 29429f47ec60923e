package pubsub_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"

	"github.com/gafferpm/gaffer/internal/pubsub"
)

func TestEverySubscriberGetsValuesInOrder(t *testing.T) {
	var topic pubsub.Topic[int]
	a := topic.Subscribe(10, nil)
	topic.Publish(1)
	b := topic.Subscribe(10, nil)
	topic.Publish(2)
	topic.Publish(3)
	topic.Close()

	wantRest(t, a, "1 2 3 EOF")
	wantRest(t, b, "2 3 EOF")
}

func TestFullQueueLosesTheOldestAndSaysHowMany(t *testing.T) {
	var topic pubsub.Topic[int]
	s := topic.Subscribe(3, nil)
	publish(&topic, 1, 5)
	wantNext(t, s, "missed 2: read too slowly")
	wantNext(t, s, "3")
	publish(&topic, 6, 9)
	topic.Close()
	wantRest(t, s, "missed 3: read too slowly 7 8 9 EOF")
}

func TestSizeIsAtLeastOne(t *testing.T) {
	var topic pubsub.Topic[int]
	s := topic.Subscribe(-1, nil)
	publish(&topic, 1, 2)
	topic.Close()
	wantRest(t, s, "missed 1: read too slowly 2 EOF")
}

func TestFilteredValuesAreNotMissed(t *testing.T) {
	var topic pubsub.Topic[int]
	s := topic.Subscribe(2, func(v *int) bool { return *v%10 == 0 })
	publish(&topic, 1, 40)
	topic.Close()
	wantRest(t, s, "missed 2: read too slowly 30 40 EOF")
}

func TestClosedSubscriptionEndsAtOnce(t *testing.T) {
	var topic pubsub.Topic[int]
	s, other := topic.Subscribe(3, nil), topic.Subscribe(9, nil)
	publish(&topic, 1, 9)
	s.Close()
	s.Close()
	topic.Publish(10)
	if n := s.Len(); n != 0 {
		t.Errorf("%d values wait in a closed subscription", n)
	}
	wantRest(t, s, "EOF")
	if n := other.Len(); n != 9 {
		t.Errorf("%d values wait in the other subscription, want 9", n)
	}
}

func TestSubscriptionClosedAfterItsTopicEndsAtOnce(t *testing.T) {
	var topic pubsub.Topic[int]
	s := topic.Subscribe(3, nil)
	publish(&topic, 1, 3)
	topic.Close()
	wantNext(t, s, "1")
	s.Close()
	wantRest(t, s, "EOF")
}

func TestClosedTopicTakesNothing(t *testing.T) {
	var topic pubsub.Topic[int]
	s := topic.Subscribe(3, nil)
	topic.Close()
	topic.Close()
	topic.Publish(1)
	wantRest(t, s, "EOF")
	wantRest(t, topic.Subscribe(3, nil), "EOF")
}

func TestNextEndsWithItsContextAndLosesNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var topic pubsub.Topic[int]
		s := topic.Subscribe(3, nil)

		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if _, err := s.Next(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("waiting Next: %v, want the context's error", err)
		}
		topic.Publish(1)
		if _, err := s.Next(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("Next of an ended context: %v, want the context's error", err)
		}
		wantNext(t, s, "1")
	})
}

func TestWaitingReaderWakes(t *testing.T) {
	ends := map[string]func(*pubsub.Topic[int], *pubsub.Sub[int]){
		"1":   func(topic *pubsub.Topic[int], _ *pubsub.Sub[int]) { topic.Publish(1) },
		"EOF": func(topic *pubsub.Topic[int], _ *pubsub.Sub[int]) { topic.Close() },
	}
	for want, act := range ends {
		t.Run(want, func(t *testing.T) { testWakes(t, want, act) })
	}
	t.Run("Close", func(t *testing.T) {
		testWakes(t, "EOF", func(_ *pubsub.Topic[int], s *pubsub.Sub[int]) { s.Close() })
	})
}

func testWakes(t *testing.T, want string, act func(*pubsub.Topic[int], *pubsub.Sub[int])) {
	synctest.Test(t, func(t *testing.T) {
		var topic pubsub.Topic[int]
		s := topic.Subscribe(3, nil)
		done := make(chan struct{})
		go func() {
			defer close(done)
			wantNext(t, s, want)
		}()
		synctest.Wait() // the reader waits in Next
		act(&topic, s)
		<-done
	})
}

// Whatever is published, read and closed in whatever order, a reader gets what
// it kept, in order, and the counts of what it missed make up the rest.
func TestDeliveredAndMissedArePublished(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var topic pubsub.Topic[int]
		var readers []*reader
		next, ended := 0, false
		t.Repeat(map[string]func(*rapid.T){
			"subscribe": func(t *rapid.T) {
				r := &reader{size: rapid.IntRange(1, 70).Draw(t, "size"), ended: ended}
				r.modulo = rapid.IntRange(1, 3).Draw(t, "modulo")
				r.sub = topic.Subscribe(r.size, func(v *int) bool { return *v%r.modulo == 0 })
				readers = append(readers, r)
			},
			"publish": func(t *rapid.T) {
				for range rapid.IntRange(1, 150).Draw(t, "count") {
					topic.Publish(next)
					for _, r := range readers {
						r.published(next)
					}
					next++
				}
			},
			"read": func(t *rapid.T) {
				for _, r := range readers {
					for range rapid.IntRange(0, 100).Draw(t, "count") {
						if !r.check(t) {
							break
						}
					}
				}
			},
			"close reader": func(t *rapid.T) {
				if len(readers) == 0 {
					t.Skip("no reader")
				}
				r := rapid.SampledFrom(readers).Draw(t, "reader")
				r.sub.Close()
				r.ended, r.missed, r.waiting = true, 0, nil
			},
			"close topic": func(t *rapid.T) {
				if rapid.IntRange(0, 9).Draw(t, "really") > 0 {
					t.Skip("seldom")
				}
				topic.Close()
				ended = true
				for _, r := range readers {
					r.ended = true
				}
			},
		})
	})
}

// reader knows what its subscription must deliver.
type reader struct {
	sub     *pubsub.Sub[int]
	size    int
	modulo  int
	ended   bool
	missed  int
	waiting []int
}

func (r *reader) published(v int) {
	if r.ended || v%r.modulo != 0 {
		return
	}
	r.waiting = append(r.waiting, v)
	if len(r.waiting) > r.size {
		r.waiting = r.waiting[1:]
		r.missed++
	}
}

// check reads once; it reports false when Next would wait or nothing more comes.
func (r *reader) check(t *rapid.T) bool {
	if n := r.sub.Len(); n != len(r.waiting) {
		t.Fatalf("%d values wait, want %d", n, len(r.waiting))
	}
	want := "EOF"
	switch {
	case r.missed > 0:
		want = pubsub.Missed(r.missed).Error()
		r.missed = 0
	case len(r.waiting) > 0:
		want = fmt.Sprint(r.waiting[0])
		r.waiting = r.waiting[1:]
	case !r.ended:
		return false
	}
	if got := next(t.Context(), r.sub); got != want {
		t.Fatalf("got %s, want %s", got, want)
	}
	return want != "EOF"
}

// Several writers and readers at once, at real and different speeds: every
// reader sees each writer's values in order, and all are accounted for.
func TestConcurrentWritersAndReaders(t *testing.T) {
	const writers, each = 4, 5000
	type value struct{ writer, n int }
	var topic pubsub.Topic[value]
	var reading, writing sync.WaitGroup
	for _, size := range []int{1, 7, 100, writers * each} {
		s := topic.Subscribe(size, nil)
		reading.Go(func() {
			total, missed := 0, 0
			last := [writers]int{}
			for {
				v, err := s.Next(t.Context())
				var m pubsub.Missed
				switch {
				case errors.As(err, &m):
					missed += int(m)
					continue
				case errors.Is(err, io.EOF):
					if total+missed != writers*each {
						t.Errorf("size %d: %d delivered + %d missed, want %d", size, total, missed, writers*each)
					}
					if size == writers*each && missed > 0 {
						t.Errorf("size %d: missed %d although there was room", size, missed)
					}
					return
				case err != nil:
					t.Error(err)
					return
				}
				total++
				if v.n <= last[v.writer] {
					t.Errorf("size %d: writer %d: %d after %d", size, v.writer, v.n, last[v.writer])
				}
				last[v.writer] = v.n
			}
		})
	}
	for w := range writers {
		writing.Go(func() {
			for n := range each {
				topic.Publish(value{w, n + 1})
			}
		})
	}
	writing.Wait()
	topic.Close()
	reading.Wait()
}

func TestSubscribingAndClosingWhilePublishing(t *testing.T) {
	var topic pubsub.Topic[int]
	stop := make(chan struct{})
	var publishing, subscribing sync.WaitGroup
	publishing.Go(func() {
		for n := 1; ; n++ {
			select {
			case <-stop:
				return
			default:
				topic.Publish(n)
			}
		}
	})
	for range 4 {
		subscribing.Go(func() {
			for range 200 {
				s := topic.Subscribe(2, nil)
				if got := next(t.Context(), s); got == "EOF" {
					t.Error("an open subscription ended")
				}
				s.Close()
				if got := next(t.Context(), s); got != "EOF" {
					t.Errorf("a closed subscription delivered %s", got)
				}
			}
		})
	}
	subscribing.Wait()
	close(stop)
	publishing.Wait()
}

func TestReaderThatKeepsUpMissesNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var topic pubsub.Topic[int]
		s := topic.Subscribe(10, nil)
		go func() {
			for n := range 100 {
				time.Sleep(time.Millisecond)
				topic.Publish(n)
			}
			topic.Close()
		}()
		for n := range 100 {
			if n%10 == 0 {
				time.Sleep(9 * time.Millisecond)
			}
			wantNext(t, s, fmt.Sprint(n))
		}
		wantNext(t, s, "EOF")
	})
}

func TestPublishAllocatesNothingForReadersThatKeepUp(t *testing.T) {
	var topic pubsub.Topic[[8]int]
	subs := []*pubsub.Sub[[8]int]{topic.Subscribe(1000, nil), topic.Subscribe(1000, nil)}
	ctx := t.Context()
	allocs := testing.AllocsPerRun(1000, func() {
		for n := range 3 {
			topic.Publish([8]int{n})
		}
		for range 3 {
			for _, s := range subs {
				if _, err := s.Next(ctx); err != nil {
					t.Fatal(err)
				}
			}
		}
	})
	if allocs != 0 {
		t.Errorf("%v allocations per round", allocs)
	}
}

func BenchmarkPublish(b *testing.B) {
	for _, readers := range []int{0, 1, 10} {
		b.Run(fmt.Sprintf("readers=%d", readers), func(b *testing.B) {
			var topic pubsub.Topic[[8]int]
			for range readers {
				topic.Subscribe(1024, nil) // nobody reads: the slowest reader there is
			}
			b.ReportAllocs()
			for b.Loop() {
				topic.Publish([8]int{})
			}
		})
	}
}

func publish(topic *pubsub.Topic[int], from, to int) {
	for v := from; v <= to; v++ {
		topic.Publish(v)
	}
}

// next is the next value, or how the error reads.
func next[T any](ctx context.Context, s *pubsub.Sub[T]) string {
	v, err := s.Next(ctx)
	if err != nil {
		return err.Error()
	}
	return fmt.Sprint(v)
}

func wantNext(t *testing.T, s *pubsub.Sub[int], want string) {
	t.Helper()
	if got := next(t.Context(), s); got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

// wantRest reads s to its end.
func wantRest(t *testing.T, s *pubsub.Sub[int], want string) {
	t.Helper()
	var got string
	for {
		v := next(t.Context(), s)
		got += v
		if v == "EOF" {
			break
		}
		got += " "
	}
	if got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}
