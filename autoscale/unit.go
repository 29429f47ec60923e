package autoscale

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/gafferpm/gaffer"
)

// unit scales one template, on a goroutine of its own.
type unit struct {
	name  string
	scale *gaffer.Autoscale
	dir   string // where the file is looked for
	m     manager
	log   *slog.Logger

	failing bool // what is looked at can't be, which was said

	mu      sync.Mutex // guards the rest
	count   int        // the wanted number
	changed time.Time  // when that changed

	cancel context.CancelFunc
	done   chan struct{}
}

func newUnit(log *slog.Logger, m manager, t *gaffer.Template, dir string) *unit {
	return &unit{name: t.Name, scale: t.Scale, dir: dir, m: m, log: log.With("template", t.Name), done: make(chan struct{}), count: -1}
}

// sees notes the wanted number. Whoever has changed it, the cooldown begins.
func (u *unit) sees(count int, at time.Time) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if count != u.count {
		u.count, u.changed = count, at
	}
}

func (u *unit) cool(now time.Time) bool {
	u.mu.Lock()
	defer u.mu.Unlock()
	return now.Sub(u.changed) >= u.cooldown()
}

func (u *unit) cooldown() time.Duration {
	if u.scale.Cooldown == nil {
		return gaffer.DefaultScaleCooldown
	}
	return time.Duration(*u.scale.Cooldown)
}

func (u *unit) interval() time.Duration {
	if u.scale.Interval == 0 {
		return gaffer.DefaultScaleInterval
	}
	return time.Duration(u.scale.Interval)
}

// Begin begins to scale.
func (u *unit) Begin(ctx context.Context) {
	ctx, u.cancel = context.WithCancel(ctx)
	go func() {
		defer close(u.done)
		run := u.askNow
		if u.scale.CPU > 0 {
			run = u.followCPU
		}
		if err := run(ctx); err != nil && ctx.Err() == nil {
			u.log.Warn("it is not scaled any more", "reason", err)
		}
	}()
}

// End ends it, and waits for that.
func (u *unit) End() {
	u.cancel()
	<-u.done
}

// reading is how much there is to do.
type reading struct {
	load float64 // for so many processes
	text string  // "cpu 91 % of 70 %"
}

// followCPU scales with what the processes use, as it is read every interval.
func (u *unit) followCPU(ctx context.Context) error {
	monitor, err := u.m.Monitor(ctx, gaffer.Target(u.name), u.interval())
	if err != nil {
		return err
	}
	defer monitor.Close()
	first := true // it is the average since the start of each, which is long ago
	for {
		stats, err := monitor.Next(ctx)
		var missed gaffer.Missed
		switch {
		case errors.As(err, &missed):
			continue
		case errors.Is(err, io.EOF):
			return nil
		case err != nil:
			return err
		case first:
			first = false
			continue
		}
		u.considerCPU(ctx, stats)
	}
}

func (u *unit) considerCPU(ctx context.Context, stats []gaffer.Stats) {
	cpu, of := 0.0, 0 // of nothing, if nothing is read
	for i := range stats {
		if s := &stats[i]; s.Name == u.name {
			cpu, of = s.CPU, len(s.Processes)
		}
	}
	average := cpu / float64(max(of, 1))
	u.consider(ctx, reading{cpu / u.scale.CPU, fmt.Sprintf("cpu %.0f %% of %g %%", average, u.scale.CPU)}, of)
}

// askNow scales with a number that a file has or a command prints.
func (u *unit) askNow(ctx context.Context) error {
	ticker := time.NewTicker(u.interval())
	defer ticker.Stop()
	for {
		select {
		case <-ticker.C:
		case <-ctx.Done():
			return nil
		}
		if !u.cool(time.Now()) {
			continue // nothing would be done
		}
		what, n, err := u.number(ctx)
		if ctx.Err() != nil {
			return nil
		}
		if err != nil {
			u.fails(what, err)
			continue
		}
		u.works(what)
		u.consider(ctx, reading{n / u.scale.Target, fmt.Sprintf("%s %g, %g for each", what, n, u.scale.Target)}, -1)
	}
}

