package gaffer

import (
	"context"
	"errors"
	"slices"
	"sync"
	"time"

	"github.com/gafferpm/gaffer/internal/proc"
	"github.com/gafferpm/gaffer/internal/pubsub"
)

const (
	defaultInterval = time.Second
	leastInterval   = 100 * time.Millisecond
	waitingReadings = 16 // how many may wait for a monitor's reader
)

// Stats implements Controller. The CPU percentage is that since each process was
// started.
func (m *Manager) Stats(ctx context.Context, target Target) ([]Stats, error) {
	if _, err := m.List(ctx, target); err != nil {
		return nil, err
	}
	m.gauge.Lock()
	defer m.gauge.Unlock()
	w, err := m.gauge.at(m, target)
	if err != nil {
		return nil, err
	}
	return w.read(ctx)
}

// Usage is the part of Stats that is cheap to read: of each process that a target
// selects, with what it has started, the CPU percentage since its start and the
// memory.
func (m *Manager) Usage(ctx context.Context, target Target) ([]Use, error) {
	sel, found, err := m.resolve(target)
	if err != nil {
		return nil, err
	}
	var members []member
	for _, k := range found {
		ms, err := k.members(ctx, sel)
		if err != nil {
			return nil, err
		}
		members = append(members, ms...)
	}
	m.gauge.Lock()
	defer m.gauge.Unlock()
	w, err := m.gauge.at(m, target)
	if err != nil {
		return nil, err
	}
	return w.uses(members)
}

// gaugeKept is for how long after a reading what was learnt by it is kept.
const gaugeKept = 10 * time.Second

// gauge is what one-off readings share, so that each finds what the one before
// has learnt of the processes. The lock guards it.
type gauge struct {
	sync.Mutex
	watcher *watcher
	timer   *time.Timer // forgets the watcher
}

// at is the watcher, for a reading of a target.
func (g *gauge) at(m *Manager, target Target) (*watcher, error) {
	if g.watcher == nil {
		w, err := m.watch(target)
		if err != nil {
			return nil, err
		}
		g.watcher, g.timer = w, time.AfterFunc(gaugeKept, g.close)
	}
	g.timer.Reset(gaugeKept)
	g.watcher.target, g.watcher.meter = target, proc.Meter{}
	return g.watcher, nil
}

func (g *gauge) close() {
	g.Lock()
	defer g.Unlock()
	if g.watcher != nil {
		g.timer.Stop()
		g.watcher.close()
		g.watcher = nil
	}
}

// Monitor implements Controller. The first reading comes at once. A target may
// select what does not exist yet.
func (m *Manager) Monitor(ctx context.Context, target Target, interval time.Duration) (Stream[[]Stats], error) {
	switch {
	case interval == 0:
		interval = defaultInterval
	case interval < leastInterval:
		return nil, invalidf("interval %s: want at least %s", interval, leastInterval)
	}
	if err := target.Check(); err != nil {
		return nil, err
	}
	w, err := m.watch(target)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancel(ctx)
	mon := &monitor{cancel: cancel, done: make(chan struct{})}
	mon.sub = mon.topic.Subscribe(waitingReadings, nil)
	go mon.run(ctx, w, interval)
	return mon, nil
}

// monitor reads what a target uses, on a goroutine of its own for as long as
// somebody wants it.
type monitor struct {
	topic  pubsub.Topic[[]Stats]
	sub    *pubsub.Sub[[]Stats]
	cancel context.CancelFunc
	done   chan struct{} // closed when the goroutine has ended
}

func (mon *monitor) run(ctx context.Context, w *watcher, interval time.Duration) {
	defer close(mon.done)
	defer w.close()
	defer mon.topic.Close()
	ticker := time.NewTicker(interval)
	defer ticker.Stop()
	for {
		stats, err := w.read(ctx)
		if err != nil {
			return
		}
		mon.topic.Publish(stats)
		select {
		case <-ticker.C:
		case <-ctx.Done():
			return
		case <-w.m.over:
			return
		}
	}
}

// Next implements Stream.
func (mon *monitor) Next(ctx context.Context) ([]Stats, error) { return mon.sub.Next(ctx) }

// Len implements Stream.
func (mon *monitor) Len() int { return mon.sub.Len() }

// Close implements Stream. Nothing is read any more when it returns.
func (mon *monitor) Close() {
	mon.cancel()
	mon.sub.Close()
	<-mon.done
}

// watcher is one who reads what processes use. It belongs to one goroutine.
type watcher struct {
	m       *Manager
	target  Target
	sampler *proc.Sampler
	meter   proc.Meter
	memory  uint64 // the system's, in bytes

	pids  []int
	trees map[int]treeStats // by pid of a process of ours
	slab  []ProcessStats    // the memory that a reading's processes share
}

// treeStats is a process with its children, and the sums over all of them.
type treeStats struct {
	root     ProcessStats
	cpu, mem float64
	rss      uint64
}

func (m *Manager) watch(target Target) (*watcher, error) {
	sampler, err := proc.NewSampler()
	if err != nil {
		return nil, err
	}
	return &watcher{m: m, target: target, sampler: sampler, memory: proc.TotalMemory(), trees: map[int]treeStats{}}, nil
}

func (w *watcher) close() { _ = w.sampler.Close() }

