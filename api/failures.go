package api

import (
	"context"
	"net/netip"
	"sync"
	"time"
)

// failures counts wrong keys by where they come from. A key has 256 random bits:
// the limit keeps guessers from taking time that others need, not from guessing.
type failures struct {
	mu     sync.Mutex // guards the rest
	recent map[netip.Prefix]*guesses
}

type guesses struct {
	n     int
	since time.Time
}

const (
	guessesAtOnce = 10 // wrong keys within guessWindow
	guessWindow   = time.Minute
	guessDelay    = 100 * time.Millisecond
	guessersKept  = 4096
)

// add counts a wrong key, and returns how many seconds to stay away for: 0 as long
// as there were few.
func (f *failures) add(remote string) int {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.recent == nil {
		f.recent = map[netip.Prefix]*guesses{}
	}
	now := time.Now()
	at := network(remote)
	g := f.recent[at]
	if g == nil || now.Sub(g.since) >= guessWindow {
		f.forget(now)
		g = &guesses{since: now}
		f.recent[at] = g
	}
	g.n++
	if g.n <= guessesAtOnce {
		return 0
	}
	return int((guessWindow-now.Sub(g.since))/time.Second) + 1
}

// forget makes room: the ones whose time is over, and all when they are too many.
func (f *failures) forget(now time.Time) {
	if len(f.recent) < guessersKept {
		return
	}
	for at, g := range f.recent {
		if now.Sub(g.since) >= guessWindow {
			delete(f.recent, at)
		}
	}
	if len(f.recent) >= guessersKept {
		clear(f.recent)
	}
}

// delay waits for a moment, or until the caller is gone.
func (*failures) delay(ctx context.Context) {
	t := time.NewTimer(guessDelay)
	defer t.Stop()
	select {
	case <-t.C:
	case <-ctx.Done():
	}
}

// network is an address, or of IPv6 what one household has. What is no address is
// the network of nothing.
func network(remote string) netip.Prefix {
	a, err := netip.ParseAddr(remote)
	if err != nil {
		return netip.Prefix{}
	}
	a = a.Unmap().WithZone("")
	bits := 64
	if a.Is4() {
		bits = 32
	}
	p, _ := a.Prefix(bits) // these many bits are there
	return p
}
