package holder

import (
	"testing"
	"testing/synctest"
	"time"
)

// Memory is given back once nothing has happened for a while, and nothing is done then
// until something happens.
func TestATidierWaitsForQuiet(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var y tidier
		for range 10 {
			y.busy()
			time.Sleep(quietTime / 2)
		}
		if !y.armed.Load() {
			t.Error("it has not waited")
		}
		time.Sleep(quietTime)
		synctest.Wait()
		if y.armed.Load() {
			t.Error("it still waits")
		}
		y.busy()
		if !y.armed.Load() {
			t.Error("it does not wait again")
		}
		time.Sleep(2 * quietTime)
	})
}
