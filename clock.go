package gaffer

import (
	"sync"
	"time"

	"github.com/gafferpm/gaffer/internal/proc"
	"github.com/gafferpm/gaffer/internal/schedule"
)

// clock is what the manager's keepers go by that have a schedule. It is watched only
// while one of them does.
type clock struct {
	began time.Time
	wall  func() time.Time // of tests; nobody watches it for them

	mu      sync.Mutex // guards the rest
	closed  bool
	keepers map[*keeper]bool
	stop    func()         // ends the watching
	ending  sync.WaitGroup // of watching that was ended
}

// reading is what the clocks show.
func (m *Manager) reading() schedule.Reading {
	now := time.Now()
	r := schedule.Reading{Wall: now.Round(0), Elapsed: now.Sub(m.clock.began)}
	if m.clock.wall != nil {
		r.Wall = m.clock.wall()
	}
	return r
}

// watch has a keeper look at the time again when the clock was set, or no more.
func (c *clock) watch(k *keeper, is bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if is {
		if c.keepers == nil {
			c.keepers = map[*keeper]bool{}
		}
		c.keepers[k] = true
	} else {
		delete(c.keepers, k)
	}
	switch {
	case c.closed:
	case len(c.keepers) > 0 && c.stop == nil && c.wall == nil:
		c.stop = proc.WatchClock(c.set)
	case len(c.keepers) == 0 && c.stop != nil:
		c.ending.Go(c.stop) // not here: it waits for set, which waits for the lock
		c.stop = nil
	}
}

// set: the clock was set.
func (c *clock) set() {
	c.mu.Lock()
	defer c.mu.Unlock()
	for k := range c.keepers {
		k.box.post(func() {})
	}
}

// close ends the watching.
func (c *clock) close() {
	c.mu.Lock()
	stop := c.stop
	c.stop, c.keepers, c.closed = nil, nil, true
	c.mu.Unlock()
	if stop != nil {
		stop()
	}
	c.ending.Wait()
}
