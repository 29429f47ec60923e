package gaffer

import (
	"math/rand/v2"
	"time"

	"github.com/gafferpm/gaffer/internal/schedule"
)

// Schedule says when the processes of a template are run, instead of all the time: by a
// cron expression or every so often. A run fills all slots once, and is over when all of
// them are empty again.
type Schedule struct {
	// Cron is an expression of five fields (minute, hour, day of the month, month, day of
	// the week), or @hourly, @daily, @weekly, @monthly or @yearly. Either it or Every.
	Cron string `json:"cron,omitempty" toml:"cron,omitempty"`
	// Every is the time between runs, whatever the clock says; the first one comes after
	// that time, too. At least 1s.
	Every Duration `json:"every,omitempty" toml:"every,omitempty"`
	// Timezone is where Cron's clock hangs: "Europe/Paris", "UTC". Default: the manager's.
	Timezone string `json:"timezone,omitempty" toml:"timezone,omitempty"`
	// Overlap says what happens to a run that is due while the one before is under way.
	// Default skip.
	Overlap OverlapPolicy `json:"overlap,omitempty" toml:"overlap,omitempty"`
	// CatchUp says which of the runs are made up for that were missed: because the manager
	// did not run, the system was suspended, or the clock was set forward. Default one.
	CatchUp CatchUpPolicy `json:"catch_up,omitempty" toml:"catch_up,omitempty"`
	// CatchUpWithin is how long ago a run may have been due that is made up for. Default:
	// whenever.
	CatchUpWithin Duration `json:"catch_up_within,omitempty" toml:"catch_up_within,omitempty"`
	// Jitter is by how much a run may be late, at random, so that many do not begin at the
	// same moment. Default 0.
	Jitter Duration `json:"jitter,omitempty" toml:"jitter,omitempty"`
	// Retries is how often a process is tried again in a run, if it fails. Default 0.
	Retries int `json:"retries,omitempty" toml:"retries,omitempty"`
	// RetryDelay is the time before the first retry, doubled for each that follows, up to
	// an hour. Default 10s.
	RetryDelay *Duration `json:"retry_delay,omitempty" toml:"retry_delay,omitempty"`
}

// OverlapPolicy says what happens to a run that is due while the one before is under way.
type OverlapPolicy string

// The overlap policies.
const (
	OverlapSkip    OverlapPolicy = "skip"    // it is not made
	OverlapQueue   OverlapPolicy = "queue"   // it begins when the other is over; of several, only the latest
	OverlapReplace OverlapPolicy = "replace" // the other is stopped for it
)

// CatchUpPolicy says which of the runs that were missed are made up for.
type CatchUpPolicy string

// The catch-up policies.
const (
	CatchUpNone CatchUpPolicy = "none"
	CatchUpOne  CatchUpPolicy = "one" // one run for all
	CatchUpAll  CatchUpPolicy = "all" // each, one after the other; at most the latest 100
)

// DefaultRetryDelay is the time before the first retry of a scheduled process.
const DefaultRetryDelay = 10 * time.Second

const (
	mostRetryDelay = time.Hour
	mostRetries    = 100
)

