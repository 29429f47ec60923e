package gaffer

import (
	"cmp"
	"context"
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"
	"unicode"

	"github.com/gafferpm/gaffer/internal/proc"
)

// How it goes on with a process that runs: it becomes ready, and may turn out to be
// unhealthy. What is asked is asked beside the keeper, which is told.

// failing is why a process was told to stop, where that is a failure of its own.
type failing int8

const (
	faultless failing = iota
	overdue           // it ran for longer than max_runtime
	notReady          // it was not ready in time
	unhealthy         // its health probe failed, or it gave no sign of life
	tooLarge          // it used more than max_memory
)

// verdict of the health of a process.
type wellbeing int8

const (
	unknown wellbeing = iota
	healthy
	ill
)

// watch is what is known of a process beside that it runs. It belongs to its keeper.
type watch struct {
	ready   bool
	health  wellbeing
	exempts bool  // failures do not count yet
	fails   int32 // of health probes in a row
	passes  int32
	said    string             // by the latest probe that failed; once it has ended: why
	status  string             // what it says of itself
	cancel  context.CancelFunc // ends the probing; nil: there is none
	limit   *time.Timer        // for readiness, then for signs of life
	every   time.Duration      // between signs of life
	readyAt time.Time          // when it became ready, perhaps under an earlier manager; zero: it has not
}

// began: a process runs. It is ready when that is known.
func (k *keeper) began(p *process) {
	how := p.recipe.Ready
	if how == nil || p.readied {
		k.becameReady(p, "")
		return
	}
	left := how.timeout() - time.Since(p.os.Started())
	p.limit = time.AfterFunc(max(left, 0), func() { k.box.hand(func() { k.tooLate(p) }) })
	ctx, cancel := context.WithCancel(context.Background())
	p.cancel = cancel
	switch {
	case how.Output != "":
		go k.awaitLine(ctx, p, how.Output)
	case len(how.probes().names()) > 0:
		go k.askUntilReady(ctx, p, how)
	}
}

// askUntilReady probes until a probe succeeds.
func (k *keeper) askUntilReady(ctx context.Context, p *process, how *Ready) {
	most := DefaultReadyInterval
	if how.Interval != 0 {
		most = time.Duration(how.Interval)
	}
	said := ""
	for pause := firstReadyPause; ; pause = min(pause*readyPauseFactor, most) {
		probing, cancel := context.WithTimeout(ctx, mostReadyProbe)
		err := p.probe(probing, how.probes())
		cancel()
		switch {
		case ctx.Err() != nil:
			return
		case err == nil:
			k.box.hand(func() { k.becameReady(p, how.probes().String()) })
			return
		case saysOf(how.probes(), err) != said:
			said = saysOf(how.probes(), err)
			text := said
			k.box.hand(func() { p.said = text })
		}
		timer := time.NewTimer(min(pause, most))
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return
		}
	}
}

// awaitLine waits until the process writes a line that matches.
func (k *keeper) awaitLine(ctx context.Context, p *process, pattern string) {
	lines, err := k.m.Output(ctx, Target(strconv.FormatUint(p.id, 10)), OutputOptions{Grep: pattern, Tail: -1})
	if err != nil {
		if ctx.Err() == nil {
			k.box.hand(func() { p.said = brief(err.Error()) })
		}
		return
	}
	defer lines.Close()
	for {
		line, err := lines.Next(ctx)
		if _, missed := err.(Missed); missed {
			continue
		}
		if err != nil {
			return
		}
		k.box.hand(func() { k.becameReady(p, "wrote: "+brief(string(line.Data))) })
		return
	}
}

// saysOf is what a probe said that has failed. A command's exit status is nobody else's.
func saysOf(how probes, err error) string {
	if how.exec != "" {
		return brief(how.exec + ": " + err.Error())
	}
	return brief(err.Error())
}

// brief is a text that was said, as it can be shown in a line.
func brief(text string) string {
	text = strings.Map(func(r rune) rune {
		if unicode.IsControl(r) || r == unicode.ReplacementChar {
			return ' '
		}
		return r
	}, strings.ToValidUTF8(text, " "))
	text = strings.TrimSpace(text)
	if len(text) > mostSaid {
		text = strings.ToValidUTF8(text[:mostSaid], "") + "…"
	}
	return text
}