// fails tells, once, that there is nothing to go by.
func (u *unit) fails(what string, err error) {
	if u.failing {
		return
	}
	u.failing = true
	said := fmt.Sprintf("%s: %v; it is not scaled until that works", what, err)
	u.log.Warn(said)
	u.m.Audit(By, u.name, said)
}

func (u *unit) works(what string) {
	if u.failing {
		u.failing = false
		u.m.Audit(By, u.name, what+" works again")
	}
}

// number is what the file or the command says.
func (u *unit) number(ctx context.Context) (what string, n float64, err error) {
	var text string
	if u.scale.RPSFile != "" {
		what = filepath.Base(u.scale.RPSFile)
		path := u.scale.RPSFile
		if !filepath.IsAbs(path) {
			path = filepath.Join(u.dir, path)
		}
		text, err = readSmall(path)
	} else {
		what = "queue"
		timeout := time.Duration(u.scale.Timeout)
		if timeout == 0 {
			timeout = gaffer.DefaultScaleTimeout
		}
		limited, cancel := context.WithTimeout(ctx, timeout)
		defer cancel()
		text, err = u.m.Ask(limited, u.name, u.scale.Queue)
		if errors.Is(err, context.DeadlineExceeded) {
			err = fmt.Errorf("it took longer than %s and was killed", timeout)
		}
	}
	if err != nil {
		return what, 0, err
	}
	n, err = parse(text)
	return what, n, err
}

// readSmall reads the beginning of a file, which is not one to wait for.
func readSmall(path string) (string, error) {
	info, err := os.Stat(path)
	if err != nil {
		return "", err
	}
	if !info.Mode().IsRegular() {
		return "", fmt.Errorf("%s is no regular file", path)
	}
	f, err := os.Open(path)
	if err != nil {
		return "", err
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, 256))
	return string(bytes.TrimSpace(b)), err
}

// parse reads a number from 0 that is alone in a text.
func parse(text string) (float64, error) {
	text = strings.TrimSpace(text)
	n, err := strconv.ParseFloat(text, 64)
	if err != nil || !(n >= 0) || math.IsInf(n, 0) {
		if len(text) > 40 {
			text = text[:40] + "…"
		}
		return 0, fmt.Errorf("%q is no number from 0", text)
	}
	return n, nil
}

// consider changes the number if it is time to, by a reading of so many processes; -1:
// it is not about those that run.
func (u *unit) consider(ctx context.Context, r reading, of int) {
	now := time.Now()
	if !u.cool(now) {
		return
	}
	infos, err := u.m.List(ctx, gaffer.Target(u.name))
	if err != nil || len(infos) != 1 {
		return
	}
	st := &infos[0].Status
	n, least, most := st.MaxProcesses, u.scale.Least(), u.scale.Max
	u.sees(n, now)
	settled := st.Active == "active" && st.Running == n && (st.State == gaffer.Running || n == 0)
	if !settled || !u.cool(now) || of >= 0 && of != n {
		return // it is starting, stopping, crashing, or was just changed
	}
	to, why := next(n, least, most, r.load), r.text
	switch {
	case to == n:
		return
	case n > most:
		why = fmt.Sprintf("at most %d", most)
	case n < least:
		why = fmt.Sprintf("at least %d", least)
	}
	switch err := u.m.ScaleFor(ctx, u.name, n, to, why); {
	case err == nil:
		u.sees(to, now)
	case !errors.Is(err, gaffer.ErrConflict) && !errors.Is(err, gaffer.ErrNotFound) && !errors.Is(err, gaffer.ErrClosed) && ctx.Err() == nil:
		u.log.Warn("it can't be scaled", "to", to, "reason", err)
	}
}
