package gaffer

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/gafferpm/gaffer/internal/proc"
)

// Options of a Manager. The zero value is good.
type Options struct {
	// Node names this manager in its events. Default: none.
	Node string
	// Instance is in the environment of every process that is not detached, as
	// GAFFER_INSTANCE=INSTANCE.ID, so that what an earlier manager of that instance
	// has left behind is known again. Without dots and slashes. Default: a random one.
	Instance string
	// Logger is told what nobody else can be told. Default: nothing is logged.
	Logger *slog.Logger
	// Subreaper makes this program the parent of orphans among the processes
	// that services start (Linux), so that none escapes when a service is
	// stopped. Only processes that are known to descend from a service are ever
	// killed or reaped.
	Subreaper bool
	// Alone says that this program starts no processes but through the manager. As
	// Subreaper it then also reaps orphans of which it can't be told any more where
	// they came from.
	Alone bool
	// NoCgroup keeps the manager from making cgroups of its own, which it
	// otherwise does where it may (Linux) to end whole trees of processes.
	NoCgroup bool
	// TailBytes is how much output of each process is kept in memory. Default
	// 64 KiB; -1 keeps none.
	TailBytes int
	// Journal keeps events. Their numbers, and those of processes, go on from its
	// last. Default: the latest 4096 events are kept in memory.
	Journal Journal
	// Store keeps what is wanted. Default: none.
	Store Store
	// Holder holds processes beyond the manager's end. Default: they are this program's.
	Holder Holder
	// Sockets keeps the listening sockets of templates beyond the manager's end. Default:
	// they end with it.
	Sockets SocketStore
	// Logs keeps what processes write. Default: the last of it is kept in memory.
	Logs Logs
	// Resume says that the manager goes on where another one has left off: what was
	// wanted is not begun anew.
	Resume bool

	host  host                                                    // of tests
	probe func(ctx context.Context, p *process, how probes) error // of tests
	wall  func() time.Time                                        // of tests: what the clock shows
}

// host is what starts and holds the operating system's processes.
type host interface {
	// Launch starts a process; the function is told how that went, perhaps before
	// Launch returns.
	Launch(*proc.Spec, proc.Handler, func(error))
	Close() error
}

// Manager keeps the processes of templates alive. It is a Controller, and may be
// used from any goroutine. It can be filled before Run: what it has been given
// by then is started, in order, when Run begins. After Run it is closed.
type Manager struct {
	opts     Options
	env      *environment
	instance string
	host     host
	logger   *slog.Logger
	ids      atomic.Uint64 // the last id given out
	asides   atomic.Uint64 // numbers what runs beside processes: errands, and what is executed
	hurried  atomic.Bool   // Kill was called
	leaves   atomic.Bool   // Leave was called
	launcher mailbox       // forks, one after the other, beside the keepers
	stopper  mailbox       // sends the signals that ask processes to stop, likewise
	errands  errands       // what is run beside the processes

	sockets sockets
	// readable watches sockets of templates that sleep.
	readable proc.Readable
	events   events
	clock    clock
	follow   followers
	gauge    gauge
	graph    dependencies
	guard    guard
	oneOffs  oneOffs
	begun    chan struct{} // closed when all that was registered before Run was tried
	over     chan struct{} // closed when all has stopped
	version  atomic.Uint64 // of the latest change that the Store was told

	oomKills atomic.Uint64 // by the kernel, when they were counted last

	mu      sync.Mutex // guards the rest; never held while a keeper is asked
	phase   phase
	keepers map[string]*keeper
	order   []*keeper // by definition
	apps    []App     // as far as they were started
}

// phase is where the manager is in its life.
type phase int

const (
	filling phase = iota // before Run: templates are registered, nothing starts
	running
	stopping
	closed
)

var _ Controller = (*Manager)(nil)

