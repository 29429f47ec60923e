package api

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/gafferpm/gaffer"
)

// Audits are kept with the events, among which those of a caller who only gets
// refused must not take much room.
const (
	longestSubject = 128 // bytes
	longestMessage = 256 // bytes
	refusalsTold   = 10  // of one caller within refusalWindow
	refusalWindow  = time.Minute
	refusedKept    = 1024 // callers
)

// audit tells of a change that was asked for, and how it ended.
func (c *call) audit(err error) {
	if c.route.audit == "" || c.caller == nil || c.announced && err == nil {
		return
	}
	c.tell(c.outcome(err), err != nil && !c.begun(err))
}

// announce tells of a change that goes on, once, as soon as it is begun.
func (c *call) announce() {
	if !c.announced {
		c.announced = true
		c.tell("", false)
	}
}

func (c *call) tell(outcome string, refused bool) {
	if c.s.opts.Audit == nil {
		return
	}
	message := c.route.audit
	if c.note != "" {
		message += " " + c.note
	}
	message += outcome
	if refused {
		switch n := c.s.refused.add(c.caller.By); {
		case n == refusalsTold+1:
			message = "refused: too many requests to tell of each"
		case n > refusalsTold:
			return
		}
	}
	c.s.opts.Audit(c.caller.By, c.subject(), shorten(message, longestMessage))
}

// outcome is how a change ended, as an audit says it.
func (c *call) outcome(err error) string {
	switch {
	case err == nil && c.code == http.StatusAccepted, c.begun(err):
		return ": begun"
	case err == nil:
		return ""
	case c.announced, errors.Is(err, errInternal):
		return ": broken off: " + reason(err)
	}
	return ": refused: " + reason(err)
}

// begun says that an error is only that nobody waited long enough for what goes on.
func (c *call) begun(err error) bool {
	return err != nil && c.patience != nil && c.patience.Err() != nil &&
		onlyWaiting(err, context.Canceled, context.DeadlineExceeded)
}

// reason is what is wrong with a request. What is wrong with a value may quote it,
// and is left out: it may be secret.
func reason(err error) string {
	p := problemOf(err)
	if len(p.Errors) == 0 {
		return p.Detail
	}
	places := make([]string, len(p.Errors))
	for i, f := range p.Errors {
		places[i] = f.Location
	}
	return p.Code + ": " + strings.Join(places, ", ")
}

// subject is what the request is about, if that could be.
func (c *call) subject() string {
	subject := c.name
	for _, part := range []string{"target", "name", "id"} {
		if v := c.r.PathValue(part); v != "" {
			subject = v
			if part == "target" && gaffer.Target(v).Check() != nil {
				subject = ""
			}
			break
		}
	}
	return shorten(subject, longestSubject)
}

// shorten cuts a text after so many bytes, and not within a character.
func shorten(s string, most int) string {
	if len(s) > most {
		s = strings.ToValidUTF8(s[:most-len("…")], "") + "…"
	}
	return s
}

// refusals counts what callers were refused.
type refusals struct {
	mu     sync.Mutex // guards the rest
	recent map[string]*guesses
}

// add counts a refusal, and returns how many there were within the window.
func (r *refusals) add(by string) int {
	r.mu.Lock()
	defer r.mu.Unlock()
	now := time.Now()
	g := r.recent[by]
	if g == nil || now.Sub(g.since) >= refusalWindow {
		if r.recent == nil || len(r.recent) >= refusedKept {
			r.recent = map[string]*guesses{}
		}
		g = &guesses{since: now}
		r.recent[by] = g
	}
	g.n++
	return g.n
}

// announcing is a Controller for what goes on: it has it told before anything is
// written to a process, or read from it.
type announcing struct {
	gaffer.Controller
	c *call
}

func (a *announcing) Write(ctx context.Context, t gaffer.Target, label string, data []byte) error {
	a.c.announce()
	return a.Controller.Write(ctx, t, label, data)
}

func (a *announcing) Output(ctx context.Context, t gaffer.Target, how gaffer.OutputOptions) (gaffer.Stream[gaffer.Output], error) {
	a.c.announce()
	return a.Controller.Output(ctx, t, how)
}
