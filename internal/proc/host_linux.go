package proc

import (
	"fmt"
	"log/slog"
	"os"
	"runtime"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// direct is the Host of kernels with pidfds.
//
// mu serialises starts and guards closed.
type direct struct {
	poller *poller
	tree   *tree
	null   *os.File
	log    *slog.Logger

	mu      sync.Mutex
	spawner spawner
	closed  bool
}

func newStarter(o Options) (starter, error) {
	if o.engine == enginePortable || !havePidfd() {
		return newPortable(o)
	}
	return newDirect(o)
}

// havePidfd says whether the kernel has pidfds and lets us use them.
func havePidfd() bool {
	fd, err := unix.PidfdOpen(os.Getpid(), 0)
	if err != nil {
		return false
	}
	defer unix.Close(fd)
	return signalPidfd(fd, 0) == nil
}

func newDirect(o Options) (_ *direct, err error) {
	d := &direct{log: o.Logger}
	defer func() {
		if err != nil {
			d.release()
		}
	}()
	if d.null, err = os.OpenFile(os.DevNull, os.O_RDWR, 0); err != nil {
		return nil, err
	}
	null, err := descriptor(d.null)
	if err != nil {
		return nil, err
	}
	if d.spawner, err = newSpawner(o, null); err != nil {
		return nil, err
	}
	if d.poller, err = newPoller(); err != nil {
		return nil, err
	}
	if d.tree, err = newTree(o, d.poller); err != nil {
		return nil, err
	}
	d.tree.check(d.tryCgroup)
	d.tree.watch()
	return d, nil
}

// tryCgroup starts what can't be executed, to see whether the rest works.
// Descendants is how what processes start is known to be theirs.
func (d *direct) Descendants() string { return d.tree.descendants() }

func (d *direct) tryCgroup(cgroup int) error {
	l := launch{spec: &Spec{Path: "/dev/null/", Args: []string{""}}, cgroup: cgroup}
	_, pidfd, err := d.spawnOffMainThread(&l)
	if err == nil { // it did not get as far as that
		_, _ = reap(pidfd)
		_ = unix.Close(pidfd)
		return fmt.Errorf("a process started in a cgroup of its own: %w", os.ErrProcessDone)
	}
	if errnoOf(err) == unix.ENOTDIR {
		return nil
	}
	return err
}

func newSpawner(o Options, null int) (spawner, error) {
	if o.engine == engineForkExec {
		return &forker{null: null}, nil
	}
	s, err := newVforker(null, ignoredSignals(), originalLimit(), false)
	if err == nil || o.engine == engineVfork {
		return s, err
	}
	o.Logger.Debug("starting processes the slow way", "reason", err)
	return &forker{null: null}, nil
}

// release closes what newDirect opened.
func (d *direct) release() {
	if d.poller != nil {
		d.poller.close()
	}
	if d.tree != nil {
		d.tree.close()
	}
	if d.spawner != nil {
		d.spawner.close()
	}
	if d.null != nil {
		_ = d.null.Close()
	}
}

func (d *direct) Close() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.closed {
		return ErrClosed
	}
	d.closed = true
	d.release()
	return nil
}

func (d *direct) Start(spec *Spec, h Handler) error {
	if err := spec.check(); err != nil {
		return err
	}
	channels, err := openChannels(spec)
	if err != nil {
		return err
	}
	c, err := d.spawn(spec, h, &channels)
	runtime.KeepAlive(spec.Files)
	channels.closeTheirs()
	if err != nil {
		channels.closeOurs()
		return err
	}
	h.Started(c)
	if err := d.poller.watchChild(c, channels.sources); err != nil {
		go c.unwatched(channels, fmt.Errorf("process %d: %w", c.pid, err))
	}
	return nil
}

// spawn makes the process, but does not watch it yet.
func (d *direct) spawn(spec *Spec, h Handler, channels *channels) (*child, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.closed {
		return nil, ErrClosed
	}
	spec, leaf, err := limitedLeaf(spec)
	if err != nil {
		return nil, err
	}
	cgroup := -1
	if leaf == nil {
		leaf, cgroup = d.tree.leaf(spec)
	}
	l := launch{spec: spec, fds: channels.fds, cgroup: cgroup}
	pid, pidfd, err := d.spawnOffMainThread(&l)
	if cgroup >= 0 {
		_ = unix.Close(cgroup)
	}
	d.tree.spawned(leaf, pid, err)
	if err != nil {
		return nil, err
	}
	return &child{
		host: d, handler: h, captures: spec.Captures, started: time.Now(), token: spec.Token, detach: spec.Detach, spare: spec.Spare,
		pid: int32(pid), pidfd: int32(pidfd), leaf: leaf, inputs: channels.inputs,
	}, nil
}

// spawnOffMainThread keeps our processes out of the main thread's list of
// children, which is where the kernel puts orphans.
func (d *direct) spawnOffMainThread(l *launch) (pid, pidfd int, err error) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	if unix.Gettid() != os.Getpid() {
		return d.spawnHere(l)
	}
	done := make(chan struct{})
	go func() { // cannot run on this thread, which is locked
		defer close(done)
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		pid, pidfd, err = d.spawnHere(l)
	}()
	<-done
	return pid, pidfd, err
}

// spawnHere keeps this program as it is: a child that changes its user while it
// shares our memory would make that unreadable for debuggers and core dumps.
func (d *direct) spawnHere(l *launch) (pid, pidfd int, err error) {
	if !l.spec.changesUser() {
		return l.spawnBy(d.spawner)
	}
	dumpable, _ := unix.PrctlRetInt(unix.PR_GET_DUMPABLE, 0, 0, 0, 0)
	defer func() {
		if dumpable == 1 {
			_ = unix.Prctl(unix.PR_SET_DUMPABLE, 1, 0, 0, 0)
		}
	}()
	return l.spawnBy(d.spawner)
}