// New makes a manager. Nothing runs before Run is called; a manager that will
// never run is given up with Close.
func New(opts Options) (*Manager, error) {
	env, err := ownEnvironment()
	if err != nil {
		return nil, err
	}
	m := &Manager{
		opts: opts, env: env, instance: opts.Instance,
		host: opts.host, logger: opts.Logger,
		sockets: sockets{store: opts.Sockets},
		begun:   make(chan struct{}), over: make(chan struct{}),
		keepers: map[string]*keeper{},
	}
	if strings.ContainsAny(m.instance, "./") {
		return nil, invalidf("instance %q: has a dot or a slash", m.instance)
	}
	if m.instance == "" {
		m.instance = rand.Text()[:12]
	}
	if outer := m.env.value[markName]; outer != "" {
		m.instance = outer + "/" + m.instance
	}
	m.env.instance = m.instance
	if m.logger == nil {
		m.logger = slog.New(slog.DiscardHandler)
	}
	m.events.node, m.events.kept, m.events.logger = opts.Node, opts.Journal, m.logger
	if opts.Journal != nil {
		seq, id := opts.Journal.Last()
		m.events.seq, m.events.shown = seq, seq
		m.ids.Store(id)
		if err := m.events.recall(); err != nil {
			m.logger.Error("what happened before is not known", "reason", err)
		}
		m.tellGap(opts.Journal)
	}
	m.memoryShort() // begins to count
	m.clock.began, m.clock.wall = time.Now(), opts.wall
	if m.host != nil && m.clock.wall == nil { // of tests
		m.clock.wall = func() time.Time { return time.Now().Round(0) }
	}
	if opts.Holder != nil {
		m.host = opts.Holder
	}
	if m.host == nil {
		m.host, err = proc.NewHost(proc.Options{
			Subreaper: opts.Subreaper, Alone: opts.Alone, NoCgroup: opts.NoCgroup, Logger: m.logger,
		})
		if err != nil {
			return nil, fmt.Errorf("process host: %w", err)
		}
	}
	return m, nil
}

// tellGap publishes that numbers of events are missing before those to come, if a journal
// knows of that.
func (m *Manager) tellGap(j Journal) {
	g, ok := j.(interface{ Gap() (after, next uint64) })
	if !ok {
		return
	}
	if after, next := g.Gap(); next > after+1 {
		m.publish(Event{Kind: KindGap, Message: fmt.Sprintf(
			"numbers %d to %d are missing: the system ended unexpectedly, and events with them may have been seen that are not in the journal", after+1, next-1)})
	}
}

// Run starts the apps in order, then the templates, and goes on until ctx ends.
// It then stops all processes in the reverse of the start order, and the apps
// after them in reverse, and returns what went wrong with those. The manager is
// closed then. Run can be called once.
func (m *Manager) Run(ctx context.Context, apps ...App) error {
	if err := m.enter(filling, running); err != nil {
		return err
	}
	err := m.startApps(ctx, apps)
	if err == nil {
		m.startRegistered(ctx)
		m.launcher.post(m.sockets.settle)
		m.events.forgetGone(m.snapshot)
		close(m.begun)
		<-ctx.Done()
	}
	return errors.Join(err, m.shutdown())
}

// Close gives up a manager that never ran. It returns ErrConflict for one that
// runs: end the context of Run instead.
func (m *Manager) Close() error {
	if err := m.enter(filling, stopping); err != nil {
		return err
	}
	return m.shutdown()
}

// Descendants says how the processes that a service starts are known to be its own when
// it is stopped: "cgroup" (each service has one), "subreaper" (orphans come to the
// daemon, which looks at their environment, session and group), "environment" (they are
// looked for by GAFFER_INSTANCE in their environment, their session and group), ""
// (only their group is).
func (m *Manager) Descendants() string {
	if h, ok := m.host.(interface{ Descendants() string }); ok {
		return h.Descendants()
	}
	return ""
}

// Begun is closed once Run has tried to start everything that it was to start from
// the beginning.
func (m *Manager) Begun() <-chan struct{} { return m.begun }

// Check says whether the manager works: it waits until each template that is busy with
// something has got on with it. The error is that of ctx, and names the one that has not.
// With nothing to do it costs next to nothing, so it may be asked often.
func (m *Manager) Check(ctx context.Context) error {
	for _, k := range m.snapshot() {
		if err := k.box.settle(ctx); err != nil {
			return fmt.Errorf("template %s: %w", k.name, err)
		}
	}
	return nil
}

// Kill ends the patience of a stop in progress, and of all later ones: whatever
// is asked to stop is killed at once.
func (m *Manager) Kill() {
	m.hurried.Store(true)
	for _, k := range m.snapshot() {
		k.box.post(k.hurry)
	}
}

func (m *Manager) enter(from, to phase) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	switch {
	case m.phase == closed:
		return ErrClosed
	case m.phase != from:
		return conflictf("manager: it runs already")
	}
	m.phase = to
	return nil
}

func (m *Manager) startApps(ctx context.Context, apps []App) error {
	for _, app := range apps {
		if err := app.Start(ctx, m); err != nil {
			return err // whose it is, it says itself
		}
		m.mu.Lock()
		m.apps = append(m.apps, app)
		m.mu.Unlock()
	}
	return nil
}