// member is a process that is to be read.
type member struct {
	id   uint64
	slot int
	pid  int
}

// read reads once what the target's templates use.
func (w *watcher) read(ctx context.Context) ([]Stats, error) {
	sel, found, err := w.m.resolve(w.target)
	if err != nil && !errors.Is(err, ErrNotFound) {
		return nil, err
	}
	stats := make([]Stats, 0, len(found))
	members := make([][]member, 0, len(found))
	w.pids = w.pids[:0]
	for _, k := range found {
		ms, err := k.members(ctx, sel)
		if err != nil {
			return nil, err
		}
		if sel.one() && len(ms) == 0 {
			continue
		}
		for _, p := range ms {
			w.pids = append(w.pids, p.pid)
		}
		stats = append(stats, Stats{Name: k.name})
		members = append(members, ms)
	}
	now, err := w.sample()
	if err != nil {
		return nil, err
	}
	for i := range stats {
		stats[i].Time = now
		if logs := w.m.opts.Logs; logs != nil {
			lost, blocked := logs.Trouble(stats[i].Name)
			stats[i].LostOutput, stats[i].Blocked = uint64(lost), Duration(blocked)
		}
		w.sum(&stats[i], members[i])
	}
	return stats, nil
}

// members are the running processes that a selection selects.
func (k *keeper) members(ctx context.Context, sel selection) (ms []member, err error) {
	err = k.box.do(ctx, func() {
		for _, p := range k.selected(sel) {
			if p.os != nil {
				ms = append(ms, member{p.id, p.slot, p.os.PID()})
			}
		}
	})
	return ms, err
}

// sample reads the trees of all the processes.
func (w *watcher) sample() (time.Time, error) {
	clear(w.trees)
	w.slab = make([]ProcessStats, 0, 2*len(w.pids))
	w.meter.Begin()
	now := time.Now()
	err := w.sampler.Sample(w.pids, proc.WantFDs|proc.WantIO|proc.WantNames, func(u *proc.Usage) {
		var t treeStats
		t.root = w.usage(u, now, &t)
		w.trees[u.PID] = t
	})
	return now, err
}

// uses reads what the processes and all that they have started use.
func (w *watcher) uses(members []member) ([]Use, error) {
	w.pids = w.pids[:0]
	for _, p := range members {
		w.pids = append(w.pids, p.pid)
	}
	w.meter.Begin()
	found := make(map[int]Use, len(members))
	err := w.sampler.Sample(w.pids, 0, func(u *proc.Usage) {
		use := Use{PID: u.PID}
		w.addUse(&use, u)
		found[u.PID] = use
	})
	uses := make([]Use, 0, len(members))
	for _, p := range members {
		if use, there := found[p.pid]; there {
			use.ID = p.id
			uses = append(uses, use)
		}
	}
	return uses, err
}

func (w *watcher) addUse(use *Use, u *proc.Usage) {
	use.CPU += w.meter.Percent(u)
	use.RSS += u.RSS
	for i := range u.Children {
		w.addUse(use, &u.Children[i])
	}
}

// usage is what a process uses, with its children, and adds it to the tree's sums.
func (w *watcher) usage(u *proc.Usage, now time.Time, t *treeStats) ProcessStats {
	p := ProcessStats{
		PID: u.PID, Command: u.Command, User: u.User, Nice: u.Nice,
		CPU: w.meter.Percent(u), CPUTime: Duration(u.CPUTime), RSS: u.RSS, VMS: u.VMS,
		Threads: u.Threads, FDs: u.FDs, Read: u.Read, Written: u.Written, Time: now,
	}
	if w.memory > 0 {
		p.Mem = 100 * float64(u.RSS) / float64(w.memory)
	}
	t.cpu += p.CPU
	t.mem += p.Mem
	t.rss += p.RSS
	if len(u.Children) > 0 {
		first := len(w.slab)
		w.slab = append(w.slab, make([]ProcessStats, len(u.Children))...)
		children := w.slab[first:len(w.slab):len(w.slab)]
		for i := range u.Children {
			children[i] = w.usage(&u.Children[i], now, t)
		}
		p.Children = children
	}
	return p
}

// sum fills in what a template's processes use together.
func (w *watcher) sum(s *Stats, members []member) {
	first := len(w.slab)
	for _, m := range members {
		t, there := w.trees[m.pid]
		if !there {
			continue // it has just ended
		}
		t.root.ID, t.root.Slot = m.id, m.slot
		w.slab = append(w.slab, t.root)
		s.add(t, len(w.slab)-first == 1)
	}
	s.Processes = slices.Clip(w.slab[first:])
}

// add adds a process and its children to the sums.
func (s *Stats) add(t treeStats, first bool) {
	s.CPU += t.cpu
	s.RSS += t.rss
	s.Mem += t.mem
	if first {
		s.MinCPU, s.MinRSS, s.MinMem = t.cpu, t.rss, t.mem
	}
	s.MinCPU, s.MaxCPU = min(s.MinCPU, t.cpu), max(s.MaxCPU, t.cpu)
	s.MinRSS, s.MaxRSS = min(s.MinRSS, t.rss), max(s.MaxRSS, t.rss)
	s.MinMem, s.MaxMem = min(s.MinMem, t.mem), max(s.MaxMem, t.mem)
}
