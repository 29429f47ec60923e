package holder

import (
	"encoding/json"
	"time"

	"golang.org/x/sys/unix"

	"github.com/gafferpm/gaffer/internal/proc"
)

// service is a process that is held. It belongs to the holder's loop.
type service struct {
	id     uint64
	pid    int
	pidfd  int
	keep   []proc.Kept
	exit   *proc.Exit // nil: it runs
	looks  int        // for how it ended
	reaped bool
}

func (s *service) close() {
	for _, k := range s.keep {
		_ = unix.Close(k.FD)
	}
	s.keep = nil
	if s.pidfd >= 0 {
		_ = unix.Close(s.pidfd)
		s.pidfd = -1
	}
}

// held is the frame that tells a manager of it.
func (s *service) held(epoch uint32) *frame {
	text := heldText{PID: s.pid, PIDFD: s.pidfd >= 0, Exit: s.exit, Reaped: s.reaped}
	f := &frame{kind: kindHeld, epoch: epoch, id: s.id}
	if text.PIDFD {
		f.fds = append(f.fds, s.pidfd)
	}
	for _, k := range s.keep {
		text.Keep = append(text.Keep, k.Stream)
		f.fds = append(f.fds, k.FD)
	}
	f.body, _ = json.Marshal(text) // it has only numbers and times
	return f
}

// took: a process is held from now on.
func (h *holder) took(s *service) {
	h.look(s)
	h.outside.store.keep(s, h.restored[s.id])
}

// look begins to watch a service.
func (h *holder) look(s *service) {
	h.tidier.busy()
	h.services[s.id] = s
	h.pids[s.pid] = s.id
	if err := h.exits.watch(s.pidfd, s.id); err != nil {
		h.log.Error("the end of a process won't be noticed", "pid", s.pid, "reason", err)
	}
}

// serviceEnded: its pidfd says so.
func (h *holder) serviceEnded(s *service) {
	if s.exit != nil {
		return
	}
	exit, ended := proc.PeekPidfd(s.pidfd)
	if !ended {
		return
	}
	if exit.Later() && s.looks < proc.LostLooks {
		s.looks++
		time.AfterFunc(proc.LostAgain, func() { h.post(func() { h.lookAgain(s) }) })
		return
	}
	h.tidier.busy()
	h.exits.forget(s.pidfd)
	exit.Time = h.now()
	s.exit = &exit
	h.tellExit(s)
}

// lookAgain looks how a service has ended that another program is to bury first.
func (h *holder) lookAgain(s *service) {
	if h.services[s.id] == s {
		h.serviceEnded(s)
	}
}

func (h *holder) tellExit(s *service) {
	body, _ := json.Marshal(s.exit) // it has only numbers and a time
	h.say(&frame{kind: kindExit, id: s.id, body: body})
}

// reap buries a process whose end was taken notice of.
func (h *holder) reap(s *service) {
	if s.exit == nil || s.reaped {
		return
	}
	s.reaped = true
	proc.BuryPidfd(s.pidfd)
	delete(h.pids, s.pid)
	h.outside.store.drop(s, false)
	_ = unix.Close(s.pidfd)
	s.pidfd = -1
}

func (h *holder) forget(s *service) {
	h.reap(s)
	if s.exit == nil { // the manager gives up a process that runs: it has its reasons
		h.exits.forget(s.pidfd)
		delete(h.pids, s.pid)
	}
	h.outside.store.drop(s, true)
	s.close()
	delete(h.services, s.id)
}
