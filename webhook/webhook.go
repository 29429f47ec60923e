// Package webhook posts events to URLs: signed, in the order of each template,
// again and again until they are taken, from a queue that outlives the program. It
// never keeps the manager waiting.
package webhook

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/gafferpm/gaffer"
)

// Options of an App. The zero value is good.
type Options struct {
	// Logger is told of what is lost or given up. Default: nothing is logged.
	Logger *slog.Logger
	// Version is that of the User-Agent. Default: none.
	Version string
	// Drain is how long posts may take once the app stops. Default: 10s.
	Drain time.Duration

	transport http.RoundTripper // of tests
}

// DefaultDrain is how long posts may take once the app stops.
const DefaultDrain = 10 * time.Second

func (o *Options) userAgent() string {
	if o.Version == "" {
		return "gaffer"
	}
	return "gaffer/" + o.Version
}

// App posts the events of a manager. It may be used from any goroutine.
type App struct {
	queue Queue
	opts  Options

	mu      sync.Mutex // guards the rest
	running []*running // in the order of the hooks
	from    source     // nil: not started
	stopped bool
}

var _ gaffer.App = (*App)(nil)

// running is a hook and its goroutines. The App's lock guards it.
type running struct {
	*sender
	name   string
	stop   context.CancelFunc // ends the reader
	abort  context.CancelFunc // ends posts
	read   chan struct{}      // closed when the reader has ended; nil: it was not started
	posted chan struct{}      // closed when run has ended
}

// New makes an App, with what the queue has kept for the hooks. ErrInvalid: one of
// them is wrong.
func New(hooks []Hook, queue Queue, opts Options) (*App, error) {
	if opts.Logger == nil {
		opts.Logger = slog.New(slog.DiscardHandler)
	}
	if opts.Drain <= 0 {
		opts.Drain = DefaultDrain
	}
	a := &App{queue: queue, opts: opts}
	hooks, err := checked(hooks)
	if err != nil {
		return nil, err
	}
	for _, h := range hooks {
		r, err := a.newRunning(h)
		if err != nil {
			return nil, err
		}
		a.running = append(a.running, r)
	}
	return a, a.tidy(time.Now())
}

// orphaned is for how long letters to hooks that are no more are kept.
const orphaned = 30 * 24 * time.Hour

// tidy forgets what waits for hooks that have not come back for long, and how far
// hooks had come that are no more: one that comes back begins anew, as after Reload.
func (a *App) tidy(now time.Time) error {
	changes := map[string][]byte{}
	known := func(hook string) bool {
		return slices.ContainsFunc(a.running, func(r *running) bool { return r.name == hook })
	}
	err := a.queue.Range(func(key string, value []byte) error {
		if hook, ok := strings.CutPrefix(key, cursorKey); ok && !known(hook) {
			changes[key] = nil
		}
		if hook, ok := hookOf(key); !ok || known(hook) {
			return nil
		}
		if l, err := readLetter(value); err != nil || now.Sub(l.Since) > orphaned {
			changes[key] = nil
		}
		return nil
	})
	if err == nil && len(changes) > 0 {
		err = a.queue.Update(changes)
	}
	if err != nil {
		return fmt.Errorf("webhooks: their queue: %w", err)
	}
	return nil
}

// checked are hooks with their defaults, all of which are right.
func checked(hooks []Hook) ([]Hook, error) {
	var all []Hook
	var errs []error
	names := map[string]bool{}
	for _, h := range hooks {
		h = h.withDefaults()
		switch {
		case h.Name == "" || strings.Contains(h.Name, "/"):
			errs = append(errs, fmt.Errorf("webhook %q: the name is not one: %w", h.Name, gaffer.ErrInvalid))
		case names[h.Name]:
			errs = append(errs, fmt.Errorf("webhook %s: there are two: %w", h.Name, gaffer.ErrConflict))
		}
		names[h.Name] = true
		errs = append(errs, h.check())
		all = append(all, h)
	}
	return all, errors.Join(errs...)
}

// newRunning makes the sender of a hook, with what was kept for it.
func (a *App) newRunning(h Hook) (*running, error) {
	s := newSender(h, a.queue, &a.opts, a.opts.transport)
	c, letters, err := a.kept(h.Name)
	if err != nil {
		return nil, fmt.Errorf("webhook %s: its queue: %w", h.Name, err)
	}
	s.restore(c, letters)
	return &running{sender: s, name: h.Name}, nil
}

// Start implements gaffer.App.
func (a *App) Start(ctx context.Context, m *gaffer.Manager) error { return a.start(ctx, m) }

func (a *App) start(ctx context.Context, from source) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.from != nil {
		return fmt.Errorf("webhooks: started already: %w", gaffer.ErrConflict)
	}
	for _, r := range a.running {
		if err := r.start(ctx, from); err != nil {
			a.abort()
			return err
		}
	}
	a.from = from
	return nil
}