// startRegistered starts what was added before Run.
func (m *Manager) startRegistered(ctx context.Context) {
	// What can't be started is in back-off and says so in its status and events.
	_, _ = m.askInOrder(ctx, m.snapshot(), func(k *keeper) (outcome, error) {
		if ctx.Err() == nil && m.opts.Resume {
			return k.carryOn(), nil
		}
		if ctx.Err() != nil || k.intent != fresh || !k.wanted {
			return outcome{}, nil // somebody was quicker, or nobody wants it yet
		}
		return k.start()
	})
}

// shutdown stops everything: processes first, apps last.
func (m *Manager) shutdown() error {
	m.mu.Lock()
	m.phase = stopping
	apps := slices.Clone(m.apps)
	m.mu.Unlock()

	m.oneOffs.end()
	ctx := context.Background()
	if m.leaves.Load() {
		m.leave(ctx)
	} else {
		_ = m.inReverse(ctx, m.snapshot(), func(k *keeper) (outcome, error) { return k.close(), nil })
	}
	_ = m.events.settle(ctx) // the apps see the end of everything; the context does not end
	var errs []error
	for _, app := range slices.Backward(apps) {
		if err := app.Stop(ctx); err != nil {
			errs = append(errs, err)
		}
	}
	m.mu.Lock()
	m.phase = closed
	m.mu.Unlock()
	m.events.close()
	m.follow.close()
	m.clock.close()
	if m.opts.Logs != nil {
		m.opts.Logs.End()
	}
	m.gauge.close()
	_ = m.launcher.do(ctx, func() { m.sockets.close(m.leaves.Load()) }) // the context does not end
	close(m.over)
	errs = append(errs, m.errands.close(), m.host.Close())
	return errors.Join(errs...)
}

// Leave has Run end, when its context does, without stopping anything: the next
// manager takes over from the Holder. Without one it does nothing.
func (m *Manager) Leave() {
	if m.opts.Holder != nil {
		m.leaves.Store(true)
	}
}

// Leaves says that Run will end, or has ended, without stopping anything.
func (m *Manager) Leaves() bool { return m.leaves.Load() }

// leave has all keepers start and stop nothing more.
func (m *Manager) leave(ctx context.Context) {
	for _, k := range m.snapshot() {
		_ = k.box.do(ctx, func() {
			k.closing, k.frozen = true, true
			k.doze(time.Now())
		}) // the context does not end
	}
}

// newID gives out the next process id.
func (m *Manager) newID() uint64 { return m.ids.Add(1) }

// lastID is the latest id that was given out.
func (m *Manager) lastID() uint64 { return m.ids.Load() }

func (m *Manager) publish(e Event) { m.events.write(e) }

// errWithdrawn is the launch error of a process that was told to stop before.
var errWithdrawn = errors.New("no longer wanted")

// launch has a process started, beside its keeper, which is told.
func (m *Manager) launch(p *process, note []byte) {
	m.launcher.post(func() {
		done := func(err error) {
			p.closeStored()
			if err != nil {
				p.log.End()
				p.k.box.hand(func() { p.k.launchFailed(p, err) })
			}
		}
		if p.withdrawn.Load() {
			done(errWithdrawn)
			return
		}
		m.start(p, p, note, done)
	})
}

// launchDetached starts a process that nobody will watch, and tells its keeper.
func (m *Manager) launchDetached(p *process, told func(pid int, err error)) {
	m.launcher.post(func() {
		d := &detached{}
		m.start(p, d, nil, func(err error) {
			p.k.box.hand(func() { told(d.pid, err) })
		})
	})
}

func (m *Manager) start(p *process, h proc.Handler, note []byte, done func(error)) {
	spec, err := p.recipe.ready(p.slot, p.id)
	if err != nil {
		done(err)
		return
	}
	files, err := m.sockets.acquire(p.k, p.recipe.Sockets)
	if err != nil {
		done(err)
		return
	}
	p.recipe.withSockets(spec, files)
	p.recipe.withStored(spec, p.stored)
	spec.ID, spec.Note, spec.Captures = p.id, note, p.captures()
	m.host.Launch(spec, h, func(err error) {
		done(betterError(err, spec, m.env))
	})
}

// detached is the handler of a process that is left alone.
type detached struct{ pid int }

func (d *detached) Started(p proc.Process) { d.pid = p.PID() }
func (d *detached) Output(int, []byte)     {}
func (d *detached) Exited(proc.Exit)       {}
