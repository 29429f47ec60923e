package feed_test

import (
	"encoding/json"
	"runtime"
	"testing"
	"time"

	"github.com/gafferpm/gaffer"
)

func TestZZIdle(t *testing.T) {
	w := newWorld(t, worldOptions{})
	w.audits(1, 100)
	stat := func() (uint64, uint64, int) {
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return m.HeapAlloc, m.StackInuse, runtime.NumGoroutine()
	}
	h, s, g := stat()
	for range 1000 {
		c := w.stream("/v1/events?since=100")
		b := make([]byte, 4096)
		_, _ = c.Read(b)
	}
	h2, s2, g2 := stat()
	t.Logf("per idle: heap %d stack %d goroutines %d", (h2-h)/1000, (s2-s)/1000, (g2-g)/1000)
	w.audits(1, 100)
	time.Sleep(500 * time.Millisecond)
	h2, s2, g2 = stat()
	t.Logf("after 100 events each: heap %d stack %d", (h2-h)/1000, (s2-s)/1000)
}

func BenchmarkZZOutput(b *testing.B) {
	o := gaffer.Output{Name: "web", ID: 1, Slot: 1, Label: "stdout", Time: time.Now(), Data: []byte("GET /orders/4711 200 12ms some more text that is as long as a usual line of a log")}
	for b.Loop() {
		_, _ = json.Marshal(o)
	}
}
