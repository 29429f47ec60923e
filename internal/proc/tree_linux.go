package proc

import (
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"strconv"
	"sync"
	"syscall"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// tree ends what processes leave behind. There are three ways to know what that is:
//
//   - each process has a cgroup of its own;
//   - this program is the one that orphans come to, and its main thread, which
//     starts nothing, has them in its list of children;
//   - orphans go to somebody above this program, and are looked for there.
//
// In the first two it is known at once, and without a search, that nothing was
// left behind, which is what nearly always happens.
//
// mu guards living.
type tree struct {
	poller  *poller
	log     *slog.Logger
	cgroups *cgroups // nil: not in use
	sweeper *sweeper

	parent    int           // 0, or the program that orphans come to
	adopting  bool          // orphans come to this program
	subreaper bool          // because newTree asked for it
	lists     bool          // the kernel keeps lists of children
	orphans   *os.File      // the main thread's list of children, when adopting
	over      chan struct{} // closed when deaths need not be watched any more
	watching  sync.WaitGroup
	removing  sync.WaitGroup // of cgroups with limits

	mu     sync.Mutex
	living map[int]struct{} // processes of this Host that were not waited for yet
}

func newTree(o Options, p *poller) (*tree, error) {
	t := &tree{poller: p, log: o.Logger, living: map[int]struct{}{}, lists: haveChildLists()}
	t.sweeper = &sweeper{tree: t, token: o.Token, alone: o.Alone}
	if o.parent != 0 {
		t.lookAt(o.parent)
		return t, nil
	}
	if err := t.adopt(o.Subreaper); err != nil {
		return nil, fmt.Errorf("subreaper: %w", err)
	}
	// A cgroup costs half a start more. Where orphans come to us we do without.
	if !o.NoCgroup && t.orphans == nil {
		cgroups, err := newCgroups()
		if err != nil {
			t.log.Debug("no cgroups", "reason", err)
		}
		t.cgroups = cgroups
	}
	return t, nil
}

// lookAt has orphans looked for among the children of another program, whose main
// thread starts none either.
func (t *tree) lookAt(parent int) {
	t.parent = parent
	if !t.lists {
		return
	}
	pid := strconv.Itoa(parent)
	if list, err := os.Open("/proc/" + pid + "/task/" + pid + "/children"); err == nil {
		t.orphans = list
	}
}

// adopt makes this program the parent of orphans, if asked, and finds their list
// if it is, for whatever reason.
func (t *tree) adopt(ask bool) error {
	already := isSubreaper()
	if !already && ask {
		if err := unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0); err != nil {
			return err
		}
		t.subreaper = true
	}
	t.adopting = already || t.subreaper || os.Getpid() == 1
	if !t.adopting {
		return nil
	}
	if t.lists {
		pid := strconv.Itoa(os.Getpid())
		list, err := os.Open("/proc/self/task/" + pid + "/children")
		if err != nil {
			return err
		}
		t.orphans = list
	}
	return nil
}

// watch begins to watch for orphans that end, when all else is in place.
func (t *tree) watch() {
	if !t.adopting {
		return
	}
	t.over = make(chan struct{})
	t.watching.Go(t.watchDeaths)
}

// betweenDeaths is how long the deaths of children go unheard after one of them:
// they come in crowds, and a signal for each costs more than the rest of an exit.
const betweenDeaths = 100 * time.Millisecond

// watchDeaths has orphans buried soon after they have ended.
func (t *tree) watchDeaths() {
	deaths := make(chan os.Signal, 1)
	for {
		signal.Notify(deaths, unix.SIGCHLD)
		if !t.childless() { // as somebody may have died unheard
			t.sweeper.bury()
		}
		select {
		case <-deaths:
			signal.Stop(deaths)
		case <-t.over:
			signal.Stop(deaths)
			return
		}
		select {
		case <-time.After(betweenDeaths):
		case <-t.over:
			return
		}
	}
}

func isSubreaper() bool {
	var is int32
	_, _, errno := unix.Syscall(unix.SYS_PRCTL, unix.PR_GET_CHILD_SUBREAPER, uintptr(unsafe.Pointer(&is)), 0)
	return errno == 0 && is != 0
}

// check finds out whether processes can be started in cgroups.
func (t *tree) check(start func(cgroup int) error) {
	if t.cgroups == nil {
		return
	}
	l, fd, err := t.cgroups.take()
	if err == nil {
		err = start(fd)
		_ = unix.Close(fd)
		t.cgroups.put(l)
	}
	if err != nil {
		t.log.Debug("no cgroups", "reason", err)
		t.cgroups.close()
		t.cgroups = nil
	}
}

func (t *tree) close() {
	if t.over != nil {
		close(t.over)
		t.watching.Wait()
	}
	t.sweeper.wait()
	t.removing.Wait()
	if t.subreaper {
		_ = unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 0, 0, 0, 0)
	}
	if t.orphans != nil {
		_ = t.orphans.Close()
	}
	if t.cgroups != nil {
		t.cgroups.close()
	}
}