// becameReady: the process is ready. how says by what that is known, "" if it is since it
// runs.
func (k *keeper) becameReady(p *process, how string) {
	if p.ready || p.state != Running || !k.has(p) {
		return
	}
	p.unwatch()
	p.ready, p.said = true, ""
	p.readyAt = cmp.Or(p.readyAt, p.os.Started())
	s := k.slots[p.slot-1]
	if how != "" {
		p.readyAt = time.Now()
		p.since = p.readyAt
		k.publishOf(p, KindReady, how)
	}
	if r := k.restarting; s.old != nil && s.current == p && (r == nil || r.roll == nil) {
		k.relieve(s, p)
	}
	k.attend(p)
}

// relieve tells the old process of a slot to stop, whose new one is ready, when it has had
// the time to drain that a rollout would give it.
func (k *keeper) relieve(s *slot, p *process) {
	old, drain := s.old, time.Duration(0)
	if rollout := k.recipe.Rollout; rollout != nil && k.restarting == nil {
		drain = time.Duration(rollout.Drain)
	}
	if drain == 0 {
		k.leave(old, KindReap, "restarted")
		return
	}
	time.AfterFunc(drain, func() {
		k.box.hand(func() {
			if s.old == old && s.current == p && p.runs() && k.restarting == nil {
				k.leave(old, KindReap, "restarted")
			}
		})
	})
}

// tooLate: the process had its time to become ready.
func (k *keeper) tooLate(p *process) {
	if p.ready || p.leaving() || p.state != Running || !k.has(p) {
		return
	}
	why := "not ready within " + p.recipe.Ready.timeout().String()
	message := why
	if p.said != "" {
		message += ": " + p.said
	}
	k.publishOf(p, KindUnready, message)
	p.fault, p.said = notReady, message
	k.leave(p, KindStopPID, why)
}

// attend begins to look after the health of a process that is ready.
func (k *keeper) attend(p *process) {
	h := p.recipe.Health
	p.every = 0
	if h == nil || p.state != Running {
		return
	}
	rule := h.rule()
	p.exempts = rule.StartPeriod > 0
	if rule.Watchdog != 0 {
		p.every = time.Duration(rule.Watchdog)
		p.limit = time.AfterFunc(p.every+time.Duration(rule.StartPeriod), func() { k.box.hand(func() { k.silent(p) }) })
		return
	}
	ctx, cancel := context.WithCancel(context.Background())
	p.cancel = cancel
	p.limit = time.AfterFunc(time.Duration(rule.Interval), func() { k.probeHealth(ctx, p, rule) })
}

// probeHealth probes once. It runs beside the keeper.
func (k *keeper) probeHealth(ctx context.Context, p *process, rule Health) {
	probing, cancel := context.WithTimeout(ctx, time.Duration(rule.Timeout))
	err := p.probe(probing, rule.probes())
	cancel()
	if ctx.Err() != nil {
		return
	}
	k.box.hand(func() {
		if ctx.Err() == nil {
			k.probed(p, rule, err)
		}
	})
}

// probed: a health probe has an answer.
func (k *keeper) probed(p *process, rule Health, err error) {
	if p.leaving() || !k.has(p) {
		return
	}
	p.limit.Reset(time.Duration(rule.Interval))
	if err == nil {
		p.fails, p.exempts = 0, false
		if p.passes++; p.health != healthy && int(p.passes) >= rule.Successes {
			k.becameHealthy(p, rule.probes().String())
		}
		return
	}
	p.passes, p.said = 0, saysOf(rule.probes(), err)
	if p.exempts && time.Since(p.readyAt) < time.Duration(rule.StartPeriod) {
		return
	}
	p.exempts = false
	if p.fails++; int(p.fails) >= rule.Failures {
		k.becameIll(p, fmt.Sprintf("%s failed: %s", plural(int(p.fails), "probe", "probes in a row"), p.said))
	}
}

func (k *keeper) becameHealthy(p *process, how string) {
	p.health, p.said = healthy, ""
	k.publishOf(p, KindHealthy, how)
}

// becameIll: the process does not do well.
func (k *keeper) becameIll(p *process, why string) {
	if p.health != ill {
		p.health = ill
		k.publishOf(p, KindUnhealthy, why)
	}
	if p.recipe.Health.rule().Action == HealthRestart {
		p.fault = unhealthy
		k.leave(p, KindReap, "unhealthy")
	}
}

// silent: the process gave no sign of life in time.
func (k *keeper) silent(p *process) {
	if p.leaving() || !k.has(p) || p.recipe.Health == nil || p.recipe.Health.Watchdog == 0 {
		return
	}
	k.becameIll(p, "no sign of life for "+p.every.String())
}

// unwatch ends the probing of a process.
func (w *watch) unwatch() {
	if w.cancel != nil {
		w.cancel()
		w.cancel = nil
	}
	if w.limit != nil {
		w.limit.Stop()
		w.limit = nil
	}
}

