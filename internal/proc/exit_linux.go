package proc

import (
	"time"

	"golang.org/x/sys/unix"
)

// exited is called by the poller when the main process has ended.
func (c *child) exited() {
	exit, ended := c.reap()
	if !ended && !exit.Later() {
		return
	}
	c.host.poller.drop(c.slots[0])
	c.slots[0] = noSlot
	if !ended {
		time.AfterFunc(LostAgain, func() { c.host.poller.post(c.exited) })
		return
	}
	c.endedAs(exit)
}

// endedAs is called by the poller when it is known how the main process has ended.
func (c *child) endedAs(exit Exit) {
	c.host.poller.drain(c)
	c.closeInputs()
	c.host.tree.exited(c, exit)
}

// reap buries the main process, if it has ended. From then on its number may be
// somebody else's, but its pidfd still knows the process group.
func (c *child) reap() (exit Exit, ended bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	exit, ended, err := tryReap(int(c.pidfd))
	if err != nil {
		// Somebody else has waited for it, or SIGCHLD is ignored.
		exit, ended = lostExit(int(c.pidfd)), true
		if exit.Later() && c.looks < LostLooks {
			c.looks++
			return exit, false
		}
	}
	if ended {
		exit.Time = time.Now()
		c.ended = true
		c.host.tree.reaped(c.PID())
	}
	return exit, ended
}

func (c *child) closeInputs() {
	for _, in := range c.inputs {
		if in != nil {
			_ = in.file.Close()
		}
	}
}

// finish is the last that happens to a process, but for what a survivor of its
// descendants may still write into a stream that somebody captures.
func (c *child) finish(exit Exit) {
	c.over = true
	c.host.poller.finish(c)
	c.mu.Lock()
	_ = unix.Close(int(c.pidfd))
	c.pidfd = -1
	c.mu.Unlock()
	if !c.detach {
		c.handler.Exited(exit)
	}
}

// unwatched ends a process that could not be watched although it was started:
// its end is all that its handler hears of.
func (c *child) unwatched(channels channels, reason error) {
	c.host.log.Error("process can't be watched: killed", "reason", reason)
	_ = c.SignalGroup(unix.SIGKILL)
	exit, err := reap(int(c.pidfd))
	if err != nil {
		exit = lostExit(int(c.pidfd))
	}
	exit.Time = time.Now()
	c.mu.Lock()
	c.ended = true
	c.mu.Unlock()
	c.host.tree.reaped(c.PID())
	channels.closeOurs()
	c.host.poller.post(func() { c.host.tree.exited(c, exit) })
}
