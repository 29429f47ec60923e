// Package forward sends what processes write to syslog, to systemd's journal, to Loki or
// to whatever takes OpenTelemetry's logs. It never keeps a process waiting: lines that are
// kept in log files wait there, and are sent at least once, in the order of each stream;
// what is given up before it was sent is counted.
package forward

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"reflect"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/gafferpm/gaffer"
)

// Options of an App. The zero value is good.
type Options struct {
	// Logger is told of what is lost, and of destinations that can't be reached. Default:
	// nothing is logged.
	Logger *slog.Logger
	// Version is that of the program, for those who are told. Default: none.
	Version string
	// Host is the name of this host. Default: the system's.
	Host string
	// Drain is how long sending may take once the app stops. Default: 10s.
	Drain time.Duration

	newSink func(*Destination, *Options) sink // of tests
}

// DefaultDrain is how long sending may take once the app stops.
const DefaultDrain = 10 * time.Second

// source has the output that is forwarded: a Manager.
type source interface {
	Output(ctx context.Context, target gaffer.Target, how gaffer.OutputOptions) (gaffer.Stream[gaffer.Output], error)
}

// App forwards the output of a manager. It may be used from any goroutine.
type App struct {
	places Places
	opts   Options

	mu      sync.Mutex // guards the rest
	runners []*runner  // in the order of the destinations
	from    source     // nil: not started
	stopped bool
}

var _ gaffer.App = (*App)(nil)

// Places keep how far the output of each stream was forwarded, so that it outlives the
// program. They are used from several goroutines.
type Places interface {
	// Range calls f with all that is kept, in any order. Its error ends the range.
	Range(f func(key string, value []byte) error) error
	// Update keeps values by their keys, and forgets the keys whose value is nil: all of
	// that or nothing.
	Update(changes map[string][]byte) error
}

// New makes an App, which goes on where the places say. ErrInvalid: a destination is wrong.
func New(all []Destination, places Places, opts Options) (*App, error) {
	if opts.Logger == nil {
		opts.Logger = slog.New(slog.DiscardHandler)
	}
	if opts.Drain <= 0 {
		opts.Drain = DefaultDrain
	}
	if opts.Host == "" {
		opts.Host, _ = os.Hostname() // "" is said as such
	}
	if opts.newSink == nil {
		opts.newSink = newSink
	}
	all, err := checked(all)
	if err != nil {
		return nil, err
	}
	a := &App{places: places, opts: opts}
	for _, d := range all {
		a.runners = append(a.runners, newRunner(d, places, &a.opts))
	}
	return a, a.restore()
}

// checked are destinations with their defaults, all of which are right.
func checked(given []Destination) ([]Destination, error) {
	var all []Destination
	var errs []error
	for _, d := range given {
		d = d.withDefaults()
		switch {
		case d.Name == "" || strings.ContainsAny(d.Name, "/ "):
			errs = append(errs, fmt.Errorf("forward %q: the name is not one: %w", d.Name, gaffer.ErrInvalid))
		case slices.ContainsFunc(all, func(e Destination) bool { return e.Name == d.Name }):
			errs = append(errs, fmt.Errorf("forward %s: there are two: %w", d.Name, gaffer.ErrConflict))
		}
		errs = append(errs, d.check())
		all = append(all, d)
	}
	return all, errors.Join(errs...)
}

// restore reads how far all were, and forgets it of those that are no more: one that comes
// back begins anew, as after Reload.
func (a *App) restore() error {
	gone := map[string][]byte{}
	err := a.places.Range(func(key string, value []byte) error {
		name, stream, _ := strings.Cut(key, "/")
		i := slices.IndexFunc(a.runners, func(r *runner) bool { return r.name == name })
		if i < 0 || !a.runners[i].place.restore(stream, value) {
			gone[key] = nil
		}
		return nil
	})
	if err == nil && len(gone) > 0 {
		err = a.places.Update(gone)
	}
	if err != nil {
		return fmt.Errorf("forwards: where they were: %w", err)
	}
	return nil
}

// Start implements gaffer.App.
func (a *App) Start(_ context.Context, m *gaffer.Manager) error { return a.start(m) }

func (a *App) start(from source) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.from != nil {
		return fmt.Errorf("forwards: started already: %w", gaffer.ErrConflict)
	}
	a.from = from
	for _, r := range a.runners {
		r.start(from)
	}
	return nil
}

// Restart implements gaffer.App. There is nothing to it: lines are not lost by it.
func (a *App) Restart(context.Context) error { return nil }

// Stop implements gaffer.App: what was written so far is sent as far as it is taken at
// once, within Options.Drain. The rest is sent by the next one. Where the manager leaves
// its processes to the next one, all is.
func (a *App) Stop(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, a.opts.Drain)
	defer cancel()
	a.mu.Lock()
	runners := a.runners
	if a.stopped || a.from == nil {
		runners = nil
	}
	if m, ok := a.from.(interface{ Leaves() bool }); ok && m.Leaves() {
		cancel()
	}
	a.stopped = true // nothing changes from here on
	a.mu.Unlock()
	var ends sync.WaitGroup
	for _, r := range runners {
		ends.Go(func() { r.end(ctx) })
	}
	ends.Wait()
	return nil
}

// Reload changes the destinations. Those that stay go on where they are, and are tried
// again at once; one that is new begins with what is written from now on.
func (a *App) Reload(all []Destination) error {
	all, err := checked(all)
	if err != nil {
		return err
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.stopped {
		return gaffer.ErrClosed
	}
	var next []*runner
	for _, d := range all {
		i := slices.IndexFunc(a.runners, func(r *runner) bool { return r.name == d.Name })
		if i < 0 {
			next = append(next, newRunner(d, a.places, &a.opts))
			continue
		}
		a.runners[i].configure(d)
		next = append(next, a.runners[i])
	}
	for _, r := range a.runners {
		if !slices.Contains(next, r) {
			r.drop()
		}
	}
	for _, r := range next {
		if a.from != nil && !slices.Contains(a.runners, r) {
			r.start(a.from)
		}
	}
	a.runners = next
	return nil
}

// List tells how the destinations are, in their order.
func (a *App) List() []Status {
	a.mu.Lock()
	runners := a.runners
	a.mu.Unlock()
	list := make([]Status, len(runners))
	for i, r := range runners {
		list[i] = r.status()
	}
	return list
}

// Status is how a destination is. It has no secret in it: of the URL only the host.
type Status struct {
	Name    string        `json:"name"`
	Type    Type          `json:"type"`
	URL     string        `json:"url"`
	Target  gaffer.Target `json:"target"`
	Streams []string      `json:"streams"` // none: all
	Sent    uint64        `json:"sent"`    // lines, since the app was made
	// Lost are lines that will not come, since then: refused, or gone from memory before
	// they were sent. LostBytes are those that log files gave up before.
	Lost      uint64 `json:"lost"`
	LostBytes int64  `json:"lost_bytes"`
	// Behind is when the oldest line was written that is known to wait; zero: none is.
	Behind time.Time `json:"behind,omitzero"`
	// LastError is of the latest attempt that was in vain.
	LastError   string    `json:"last_error,omitempty"`
	LastErrorAt time.Time `json:"last_error_at,omitzero"`
}

// same says that two destinations are reached in the same way.
func same(a, b *Destination) bool { return reflect.DeepEqual(a, b) }
