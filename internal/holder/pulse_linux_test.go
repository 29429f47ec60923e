package holder

import (
	"testing"
	"testing/synctest"
	"time"
)

// A manager that has nothing to do is asked seldom, and soon once it has.
func TestAManagerAtRestIsLeftInPeace(t *testing.T) {
	t.Setenv("WATCHDOG_USEC", "")
	synctest.Test(t, func(t *testing.T) {
		h := &holder{pulse: time.NewTimer(time.Hour)}
		next := func(want time.Duration) {
			t.Helper()
			began := time.Now()
			<-h.pulse.C
			if took := time.Since(began); took != want {
				t.Errorf("asked after %s, want %s", took, want)
			}
			h.spoke = false // it was asked, and has not answered
			h.askIn(h.outside.beat(beat))
		}
		h.rest()
		next(restBeat)
		next(beat)
		h.rest()
		time.Sleep(beat)
		h.stir(kindPing)
		next(restBeat - beat)
		h.rest()
		time.Sleep(beat)
		h.stir(kindExit)
		time.Sleep(time.Second)
		h.stir(kindExit) // who has ever more to do is asked all the same
		h.rest()         // the answer was to a question before that
		next(beat - time.Second)
		time.Sleep(beat - time.Second)
		h.stir(kindExit) // nor is it asked later than it would have been
		next(time.Second)
	})
}
