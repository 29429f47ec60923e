package gaffer

import (
	"math"
	"math/rand/v2"
	"time"
)

// flapping counts a template's crashes and tells when they are too many. It is a
// plain value: it has no clock and starts nothing.
type flapping struct {
	crashes []time.Time // the latest ones, at most attempts of them
	pauses  int         // in a row, with nothing in between that ran for longer than the window
}

// verdict is what is to be done about a crash.
type verdict int

const (
	replace verdict = iota // fill the slot again
	pause                  // replace nothing for a while
	giveUp                 // stop the template and leave it failed
)

// crashed counts a crash. recovered says that something which was started after
// the last pause has run for longer than the window.
func (f *flapping) crashed(at time.Time, rule flappingRule, recovered bool) verdict {
	if recovered {
		f.pauses = 0
	}
	f.crashes = append(f.crashes, at)
	if extra := len(f.crashes) - rule.attempts; extra > 0 {
		f.crashes = append(f.crashes[:0], f.crashes[extra:]...)
	}
	if len(f.crashes) < rule.attempts || at.Sub(f.crashes[0]) > rule.window {
		return replace
	}
	f.crashes = f.crashes[:0]
	if rule.maxRetry >= 0 && f.pauses >= rule.maxRetry {
		return giveUp
	}
	f.pauses++
	return pause
}

// flappingRule is a Flapping with its defaults filled in.
type flappingRule struct {
	attempts int
	window   time.Duration
	retryIn  time.Duration
	maxRetry int
}

func (f *Flapping) rule() flappingRule {
	r := flappingRule{f.Attempts, time.Duration(f.Window), DefaultFlappingRetryIn, DefaultFlappingMaxRetry}
	if r.attempts == 0 {
		r.attempts = DefaultFlappingAttempts
	}
	if r.window == 0 {
		r.window = DefaultFlappingWindow
	}
	if f.RetryIn != nil {
		r.retryIn = time.Duration(*f.RetryIn)
	}
	if f.MaxRetry != nil {
		r.maxRetry = *f.MaxRetry
	}
	return r
}

// backoffRule is a Backoff with its defaults filled in. first is 0 when it is off.
type backoffRule struct {
	first, max, resetAfter time.Duration
	factor, jitter         float64
}

func (b *Backoff) rule() backoffRule {
	r := backoffRule{DefaultBackoffFirst, DefaultBackoffMax, DefaultBackoffResetAfter, DefaultBackoffFactor, DefaultBackoffJitter}
	if b == nil {
		return r
	}
	if b.First != nil {
		r.first = time.Duration(*b.First)
	}
	if b.Max != nil {
		r.max = time.Duration(*b.Max)
	}
	if b.ResetAfter != nil {
		r.resetAfter = time.Duration(*b.ResetAfter)
	}
	if b.Factor != 0 {
		r.factor = b.Factor
	}
	if b.Jitter != nil {
		r.jitter = *b.Jitter
	}
	return r
}

// step is the n-th delay, from 0, before jitter: first, first×factor, … max.
func (r backoffRule) step(n int) time.Duration {
	d := float64(r.first) * math.Pow(r.factor, float64(n))
	return time.Duration(min(d, float64(r.max)))
}

// delay is how long to wait before the replacement after that many crashes in a
// row: the first one is replaced at once.
func (r backoffRule) delay(crashes int) time.Duration {
	if r.first == 0 || crashes < 2 {
		return 0
	}
	return r.shake(r.step(crashes - 2))
}

// shake moves a delay by up to the jitter, either way.
func (r backoffRule) shake(d time.Duration) time.Duration {
	return time.Duration(float64(d) * (1 + r.jitter*(2*rand.Float64()-1)))
}

// shortest is the least time in which one slot can crash n times.
func (r backoffRule) shortest(n int) time.Duration {
	var sum time.Duration
	for i := range n - 2 {
		step := r.step(i)
		sum += time.Duration(float64(step) * (1 - r.jitter))
		if step >= r.max || sum < 0 {
			return sum + time.Duration(float64(n-2-i-1))*r.max
		}
	}
	return sum
}
