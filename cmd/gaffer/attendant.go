package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"sync"
	"syscall"
	"time"

	"github.com/gafferpm/gaffer"
	"github.com/gafferpm/gaffer/internal/console"
)

// attendant ends `gaffer up` when it is time: at a signal, when nobody reads the
// output any more, when everything has failed. It is an App, to see failures from
// the start.
type attendant struct {
	manager *gaffer.Manager
	console *console.Console
	cancel  context.CancelFunc // ends Run

	failures gaffer.Stream[gaffer.Event]
	watching sync.WaitGroup

	mu       sync.Mutex // guards the fields below
	stopping bool
	degraded bool        // something was not well when the end began
	reminder *time.Timer // says what the end waits for
}

// listen handles signals until the function it returns is called. SIGPIPE is
// caught, not ignored: what is ignored here would be ignored by all services.
func (a *attendant) listen() (quit func()) {
	signals := make(chan os.Signal, 8)
	wanted := []os.Signal{syscall.SIGINT, syscall.SIGTERM, syscall.SIGQUIT, syscall.SIGPIPE}
	if !signal.Ignored(syscall.SIGHUP) { // as nohup wants it
		wanted = append(wanted, syscall.SIGHUP)
	}
	signal.Notify(signals, wanted...)
	done := make(chan struct{})
	go func() {
		defer close(done)
		for s := range signals {
			if s != syscall.SIGPIPE {
				a.signalled(s)
			}
		}
	}()
	return func() {
		signal.Stop(signals)
		close(signals)
		<-done
	}
}

// signalled: the first signal stops, the second kills. SIGQUIT does both.
func (a *attendant) signalled(s os.Signal) {
	said := "stopping"
	if s == syscall.SIGINT {
		said += "; Ctrl-C again to kill"
	} else if s != syscall.SIGQUIT {
		said += fmt.Sprintf(" (%s)", gaffer.Signal(s.(syscall.Signal)))
	}
	first := a.stop(said)
	if !first || s == syscall.SIGQUIT {
		a.console.Say("killing")
		a.manager.Kill()
	}
}

// stop begins the end and tells whether it was the first to.
func (a *attendant) stop(said string) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.stopping {
		return false
	}
	a.stopping = true
	a.degraded = a.unwell()
	if said != "" {
		a.console.Say("%s", said)
	}
	a.reminder = time.AfterFunc(remindAfter, a.remind)
	a.cancel()
	return true
}

// remindAfter is how long a person waits without wondering.
const remindAfter = 3 * time.Second

// remind says what the end waits for.
func (a *attendant) remind() {
	infos, err := a.manager.List(context.Background(), gaffer.All)
	if err != nil {
		return // it is over
	}
	var names []string
	for _, info := range infos {
		for _, p := range info.Status.Processes {
			if p.State == gaffer.Stopping {
				names = append(names, fmt.Sprintf("%s.%d", info.Template.Name, p.Slot))
			}
		}
	}
	if len(names) > 0 {
		a.console.Say("still waiting for %s to stop", list(names))
	}
}

// unwell tells whether something is in back-off, flapping or failed.
func (a *attendant) unwell() bool {
	infos, err := a.manager.List(context.Background(), gaffer.All)
	if err != nil {
		return false // it is over already
	}
	for _, info := range infos {
		switch info.Status.State {
		case gaffer.InBackoff, gaffer.InFlapping, gaffer.Failed, gaffer.Waiting, gaffer.Unhealthy:
			if !info.Status.Armed {
				return true
			}
		}
	}
	return false
}

// lost: the output can't be written. A reader that has gone is a way of asking
// to stop; a full disk is no reason to.
func (a *attendant) lost(err error) {
	if errors.Is(err, syscall.EPIPE) || errors.Is(err, syscall.EIO) {
		a.stop("")
		return
	}
	fmt.Fprintf(os.Stderr, "gaffer: output is lost, the services go on: %v\n", err)
}

// outcome is how it went.
func (a *attendant) outcome() error {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.degraded {
		return statusError(exitDegraded)
	}
	return nil
}

// Start implements gaffer.App: it watches for failures.
func (a *attendant) Start(ctx context.Context, m *gaffer.Manager) error {
	failures, err := m.Subscribe(context.WithoutCancel(ctx), gaffer.All, gaffer.EventOptions{Kinds: []gaffer.Kind{gaffer.KindFail, gaffer.KindExit}})
	if err != nil {
		return err
	}
	a.failures = failures
	a.watching.Go(func() {
		for {
			if _, err := failures.Next(context.Background()); err != nil {
				return
			}
			if over, said := a.nothingLeft(); over {
				a.stop("nothing is left to run: " + said)
			}
		}
	})
	return nil
}

// nothingLeft tells whether what was to run has failed, or is done, and nothing else is
// wanted.
func (a *attendant) nothingLeft() (over bool, said string) {
	ctx := context.Background()
	for range 2 { // who waited for what has just ended has heard of it then
		if a.manager.Check(ctx) != nil {
			return false, ""
		}
	}
	list, err := a.manager.Status(ctx, gaffer.All)
	if err != nil {
		return false, ""
	}
	failed, done := 0, 0
	for _, st := range list {
		switch {
		case st.State == gaffer.Failed, st.State == gaffer.Waiting && !st.Armed: // for what will not come
			failed++
		case st.State == gaffer.Done:
			done++
		case st.State != gaffer.Stopped && st.MaxProcesses > 0:
			return false, ""
		}
	}
	switch {
	case failed == 0:
		return done > 0, "all is done"
	case done == 0:
		return true, "all have failed"
	}
	return true, "what is not done has failed"
}

// Restart implements gaffer.App.
func (a *attendant) Restart(context.Context) error { return nil }

// Stop implements gaffer.App.
func (a *attendant) Stop(context.Context) error {
	a.failures.Close()
	a.watching.Wait()
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.reminder != nil {
		a.reminder.Stop()
	}
	return nil
}