func (t *Template) validateSchedule(f *faults) {
	s := t.Schedule
	if s == nil {
		return
	}
	switch {
	case s.Cron == "" && s.Every == 0:
		f.add("schedule", "want cron, as \"0 3 * * *\", or every, as \"15m\"")
	case s.Cron != "" && s.Every != 0:
		f.add("schedule.every", "cron and every exclude each other")
	case s.Every != 0 && time.Duration(s.Every) < time.Second:
		f.add("schedule.every", "%s: want at least 1s", s.Every)
	case s.Every != 0 && s.Timezone != "":
		f.add("schedule.timezone", "with every nothing depends on it")
	}
	if s.Cron != "" {
		if _, err := schedule.Parse(s.Cron); err != nil {
			f.add("schedule.cron", "%q: %v", s.Cron, err)
		}
	}
	if _, err := s.zone(); err != nil {
		f.add("schedule.timezone", "%v", err)
	}
	switch s.Overlap {
	case "", OverlapSkip, OverlapQueue, OverlapReplace:
	default:
		f.add("schedule.overlap", "%q: want skip, queue or replace", string(s.Overlap))
	}
	switch s.CatchUp {
	case "", CatchUpNone, CatchUpOne, CatchUpAll:
	default:
		f.add("schedule.catch_up", "%q: want none, one or all", string(s.CatchUp))
	}
	s.validateTimes(f)
	if t.Restart != "" {
		f.add("restart", "with a schedule processes run when they are due, and schedule.retries says what happens if they fail: leave out restart")
	}
	if t.Backoff != nil || t.Flapping != nil {
		f.add("schedule", "schedule.retries and schedule.retry_delay say what happens if a process fails: leave out backoff and flapping")
	}
	if t.Detach {
		f.add("detach", "a detached program is not watched: leave out schedule")
	}
	if t.OnDemand {
		f.add("on_demand", "with a schedule processes run when they are due: leave out on_demand")
	}
	if t.Rollout != nil {
		f.add("rollout", "an update leaves the run that is under way as it is: leave out rollout")
	}
}

func (s *Schedule) validateTimes(f *faults) {
	for field, d := range map[string]Duration{"every": s.Every, "catch_up_within": s.CatchUpWithin, "jitter": s.Jitter} {
		if d < 0 {
			f.add("schedule."+field, "%s: must not be negative", d)
		}
	}
	if s.CatchUpWithin > 0 && s.CatchUp == CatchUpNone {
		f.add("schedule.catch_up_within", "with catch_up = none nothing depends on it")
	}
	if s.Every > 0 && s.Jitter >= s.Every {
		f.add("schedule.jitter", "%s: want less than every, %s", s.Jitter, s.Every)
	}
	if s.Retries < 0 || s.Retries > mostRetries {
		f.add("schedule.retries", "%d: want 0 to %d", s.Retries, mostRetries)
	}
	if s.RetryDelay != nil && *s.RetryDelay < 0 {
		f.add("schedule.retry_delay", "%s: must not be negative", *s.RetryDelay)
	}
}

// zone is where the clock hangs.
func (s *Schedule) zone() (*time.Location, error) {
	if s.Timezone == "" {
		return time.Local, nil
	}
	loc, err := time.LoadLocation(s.Timezone)
	if err != nil {
		return time.Local, invalidf("%q: unknown; want a name such as Europe/Paris or UTC", s.Timezone)
	}
	return loc, nil
}

// clone is a copy that shares nothing with s.
func (s *Schedule) clone() *Schedule {
	if s == nil {
		return nil
	}
	c := *s
	if s.RetryDelay != nil {
		c.RetryDelay = new(*s.RetryDelay)
	}
	return &c
}

// rule is when runs are due, of a schedule that is valid.
func (s *Schedule) rule() schedule.Rule {
	rule := schedule.Rule{Every: time.Duration(s.Every), CatchUp: schedule.One, Within: time.Duration(s.CatchUpWithin)}
	rule.Zone, _ = s.zone() // that it is known was checked
	if s.Cron != "" {
		rule.Cron, _ = schedule.Parse(s.Cron) // and that this can be read
	}
	switch s.CatchUp {
	case CatchUpNone:
		rule.CatchUp = schedule.None
	case CatchUpAll:
		rule.CatchUp = schedule.All
	}
	if s.Jitter > 0 {
		rule.Delay = func(time.Time) time.Duration { return rand.N(time.Duration(s.Jitter)) }
	}
	return rule
}

// retryDelay is the time before the nth retry.
func (s *Schedule) retryDelay(n int) time.Duration {
	delay := DefaultRetryDelay
	if s.RetryDelay != nil {
		delay = time.Duration(*s.RetryDelay)
	}
	most := max(delay, mostRetryDelay)
	for ; n > 1 && delay < most; n-- {
		delay *= 2
	}
	return min(delay, most)
}
