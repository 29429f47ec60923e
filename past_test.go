package gaffer

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// archive is a fakeJournal that keeps what is remembered, too.
type archive struct {
	fakeJournal
	past   []byte
	broken error
}

func (a *archive) Past() ([]byte, error) { return a.past, a.broken }
func (a *archive) KeepPast(b []byte) error {
	a.past = b
	return a.broken
}

// asOf is what a manager finds when the one before is killed now.
func (a *archive) asOf() *archive {
	a.mu.Lock()
	defer a.mu.Unlock()
	next := &archive{past: a.past}
	next.kept = slices.Clone(a.kept)
	for _, e := range a.kept {
		next.seq, next.id = e.Seq, max(next.id, e.ID)
	}
	return next
}

// runWith runs a manager with a journal until the test is over, having restored a
// template as a manager does that takes over.
func runWith(t *testing.T, kept Journal, resume bool, of Template) *world {
	t.Helper()
	h := &fakeHost{}
	m, err := New(Options{host: h, Journal: kept, Resume: resume})
	if err != nil {
		t.Fatal(err)
	}
	w := &world{T: t, Manager: m, host: h}
	w.ok(m.Restore(w.ctx(), Wanted{Template: of, Active: true, Count: of.wanted()}))
	w.events, err = m.Subscribe(context.Background(), All, EventOptions{})
	w.ok(err)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error)
	go func() { done <- m.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	synctest.Wait()
	return w
}

// A manager that takes over does what the one before would have done, at the same
// time: it crashes as often before it pauses and gives up, and waits as long.
func TestCrashesAreCountedOnOverTheManagersDeath(t *testing.T) {
	for name, of := range map[string]Template{
		"back-off": template("web", "crash 100ms", numprocesses(2), backsOff(Backoff{Max: new(Duration(time.Minute))})),
		"broken":   template("web", "broken", numprocesses(1), backsOff(Backoff{})),
		"flapping": template("web", "crash 100ms", numprocesses(1), flaps(flapRule(3))),
		"of two":   template("web", "crash 100ms", numprocesses(2), flaps(flapRule(3)), noBackoff),
		"done":     template("web", "exit 100ms 0", numprocesses(2), restarts(RestartNever)),
		"not done": template("web", "exit 100ms 7", restarts(RestartNever)),
		"failures": template("web", "exit 100ms 7", restarts(RestartOnFailure)),
		"no end":   template("web", "crash 100ms", numprocesses(1), flaps(flapRule(-1))),
		"one pause": template("web", "crash 1500ms", numprocesses(1), flaps(Flapping{
			Attempts: 3, Window: Duration(10 * time.Second), RetryIn: new(Duration(7 * time.Second)), MaxRetry: new(1),
		})),
	} {
		for _, after := range []time.Duration{0, 300 * time.Millisecond, time.Second, 5 * time.Second, 9 * time.Second, 20 * time.Second, 50 * time.Second} {
			t.Run(fmt.Sprintf("%s after %s", name, after), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					first := &archive{}
					was := runWith(t, first, false, of)
					time.Sleep(after)
					synctest.Wait()
					for range 1000 { // one that runs would be adopted
						if len(was.host.alive()) == 0 {
							break
						}
						time.Sleep(10 * time.Millisecond)
						synctest.Wait()
					}
					was.seen()
					now := runWith(t, first.asOf(), true, of)
					if w, n := describeStatus(was.status("web")), describeStatus(now.status("web")); w != n {
						t.Errorf("status\n got %s\nwant %s", n, w)
					}
					time.Sleep(2 * time.Minute)
					if w, n := told(was.seen()), told(now.seen()); w != n {
						t.Errorf("then\n got %s\nwant %s", n, w)
					}
				})
			})
		}
	}
}

func describeStatus(st Status) string {
	text, _ := json.Marshal(st)
	return string(text)
}

// told is what events tell of crashes, and when.
func told(events []Event) string {
	var all []string
	for _, e := range events {
		switch e.Kind {
		case KindSpawn, KindExit, KindBackoff, KindFlap, KindFail:
			said := e.Message
			if e.Kind == KindExit { // which of two that end at once comes first is nobody's business
				said = ""
			}
			all = append(all, fmt.Sprintf("%s %s %d %d %d %s", e.Time.Format("04:05.000"), e.Kind, e.Restarts, e.Failures, e.Pauses, said))
		}
	}
	slices.Sort(all)
	return strings.Join(all, "\n")
}

