package console

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/gafferpm/gaffer"
	"github.com/gafferpm/gaffer/internal/pubsub"
)

// rig is a merger with streams that the test fills.
type rig struct {
	*merger
	events pubsub.Topic[gaffer.Event]
	output pubsub.Topic[gaffer.Output]
	out    *screen
	errs   chan error
}

func newRig(t *testing.T, out *screen) *rig {
	t.Helper()
	t.Cleanup(func() { goleak.VerifyNone(t) })
	r := &rig{out: out, errs: make(chan error, 10)}
	p := &printer{out: out}
	p.learn([]gaffer.Info{info("web", 1)})
	r.merger = newMerger(p, r.events.Subscribe(16, nil), r.output.Subscribe(1000, nil), func(err error) { r.errs <- err })
	return r
}

// screen is a writer that can be stopped, and can fail.
type screen struct {
	mu    sync.Mutex
	buf   bytes.Buffer
	wrote chan struct{} // holds a token when something was written
	gate  chan struct{} // not nil: writes wait until it is closed
	stuck chan struct{} // holds a token when a write waits at the gate
	err   error
}

func newScreen() *screen {
	return &screen{wrote: make(chan struct{}, 1), stuck: make(chan struct{}, 1)}
}

func (s *screen) Write(b []byte) (int, error) {
	if s.gate != nil {
		select {
		case s.stuck <- struct{}{}:
		default:
		}
		<-s.gate
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	select {
	case s.wrote <- struct{}{}:
	default:
	}
	if s.err != nil {
		return 0, s.err
	}
	return s.buf.Write(b)
}

func (s *screen) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.buf.String()
}

// until waits until the screen shows a text.
func (s *screen) until(t *testing.T, text string) {
	t.Helper()
	for !strings.Contains(s.String(), text) {
		select {
		case <-s.wrote:
		case <-t.Context().Done():
			t.Fatalf("never shown: %s\n%s", text, s)
		}
	}
}

func (r *rig) wrote(at time.Time, text string) {
	r.output.Publish(gaffer.Output{Name: "web", ID: 1, Slot: 1, Label: "stdout", Time: at, Data: []byte(text)})
}

func TestTheLastLineComesBeforeTheEnd(t *testing.T) {
	for range 50 {
		r := newRig(t, newScreen())
		r.start()
		t0 := time.Now()
		r.events.Publish(gaffer.Event{Kind: gaffer.KindSpawn, Name: "web", Slot: 1, ID: 1, PID: 7, Time: t0})
		r.out.until(t, "started")
		for i := range 20 {
			r.wrote(t0, fmt.Sprint("line ", i))
		}
		r.events.Publish(gaffer.Event{Kind: gaffer.KindExit, Name: "web", Slot: 1, ID: 1, Time: t0.Add(1), Exit: &gaffer.Exit{Time: t0, Reason: "exit status 0"}})
		r.wrote(t0.Add(2), "the next one")
		r.stop(time.Minute)
		got := r.out.String()
		last, end := strings.Index(got, "line 19\n"), strings.Index(got, "web.1 ended after 0ms: exit status 0\n")
		if last < 0 || end < last || !strings.Contains(got, "the next one") {
			t.Fatalf("got\n%s", got)
		}
	}
}

func TestALineComesAfterTheEventBeforeIt(t *testing.T) {
	r := newRig(t, newScreen())
	r.start()
	const rounds = 2000
	for i := range rounds {
		r.events.Publish(gaffer.Event{Kind: gaffer.KindRestart, Name: fmt.Sprint("n", i), Time: time.Now()})
		r.wrote(time.Now(), fmt.Sprint("after ", i))
		if i%10 == 0 { // both streams are bounded, and often nothing waits
			r.out.until(t, fmt.Sprintf("after %d\n", i))
		}
	}
	r.stop(time.Minute)
	rest := r.out.String()
	for i := range rounds {
		for _, want := range []string{fmt.Sprintf("n%d is being restarted\n", i), fmt.Sprintf("after %d\n", i)} {
			_, after, ok := strings.Cut(rest, want)
			if !ok {
				t.Fatalf("%q is not where it should be:\n%.500s", want, rest)
			}
			rest = after
		}
	}
}

