package proc

import "time"

// clockCheck is how often the clock is looked at where the system does not tell that it
// was set.
const clockCheck = time.Minute

// WatchClock calls set, on a goroutine of its own, after the system's clock was set, or
// went on without this program while the system was suspended. Until stop is called, which
// waits for a call that goes on.
func WatchClock(set func()) (stop func()) {
	if stop, err := watchClock(set); err == nil {
		return stop
	}
	return lookAtClock(clockCheck, time.Now, set)
}

// lookAtClock watches the clock by comparing it, every so often, with time that passes.
func lookAtClock(every time.Duration, now func() time.Time, set func()) (stop func()) {
	end, ended := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(ended)
		tick := time.NewTicker(every)
		defer tick.Stop()
		for wall, began := now().Round(0), time.Now(); ; {
			select {
			case <-end:
				return
			case <-tick.C:
			}
			nextWall, next := now().Round(0), time.Now()
			if off := nextWall.Sub(wall) - next.Sub(began); off.Abs() >= time.Second {
				set()
			}
			wall, began = nextWall, next
		}
	}()
	return func() { close(end); <-ended }
}
