package holder

import (
	"fmt"
	"os"
	"slices"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/gafferpm/gaffer/internal/proc"
)

// manager is a manager that runs, or has just ended. It belongs to the holder's loop.
type manager struct {
	line    *line
	pid     int
	pidfd   int
	epoch   uint32
	began   time.Time
	greeted bool // it was told what there is
	ready   bool
	over    *int // exit status of the daemon: it has stopped everything
	leaving bool // it was told to end
	missed  int  // how often it has not answered
	exited  bool
	silent  bool // nothing more comes from it
}

// startManager starts the next manager.
func (h *holder) startManager() {
	if h.manager != nil || h.done || h.replacing {
		return
	}
	h.epoch++
	l, err := h.launch(h.opts.Manager, h.outside.environ(), h.outside.sockets)
	if err == nil {
		if err = h.exits.watchChild(l.child, keyManager); err != nil {
			l.line.close()
		}
	}
	if err != nil {
		h.log.Error("manager", "reason", err)
		h.last, h.since = err.Error(), h.now()
		if h.stops > 0 && h.failures >= stopTries {
			h.stopAlone()
			return
		}
		if !h.upgradeEnded() {
			h.again()
		}
		return
	}
	m := &manager{line: l.line, pid: l.pid, pidfd: l.pidfd, epoch: h.epoch, began: h.now()}
	h.manager = m
	go func() {
		for {
			f, err := l.line.receive()
			if err != nil {
				h.post(func() {
					m.silent = true
					h.managerEnded()
				})
				return
			}
			h.post(func() { h.heard(m, &f) })
		}
	}()
}

// patientManagers is how many may end before they are ready before those who connect are
// refused.
const patientManagers = 5

// again starts the next manager after a pause that grows.
func (h *holder) again() {
	pause := time.Duration(0)
	if h.failures > 0 {
		pause = min(firstPause<<min(h.failures-1, 10), longestPause)
	}
	h.failures++
	if h.unready++; h.unready > patientManagers { // who connects is not to wait for what may never come
		h.outside.dropKept(SocketPrefix)
	}
	time.AfterFunc(pause, func() { h.post(h.startManager) })
}

// greet welcomes a manager when it is clear what there is.
func (h *holder) greet(m *manager, protocol string) {
	if m != h.manager {
		return
	}
	h.afterOrders(func() { // of the manager before it
		if m == h.manager {
			h.welcome(m, protocol)
		}
	})
}

// ping asks the manager whether it is alive, and ends one that has not said so.
func (h *holder) ping() {
	m := h.manager
	if m == nil || !m.ready {
		h.outside.tellService("WATCHDOG=1") // this program sees to it; there are never two that do
		if m != nil && h.now().Sub(m.began) > readyTime {
			h.log.Error("the manager does not get ready; it is killed and started again", "pid", m.pid)
			h.killManager()
		}
		return
	}
	if m.missed >= beats {
		h.log.Error("the manager does not answer; it is killed and started again", "pid", m.pid)
		h.killManager()
		return
	}
	m.missed++
	h.spoke = false
	h.say(&frame{kind: kindPing})
}

func (h *holder) killManager() {
	if h.manager != nil {
		_ = unix.PidfdSendSignal(h.manager.pidfd, unix.SIGKILL, nil, 0)
	}
}

// managerEnded is called when the manager has ended and when nothing more comes from
// it: when both are so, it is clear what it has said last.
func (h *holder) managerEnded() {
	m := h.manager
	if m == nil || !m.exited {
		if m != nil && m.silent && !m.exited { // it has closed the line, and is to follow
			time.AfterFunc(beat, func() {
				h.post(func() {
					if h.manager == m {
						h.killManager()
					}
				})
			})
		}
		return
	}
	if !m.silent {
		return
	}
	exit, _ := proc.PeekPidfd(m.pidfd)
	h.exits.forget(m.pidfd)
	proc.BuryPidfd(m.pidfd)
	_ = unix.Close(m.pidfd)
	m.line.close()
	h.manager = nil
	h.last, h.since = describe(exit), h.now()
	switch {
	case m.over != nil:
		h.end(*m.over)
		return
	case !h.begun && len(h.services) == 0 && exit.Signal == 0 && h.upgrade == nil:
		h.end(exit.Status) // it has said why it can't begin
		return
	}
	if h.upgradeEnded() {
		return
	}
	if h.now().Sub(m.began) > longLife {
		h.failures = 0
	}
	if !m.leaving {
		h.log.Warn("the manager has ended; it is started again, services go on", "pid", m.pid, "end", h.last, "services", len(h.services))
	}
	if h.stops > 0 && h.failures >= stopTries {
		h.stopAlone()
		return
	}
	h.again()
}

// stopTries is how many managers may end while everything is to be stopped before it
// is stopped without.
const stopTries = 5

// stopAlone asks all services to end, and kills what has not ended in time: managers
// can't be had.
func (h *holder) stopAlone() {
	h.log.Error("no manager lives long enough to stop the services: they are stopped without order", "services", len(h.services))
	for _, s := range h.services {
		h.signal(s, unix.SIGTERM)
		h.signal(s, unix.SIGCONT)
	}
	deadline := time.Now().Add(alonePatience)
	var look func()
	look = func() {
		living := 0
		for _, s := range h.services {
			if s.exit == nil {
				living++
				if time.Now().After(deadline) {
					h.signal(s, unix.SIGKILL)
				}
			}
		}
		if living == 0 {
			h.end(1)
			return
		}
		time.AfterFunc(firstPause, func() { h.post(look) })
	}
	look()
}

const alonePatience = 10 * time.Second

func (h *holder) signal(s *service, sig syscall.Signal) {
	if s.exit != nil {
		return
	}
	if unix.PidfdSendSignal(s.pidfd, sig, nil, unix.PIDFD_SIGNAL_PROCESS_GROUP) != nil {
		_ = unix.Kill(-s.pid, sig) // it is not buried: the number is its own
	}
}

// end ends the holder.
func (h *holder) end(status int) {
	h.status, h.done = status, true
	h.outside.closeStarter()
}

func describe(e proc.Exit) string {
	switch {
	case e.Lost:
		return "it is not known how"
	case e.Signal != 0:
		return "ended by " + proc.SignalName(e.Signal)
	}
	return fmt.Sprintf("exit status %d", e.Status)
}

// without is an environment without some variables.
func without(environ []string, names ...string) []string {
	return slices.DeleteFunc(slices.Clone(environ), func(entry string) bool {
		name, _, _ := strings.Cut(entry, "=")
		return slices.Contains(names, name)
	})
}

// lowerOOMScore keeps this program and the manager, which inherits it, from being
// chosen when the kernel wants memory. Services have the spawner's score, which is what
// it was; who is not root can't lower anything.
func lowerOOMScore() { _ = os.WriteFile("/proc/self/oom_score_adj", []byte("-900"), 0) }
