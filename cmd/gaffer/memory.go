package main

import (
	"context"
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
	worthFreeing = 1 << 20
)

// tidyMemory gives memory back until ctx ends. Nothing wakes it while nothing is
// allocated: a collection of garbage is what tells of a busy moment.
func tidyMemory(ctx context.Context) {
	collected := make(chan struct{}, 1)
	tellOfCollections(ctx, collected)
	quiet := time.NewTimer(quietTime) // the start was a busy moment
	defer quiet.Stop()
	for {
		select {
		case <-collected:
			quiet.Reset(quietTime)
		case <-quiet.C:
			if unused() > worthFreeing {
				debug.FreeOSMemory()
			}
			proc.DropProgramPages()
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

// unused is how much memory the runtime holds that nothing is in, or that a
// collection would free, in bytes.
func unused() uint64 {
	samples := []metrics.Sample{
		{Name: "/memory/classes/heap/free:bytes"},
		{Name: "/memory/classes/heap/unused:bytes"},
		{Name: "/memory/classes/heap/objects:bytes"},
		{Name: "/gc/heap/live:bytes"},
	}
	metrics.Read(samples)
	free := samples[0].Value.Uint64() + samples[1].Value.Uint64()
	if objects, live := samples[2].Value.Uint64(), samples[3].Value.Uint64(); objects > live {
		free += objects - live
	}
	return free
}
