package holder

import (
	"encoding/json"
	"os"
	"slices"
	"strconv"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/gafferpm/gaffer/internal/proc"
)

// spawnerProc is the spawner, and what it was asked for. It belongs to the holder's loop.
type spawnerProc struct {
	line   *line
	pid    int
	pidfd  int
	orders []*ordered // in order; the first is being carried out
	exited bool
	silent bool // nothing more comes from it

	program os.FileInfo // that it executes
	leaving bool        // it was told to end
	then    func()      // what is done then, but for starting the next one
}

// ordered is a start that was asked for.
type ordered struct {
	id     uint64
	detach bool
	keep   []proc.Kept
}

func (o *ordered) close() {
	for _, k := range o.keep {
		_ = unix.Close(k.FD)
	}
}

// launched is a child that speaks with this program.
type launched struct {
	line *line
	child
}

// child is one that is no service.
type child struct {
	pid   int
	pidfd int
}

// execute starts a program.
func execute(binary *os.File, args, env []string, files []uintptr) (child, error) {
	pidfd := -1
	pid, _, err := syscall.StartProcess(byDescriptor(binary), append([]string{"gaffer"}, args...), &syscall.ProcAttr{
		Env: env, Files: files,
		Sys: &syscall.SysProcAttr{Setpgid: true, PidFD: &pidfd}, // what a terminal sends is for the holder
	})
	if err == nil && pidfd < 0 {
		pidfd, err = unix.PidfdOpen(pid, 0)
	}
	return child{pid, pidfd}, err
}

// byDescriptor is a name by which a program can be executed.
func byDescriptor(binary *os.File) string { return "/proc/self/fd/" + strconv.Itoa(int(binary.Fd())) }

// launch starts the program again, with these arguments and the number of the
// descriptor that leads here, which comes after the extra ones.
func (h *holder) launch(args, env []string, extra []socket) (*launched, error) {
	ours, theirs, err := newPair()
	if err != nil {
		return nil, err
	}
	defer unix.Close(theirs)
	files := []uintptr{0, 1, 2}
	for _, s := range extra {
		files = append(files, uintptr(s.fd))
	}
	files = append(files, uintptr(theirs))
	c, err := execute(h.program.file, slices.Concat(args, []string{strconv.Itoa(len(files) - 1)}), env, files)
	if err != nil {
		ours.close()
		return nil, err
	}
	return &launched{ours, c}, nil
}

func (h *holder) startSpawner() {
	l, err := h.launch(h.opts.Spawner, os.Environ(), nil)
	if err == nil {
		if err = h.exits.watchChild(l.child, keySpawner); err != nil {
			l.line.close()
		}
	}
	if err != nil {
		h.log.Error("spawner", "reason", err)
		time.AfterFunc(firstPause, func() { h.post(h.startSpawnerIfNone) })
		return
	}
	s := &spawnerProc{line: l.line, pid: l.pid, pidfd: l.pidfd}
	s.program, _ = h.program.file.Stat() // it is open
	h.spawner = s
	go func() {
		for {
			f, err := l.line.receive()
			if err != nil {
				h.post(func() {
					s.silent = true
					h.spawnerEnded()
				})
				return
			}
			h.post(func() { h.born(s, &f) })
		}
	}()
}

func (h *holder) startSpawnerIfNone() {
	if h.spawner == nil && !h.done {
		h.startSpawner()
	}
}

// start passes an order on to the spawner.
func (h *holder) start(f *frame) {
	o, err := parseOrder(f)
	if err == nil && h.spawner == nil {
		err = errNoSpawner
	}
	if err == nil && h.services[f.id] != nil {
		err = unix.EEXIST
	}
	if err != nil {
		h.failed(f.id, proc.FaultOf(err))
		return
	}
	at := len(f.fds) - len(o.keep)
	waits := &ordered{id: f.id, detach: f.number != 0}
	for i, stream := range o.keep {
		waits.keep = append(waits.keep, proc.Kept{Stream: stream, FD: f.fds[at+i]})
	}
	o.keep = nil
	theirs := f.fds[:at]
	f.fds = theirs // the others are kept
	h.spawner.orders = append(h.spawner.orders, waits)
	h.spawner.line.send(&frame{kind: kindSpawn, id: f.id, body: o.append(nil), fds: theirs})
}

type spawnerError string

func (e spawnerError) Error() string { return string(e) }

const errNoSpawner = spawnerError("the spawner has ended, and is started again")

