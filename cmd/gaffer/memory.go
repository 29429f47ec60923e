package main

import (
	"context"
	"math"
	"os"
	"runtime"
	"runtime/debug"
	"runtime/metrics"
	"time"

	"github.com/gafferpm/gaffer/internal/proc"
)

// Who keeps processes alive mostly waits, and what a busy moment took would stay with
// it: memory that is not in use any more goes back to the system when it has been
// quiet for quietTime, if there is more of it than worthFreeing, in bytes, and so do
// the parts of the program that were needed for the moment.
const (
	quietTime    = 2 * time.Second
	startTime    = time.Second // the first time
	worthFreeing = 1 << 20
)

// gcPercent is how much garbage there may be, in percent of what is in use. It is
// half of what is usual: gaffer is to be small, and has the time.
const gcPercent = 50

// tidyMemory gives memory back until ctx ends. Nothing wakes it while nothing is
// allocated: a collection of garbage is what tells of a busy moment.
func tidyMemory(ctx context.Context) {
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(gcPercent)
	}
	collected := make(chan struct{}, 1)
	tellOfCollections(ctx, collected)
	quiet := time.NewTimer(startTime) // the start was a busy moment
	defer quiet.Stop()
	tidied := uint64(math.MaxUint64) // collections, with the one that tidying is itself; never yet
	for {
		select {
		case <-collected:
			quiet.Reset(quietTime)
		case <-quiet.C:
			cycles, free := garbage()
			if cycles == tidied {
				continue // nothing happened since
			}
			if free > worthFreeing {
				debug.FreeOSMemory()
			}
			proc.DropProgramPages()
			tidied, _ = garbage()
		case <-ctx.Done():
			return
		}
	}
}

// bait is what a collection is noticed by.
type bait struct{ _ *bait }

func tellOfCollections(ctx context.Context, told chan<- struct{}) {
	runtime.AddCleanup(new(bait), func(told chan<- struct{}) {
		select {
		case told <- struct{}{}:
		default:
		}
		if ctx.Err() == nil {
			tellOfCollections(ctx, told)
		}
	}, told)
}

// garbage is how many collections there were, and how much memory the runtime holds
// that nothing is in, or that a collection would free, in bytes.
func garbage() (cycles, free uint64) {
	samples := []metrics.Sample{
		{Name: "/gc/cycles/total:gc-cycles"},
		{Name: "/memory/classes/heap/free:bytes"},
		{Name: "/memory/classes/heap/objects:bytes"},
		{Name: "/gc/heap/live:bytes"},
	}
	metrics.Read(samples)
	free = samples[1].Value.Uint64()
	if objects, live := samples[2].Value.Uint64(), samples[3].Value.Uint64(); objects > live {
		free += objects - live
	}
	return samples[0].Value.Uint64(), free
}
