package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
	"syscall"

	"github.com/gafferpm/gaffer"
	"github.com/gafferpm/gaffer/config"
	"github.com/gafferpm/gaffer/state"
)

// daemon is a daemon, from its files to its end. It is put together step by step
// by one goroutine; once the manager runs its fields do not change.
type daemon struct {
	flags   *daemonFlags
	starter *starter
	service *serviceManager
	log     *slog.Logger
	level   *slog.LevelVar // of log
	files   *ownFiles
	conf    *config.Daemon // what the files said at the start
	broken  error          // what is wrong with them
	state   *state.State
	last    lastRun
	socket  string   // path of the API's own
	lock    *os.File // of the socket; nil: it is not taken
	manager *gaffer.Manager
	parts   parts

	passed []*os.File          // sockets that others have opened for the API
	served map[string]*os.File // those of services, by the names under which they are kept

	logs *logFiles // nil: what services write is in memory
	link *link     // nil: this process holds its services itself
	pid  int       // of the daemon

	enough context.CancelFunc // begins the end
	ending sync.Once
	ran    bool          // everything has been stopped
	left   atomic.Bool   // this manager ends, services go on
	again  chan struct{} // holds a value when the files are to be applied
	undo   []func()      // what is to be undone at the end, in reverse
}

func (d *daemon) atEnd(f func()) { d.undo = append(d.undo, f) }

func (d *daemon) close() {
	for _, f := range slices.Backward(d.undo) {
		f()
	}
}

// run is the life of a daemon.
func (f *daemonFlags) run(ctx context.Context, s *starter) error {
	d := &daemon{flags: f, starter: s, level: new(slog.LevelVar), pid: os.Getpid(), again: make(chan struct{}, 1)}
	err := d.live(ctx)
	d.close()
	s.failed(err)
	d.closeLink(err)
	if d.lock != nil { // whoever waits for the end of the daemon waits for this, so it comes last
		_ = d.lock.Close()
	}
	return err
}

func (d *daemon) live(ctx context.Context) error {
	// The end may be asked for before there is anything to end; what is begun then is
	// begun all the same, and ended in order.
	served, enough := context.WithCancel(ctx)
	defer enough()
	d.enough = enough
	// The order matters: who the daemon is has to be clear before anything is
	// touched that another one may be using.
	for _, step := range []func(context.Context) error{
		d.openLink, d.readFiles, d.openLog, d.openState, d.openRuntime, d.openLogs, d.openHost, d.makeManager, d.endLeftovers, d.makeParts,
	} {
		if err := step(ctx); err != nil {
			return err
		}
	}
	return d.serve(served)
}

func (d *daemon) readFiles(context.Context) error {
	d.files, d.broken = d.flags.files()
	d.conf = d.files.read
	return nil
}

func (d *daemon) openLog(context.Context) error {
	level, format := d.conf.Settings.LogLevel.Level(), string(d.conf.Settings.LogFormat)
	if d.flags.logLevel != "" {
		var named config.LogLevel
		if err := named.UnmarshalText([]byte(d.flags.logLevel)); err != nil {
			return usagef("--log-level %w", err)
		}
		level = named.Level()
	}
	if d.flags.logFormat != "" {
		format = d.flags.logFormat
	}
	d.level.Set(level)
	out := os.Stderr
	if d.flags.logFile != "" {
		file, err := openLog(d.flags.logFile)
		if err != nil {
			return err
		}
		d.atEnd(func() { _ = file.Close() })
		out = file
	}
	log, err := newLog(out, format, d.level)
	if err != nil {
		return err
	}
	d.log, d.service = log, newServiceManager(log)
	d.atEnd(d.service.close)
	if d.link != nil {
		d.service.say = d.tellService
	}
	return d.shareLog(out, format, level)
}

// openState makes this program the daemon of its state directory.
func (d *daemon) openState(context.Context) error {
	if err := config.PrivateDir(d.flags.stateDir); err != nil {
		return stateDirFault(err)
	}
	st, err := takeState(d.flags.stateDir, state.Options{
		Logger: d.log, PID: d.pid, JournalSegments: journalSegments,
		JournalSegmentBytes: int64(d.conf.Settings.JournalSize) / journalSegments,
		Lock:                d.keptFile(stateLock),
	}, d.lookAhead)
	if err != nil {
		return err
	}
	d.state = st
	if err := d.keepFile(stateLock, st.Lock()); err != nil {
		d.log.Error("the lock of the state directory ends with this manager", "reason", err)
	}
	d.atEnd(func() {
		if err := st.Close(); err != nil {
			d.log.Error("state directory", "error", err)
		}
	})
	d.last, err = readLastRun(st, d.flags.stateDir)
	return err
}

const journalSegments = 8

// The locks that the holder keeps from the first manager on, so that there is no moment
// in which another daemon could take them.
const (
	stateLock  = "lock of the state directory"
	socketLock = "lock of the socket"
)

// stateDirFault says what can be done about a state directory that can't be made.
func stateDirFault(err error) error {
	if errors.Is(err, fs.ErrPermission) || errors.Is(err, syscall.EROFS) {
		return fmt.Errorf("state directory %w; --state-dir or GAFFER_STATE_DIR names another place", err)
	}
	return fmt.Errorf("state directory %w", err)
}

