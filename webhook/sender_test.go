package webhook

import (
	"errors"
	"net/http"
	"slices"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/gafferpm/gaffer"
)

func TestEventsArePostedInTheirOrder(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		j, r := newJournal(), newReceiver(nil)
		j.add("web") // before the hook was known
		a := begin(t, j, &Memory{}, r, hook)
		for range 50 {
			j.add("web", "web")
		}
		synctest.Wait()
		if diff := cmp.Diff(numbers(2, 101), r.got()); diff != "" {
			t.Error(diff)
		}
		if st := only(t, a); st.Delivered != 100 || st.Pending != 0 {
			t.Errorf("got %+v", st)
		}
		end(t, a)
	})
}

func TestTemplatesDoNotWaitForEachOther(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		j := newJournal()
		r := newReceiver(func(seq uint64, attempt int) *http.Response {
			if seq == 1 && attempt < 4 {
				return status(500)
			}
			return status(200)
		})
		a := begin(t, j, &Memory{}, r, hook)
		j.add("web", "jobs:mail", "web", "jobs:mail", "db")
		synctest.Wait()
		got := r.got()
		slices.Sort(got)
		if diff := cmp.Diff([]uint64{2, 4, 5}, got); diff != "" {
			t.Errorf("while web waits: %s", diff)
		}
		time.Sleep(time.Minute)
		if got = r.got()[3:]; !slices.Equal(got, []uint64{1, 3}) {
			t.Errorf("then got %v, want 1 and 3", got)
		}
		end(t, a)
	})
}

func TestNoMoreThanFourPostsAreInFlight(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		j := newJournal()
		r := newReceiver(func(uint64, int) *http.Response { time.Sleep(time.Second); return status(200) })
		a := begin(t, j, &Memory{}, r, hook)
		j.add("a", "b", "c", "d", "e", "f", "g", "h", "i")
		time.Sleep(3*time.Second + time.Millisecond)
		var times []time.Duration
		for _, arrived := range r.tries() {
			times = append(times, arrived.at)
		}
		want := []time.Duration{0, 0, 0, 0, 1e9, 1e9, 1e9, 1e9, 2e9}
		if diff := cmp.Diff(want, times); diff != "" {
			t.Error(diff)
		}
		end(t, a)
	})
}

func TestBackOffGrowsToItsMaximum(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		j := newJournal()
		r := newReceiver(func(uint64, int) *http.Response { return nil })
		a := begin(t, j, &Memory{}, r, hook)
		j.add("web")
		time.Sleep(6 * time.Hour)
		tries := r.tries()
		if len(tries) < 25 || len(tries) > 45 {
			t.Errorf("%d attempts in 6 hours", len(tries))
		}
		want := time.Second
		for i := 1; i < len(tries); i++ {
			pause := tries[i].at - tries[i-1].at
			if pause < want*8/10 || pause > want*12/10 {
				t.Errorf("pause %d is %s, want %s and a fifth more or less", i, pause, want)
			}
			want = min(2*want, 15*time.Minute)
		}
		if st := only(t, a); st.LastError != "connection refused" || st.Failed != uint64(len(tries)) || st.Pending != 1 {
			t.Errorf("got %+v", st)
		}
		end(t, a)
	})
}

func TestRetryAfterIsHonoured(t *testing.T) {
	for name, header := range map[string]func() string{
		"seconds": func() string { return "120" },
		"time":    func() string { return time.Now().Add(2 * time.Minute).UTC().Format(http.TimeFormat) },
	} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, func(t *testing.T) {
				j := newJournal()
				r := newReceiver(func(_ uint64, attempt int) *http.Response {
					if attempt == 1 {
						return status(503, "Retry-After", header())
					}
					return status(200)
				})
				a := begin(t, j, &Memory{}, r, hook)
				j.add("web")
				synctest.Wait()
				j.add("other") // waits as well: the receiver asked for a pause, not the event
				time.Sleep(119 * time.Second)
				if n := len(r.tries()); n != 1 {
					t.Errorf("%d attempts within the pause, want 1", n)
				}
				time.Sleep(10 * time.Second)
				if n := len(r.tries()); n < 3 {
					t.Errorf("%d attempts after it, want 3 or more", n)
				}
				time.Sleep(5 * time.Minute)
				if got := r.got(); len(got) != 2 {
					t.Errorf("got %v, want both", got)
				}
				end(t, a)
			})
		})
	}
}

