package proc

import (
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

func TestAClockThatNobodySetsTellsNothing(t *testing.T) {
	stop := WatchClock(func() { t.Error("the clock was set") })
	stop()
}

func TestAClockIsLookedAt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var offset atomic.Int64
		sets := 0
		stop := lookAtClock(time.Minute, func() time.Time { return time.Now().Add(time.Duration(offset.Load())) }, func() { sets++ })
		for i, by := range []time.Duration{0, time.Hour, 0, -time.Hour, 10 * time.Millisecond} {
			offset.Add(int64(by))
			time.Sleep(time.Minute)
			synctest.Wait()
			if want := []int{0, 1, 1, 2, 2}[i]; sets != want {
				t.Errorf("told %d times after %s, want %d", sets, by, want)
			}
		}
		stop()
	})
}