func (h *holder) failed(id uint64, fault proc.Fault) {
	body, _ := json.Marshal(fault) // it has only text and a number
	h.say(&frame{kind: kindFailed, id: id, body: body})
}

// born is the spawner's answer.
func (h *holder) born(s *spawnerProc, f *frame) {
	if s != h.spawner || len(s.orders) == 0 || s.orders[0].id != f.id {
		for _, fd := range f.fds {
			proc.BuryPidfd(fd)
		}
		closeAll(f.fds)
		return
	}
	o := s.orders[0]
	s.orders = s.orders[1:]
	if f.kind != kindBorn || len(f.fds) == 0 {
		for _, fd := range f.fds {
			proc.BuryPidfd(fd)
		}
		closeAll(f.fds)
		o.close()
		h.say(&frame{kind: kindFailed, id: f.id, body: f.body})
		return
	}
	h.bornAs(o, int(f.number), f.fds[0])
}

func (h *holder) bornAs(o *ordered, pid, pidfd int) {
	h.say(&frame{kind: kindStarted, id: o.id, number: int64(pid), fds: []int{pidfd}})
	if o.detach {
		o.close()
		_ = unix.Close(pidfd)
		return
	}
	h.took(&service{id: o.id, pid: pid, pidfd: pidfd, keep: o.keep})
}

// spawnerEnded is called when the spawner has ended and when nothing more comes from
// it: when both are so, what it had begun is looked for, and the next one is started.
func (h *holder) spawnerEnded() {
	s := h.spawner
	if s == nil || !s.exited || !s.silent {
		return
	}
	h.exits.forget(s.pidfd)
	proc.BuryPidfd(s.pidfd)
	_ = unix.Close(s.pidfd)
	s.line.close()
	h.spawner = nil
	if h.done {
		return
	}
	if !s.leaving {
		h.log.Warn("the spawner has ended; it is started again", "pid", s.pid, "orders", len(s.orders))
	}
	if len(s.orders) > 0 {
		if pid, pidfd := h.findBorn(s.program); pid != 0 {
			h.bornAs(s.orders[0], pid, pidfd)
			s.orders = s.orders[1:]
		}
	}
	for _, o := range s.orders {
		o.close()
		h.failed(o.id, proc.FaultOf(errNoSpawner))
	}
	if s.then != nil {
		s.then()
		return
	}
	h.startSpawner()
}

// endSpawner ends the spawner when it has carried out its orders, or by force if it does
// not for long. Then the next one is started, or else then is called.
func (h *holder) endSpawner(then func()) {
	s := h.spawner
	if s == nil {
		if then != nil {
			then()
		}
		return
	}
	s.leaving, s.then = true, then
	h.afterOrders(func() {
		if h.spawner == s {
			s.line.close()
		}
	})
}

// afterOrders calls f when the spawner has carried out all orders. One that does not in
// time, as the file of a program is on a server that does not answer, is killed.
func (h *holder) afterOrders(f func()) {
	deadline := h.now().Add(orderPatience)
	var look func()
	look = func() {
		switch {
		case h.spawner == nil || len(h.spawner.orders) == 0:
			f()
			return
		case h.now().After(deadline):
			h.log.Error("the spawner does not get on; it is killed", "pid", h.spawner.pid)
			_ = unix.PidfdSendSignal(h.spawner.pidfd, unix.SIGKILL, nil, 0)
			deadline = h.now().Add(orderPatience)
		}
		time.AfterFunc(bornAgain, func() { h.post(look) })
	}
	look()
}

// orderPatience is how long the spawner's orders may keep a manager, or an upgrade,
// waiting.
const orderPatience = 10 * time.Second

const (
	bornLooks = 2000
	bornAgain = time.Millisecond
)

// findBorn finds the child that a spawner has made and not told of any more. Until it
// has become another program than the spawner's it can't be told from nothing: it is
// waited for.
func (h *holder) findBorn(program os.FileInfo) (pid, pidfd int) {
	for range bornLooks {
		pid := proc.FindChild(func(pid int) bool {
			_, held := h.pids[pid]
			return !held && !h.helper(pid)
		})
		if pid == 0 {
			return 0, -1
		}
		if program == nil || !proc.Executes(pid, program) {
			if pidfd, err := unix.PidfdOpen(pid, 0); err == nil {
				return pid, pidfd
			}
			return 0, -1
		}
		time.Sleep(bornAgain)
	}
	return 0, -1
}
