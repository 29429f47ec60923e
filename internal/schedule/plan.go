package schedule

import "time"

// Reading is what two clocks show at the same moment.
type Reading struct {
	Wall    time.Time     // what anybody may set
	Elapsed time.Duration // since some moment; nobody sets it, and it stands while the system is suspended
}

// CatchUp says what becomes of runs that were missed.
type CatchUp int

// What becomes of them.
const (
	None CatchUp = iota // they are skipped
	One                 // one run makes up for all
	All                 // each is made up for, the latest Most of them
)

const (
	// Most is how many missed runs are made up for, or counted, at once.
	Most = 100
	// OnTime is how late a run may be that was not missed.
	OnTime = time.Minute
	// FarBack is how far a clock is set back by whoever corrects it. One that is set back
	// further has been wrong, and what was done by it counts no more.
	FarBack = 3 * time.Hour
)

// Rule says when runs are due.
type Rule struct {
	Cron    *Cron          // by the clock; or
	Every   time.Duration  // by time that passes
	Zone    *time.Location // of Cron
	CatchUp CatchUp
	Within  time.Duration                     // what was missed longer ago is not made up for; 0: whenever
	Delay   func(due time.Time) time.Duration // by how much that run is later; may be nil
}

// Run is a run that is due.
type Run struct {
	Due  time.Time
	Late bool // it was missed
}

// Skipped are runs that are not made.
type Skipped struct {
	Count int
	More  bool // there were more than that
	Last  time.Time
}

// Plan knows which run is next. A time is due once, whatever the clock does.
type Plan struct {
	rule  Rule
	delay time.Duration // of the next run

	last time.Time     // by the clock: everything up to here was due before
	due  time.Time     // by the clock: the next; zero if there is none
	high time.Time     // by the clock: what last was when it was set far back
	next time.Duration // by time that passes: when the next is due
}

// NewPlan makes a plan that begins now, or goes on after the last time that was due, if
// that is not zero.
func NewPlan(rule Rule, now Reading, after time.Time) *Plan {
	p := &Plan{rule: rule}
	if rule.Cron == nil {
		gone := time.Duration(0)
		if !after.IsZero() {
			gone = max(now.Wall.Sub(after), 0)
		}
		p.next = now.Elapsed + rule.Every - gone
		p.shake(now.Wall)
		return p
	}
	p.last = now.Wall
	if !after.IsZero() {
		p.last = after
	}
	p.seek()
	return p
}

// seek finds what is due after last.
func (p *Plan) seek() {
	p.due = p.rule.Cron.Next(p.last.In(p.rule.Zone))
	p.shake(p.due)
}

func (p *Plan) shake(due time.Time) {
	p.delay = 0
	if p.rule.Delay != nil && !due.IsZero() {
		p.delay = p.rule.Delay(due)
	}
}

// turn notices that the clock was set far back, or is right again after that.
func (p *Plan) turn(now time.Time) {
	switch {
	case now.Before(p.last.Add(-FarBack)):
		if p.last.After(p.high) {
			p.high = p.last
		}
		p.last = now
		p.seek()
	case !p.high.IsZero() && !now.Before(p.high):
		if p.last.Before(p.high) {
			p.last = p.high
			p.seek()
		}
		p.high = time.Time{}
	}
}

// Wait is how long it is until the next run, at least 0; ok is false if there is none.
func (p *Plan) Wait(now Reading) (wait time.Duration, ok bool) {
	if p.rule.Cron == nil {
		return max(p.next+p.delay-now.Elapsed, 0), true
	}
	p.turn(now.Wall)
	return max(p.due.Add(p.delay).Sub(now.Wall), 0), !p.due.IsZero()
}

// Next is when the next run is made, zero if there is none.
func (p *Plan) Next(now Reading) time.Time {
	wait, ok := p.Wait(now)
	switch {
	case !ok:
		return time.Time{}
	case p.rule.Cron == nil:
		return now.Wall.Add(wait)
	}
	return p.due.Add(p.delay)
}

// Due takes what is due by now, and what of it is skipped.
func (p *Plan) Due(now Reading) ([]Run, Skipped) {
	if wait, ok := p.Wait(now); !ok || wait > 0 {
		return nil, Skipped{}
	}
	times, more, onTime := p.take(now)
	runs := make([]Run, len(times))
	for i, t := range times {
		runs[i] = Run{Due: t, Late: true}
	}
	keep := 0 // of the latest
	switch p.rule.CatchUp {
	case One:
		keep = 1
	case All:
		keep = len(runs)
	}
	if p.rule.Within > 0 {
		for keep > 0 && runs[len(runs)-keep].Due.Before(now.Wall.Add(-p.rule.Within)) {
			keep--
		}
	}
	if onTime {
		runs[len(runs)-1].Late = false
		keep = max(keep, 1)
	}
	skipped := Skipped{Count: len(runs) - keep, More: more}
	if skipped.Count > 0 {
		skipped.Last = runs[skipped.Count-1].Due
	} else if more {
		skipped.Last = runs[0].Due.Add(-time.Second)
	}
	return runs[skipped.Count:], skipped
}

// take is what was due since the last one, the latest Most of it, in order. At least one
// is. onTime says that the latest is not late.
func (p *Plan) take(now Reading) (times []time.Time, more, onTime bool) {
	if p.rule.Cron == nil {
		times, more = p.steps(now)
	} else {
		times, more = p.latest(now.Wall)
	}
	last := len(times) - 1
	delay := p.delay
	if last > 0 { // only of the first is it known that its own delay is over
		p.shake(times[last])
		if now.Wall.Before(times[last].Add(p.delay)) {
			p.next, p.due = now.Elapsed+times[last].Sub(now.Wall), times[last]
			times = times[:last]
			p.last = times[last-1]
			return times, more, now.Wall.Sub(p.last.Add(delay)) < OnTime
		}
		delay = p.delay
	}
	p.last = times[last]
	if p.rule.Cron == nil {
		p.next = now.Elapsed + times[last].Sub(now.Wall) + p.rule.Every
		p.shake(times[last].Add(p.rule.Every))
	} else {
		p.seek()
	}
	return times, more, now.Wall.Sub(times[last].Add(delay)) < OnTime
}

// steps are the times that have passed since the next run was due by time that passes.
func (p *Plan) steps(now Reading) (times []time.Time, more bool) {
	late := now.Elapsed - p.next
	n := int64(late / p.rule.Every)
	for i := min(n, Most-1); i >= 0; i-- {
		times = append(times, now.Wall.Add(-late).Add(time.Duration(n-i)*p.rule.Every))
	}
	return times, n >= Most
}

// latest are the times after last up to now, the latest Most of them. It looks back from
// now, further and further: what was missed in a year is not counted minute by minute.
func (p *Plan) latest(now time.Time) (times []time.Time, more bool) {
	for span := time.Hour; ; span *= 2 {
		from := now.Add(-span)
		whole := span <= 0 || !from.After(p.last)
		if whole {
			from = p.last
		}
		times = times[:0]
		for t := p.rule.Cron.Next(from.In(p.rule.Zone)); !t.IsZero() && !t.After(now); t = p.rule.Cron.Next(t) {
			times = append(times, t)
		}
		if whole || len(times) >= Most {
			extra := max(len(times)-Most, 0)
			return times[extra:], !whole || extra > 0
		}
	}
}