func TestALineOfTheFutureIsPrinted(t *testing.T) {
	r := newRig(t, newScreen())
	r.start()
	r.wrote(time.Now().Add(time.Hour), "the clock was set back")
	r.out.until(t, "the clock was set back\n")
	r.stop(time.Minute)
}

func TestStopSaysWhatIsLeft(t *testing.T) {
	r := newRig(t, newScreen())
	for i := range 10 {
		r.events.Publish(gaffer.Event{Kind: gaffer.KindUpdate, Name: "web", Message: fmt.Sprint("change ", i)})
	}
	r.wrote(time.Now(), "a line")
	r.say(sentence{"goodbye", 0})
	r.start()
	r.stop(time.Minute)
	for _, want := range []string{"change 0", "change 9", "web.1  | a line", "gaffer | goodbye"} {
		if !strings.Contains(r.out.String(), want) {
			t.Errorf("%q is missing in\n%s", want, r.out)
		}
	}
}

func TestSayIsShownWhileNothingElseHappens(t *testing.T) {
	r := newRig(t, newScreen())
	r.start()
	r.say(sentence{"stopping", 0})
	r.out.until(t, "gaffer | stopping\n")
	r.stop(time.Minute)
}

func TestEventsAreShownAfterTheOutputEnded(t *testing.T) {
	r := newRig(t, newScreen())
	r.output.Close()
	r.start()
	r.events.Publish(gaffer.Event{Kind: gaffer.KindRestart, Name: "web"})
	r.out.until(t, "web is being restarted\n")
	r.stop(time.Minute)
}

func TestAStoppedTerminalLosesLinesAndSaysHowMany(t *testing.T) {
	s := newScreen()
	s.gate = make(chan struct{})
	r := newRig(t, s)
	r.start()
	r.wrote(time.Now(), "first")
	<-s.stuck
	for i := range 2000 { // nobody waits for the terminal
		r.wrote(time.Now(), fmt.Sprint("line ", i))
		r.events.Publish(gaffer.Event{Kind: gaffer.KindRestart, Name: fmt.Sprint("n", i)})
	}
	close(s.gate)
	r.stop(time.Minute)
	got := s.String()
	for _, want := range []string{"lines are missing here", "events are missing here", "line 1999\n", "n1999 is being restarted"} {
		if !strings.Contains(got, want) {
			t.Errorf("%q is missing in\n%s", want, got)
		}
	}
}

func TestStopDoesNotWaitForAStoppedTerminal(t *testing.T) {
	s := newScreen()
	s.gate = make(chan struct{})
	r := newRig(t, s)
	r.start()
	r.wrote(time.Now(), "first")
	r.stop(time.Millisecond)
	select {
	case <-r.done:
		t.Error("the terminal took the line")
	default:
	}
	close(s.gate)
	<-r.done
}

func TestAFailingOutputIsToldOnce(t *testing.T) {
	s := newScreen()
	s.err = errors.New("broken pipe")
	r := newRig(t, s)
	r.start()
	r.wrote(time.Now(), "first")
	if err := <-r.errs; err == nil || err.Error() != "broken pipe" {
		t.Errorf("got %v", err)
	}
	for range 100 {
		r.wrote(time.Now(), "more")
	}
	r.stop(time.Minute)
	if len(r.errs) > 0 {
		t.Error("it was told again")
	}
}

func TestAFullDiskIsNotTheEnd(t *testing.T) {
	s := newScreen()
	s.err = errors.New("no space left")
	r := newRig(t, s)
	r.start()
	r.wrote(time.Now(), "lost")
	if err := <-r.errs; err.Error() != "no space left" {
		t.Errorf("got %v", err)
	}
	s.mu.Lock()
	s.err = nil
	s.mu.Unlock()
	r.wrote(time.Now(), "written")
	s.until(t, "web.1  | written\n")
	r.stop(time.Minute)
	if strings.Contains(s.String(), "lost") {
		t.Errorf("what was lost was written:\n%s", s)
	}
}