// leaf is the cgroup to start a process in, with a descriptor of it; nil and -1
// where there is none.
func (t *tree) leaf(spec *Spec) (*leaf, int) {
	if t.cgroups == nil || spec.Detach {
		return nil, -1
	}
	l, fd, err := t.cgroups.take()
	if err != nil {
		t.log.Warn("process without a cgroup", "reason", err)
		return nil, -1
	}
	return l, fd
}

// descendants is how what a process starts is known to be its own.
func (t *tree) descendants() string {
	switch {
	case t.cgroups != nil:
		return DescendantsByCgroup
	case t.orphans != nil:
		return DescendantsByParent
	}
	return DescendantsByMark
}

// spawned notes how a start in that leaf went.
func (t *tree) spawned(l *leaf, pid int, err error) {
	if err != nil {
		if l != nil {
			t.put(l)
		}
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.living[pid] = struct{}{}
}

// reaped notes that a process was waited for: its number may come again.
func (t *tree) reaped(pid int) {
	t.mu.Lock()
	defer t.mu.Unlock()
	delete(t.living, pid)
}

func (t *tree) lives(pid int) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	_, ok := t.living[pid]
	return ok
}

// childless says whether no orphan has come to this program.
func (t *tree) childless() bool {
	if t.orphans == nil {
		return false
	}
	var buf [1]byte
	n, err := unix.Pread(int(t.orphans.Fd()), buf[:], 0)
	return n == 0 && err == nil
}

// clean says whether c, whose main process has ended, left nothing behind, as
// far as that can be told without a search.
func (t *tree) clean(c *child) bool {
	c.mu.Lock()
	known := len(c.known)
	c.mu.Unlock()
	switch {
	case known > 0:
		return false
	case c.leaf != nil:
		return c.leaf.empty()
	case t.orphans != nil:
		return t.childless()
	}
	return false
}

// exited ends what c has left behind, and then c. The poller calls it.
func (t *tree) exited(c *child, exit Exit) {
	if c.detach || t.clean(c) {
		t.done(c, exit, true)
		return
	}
	if c.spare {
		t.done(c, exit, c.leaf == nil || c.leaf.empty())
		return
	}
	c.ending = newEnding(c, exit)
	t.sweeper.add(c.ending)
}

// done is the end of c. empty says that nothing of it is left.
func (t *tree) done(c *child, exit Exit, empty bool) {
	if c.leaf != nil && c.leaf.limited {
		exit.Grouped, exit.OutOfMemory = true, c.leaf.oomKills()
	}
	if c.leaf != nil && empty {
		t.put(c.leaf)
	}
	c.finish(exit)
}

// put takes back a leaf that is empty.
func (t *tree) put(l *leaf) {
	if !l.limited {
		t.cgroups.put(l)
		return
	}
	t.removing.Go(func() { removeCgroup(l.dir) }) // it may take a moment
}

// kill ends c with all that it has started, as far as that is known now. What is
// started meanwhile is found when c's end is noticed.
func (t *tree) kill(c *child) {
	var found []kin
	switch {
	case c.detach:
	case c.leaf != nil:
		found = c.leaf.kins(c.PID())
	default:
		found = t.below(c, func(kin) bool { return true })
		for _, k := range found {
			if pidfd := k.kill(); pidfd >= 0 {
				_ = unix.Close(pidfd)
			}
		}
	}

	c.mu.Lock()
	defer c.mu.Unlock()
	if c.ended { // all else is being ended, and the leaf may be another's already
		return
	}
	c.rememberLocked(found, true)
	if c.leaf != nil {
		c.leaf.kill()
	}
	_ = c.signalGroupLocked(unix.SIGKILL)
}

// below are the descendants of c that are wanted.
func (t *tree) below(c *child, wanted func(kin) bool) []kin {
	c.mu.Lock()
	gone := c.pidfd < 0
	c.mu.Unlock()
	if gone { // its number may be anybody's
		return nil
	}
	var f families
	if !t.lists {
		f = readFamilies()
	}
	var found []kin
	f.descendants(c.PID(), func(k kin) {
		if wanted(k) {
			found = append(found, k)
		}
	})
	return found
}

// rememberBefore is called before a signal that may end c. It notes the
// descendants that have left the session: when c is gone they can't be told from
// others any more.
func (c *child) rememberBefore(sig syscall.Signal) {
	switch sig {
	case 0, unix.SIGCONT, unix.SIGSTOP, unix.SIGTSTP, unix.SIGCHLD, unix.SIGURG, unix.SIGWINCH:
		return
	}
	t := c.host.tree
	if c.leaf != nil || c.detach || !t.lists {
		return
	}
	found := t.below(c, func(k kin) bool { return k.session != c.PID() })
	c.mu.Lock()
	defer c.mu.Unlock()
	c.rememberLocked(found, false)
}

// rememberLocked adds to what c is known to have started.
func (c *child) rememberLocked(found []kin, killed bool) {
	for _, k := range found {
		c.known = append(c.known, descendant{k, killed})
	}
}

// descendant is a process that c has started, directly or not.
type descendant struct {
	kin
	killed bool // by Kill
}

// kins are the leaf's members but the main process.
func (l *leaf) kins(main int) []kin {
	var all []kin
	for _, pid := range l.members() {
		if k, ok := readKin(pid); ok && pid != main && !k.dead {
			all = append(all, k)
		}
	}
	return all
}