// rewatch goes on with what a new template says of readiness and health.
func (k *keeper) rewatch() {
	for _, s := range k.slots {
		for _, p := range s.processes() {
			if p.os == nil || p.leaving() {
				continue
			}
			p.unwatch()
			p.fails, p.passes = 0, 0
			next := *p.recipe
			next.Ready, next.Health = k.recipe.Ready, k.recipe.Health
			p.recipe = &next
			if !p.ready {
				k.began(p)
				continue
			}
			if next.Health == nil {
				p.health = unknown
			}
			k.attend(p)
		}
	}
}

// Notified implements proc.Notified: the process tells of itself. Who else may do so is
// its own user, and this program's.
func (p *process) Notified(m proc.Message) {
	if !p.recipe.mayNotify(m.UID) {
		m.Close()
		return
	}
	vars := map[string]string{}
	for line := range strings.SplitSeq(string(m.Text), "\n") {
		if name, value, found := strings.Cut(line, "="); found {
			vars[name] = value
		}
	}
	p.k.box.hand(func() { p.k.notified(p, vars, m.Files) })
}

// notified: the process has told of itself.
func (k *keeper) notified(p *process, vars map[string]string, files []*os.File) {
	if !k.has(p) || p.os == nil {
		for _, f := range files {
			_ = f.Close()
		}
		return
	}
	s := k.slots[p.slot-1]
	s.keepFiles(files, vars, k.recipe.FDStore)
	k.storing = k.storing || len(s.stored) > 0
	if text, ok := vars["STATUS"]; ok {
		p.status = brief(text)
	}
	if n, err := strconv.ParseUint(vars["WATCHDOG_USEC"], 10, 40); err == nil && n > 0 && p.every > 0 {
		p.every = max(time.Duration(n)*time.Microsecond, leastWatchdog)
		k.signOfLife(p)
	}
	if n, err := strconv.ParseUint(vars["EXTEND_TIMEOUT_USEC"], 10, 40); err == nil && n > 0 {
		k.extend(p, time.Duration(n)*time.Microsecond)
	}
	switch vars["WATCHDOG"] {
	case "1":
		k.signOfLife(p)
	case "trigger":
		if p.every > 0 && !p.leaving() && p.recipe.Health != nil {
			k.becameIll(p, "it says so itself")
		}
	}
	if vars["READY"] == "1" && p.recipe.Ready != nil && p.recipe.Ready.Notify {
		how := "READY=1"
		if p.status != "" {
			how += ": " + p.status
		}
		k.becameReady(p, how)
	}
	if vars["STOPPING"] == "1" && p.ready && !p.leaving() {
		p.ready = false
		p.unwatch()
		k.publishOf(p, KindUnready, "it says that it is stopping")
		p.limit = time.AfterFunc(k.recipe.grace(), func() {
			k.box.hand(func() {
				if k.has(p) && !p.ready {
					k.leave(p, KindStopPID, "it said that it is stopping, and does not end")
				}
			})
		})
	}
}

// signOfLife: the process lives.
func (k *keeper) signOfLife(p *process) {
	if p.every == 0 || p.limit == nil || p.leaving() {
		return
	}
	p.limit.Reset(p.every)
	if p.health != healthy {
		k.becameHealthy(p, "WATCHDOG=1")
	}
}

// extend gives a process more time, from now on, for what it is just doing.
func (k *keeper) extend(p *process, by time.Duration) {
	switch {
	case p.state == Stopping && p.patience != nil:
		p.patience.Reset(by)
	case p.state == Running && !p.ready && p.limit != nil:
		p.limit.Reset(by)
	}
}

// mayNotify says whether a user may tell of the recipe's processes.
func (r *recipe) mayNotify(uid uint32) bool {
	return uid == 0 || int64(uid) == int64(r.env.uid) || r.cred() != nil && r.cred().UID == uid
}

// saidReady: the process has written to the descriptor by which it says that it is ready.
func (p *process) saidReady(data []byte) {
	if strings.ContainsRune(string(data), '\n') {
		p.k.box.hand(func() { p.k.becameReady(p, fmt.Sprintf("newline on descriptor %d", p.recipe.Ready.FD)) })
	}
}

// shown is the state of the process as others see it.
func (p *process) shown() State {
	switch {
	case p.state != Running:
		return p.state
	case !p.ready:
		return Starting
	case p.health == ill:
		return Unhealthy
	}
	return Running
}

// whyFailed is why a process has failed, in words.
func (p *process) whyFailed(exit *Exit) string {
	if p.fault == notReady && p.said != "" {
		return p.said
	}
	return exit.Reason
}
