package webhook

import (
	"math/rand/v2"
	"net/http"
	"strconv"
	"time"
)

// How long an event waits for its next attempt: a second after the first one,
// twice as long after each further one, with a fifth more or less.
const (
	firstDelay = time.Second
	maxDelay   = 15 * time.Minute
	jitter     = 0.2
	// maxRetryAfter is the longest pause that a receiver can ask for.
	maxRetryAfter = time.Hour
)

// delay is the pause after as many attempts.
func delay(attempts int) time.Duration {
	d := maxDelay
	if n := attempts - 1; n < 20 {
		d = min(firstDelay<<n, maxDelay)
	}
	return time.Duration(float64(d) * (1 + jitter*(2*rand.Float64()-1)))
}

// retryAfter reads the header of that name: seconds, or a time.
func retryAfter(text string, now time.Time) time.Duration {
	if n, err := strconv.ParseUint(text, 10, 31); err == nil {
		return min(time.Duration(n)*time.Second, maxRetryAfter)
	}
	at, err := http.ParseTime(text)
	if err != nil {
		return 0
	}
	return min(max(at.Sub(now), 0), maxRetryAfter)
}
