package watch

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"time"

	"github.com/gafferpm/gaffer"
)

// unit watches for one template, on a goroutine of its own, which has all its fields.
type unit struct {
	name  string
	watch *gaffer.Watch
	dir   string
	set   *set
	m     manager
	hub   *hub
	log   *slog.Logger

	listener *listener
	last     *scan
	polls    time.Duration // 0: the system tells
	guard    guard

	cancel context.CancelFunc
	done   chan struct{}
}

const (
	// pollAnyway is how often files are looked at when the system does not tell of them
	// although it was to.
	pollAnyway = 2 * time.Second
	// pollShare is how many times as long as a scan takes there is at least between two.
	pollShare = 20
	// mostDebounces bounds the waiting for files that never rest, and leastPatience too.
	mostDebounces = 20
	leastPatience = 5 * time.Second
	// mostRestartWait is how long it is waited for new processes before what changes next
	// is looked at.
	mostRestartWait = 5 * time.Second
	// mostLooks is how often in a row it is looked for what has come meanwhile.
	mostLooks = 20
)

func newUnit(a *App, m manager, t *gaffer.Template, dir string) *unit {
	s := newSet(t.Watch, dir)
	return &unit{
		name: t.Name, watch: t.Watch, dir: dir, set: s, m: m, hub: &a.hub, log: a.log.With("template", t.Name),
		listener: newListener(s), polls: time.Duration(t.Watch.Poll), done: make(chan struct{}),
	}
}

// Begin looks how everything is now, and begins to watch.
func (u *unit) Begin(ctx context.Context) {
	ctx, u.cancel = context.WithCancel(ctx)
	first, err := u.look()
	if err != nil {
		u.giveUp(err)
		close(u.done)
		return
	}
	u.last = first
	go func() {
		defer close(u.done)
		defer u.hub.leave(u.listener)
		if err := u.run(ctx); ctx.Err() == nil {
			u.giveUp(err)
		}
	}()
}

// End ends it, and waits for that.
func (u *unit) End() {
	u.cancel()
	<-u.done
}

func (u *unit) giveUp(err error) {
	u.hub.leave(u.listener)
	u.tell(fmt.Sprintf("its files are not watched any more: %v", err))
}

// tell tells of trouble.
func (u *unit) tell(what string) {
	u.log.Warn("watch: " + what)
	u.m.Audit(By, u.name, what)
}

// By is who the events say it was.
const By = "watch"

// look makes a scan, and has what it has found watched. It goes on until nothing has
// come in between.
func (u *unit) look() (*scan, error) {
	for n := 1; ; n++ {
		s, err := u.set.look()
		if err != nil || u.polls > 0 {
			return s, err
		}
		more, err := u.hub.follow(u.listener, s)
		if err != nil {
			why := shortage(err)
			if why == "" {
				why = err.Error()
			}
			u.hub.leave(u.listener)
			u.polls = pollAnyway
			u.tell(fmt.Sprintf("%s; they are looked at every %s instead", why, pollAnyway))
			return u.set.look()
		}
		if !more || n == mostLooks {
			return s, nil
		}
	}
}

// run returns why it has ended.
func (u *unit) run(ctx context.Context) error {
	for {
		if err := u.waitForHint(ctx); err != nil {
			return err
		}
		noticed := time.Now()
		next, err := u.settle(ctx)
		if err != nil {
			return err
		}
		d := u.last.until(next)
		u.last = next
		if d.none() {
			continue
		}
		if d, err = u.hold(ctx, noticed, d); err != nil {
			return err
		}
		u.act(ctx, d)
		u.guard.acted(time.Now())
	}
}

