package gaffer

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/gafferpm/gaffer/internal/proc"
)

// memoryInterval is how often it is looked at what processes with a max_memory use.
const memoryInterval = 2 * time.Second

// guard looks at the memory of the templates that have a max_memory, on a goroutine
// that there is only while one of them runs.
//
// mu guards what is below it.
type guard struct {
	mu      sync.Mutex
	keepers []*keeper
	running bool

	read func(pids []int, each func(pid int, rss uint64)) error // of tests; nil: the system
}

// guard has the keeper's processes looked at while it has some, and a bound for them.
func (k *keeper) guard() {
	wanted := k.recipe.MaxMemory > 0 && k.live > 0
	if wanted == k.guarded {
		return
	}
	k.guarded = wanted
	g := &k.m.guard
	g.mu.Lock()
	defer g.mu.Unlock()
	if !wanted {
		g.keepers = slices.DeleteFunc(g.keepers, func(other *keeper) bool { return other == k })
		return
	}
	g.keepers = append(g.keepers, k)
	if !g.running {
		g.running = true
		go g.run(k.m)
	}
}

// next are the keepers to look at; without any the goroutine is to end.
func (g *guard) next() []*keeper {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.running = len(g.keepers) > 0
	return slices.Clone(g.keepers)
}

func (g *guard) run(m *Manager) {
	read, end := g.reader(m)
	defer end()
	ticker := time.NewTicker(memoryInterval)
	defer ticker.Stop()
	for {
		select {
		case <-ticker.C:
		case <-m.over:
			return
		}
		keepers := g.next()
		if len(keepers) == 0 {
			return
		}
		if err := weigh(keepers, read); err != nil {
			m.logger.Warn("what processes use can't be read, so max_memory is not kept to", "reason", err)
		}
	}
}

// reader is how memory is read, and what ends it.
func (g *guard) reader(m *Manager) (read func(pids []int, each func(pid int, rss uint64)) error, end func()) {
	if g.read != nil {
		return g.read, func() {}
	}
	sampler, err := proc.NewSampler()
	if err != nil {
		return func([]int, func(int, uint64)) error { return err }, func() {}
	}
	return func(pids []int, each func(pid int, rss uint64)) error {
		return sampler.Sample(pids, 0, func(u *proc.Usage) { each(u.PID, treeMemory(u)) })
	}, func() { _ = sampler.Close() }
}

// treeMemory is what a process and all that it has started use.
func treeMemory(u *proc.Usage) uint64 {
	sum := u.RSS
	for i := range u.Children {
		sum += treeMemory(&u.Children[i])
	}
	return sum
}

// weigh reads what the keepers' processes use, and tells them of those that use too much.
func weigh(keepers []*keeper, read func(pids []int, each func(pid int, rss uint64)) error) error {
	owners := map[int]*process{}
	var pids []int
	for _, k := range keepers {
		// Nothing ends the waiting, which a keeper keeps short.
		_ = k.box.do(context.Background(), func() {
			for _, s := range k.slots {
				for _, p := range s.processes() {
					if p.os != nil && !p.leaving() {
						owners[p.os.PID()] = p
						pids = append(pids, p.os.PID())
					}
				}
			}
		})
	}
	return read(pids, func(pid int, rss uint64) {
		p := owners[pid]
		if p != nil {
			p.k.box.hand(func() { p.k.weighed(p, rss) })
		}
	})
}

// weighed: that is what a process uses, with all that it has started.
func (k *keeper) weighed(p *process, rss uint64) {
	most := k.recipe.MaxMemory
	if most <= 0 || rss <= uint64(most) || p.leaving() || !k.has(p) {
		return
	}
	p.fault = tooLarge
	k.leave(p, KindReap, fmt.Sprintf("uses %s, more than max_memory %s", memoryText(rss), memoryText(uint64(most))))
}

// memoryText is an amount of memory, for people.
func memoryText(n uint64) string {
	const mib = 1 << 20
	if n%mib == 0 || n >= 100*mib {
		return fmt.Sprintf("%d MiB", (n+mib/2)/mib)
	}
	return fmt.Sprintf("%.1f MiB", float64(n)/mib)
}
