package holder

import (
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"os"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/gafferpm/gaffer/internal/proc"
)

// handedFormat is the version of what a holder hands over to the program that it becomes.
// A program reads what earlier ones write. Fields may come, and are left out by who does
// not know them, without another version; that is needed where something means what it
// did not before. It is the one thing besides a check's answer that holders of different
// protocols have in common.
const handedFormat = 1

// handed is what a holder hands over: it is the same process, so that children, ends that
// nobody has taken notice of, and descriptors are there, too.
type handed struct {
	Format   int             `json:"format"`
	Epoch    uint32          `json:"epoch"`
	Stops    int             `json:"stops,omitempty"`
	Reload   bool            `json:"reload,omitempty"`
	Last     string          `json:"last,omitempty"`
	Since    time.Time       `json:"since,omitzero"`
	Upgraded *Upgraded       `json:"upgraded,omitempty"`
	Before   *handedProgram  `json:"before,omitempty"` // to be taken back if the upgrade fails
	Services []handedService `json:"services,omitempty"`
	Sockets  []handedSocket  `json:"sockets,omitempty"`
	Files    map[string]int  `json:"files,omitempty"`
}

type handedSocket struct {
	FD   int    `json:"fd"`
	Name string `json:"name,omitempty"`
}

type handedProgram struct {
	FD   int    `json:"fd"`
	Path string `json:"path"`
}

type handedService struct {
	ID     uint64     `json:"id"`
	PID    int        `json:"pid"`
	PIDFD  int        `json:"pidfd"`          // -1: it is buried
	Keep   [][2]int   `json:"keep,omitempty"` // streams and their descriptors
	Exit   *proc.Exit `json:"exit,omitempty"`
	Reaped bool       `json:"reaped,omitempty"`
}

// Checked is the answer of a program that was asked whether it can take over.
type Checked struct {
	Protocol string `json:"protocol,omitempty"` // that it speaks
	Error    string `json:"error,omitempty"`    // why it can't take over
}

// Check reads what a holder would hand over, and answers whether it can be taken over.
func Check(r io.Reader, w io.Writer) error {
	answer := Checked{Protocol: Protocol}
	_, err := readHanded(r)
	if err != nil {
		answer = Checked{Error: err.Error()}
	}
	if werr := json.NewEncoder(w).Encode(answer); err == nil {
		err = werr
	}
	return err
}

func readHanded(r io.Reader) (*handed, error) {
	var state handed
	if err := json.NewDecoder(r).Decode(&state); err != nil {
		return nil, err
	}
	if state.Format != handedFormat {
		return nil, fmt.Errorf("what the running daemon hands over has format %d, this program knows %d", state.Format, handedFormat)
	}
	seen := map[uint64]bool{}
	for _, s := range state.Services {
		if seen[s.ID] || s.PID <= 0 || s.PIDFD < 0 && !s.Reaped || s.Reaped && s.Exit == nil {
			return nil, fmt.Errorf("process %d, pid %d: that can't be", s.ID, s.PID)
		}
		seen[s.ID] = true
	}
	return &state, nil
}

// handOver is what there is now.
func (h *holder) handOver() *handed {
	state := &handed{
		Format: handedFormat, Epoch: h.epoch, Stops: h.stops, Reload: h.reload, Last: h.last, Since: h.since, Upgraded: h.upgraded,
		Files: h.files,
	}
	if u := h.upgrade; u != nil && u.begun {
		state.Before = &handedProgram{int(u.before.file.Fd()), u.before.path}
	}
	for _, s := range h.outside.sockets {
		state.Sockets = append(state.Sockets, handedSocket{s.fd, s.name})
	}
	for _, s := range h.services {
		one := handedService{ID: s.id, PID: s.pid, PIDFD: s.pidfd, Exit: s.exit, Reaped: s.reaped}
		for _, k := range s.keep {
			one.Keep = append(one.Keep, [2]int{k.Stream, k.FD})
		}
		state.Services = append(state.Services, one)
	}
	return state
}

