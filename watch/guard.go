package watch

import (
	"slices"
	"time"
)

// guard notices that what is done after a change brings the next one about: a service
// that writes files on which it depends. After some in a row, of the same files and each
// soon after what was done, what is done is held back for longer and longer.
type guard struct {
	last  time.Time       // when something was done
	files map[string]bool // that have changed each time
	row   int             // changes in a row
}

const (
	// loopWithin is how soon after what was done a change is one in a row.
	loopWithin = 10 * time.Second
	// loopCount is how many of them are a loop.
	loopCount = 5
	// firstLoopPause is how long the first one is held back, longestLoopPause the last.
	firstLoopPause   = time.Second
	longestLoopPause = time.Minute
	// mostSuspects bounds what is remembered of a change.
	mostSuspects = 1000
)

// changed takes in a change that was noticed then. It says for how long to hold back
// what is to be done, and whether that is new.
func (g *guard) changed(noticed time.Time, d *difference) (pause time.Duration, fresh bool) {
	now, common := map[string]bool{}, map[string]bool{}
	for _, list := range [][]string{d.changed, d.removed} {
		for _, path := range list[:min(len(list), mostSuspects)] {
			now[path] = true
			if g.files[path] {
				common[path] = true
			}
		}
	}
	if g.last.IsZero() || noticed.Sub(g.last) > loopWithin || len(common) == 0 {
		g.row, g.files = 0, now
		return 0, false
	}
	g.files = common
	g.row++
	if g.row < loopCount {
		return 0, false
	}
	return min(firstLoopPause<<min(g.row-loopCount, 10), longestLoopPause), g.row == loopCount
}

// acted: what was to be done after a change was done.
func (g *guard) acted(at time.Time) { g.last = at }

// suspects are the files that have changed each time.
func (g *guard) suspects() []string {
	var list []string
	for path := range g.files {
		list = append(list, path)
	}
	slices.Sort(list)
	return list
}
