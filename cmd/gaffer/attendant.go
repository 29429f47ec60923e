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
// output any more, when everything has failed, when a process with exit_with has
// ended. It is an App, to see all that from the start.
type attendant struct {
	manager *gaffer.Manager
	console *console.Console
	cancel  context.CancelFunc // ends Run

	events   gaffer.Stream[gaffer.Event]
	watching sync.WaitGroup

	mu       sync.Mutex // guards the fields below
	stopping bool
	degraded bool        // something was not well when the end began
	status   int         // that of the process that has ended it all
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
	return a.end(said, a.unwell, 0)
}

// end is stop with the exit status that it gives, unless something is unwell.
func (a *attendant) end(said string, unwell func() bool, status int) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.stopping {
		return false
	}
	a.stopping = true
	a.degraded, a.status = unwell(), status
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
	switch {
	case a.degraded:
		return statusError(exitDegraded)
	case a.status != 0:
		return statusError(a.status)
	}
	return nil
}

// Start implements gaffer.App: it watches for failures, and for the end of processes
// with exit_with where there are such.
func (a *attendant) Start(ctx context.Context, m *gaffer.Manager) error {
	infos, err := m.List(ctx, gaffer.All)
	if err != nil {
		return err
	}
	kinds, ends := []gaffer.Kind{gaffer.KindFail, gaffer.KindExit}, ends{of: map[string]bool{}, asked: map[uint64]bool{}}
	for _, info := range infos {
		if info.Template.ExitWith {
			ends.of[info.Template.Name] = true
			kinds = []gaffer.Kind{gaffer.KindFail, gaffer.KindExit, gaffer.KindReap, gaffer.KindStopPID}
		}
	}
	a.events, err = m.Subscribe(context.WithoutCancel(ctx), gaffer.All, gaffer.EventOptions{Kinds: kinds})
	if err != nil {
		return err
	}
	a.watching.Go(func() { a.watch(&ends) })
	return nil
}

// watch ends everything when it is time.
func (a *attendant) watch(ends *ends) {
	for {
		e, err := a.events.Next(context.Background())
		var missed gaffer.Missed
		switch {
		case errors.As(err, &missed): // what is seen next decides
		case err != nil:
			return
		case ends.own(e):
			a.end(fmt.Sprintf("stopping, for %s.%d has ended (exit_with): %s", e.Name, e.Slot, e.Exit.Reason),
				func() bool { return false }, statusOf(e.Exit))
		case a.events.Len() > 0 || a.goesOn(e.Name): // a thousand that crash are not a thousand looks at all
		default:
			// What has happened since may be the end of one with exit_with.
			if over, said := a.nothingLeft(); over && a.events.Len() == 0 {
				a.stop("nothing is left to run: " + said)
			}
		}
	}
}

// ends tells the ends that processes with exit_with come to by themselves from those
// that somebody has asked for. It belongs to one goroutine.
type ends struct {
	of    map[string]bool // templates with exit_with
	asked map[uint64]bool // processes that were told to stop
}

func (s *ends) own(e gaffer.Event) bool {
	if !s.of[e.Name] {
		return false
	}
	if e.Kind != gaffer.KindExit {
		s.asked[e.ID] = true
		return false
	}
	defer delete(s.asked, e.ID)
	return !s.asked[e.ID] && e.Exit != nil
}

// statusOf is how a process has ended as a shell would say it.
func statusOf(e *gaffer.Exit) int {
	switch {
	case e.Signal != 0:
		return 128 + int(e.Signal)
	case e.Status < 0: // nobody saw how
		return exitError
	}
	return e.Status
}

// goesOn says that a template alone is reason enough to go on.
func (a *attendant) goesOn(name string) bool {
	list, err := a.manager.Status(context.Background(), gaffer.Target(name))
	if err != nil || len(list) != 1 {
		return false
	}
	switch st := list[0]; st.State {
	case gaffer.Failed, gaffer.Waiting, gaffer.Done, gaffer.Stopped:
		return st.Armed
	default:
		return st.MaxProcesses > 0
	}
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
		case st.Armed:
			return false, ""
		case st.State == gaffer.Failed, st.State == gaffer.Waiting: // for what will not come
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
	a.events.Close()
	a.watching.Wait()
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.reminder != nil {
		a.reminder.Stop()
	}
	return nil
}