func TestGoneDisablesUntilReload(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		j := newJournal()
		var gone atomic.Bool
		gone.Store(true)
		r := newReceiver(func(uint64, int) *http.Response {
			if gone.Load() {
				return status(410)
			}
			return status(200)
		})
		a := begin(t, j, &Memory{}, r, hook)
		j.add("web")
		time.Sleep(48 * time.Hour)
		j.add("web")
		time.Sleep(time.Hour)
		if n := len(r.tries()); n != 1 {
			t.Errorf("%d attempts, want 1", n)
		}
		if st := only(t, a); !st.Disabled || st.Pending != 2 || st.LastError != "answer 410 Gone" {
			t.Errorf("got %+v", st)
		}
		gone.Store(false)
		if err := a.Reload(t.Context(), []Hook{hook}); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		if got := r.got(); !slices.Equal(got, []uint64{1, 2}) {
			t.Errorf("got %v, want both", got)
		}
		if only(t, a).Disabled {
			t.Error("still disabled")
		}
		end(t, a)
	})
}

func TestDeadLettersAreKeptAndRetried(t *testing.T) {
	for name, tt := range map[string]struct {
		hook     Hook
		attempts int
	}{
		"attempts": {Hook{Name: "x", URL: "http://h/", MaxAttempts: 3}, 3},
		"age":      {Hook{Name: "x", URL: "http://h/", MaxAge: 10 * time.Second}, 5},
	} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, func(t *testing.T) {
				j, q := newJournal(), &Memory{}
				var good atomic.Bool
				r := newReceiver(func(seq uint64, _ int) *http.Response {
					if good.Load() || seq == 2 {
						return status(200)
					}
					return status(500)
				})
				a := begin(t, j, q, r, tt.hook)
				j.add("web", "web")
				time.Sleep(time.Hour)
				if got := r.got(); !slices.Equal(got, []uint64{2}) {
					t.Errorf("got %v: the second event does not wait for a dead one", got)
				}
				st := only(t, a)
				if len(st.Dead) != 1 || st.Pending != 0 {
					t.Fatalf("got %+v", st)
				}
				d := st.Dead[0]
				if d.Seq != 1 || d.Kind != gaffer.KindExit || d.Name != "web" || d.Attempts < tt.attempts-1 || d.Attempts > tt.attempts+1 || d.Error != "answer 500 Internal Server Error" {
					t.Errorf("got %+v", d)
				}
				end(t, a)

				// It is still there after a restart, and can be tried again.
				good.Store(true)
				a = begin(t, j, q, r, tt.hook)
				if st := only(t, a); len(st.Dead) != 1 {
					t.Errorf("after a restart: %+v", st)
				}
				if n, err := a.Retry("x"); n != 1 || err != nil {
					t.Errorf("got %d, %v", n, err)
				}
				synctest.Wait()
				if got := r.got(); !slices.Equal(got, []uint64{2, 1}) {
					t.Errorf("got %v", got)
				}
				if st := only(t, a); len(st.Dead) != 0 || st.Pending != 0 {
					t.Errorf("got %+v", st)
				}
				if _, err := a.Retry("y"); !errors.Is(err, gaffer.ErrNotFound) {
					t.Errorf("got %v, want not found", err)
				}
				end(t, a)
			})
		})
	}
}

func TestTargetAndKindsChoose(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		j := newJournal()
		group, exits, none := newReceiver(nil), newReceiver(nil), newReceiver(nil)
		route := routes{"group.example": group, "exits.example": exits, "none.example": none}
		a := begin(t, j, &Memory{}, route,
			Hook{Name: "group", URL: "http://group.example", Target: "jobs:*"},
			Hook{Name: "exits", URL: "http://exits.example", Kinds: []gaffer.Kind{gaffer.KindExit}},
			Hook{Name: "none", URL: "http://none.example", Kinds: []gaffer.Kind{gaffer.KindFail}})
		j.add("web", "jobs:mail", "web")
		synctest.Wait()
		for want, r := range map[int]*receiver{1: group, 3: exits, 0: none} {
			if got := r.got(); len(got) != want {
				t.Errorf("got %v, want %d events", got, want)
			}
		}
		end(t, a)
	})
}

// routes are receivers by host.
type routes map[string]http.RoundTripper

func (r routes) RoundTrip(req *http.Request) (*http.Response, error) {
	return r[req.URL.Host].RoundTrip(req)
}

func TestOldEventsAreNotPosted(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		j, q, r := newJournal(), &Memory{}, newReceiver(nil)
		end(t, begin(t, j, q, r, hook))
		j.add("web", "web")
		time.Sleep(25 * time.Hour)
		j.add("web")
		a := begin(t, j, q, r, hook)
		synctest.Wait()
		if got := r.got(); !slices.Equal(got, []uint64{3}) {
			t.Errorf("got %v, want the one of today", got)
		}
		if st := only(t, a); st.Missed != 2 {
			t.Errorf("got %+v, want 2 missed", st)
		}
		end(t, a)
	})
}
