package api

import "sync/atomic"

// counters count requests by the class of their answer's status.
type counters struct {
	classes [6]atomic.Uint64
}

func (c *counters) count(status int) {
	c.classes[min(max(status/100, 0), 5)].Add(1)
}