// file is a file in memory with that.
func (s *handed) file() (*os.File, error) {
	text, err := json.Marshal(s)
	if err != nil {
		return nil, err
	}
	fd, err := unix.MemfdCreate("handed", unix.MFD_CLOEXEC)
	if err != nil {
		return nil, err
	}
	f := os.NewFile(uintptr(fd), "handed")
	if _, err = f.Write(text); err == nil {
		_, err = f.Seek(0, io.SeekStart)
	}
	if err != nil {
		_ = f.Close()
		return nil, err
	}
	return f, nil
}

// inherited sets whether the descriptors are there after an exec.
func (s *handed) inherited(yes bool) {
	set := func(fd int) {
		if fd < 0 {
			return
		}
		flags := unix.FD_CLOEXEC
		if yes {
			flags = 0
		}
		_, _ = unix.FcntlInt(uintptr(fd), unix.F_SETFD, flags)
	}
	if s.Before != nil {
		set(s.Before.FD)
	}
	for _, one := range s.Sockets {
		set(one.FD)
	}
	for _, fd := range s.Files {
		set(fd)
	}
	for _, one := range s.Services {
		set(one.PIDFD)
		for _, k := range one.Keep {
			set(k[1])
		}
	}
}

// takeOver goes on where the holder before has handed over.
func (h *holder) takeOver(fd int) error {
	unix.CloseOnExec(fd)
	f := os.NewFile(uintptr(fd), "handed")
	defer f.Close()
	state, err := readHanded(f)
	if err != nil {
		return err
	}
	state.inherited(false)
	h.epoch, h.stops, h.reload, h.last, h.since, h.upgraded = state.Epoch, state.Stops, state.Reload, state.Last, state.Since, state.Upgraded
	h.begun = true
	maps.Copy(h.files, state.Files)
	for _, s := range state.Sockets {
		h.outside.sockets = append(h.outside.sockets, socket{s.FD, s.Name})
	}
	if b := state.Before; b != nil {
		h.upgrade = &upgrading{replaces: true, begun: true, before: program{os.NewFile(uintptr(b.FD), "binary"), b.Path}}
		h.limitUpgrade()
	}
	for _, one := range state.Services {
		s := &service{id: one.ID, pid: one.PID, pidfd: one.PIDFD, exit: one.Exit, reaped: one.Reaped}
		for _, k := range one.Keep {
			s.keep = append(s.keep, proc.Kept{Stream: k[0], FD: k[1]})
		}
		switch {
		case s.exit == nil:
			h.look(s)
		case s.reaped:
			h.services[s.id] = s
		default:
			h.services[s.id] = s
			h.pids[s.pid] = s.id
		}
	}
	return nil
}

// succeed has this process become the program that is to be the next, when the spawner
// has ended, too. If that can't be, failed is told why, and this one goes on.
func (h *holder) succeed(failed func(error)) {
	h.replacing = true
	h.endSpawner(func() {
		err := h.become()
		h.replacing = false
		failed(err)
		h.startSpawner()
		h.again()
	})
}

// storePatience is how long a service manager that does not listen holds this up.
const storePatience = time.Second

// become executes the next program. It returns only if that can't be.
func (h *holder) become() error {
	h.deafen()
	defer h.listen()
	for heard := false; !heard; { // what was heard is counted, and handed over
		select {
		case f := <-h.inbox:
			f()
		case <-h.deaf:
			heard = true
		}
	}
	for more := true; more; {
		select {
		case f := <-h.inbox:
			f()
		default:
			more = false
		}
	}
	h.outside.store.flush(storePatience)
	state := h.handOver()
	f, err := state.file()
	if err != nil {
		return err
	}
	defer f.Close()
	state.inherited(true)
	defer state.inherited(false)
	if _, err := unix.FcntlInt(f.Fd(), unix.F_SETFD, 0); err != nil {
		return err
	}
	h.log.Info("the holder becomes another program", "binary", h.program.path, "services", len(h.services))
	argv := append([]string{"gaffer"}, h.opts.Successor(int(f.Fd()))...)
	err = syscall.Exec(byDescriptor(h.program.file), argv, os.Environ())
	return fmt.Errorf("%s: %w", h.program.path, err)
}
