package forward

import (
	"maps"
	"strings"
	"sync"
	"time"

	"github.com/gafferpm/gaffer"
)

// place is how far a destination was sent the output of each stream.
type place struct {
	name  string
	store Places

	mu      sync.Mutex // guards the rest
	begin   time.Time  // streams that are not in cursors are sent from then on; zero: not begun
	cursors gaffer.Cursors
	changed map[string][]byte // since it was kept
}

// beginKey is the key, after the name, of when it began; the others are streams.
const beginKey = ""

// restore takes up what was kept. It says whether that could be read.
func (p *place) restore(stream string, value []byte) bool {
	if stream == beginKey {
		return p.begin.UnmarshalText(value) == nil
	}
	c, err := gaffer.ParseCursors(string(value))
	if err != nil {
		return false
	}
	p.cursors.Add(c)
	return true
}

// open is how to go on reading from there. The first time that is now.
func (p *place) open(now time.Time) gaffer.OutputOptions {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.begin.IsZero() {
		p.beginAt(now)
	}
	return gaffer.OutputOptions{Tail: -1, Since: p.begin, After: p.cursors.After(0), Gone: true}
}

// anew has streams that nothing was sent of begin now.
func (p *place) anew(now time.Time) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.beginAt(now)
}

func (p *place) beginAt(now time.Time) {
	p.begin = now
	text, _ := now.MarshalText() // years are in range
	p.set(beginKey, text)
}

func (p *place) set(stream string, value []byte) {
	if p.changed == nil {
		p.changed = map[string][]byte{}
	}
	p.changed[p.name+"/"+stream] = value
}

// sent notes lines that need not be sent again.
func (p *place) sent(lines []gaffer.Output) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for i := range lines {
		if stream, ok := p.cursors.Read(lines[i]); ok {
			p.set(stream, []byte(lines[i].Cursor))
		}
	}
}

func (p *place) dirty() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return len(p.changed) > 0
}

// keep keeps what has changed.
func (p *place) keep() error {
	p.mu.Lock()
	changes := p.changed
	p.changed = nil
	p.mu.Unlock()
	if len(changes) == 0 {
		return nil
	}
	err := p.store.Update(changes)
	if err != nil { // the next time, what was not noted anew meanwhile
		p.mu.Lock()
		maps.Copy(changes, p.changed)
		p.changed = changes
		p.mu.Unlock()
	}
	return err
}

// forget has nothing kept any more.
func (p *place) forget() error {
	gone := map[string][]byte{}
	err := p.store.Range(func(key string, _ []byte) error {
		if name, _, _ := strings.Cut(key, "/"); name == p.name {
			gone[key] = nil
		}
		return nil
	})
	if err == nil && len(gone) > 0 {
		err = p.store.Update(gone)
	}
	return err
}