func TestAManagerThatBeginsAnewTriesAtOnceAndKeepsItsHistory(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		of := template("web", "crash 100ms", numprocesses(1), flaps(flapRule(0)))
		first := &archive{}
		was := runWith(t, first, false, of)
		time.Sleep(time.Minute)
		was.wantState("web", Failed, 0)
		now := runWith(t, first.asOf(), false, of)
		now.wantState("web", Running, 1)
		if got, want := now.status("web"), was.status("web"); got.Restarts != want.Restarts || got.Processes[0].LastExit == nil {
			t.Errorf("now %+v, was %+v", got, want)
		}
		list, err := now.History(now.ctx(), "web.1")
		now.ok(err)
		before, err := was.History(was.ctx(), "web.1")
		was.ok(err)
		if len(list) != len(before)+1 {
			t.Errorf("a history of %d events after one of %d and a start", len(list), len(before))
		}
	})
}

// What happens to others, and how often, takes nothing of a slot's history; the journal may have lost
// it long ago.
func TestASlotsHistoryOutlivesTheJournal(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		of := template("web", "run", numprocesses(1))
		first := &archive{}
		was := runWith(t, first, false, of)
		was.add("noise", "crash 1ms", noBackoff)
		was.after(5 * time.Second)
		if len(first.kept) < 2*keepPastEvery {
			t.Fatalf("only %d events", len(first.kept))
		}
		next := first.asOf()
		next.kept = next.kept[len(next.kept)-keepPastEvery:]
		now := runWith(t, next, false, of)
		list, err := now.History(now.ctx(), "web.1")
		now.ok(err)
		if got := words(list); got != "spawn spawn" {
			t.Errorf("history of web.1: %s", got)
		}
		if _, err := now.History(now.ctx(), "noise"); err == nil {
			t.Error("there is a history of a template that is gone")
		}
		list, err = was.History(was.ctx(), "noise.1")
		was.ok(err)
		if len(list) != pastEvents {
			t.Errorf("%d events are remembered of a slot, want %d", len(list), pastEvents)
		}
	})
}

func words(list []Event) string {
	var all []string
	for _, e := range list {
		all = append(all, string(e.Kind))
	}
	return strings.Join(all, " ")
}

func TestWhatIsScaledDownLeavesHowItEnded(t *testing.T) {
	inWorld(t, func(w *world) {
		w.add("web", "run", numprocesses(3))
		_, err := w.Scale(w.ctx(), "web", Change{Op: '=', N: 1})
		w.ok(err)
		list, err := w.History(w.ctx(), "web")
		w.ok(err)
		slices.SortStableFunc(list, func(a, b Event) int { return a.Slot - b.Slot })
		if got := words(list); got != "create start update spawn exit exit" {
			t.Errorf("history: %s", got)
		}
	})
}

func TestAPastThatCantBeReadIsReadFromTheJournal(t *testing.T) {
	for name, past := range map[string]string{
		"damaged": "{", "of another kind": "[]", "empty": `{"seq":1,"events":[null]}`, "of the future": `{"seq":99999999,"events":[]}`,
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				of := template("web", "crash 100ms", numprocesses(1), backsOff(Backoff{First: new(Duration(time.Hour)), Max: new(Duration(time.Hour))}))
				first := &archive{}
				was := runWith(t, first, false, of)
				was.after(time.Second)
				next := first.asOf()
				next.past = []byte(past)
				now := runWith(t, next, true, of)
				if name != "of the future" { // the journal's numbers are lost, so are its events
					now.wantState("web", InBackoff, 0)
				}
			})
		})
	}
}

// A clock that was set back must not make anything wait for a day.
func TestWaitingIsBoundedWhenTheClockWasSetBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		of := template("web", "crash 100ms", numprocesses(1), flaps(flapRule(-1)))
		first := &archive{}
		was := runWith(t, first, false, of)
		was.after(time.Second)
		was.wantState("web", InFlapping, 0)
		next := first.asOf()
		for i := range next.kept {
			if at := &next.kept[i].RetryAt; !at.IsZero() {
				*at = at.Add(24 * time.Hour)
			}
		}
		now := runWith(t, next, true, of)
		now.wantState("web", InFlapping, 0)
		now.after(8 * time.Second)
		if got := told(now.seen()); !strings.Contains(got, "spawn") {
			t.Errorf("nothing was started when the pause was over: %s", got)
		}
	})
}