// abort ends what was started, at once.
func (a *App) abort() {
	gone, cancel := context.WithCancel(context.Background())
	cancel()
	for _, r := range a.running {
		r.end(gone, nil)
	}
}

// start begins to read and to post. The context bounds only what must be known
// before.
func (r *running) start(ctx context.Context, from source) error {
	if err := r.begin(ctx, from); err != nil {
		return fmt.Errorf("webhook %s: %w", r.name, err)
	}
	reading, stop := context.WithCancel(context.Background())
	posting, abort := context.WithCancel(context.Background())
	r.stop, r.abort, r.read, r.posted = stop, abort, make(chan struct{}), make(chan struct{})
	go func() {
		defer close(r.read)
		r.sender.read(reading, from)
	}()
	go func() {
		defer close(r.posted)
		r.run(posting)
	}()
	return nil
}

// end stops reading, posts what can be posted until ctx ends, and keeps the rest.
func (r *running) end(ctx context.Context, from source) {
	if r.read == nil {
		return
	}
	r.stop()
	<-r.read
	if from != nil {
		if err := r.catchUp(ctx, from); err != nil && ctx.Err() == nil {
			r.logger.Error("the last events can't be read", "error", err)
		}
	}
	r.mu.Lock()
	r.draining = true
	r.mu.Unlock()
	poke(r.wake)
	select {
	case <-r.posted:
	case <-ctx.Done():
	}
	r.abort()
	<-r.posted
	r.read = nil
}

// Restart implements gaffer.App. There is nothing to it: events are not lost by it.
func (a *App) Restart(context.Context) error { return nil }

// Stop implements gaffer.App: what has happened so far is taken in, and posted as
// far as receivers take it at once, within Options.Drain. The rest is kept.
func (a *App) Stop(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, a.opts.Drain)
	defer cancel()
	a.mu.Lock()
	running, from := a.running, a.from
	if a.stopped || from == nil {
		running = nil
	}
	a.stopped = true // nothing changes from here on
	a.mu.Unlock()
	var ends sync.WaitGroup
	for _, r := range running {
		ends.Go(func() { r.end(ctx, from) })
	}
	ends.Wait()
	return nil
}

// Reload changes the hooks. Those that stay keep their queue, and those that were
// disabled are tried again. What waits for one that goes is kept for the case that
// it comes back; it then begins with what happens from there on.
func (a *App) Reload(ctx context.Context, hooks []Hook) error {
	hooks, err := checked(hooks)
	if err != nil {
		return err
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.stopped {
		return gaffer.ErrClosed
	}
	next, err := a.arrange(hooks)
	if err != nil {
		return err
	}
	for _, r := range a.running {
		if !slices.Contains(next, r) {
			a.drop(r)
		}
	}
	a.running = next
	var errs []error
	for _, r := range next {
		if r.read == nil && a.from != nil {
			errs = append(errs, r.start(ctx, a.from))
		}
	}
	return errors.Join(errs...)
}

// arrange finds or makes what runs for each hook.
func (a *App) arrange(hooks []Hook) (next []*running, err error) {
	for _, h := range hooks {
		i := slices.IndexFunc(a.running, func(r *running) bool { return r.name == h.Name })
		if i < 0 {
			r, err := a.newRunning(h)
			if err != nil {
				return nil, err
			}
			next = append(next, r)
			continue
		}
		next = append(next, a.running[i])
	}
	for i, r := range next {
		r.configure(hooks[i], a.opts.transport)
	}
	return next, nil
}

// drop ends a hook that is not wanted any more. Posts in flight are put back.
func (a *App) drop(r *running) {
	gone, cancel := context.WithCancel(context.Background())
	cancel()
	r.end(gone, nil)
	if err := a.queue.Update(map[string][]byte{cursorKey + r.name: nil}); err != nil {
		r.logger.Error("the queue is not kept", "error", err)
	}
}

// find is the sender of a hook.
func (a *App) find(name string) (*running, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, r := range a.running {
		if r.name == name {
			return r, nil
		}
	}
	return nil, fmt.Errorf("webhook %s: %w", name, gaffer.ErrNotFound)
}

// Retry queues the dead letters of a hook again, and says how many there were. They
// are kept when it returns. ErrNotFound: there is no such hook.
func (a *App) Retry(name string) (int, error) {
	r, err := a.find(name)
	if err != nil {
		return 0, err
	}
	return r.retry(time.Now())
}

// kept is what the queue has of a hook.
func (a *App) kept(hook string) (c *cursor, letters []*letter, err error) {
	err = a.queue.Range(func(key string, value []byte) error {
		if key == cursorKey+hook {
			c = readCursor(value)
		}
		if of, ok := hookOf(key); !ok || of != hook {
			return nil
		}
		l, err := readLetter(value)
		if err != nil {
			a.opts.Logger.Error("a kept event can't be read", "webhook", hook, "key", key, "error", err)
			return nil
		}
		letters = append(letters, l)
		return nil
	})
	return c, letters, err
}