// waitForHint waits until it is time for a scan.
func (u *unit) waitForHint(ctx context.Context) error {
	if u.polls == 0 {
		select {
		case <-u.listener.hints:
			return nil
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return sleep(ctx, max(u.polls, pollShare*u.last.took))
}

func (u *unit) debounce() time.Duration {
	if u.watch.Debounce == nil {
		return gaffer.DefaultWatchDebounce
	}
	return time.Duration(*u.watch.Debounce)
}

// settle waits until nothing has changed for a while, and says how everything is then.
func (u *unit) settle(ctx context.Context) (*scan, error) {
	quiet := u.debounce()
	patience := time.Now().Add(max(leastPatience, mostDebounces*quiet))
	if u.polls > 0 {
		return u.settlePolled(ctx, quiet, patience)
	}
	for quiet > 0 {
		timer := time.NewTimer(quiet)
		select {
		case <-u.listener.hints:
			timer.Stop()
			if time.Now().Before(patience) {
				continue
			}
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return nil, ctx.Err()
		}
		break
	}
	return u.look()
}

func (u *unit) settlePolled(ctx context.Context, quiet time.Duration, patience time.Time) (*scan, error) {
	s, err := u.look()
	if err != nil {
		return nil, err
	}
	for d := u.last.until(s); !d.none() && quiet > 0 && time.Now().Before(patience); {
		if err := sleep(ctx, max(quiet, s.took)); err != nil {
			return nil, err
		}
		next, err := u.look()
		if err != nil {
			return nil, err
		}
		d, s = s.until(next), next
	}
	return s, nil
}

func sleep(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// hold holds back what looks like a loop. It returns what has changed by then.
func (u *unit) hold(ctx context.Context, noticed time.Time, d difference) (difference, error) {
	pause, fresh := u.guard.changed(noticed, &d)
	if pause == 0 {
		return d, nil
	}
	if fresh {
		suspects := u.guard.suspects()
		u.tell(fmt.Sprintf("%s %d times in a row because of %s, which it seems to write itself: ignore = %s in its watch table would end that; until then it is %s at most every %s, in the end every %s",
			u.did(), loopCount, few(u.set, suspects, len(suspects)), u.asIgnored(suspects), u.did(), pause, longestLoopPause))
	}
	if err := sleep(ctx, pause); err != nil {
		return d, err
	}
	next, err := u.look()
	if err != nil {
		return d, err
	}
	more := u.last.until(next)
	u.last = next
	d.add(&more)
	return d, nil
}

func (u *unit) did() string {
	if u.watch.Signal() != 0 {
		return "signalled"
	}
	return "restarted"
}

// asIgnored is a list of patterns that would ignore files.
func (u *unit) asIgnored(paths []string) string {
	var quoted []string
	for _, p := range smallest(paths, 3) {
		quoted = append(quoted, fmt.Sprintf("%q", u.set.show(p)))
	}
	return "[" + strings.Join(quoted, ", ") + "]"
}

// act does what is to be done after a change.
func (u *unit) act(ctx context.Context, d difference) {
	why := d.text(u.set)
	sig := u.watch.Signal()
	if sig == 0 {
		// What takes long to stop, or to become ready, must not keep a better version waiting.
		waiting, cancel := context.WithTimeout(ctx, mostRestartWait)
		defer cancel()
		if err := u.m.RestartFor(waiting, u.name, why); err != nil && !passing(err) && waiting.Err() == nil {
			u.log.Warn("watch: it could not be restarted", "reason", err, "because", why)
		}
		return
	}
	switch err := u.m.Signal(ctx, gaffer.Target(u.name), sig); {
	case err == nil:
		u.m.Audit(By, u.name, sig.String()+", "+why)
	case !passing(err) && ctx.Err() == nil:
		u.log.Warn("watch: it could not be signalled", "reason", err, "because", why)
	}
}

// passing says that an error is about a template that goes or does not run, which is
// no fault.
func passing(err error) bool {
	return errors.Is(err, gaffer.ErrNotFound) || errors.Is(err, gaffer.ErrConflict) || errors.Is(err, gaffer.ErrClosed)
}
