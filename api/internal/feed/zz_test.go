package feed_test

import (
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/gafferpm/gaffer/api/internal/feed"
)

func TestZZRate(t *testing.T) {
	w := newWorld(t, worldOptions{feed: feed.Options{Stall: time.Hour}})
	w.audits(1, 1)
	const subs, events = 1000, 3000
	list := make([]*counter, subs)
	var reading sync.WaitGroup
	for i := range list {
		c := &counter{conn: w.stream("/v1/events?since=1")}
		list[i] = c
		reading.Go(func() { _ = c.count(events + 1) })
	}
	var a, b syscall.Rusage
	syscall.Getrusage(0, &a)
	begun := time.Now()
	for i := range events {
		w.audits(i, i)
		if d := time.Until(begun.Add(time.Duration(i) * time.Millisecond)); d > 0 {
			time.Sleep(d)
		}
	}
	reading.Wait()
	syscall.Getrusage(0, &b)
	var reads, got int64
	for _, c := range list {
		reads += c.events
		got += int64(c.got)
	}
	t.Logf("took %s, user %s sys %s, reads %d got %d", time.Since(begun), time.Duration(b.Utime.Nano()-a.Utime.Nano()), time.Duration(b.Stime.Nano()-a.Stime.Nano()), reads, got)
}