// openRuntime makes the place of the socket, and sees that it is nobody else's.
func (d *daemon) openRuntime(context.Context) error {
	dir, err := filepath.Abs(d.flags.runtimeDir)
	if err != nil {
		return err
	}
	d.socket = d.conf.Settings.Socket
	if d.socket == "" {
		d.socket = filepath.Join(dir, socketName)
	}
	if err := checkSocket(d.socket); err != nil {
		return err
	}
	if d.flags.insteadOf != "" {
		d.log.Warn("the runtime directory can't be written, another one is used", "usual", d.flags.insteadOf, "used", dir)
	}
	if err := runtimeDirectory(dir, shared(&d.conf.Settings)); err != nil {
		return err
	}
	lock, err := lockSocket(d.socket, d.pid, d.keptFile(socketLock))
	if err != nil {
		return err
	}
	d.lock = lock
	if err := d.keepFile(socketLock, lock); err != nil {
		d.log.Error("the lock of the socket ends with this manager", "reason", err)
	}
	path := d.flags.pidFile
	if path == "" {
		path = d.conf.Settings.PIDFile
	}
	if path == "" {
		return nil
	}
	remove, err := writePIDFile(path, d.pid)
	if err == nil {
		d.atEnd(func() {
			if !d.left.Load() {
				remove()
			}
		})
	}
	return err
}

// endLeftovers ends what a daemon that was killed has left.
func (d *daemon) endLeftovers(ctx context.Context) error {
	infos, err := d.manager.List(ctx, gaffer.All)
	if err != nil {
		return err
	}
	if d.sameLife() {
		return d.last.begin(d.state)
	}
	l := leftovers{adopted: d.adopted(), log: d.log, tell: d.status, instance: d.last.Instance, known: map[string]gaffer.Template{}}
	for _, info := range infos {
		l.known[info.Template.Name] = info.Template
	}
	if d.last.unfinished() {
		if l.births, err = unfinished(d.state.Journal(), d.last.Seq, l.adopted); err != nil {
			d.log.Warn("processes that the last daemon has left may not all be found", "reason", err)
		}
	}
	if err := l.end(ctx); err != nil {
		return err
	}
	if err := d.last.begin(d.state); err != nil {
		d.log.Error("that this daemon runs can't be kept", "error", err)
	}
	return nil
}

// status tells whoever waits what takes so long.
func (d *daemon) status(text string) {
	d.service.status(text)
	d.starter.status(text)
}

func (d *daemon) makeManager(ctx context.Context) error {
	o := gaffer.Options{
		Node: d.conf.Settings.Node, Instance: d.last.Instance, Logger: d.log, Subreaper: true, Alone: true,
		Journal: d.state.Journal(), Store: d.state, Resume: d.resumes(),
	}
	d.takePassed()
	d.outlived(&o)
	m, err := gaffer.New(o)
	if err != nil {
		return err
	}
	d.manager = m
	d.atEnd(func() { _ = m.Close() }) // of one that did not run
	d.files.Configurator = d.state.Configurator(m, d.files.reread)
	broken := d.broken
	if d.sameLife() {
		broken = state.ErrAsApplied
	}
	if err := d.state.Restore(ctx, m, d.files.read.Desired, broken); err != nil {
		return err
	}
	if err := d.endErrands(ctx); err != nil {
		return err
	}
	return d.adopt(ctx)
}

// endErrands ends what a manager that was killed has run beside its services: hooks, what
// finds out how they are, and commands that somebody had executed. It is before any is run
// anew.
func (d *daemon) endErrands(ctx context.Context) error {
	if d.sameLife() && !d.wasKilled() || !d.sameLife() && !d.last.unfinished() {
		return nil // the one before has ended them itself
	}
	if err := endErrandsOf(ctx, d.last.Instance); err != nil {
		d.log.Warn("what the last manager has run beside its services can't be ended", "reason", err)
	}
	return nil
}

// serve runs the manager until somebody has had enough.
func (d *daemon) serve(ctx context.Context) error {
	defer d.listen(ctx)()
	stopped, over := context.WithCancel(context.Background())
	var beside sync.WaitGroup
	defer beside.Wait()
	defer over()
	defer d.enough()
	beside.Go(func() { d.service.watch(ctx, d.manager) })
	beside.Go(func() {
		<-ctx.Done()
		d.service.stopping(stopped)
	})
	beside.Go(func() { d.announce(ctx) })
	beside.Go(func() { tidyMemory(ctx) })
	err := d.manager.Run(ctx, d.parts.apps()...)
	if d.left.Load() {
		return err
	}
	d.ran = true
	return errors.Join(err, d.last.finish(d.state))
}

// announce tells that the daemon is ready: when it answers, and has tried to start
// all that it is to run.
func (d *daemon) announce(ctx context.Context) {
	select {
	case <-d.manager.Begun():
	case <-ctx.Done():
		return
	}
	infos, err := d.manager.List(ctx, gaffer.All)
	if err != nil {
		return
	}
	for _, source := range d.elsewhere(ctx) {
		d.log.Info("templates of a file that this daemon was not started with run, too", "file", source)
	}
	d.log.Info("ready", "socket", d.socket, "templates", len(infos), "pid", d.pid)
	d.service.ready(fmt.Sprintf("%d templates", len(infos)))
	d.starter.ready("unix://" + d.socket)
	d.tellReady()
}

// elsewhere are the files that define templates and are not the daemon's own.
func (d *daemon) elsewhere(ctx context.Context) []string {
	origins, err := d.files.Origins(ctx, gaffer.All)
	if err != nil {
		return nil
	}
	var sources []string
	for _, o := range origins {
		own := slices.ContainsFunc(d.conf.Desired, func(own gaffer.Desired) bool { return own.Source == o.Source })
		if filepath.IsAbs(o.Source) && !own && d.broken == nil && !slices.Contains(sources, o.Source) {
			sources = append(sources, o.Source)
		}
	}
	return sources
}

// end begins the end, and tells whether it was the first to.
func (d *daemon) end(why string) (first bool) {
	d.ending.Do(func() {
		first = true
		d.log.Info("stopping", "reason", why)
		d.dropSockets()
		d.enough()
	})
	return first
}
