package gaffertest

import (
	"errors"
	"io"
	"time"

	"github.com/gafferpm/gaffer"
)

var statsCases = []aCase{
	{"StatsTellWhatIsUsed", stats},
	{"StatsOfWhatDoesNotRun", statsStopped},
	{"MonitorReadsAgainAndAgain", monitor},
	{"MonitorFollowsReplacedProcesses", monitorFollows},
	{"MonitorThatCantBe", monitorRefused},
}

func stats(b *bench) {
	b.add("web", "sleep 1000 & echo ready; wait", numprocesses(2))
	out := b.output("web", gaffer.OutputOptions{Tail: -1})
	b.line(out, "ready")
	b.line(out, "ready")
	b.add("db", sleeps)
	list, err := b.c.Stats(b.ctx, gaffer.All)
	b.ok(err)
	if len(list) != 2 || list[0].Name != "web" || list[1].Name != "db" {
		b.Fatalf("stats %+v", list)
	}
	web, running := list[0], b.status("web").Processes
	if len(web.Processes) != 2 || web.Time.IsZero() || web.RSS == 0 || web.MinRSS == 0 || web.MaxRSS < web.MinRSS || web.Mem <= 0 {
		b.Fatalf("stats %+v", web)
	}
	for i, p := range web.Processes {
		if p.ID != running[i].ID || p.Slot != running[i].Slot || p.PID != running[i].PID {
			b.Errorf("reading %+v of process %+v", p, running[i])
		}
		if p.Command == "" || p.User == "" || p.RSS == 0 || p.VMS == 0 || p.Threads != 1 || p.Time.IsZero() {
			b.Errorf("reading %+v", p)
		}
		if len(p.Children) != 1 || p.Children[0].PID == p.PID || p.Children[0].ID != 0 {
			b.Errorf("children %+v", p.Children)
		}
	}
	list, err = b.c.Stats(b.ctx, "web.2")
	b.ok(err)
	if len(list) != 1 || len(list[0].Processes) != 1 || list[0].Processes[0].Slot != 2 {
		b.Errorf("stats of a slot %+v", list)
	}
}

func statsStopped(b *bench) {
	b.add("web", sleeps, notStarted)
	list, err := b.c.Stats(b.ctx, "web")
	b.ok(err)
	if len(list) != 1 || list[0].Name != "web" || len(list[0].Processes) != 0 || list[0].RSS != 0 {
		b.Errorf("stats %+v", list)
	}
	_, err = b.c.Stats(b.ctx, "nosuch")
	b.is(err, gaffer.ErrNotFound)
}

// monitor is a monitor for as long as the case takes.
func (b *bench) monitor(target gaffer.Target) gaffer.Stream[[]gaffer.Stats] {
	b.Helper()
	m, err := b.c.Monitor(b.ctx, target, 100*time.Millisecond)
	b.ok(err)
	b.Cleanup(m.Close)
	return m
}

func monitor(b *bench) {
	b.add("web", sleeps)
	readings := b.monitor(gaffer.All)
	var last time.Time
	for range 3 {
		list, err := readings.Next(b.ctx)
		b.ok(err)
		if len(list) != 1 || list[0].Name != "web" || len(list[0].Processes) != 1 {
			b.Fatalf("reading %+v", list)
		}
		if !list[0].Time.After(last) {
			b.Errorf("a reading of %s after one of %s", list[0].Time, last)
		}
		last = list[0].Time
	}
	readings.Close()
	if _, err := readings.Next(b.ctx); !errors.Is(err, io.EOF) {
		b.Errorf("Next of a closed monitor: %v", err)
	}
}

func monitorFollows(b *bench) {
	readings := b.monitor("web") // which is yet to come
	until := func(want uint64) {
		b.Helper()
		for {
			list, err := readings.Next(b.ctx)
			b.ok(err)
			if len(list) == 1 && len(list[0].Processes) == 1 && list[0].Processes[0].ID == want {
				return
			}
		}
	}
	b.add("web", sleeps)
	until(1)
	b.ok(b.c.Restart(b.ctx, "web", gaffer.StopFirst))
	until(2)
}

func monitorRefused(b *bench) {
	for _, interval := range []time.Duration{time.Millisecond, -time.Second} {
		_, err := b.c.Monitor(b.ctx, gaffer.All, interval)
		b.is(err, gaffer.ErrInvalid)
	}
}
