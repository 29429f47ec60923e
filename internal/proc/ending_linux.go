package proc

import (
	"time"

	"golang.org/x/sys/unix"
)

const (
	// stuckAfter is how long something that was killed is waited for.
	stuckAfter = 5 * time.Second
	// lookAgain is when to look again for what can't be waited for.
	lookAgain = 5 * time.Millisecond
	// unsureLooks is how often to look again for what may turn out to be a survivor.
	unsureLooks = 3
	// waitedAtOnce is how many processes of one ending are waited for at a time:
	// each takes a descriptor. All of them are killed at once.
	waitedAtOnce = 64
)

// ending is the ending of what one process has left behind. It goes to and fro:
// the sweeper looks for survivors and kills them, the poller waits until they are
// gone and gives it back, until nothing is found any more.
//
// Its fields belong to whoever has it, those from looks on to the poller.
type ending struct {
	child    *child
	exit     Exit
	known    []descendant
	killed   map[int]uint64 // everything that had to be killed: start by pid
	found    []kin          // survivors of the last sweep
	victims  []int          // pidfds of those who were killed in it
	unsure   bool           // something was seen in it that could not be told from others
	emptied  bool           // the cgroup, if there is one, was empty in it
	deadline time.Time      // zero until something was killed

	looks   int // how often it was looked again because of unsure
	waiting int // victims that the poller waits for
	timer   *time.Timer
	over    bool
}

func newEnding(c *child, exit Exit) *ending {
	c.mu.Lock()
	defer c.mu.Unlock()
	e := &ending{child: c, exit: exit, known: c.known, killed: map[int]uint64{}}
	for _, d := range c.known {
		if d.killed {
			e.killed[d.pid] = d.start
		}
	}
	return e
}

// add notes a survivor, once.
func (e *ending) add(k kin) {
	for _, other := range e.found {
		if other.pid == k.pid {
			return
		}
	}
	e.found = append(e.found, k)
}

// clean says whether the last sweep found nothing.
func (e *ending) clean() bool {
	return len(e.found) == 0 && (e.child.leaf == nil || e.emptied)
}

// strike kills all that were found. The sweeper calls it.
func (e *ending) strike() {
	if e.clean() {
		return
	}
	if e.deadline.IsZero() {
		e.deadline = time.Now().Add(stuckAfter)
	}
	if e.child.leaf != nil {
		e.child.leaf.kill()
	}
	for _, k := range e.found {
		e.killed[k.pid] = k.start
		pidfd := k.kill()
		switch {
		case pidfd < 0:
		case len(e.victims) < waitedAtOnce:
			e.victims = append(e.victims, pidfd)
		default:
			_ = unix.Close(pidfd)
		}
	}
}

// swept takes the result of a sweep. The poller calls it.
func (e *ending) swept() {
	t := e.child.host.tree
	if e.clean() && e.unsure && e.looks < unsureLooks {
		e.looks++
		time.AfterFunc(lookAgain, func() { t.sweeper.add(e) })
		return
	}
	if e.clean() {
		e.finish(0)
		return
	}
	if e.timer == nil {
		e.timer = time.AfterFunc(stuckAfter, func() { t.poller.post(e.giveUp) })
	}
	if e.over || time.Now().After(e.deadline) {
		e.finish(max(1, len(e.found)))
		return
	}
	for _, pidfd := range e.victims {
		if _, err := t.poller.watch(e.child, pidfd, roleVictim); err != nil {
			_ = unix.Close(pidfd)
			continue
		}
		e.waiting++
	}
	e.victims = e.victims[:0]
	if e.waiting == 0 {
		time.AfterFunc(lookAgain, func() { t.sweeper.add(e) })
	}
}

// gone is called by the poller when a victim has ended.
func (e *ending) gone(i uint32, pidfd int) {
	t := e.child.host.tree
	_, _, _ = tryReap(pidfd) // not ours to wait for: then somebody else does
	t.poller.drop(i)
	_ = unix.Close(pidfd)
	e.waiting--
	if e.waiting == 0 && !e.over {
		t.sweeper.add(e)
	}
}

// giveUp is called by the poller when survivors have not gone in time.
func (e *ending) giveUp() {
	if !e.over && e.waiting > 0 {
		e.finish(e.waiting)
	}
}

// finish ends the waiting. Victims that are still there are waited for without
// holding up anybody.
func (e *ending) finish(stuck int) {
	e.over = true
	if e.timer != nil {
		e.timer.Stop()
	}
	for _, pidfd := range e.victims {
		_ = unix.Close(pidfd)
	}
	e.victims = nil
	e.exit.Leftover, e.exit.Stuck = len(e.killed), stuck
	e.child.host.tree.done(e.child, e.exit, stuck == 0)
}
