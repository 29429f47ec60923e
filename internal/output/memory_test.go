package output_test

import (
	"bytes"
	"runtime"
	"testing"
	"time"
	"unsafe"

	"github.com/gafferpm/gaffer/internal/output"
)

func TestSilentProcessCostsOnlyItsStruct(t *testing.T) {
	if size := unsafe.Sizeof(output.Log[*int]{}); size >= 150 {
		t.Errorf("a log is %d bytes", size)
	}
	logs := make([]output.Log[*int], 101)
	if n := testing.AllocsPerRun(100, func() {
		l := &logs[0]
		logs = logs[1:]
		l.Write(stdout, nil, time.Now())
		l.End()
	}); n != 0 {
		t.Errorf("a silent process makes %v allocations", n)
	}
}

func TestProcessOfOneLineCostsLessThanAKilobyte(t *testing.T) {
	const n = 1000
	logs := make([]log, n)
	line := bytes.Repeat([]byte("x"), 100)
	used := heapGrowth(func() {
		for i := range logs {
			logs[i].Write(stdout, line, time.Now())
		}
	})
	if used/n > 1024 {
		t.Errorf("%d bytes for a line of %d", used/n, len(line))
	}
	runtime.KeepAlive(logs)
}

func TestWriteAllocatesNothing(t *testing.T) {
	chunk := bytes.Repeat(append(bytes.Repeat([]byte("x"), 99), '\n'), 50)
	l := &log{}
	f := output.FollowLines[string](0)
	l.Attach(f, 0, nil)
	now := time.Now()
	write := func() {
		now = now.Add(time.Millisecond)
		l.Write(stdout, chunk[:150], now)
		l.Write(stderr, chunk, now)
	}
	for range 10_000 { // until everything has its size
		write()
	}
	if n := testing.AllocsPerRun(10_000, write); n != 0 {
		t.Errorf("%v allocations per write", n)
	}
}

func TestMegabytesWithoutNewlineTakeBoundedMemory(t *testing.T) {
	const total, limit = 64 << 20, 8 << 20
	l := &log{}
	lines, raw := output.FollowLines[string](0), output.FollowRaw[string](0)
	l.Attach(lines, 0, nil)
	l.Attach(raw, 0, nil)
	chunk := bytes.Repeat([]byte("x"), 64<<10)
	most := heapGrowth(func() {
		for range total / len(chunk) {
			l.Write(stdout, chunk, time.Now())
		}
	})
	if most > limit {
		t.Errorf("%d bytes are held after %d bytes without a newline", most, total)
	}
	t.Logf("%d KiB held", most>>10)
	lines.Close()
	raw.Close()
	runtime.KeepAlive(l)
}

// What readers hold is bounded too, also when they are slow.
func TestStalledReadersTakeBoundedMemory(t *testing.T) {
	const readers, total = 10, 64 << 10
	l := &log{}
	followers := make([]*follower, readers)
	chunk := bytes.Repeat([]byte("\n"), 1<<10) // the dearest output there is
	most := heapGrowth(func() {
		for i := range followers {
			followers[i] = output.FollowLines[string](256 << 10)
			l.Attach(followers[i], 0, nil)
		}
		for range total / len(chunk) {
			l.Write(stdout, chunk, time.Now())
		}
	})
	if most > readers*512<<10 {
		t.Errorf("%d bytes are held by %d readers", most, readers)
	}
	for _, f := range followers {
		f.Close()
	}
}

// heapGrowth is by how much the heap has grown through f, in bytes.
func heapGrowth(f func()) int {
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	f()
	runtime.GC()
	runtime.ReadMemStats(&after)
	return int(after.HeapAlloc) - int(before.HeapAlloc)
}
