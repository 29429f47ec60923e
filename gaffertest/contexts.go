package gaffertest

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"time"

	"github.com/gafferpm/gaffer"
)

var contextCases = []aCase{
	{"StopWhoseTimeIsOverHasStillAsked", contextDeadline},
	{"StopThatIsGivenUpHasStillAsked", contextCancelled},
	{"NoPatienceIsNoRefusal", contextNoPatience},
	{"NoPatienceIsToldWhatIsWrong", contextRefusals},
	{"LookingNeedsPatience", contextReads},
}

// lingers is a template whose processes end only when let is called.
func (b *bench) lingers(name string) (let func()) {
	b.Helper()
	file := filepath.Join(b.TempDir(), "let")
	let = func() {
		if err := os.WriteFile(file, nil, 0o644); err != nil {
			b.Error(err)
		}
	}
	b.Cleanup(let)
	b.add(name, "trap 'while [ ! -e "+file+" ]; do sleep 0.02; done; exit 0' TERM; echo ready; while :; do sleep 1000 & wait; done")
	b.written(gaffer.Target(name), "ready")
	return let
}

func contextDeadline(b *bench) {
	events := b.events("web", gaffer.EventOptions{})
	let := b.lingers("web")
	ctx, cancel := context.WithTimeout(b.ctx, 200*time.Millisecond)
	defer cancel()
	begun := time.Now()
	b.is(b.c.Stop(ctx, "web"), context.DeadlineExceeded)
	if took := time.Since(begun); took < 200*time.Millisecond || took > 10*time.Second {
		b.Errorf("a stop that may take 200ms took %s", took)
	}
	if st := b.status("web"); st.State != gaffer.Stopping || st.Active != "stopped" {
		b.Errorf("status %+v", st)
	}
	let()
	b.await(events, gaffer.KindExit)
}

func contextCancelled(b *bench) {
	events := b.events("web", gaffer.EventOptions{})
	let := b.lingers("web")
	ctx, cancel := context.WithCancel(b.ctx)
	done := make(chan error, 1)
	go func() { done <- b.c.Stop(ctx, "web") }()
	b.await(events, gaffer.KindStopPID)
	cancel()
	b.is(<-done, context.Canceled)
	let()
	b.await(events, gaffer.KindExit)
	if st := b.status("web"); st.Active != "stopped" {
		b.Errorf("status %+v", st)
	}
}

// impatient accepts that something was not waited for.
func (b *bench) impatient(err error) {
	b.Helper()
	if err != nil && !errors.Is(err, context.Canceled) {
		b.Errorf("error %v, want none or %v", err, context.Canceled)
	}
}

func contextNoPatience(b *bench) {
	none, cancel := context.WithCancel(b.ctx)
	cancel()
	events := b.events("web", gaffer.EventOptions{})
	b.impatient(b.c.Add(none, script("web", sleeps)))
	b.await(events, gaffer.KindSpawn)
	_, err := b.c.Scale(none, "web", gaffer.Change{Op: '+', N: 1})
	b.impatient(err)
	b.await(events, gaffer.KindSpawn)
	b.impatient(b.c.Restart(none, "web.2", gaffer.StopFirst))
	b.await(events, gaffer.KindExit)
	b.await(events, gaffer.KindSpawn)
	b.impatient(b.c.Update(none, script("web", sleeps, numprocesses(1), func(t *gaffer.Template) { t.Env = map[string]string{"A": "1"} })))
	b.await(events, gaffer.KindUpdate)
	b.await(events, gaffer.KindSpawn)
	b.impatient(b.c.Signal(none, "web", 9))
	b.await(events, gaffer.KindExit)
	b.impatient(b.c.Stop(none, "web"))
	b.await(events, gaffer.KindStop)
	b.impatient(b.c.Start(none, "web"))
	b.await(events, gaffer.KindStart)
	b.impatient(b.c.Remove(none, "web"))
	b.await(events, gaffer.KindDelete)
}

func contextRefusals(b *bench) {
	none, cancel := context.WithCancel(b.ctx)
	cancel()
	b.add("web", sleeps)
	b.is(b.c.Add(none, script("web", sleeps)), gaffer.ErrConflict)
	b.is(b.c.Add(none, script("db", "")), gaffer.ErrInvalid)
	b.is(b.c.Update(none, script("db", sleeps)), gaffer.ErrNotFound)
	b.is(b.c.Remove(none, "db"), gaffer.ErrNotFound)
	b.is(b.c.Start(none, "db"), gaffer.ErrNotFound)
	b.is(b.c.Stop(none, "db"), gaffer.ErrNotFound)
	b.is(b.c.Stop(none, "99"), gaffer.ErrNotFound)
	b.is(b.c.Restart(none, "db", gaffer.StopFirst), gaffer.ErrNotFound)
	_, err := b.c.Scale(none, "web", gaffer.Change{Op: '+', N: gaffer.MaxProcesses})
	b.is(err, gaffer.ErrInvalid)
	b.is(b.c.Signal(none, "web", 99), gaffer.ErrInvalid)
}

func contextReads(b *bench) {
	none, cancel := context.WithCancel(b.ctx)
	cancel()
	b.add("web", sleeps)
	_, err := b.c.List(none, "web")
	b.is(err, context.Canceled)
	_, err = b.c.Stats(none, "web")
	b.is(err, context.Canceled)
	late, cancel := context.WithDeadline(b.ctx, time.Now().Add(-time.Second))
	defer cancel()
	_, err = b.c.List(late, "web")
	b.is(err, context.DeadlineExceeded)
}
