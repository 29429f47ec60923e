package holder

import (
	"fmt"
	"net"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/gafferpm/gaffer/internal/proc"
)

// store keeps descriptors at the service manager that has started the daemon: systemd
// gives them back to the next one (FileDescriptorStoreMax= in the unit). So what a
// service wrote, and how it ended, is not lost when nothing of the daemon is there.
//
// What is to be kept is put into a queue, since who listens may be busy. mu guards it.
type store struct {
	conn *net.UnixConn
	raw  syscall.RawConn // net sends no descriptors over a datagram socket that is connected

	mu      sync.Mutex
	queue   []keeping
	sending bool
	idle    *sync.Cond // signaled when the queue is empty
}

// keeping is a message to the service manager.
type keeping struct {
	text string
	fd   int // -1: none
}

// storePrefix begins the names of what is kept: gaffer.ID.PID.STREAM. Together they are
// nobody else's for as long as the system runs; so long the store is kept at most.
const storePrefix = "gaffer."

// pidfdStream stands for a process's own descriptor.
const pidfdStream = "pidfd"

func storeName(id uint64, pid int, stream string) string {
	return storePrefix + strconv.FormatUint(id, 10) + "." + strconv.Itoa(pid) + "." + stream
}

// newStore is nil where nobody keeps anything: systemd says since version 254 how much
// it would.
func newStore(conn *net.UnixConn) *store {
	if n, err := strconv.Atoi(os.Getenv("FDSTORE")); err != nil || n <= 0 {
		return nil
	}
	raw, err := conn.SyscallConn()
	if err != nil {
		return nil
	}
	s := &store{conn: conn, raw: raw}
	s.idle = sync.NewCond(&s.mu)
	return s
}

// keep has all of a service kept that is not yet.
func (s *store) keep(v *service, already *restored) {
	if s == nil {
		return
	}
	put := func(stream string, fd int) {
		name := storeName(v.id, v.pid, stream)
		if already == nil || !slices.Contains(already.names, name) {
			s.put(name, fd)
		}
	}
	if v.pidfd >= 0 {
		put(pidfdStream, v.pidfd)
	}
	for _, k := range v.keep {
		put(strconv.Itoa(k.Stream), k.FD)
	}
}

// put has a copy of a descriptor kept. That its other side is gone is no reason to let
// go of it: that is when it is needed.
func (s *store) put(name string, fd int) {
	if s == nil {
		return
	}
	copied, err := unix.FcntlInt(uintptr(fd), unix.F_DUPFD_CLOEXEC, 3)
	if err != nil {
		return // it is kept here, at least
	}
	s.add(keeping{"FDSTORE=1\nFDPOLL=0\nFDNAME=" + name, copied})
}

// drop has a service's own descriptor kept no longer, or with all also its streams.
func (s *store) drop(v *service, all bool) {
	if s == nil {
		return
	}
	s.remove(storeName(v.id, v.pid, pidfdStream))
	if !all {
		return
	}
	for _, k := range v.keep {
		s.remove(storeName(v.id, v.pid, strconv.Itoa(k.Stream)))
	}
}

func (s *store) remove(name string) {
	if s != nil {
		s.add(keeping{"FDSTOREREMOVE=1\nFDNAME=" + name, -1})
	}
}

func (s *store) add(k keeping) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.queue = append(s.queue, k)
	if !s.sending {
		s.sending = true
		go s.send()
	}
}

func (s *store) send() {
	for {
		s.mu.Lock()
		if len(s.queue) == 0 {
			s.sending, s.queue = false, nil
			s.idle.Broadcast()
			s.mu.Unlock()
			return
		}
		k := s.queue[0]
		s.queue = s.queue[1:]
		s.mu.Unlock()
		var rights []byte
		if k.fd >= 0 {
			rights = unix.UnixRights(k.fd)
		}
		_ = s.raw.Write(func(fd uintptr) bool { // who does not listen keeps nothing
			return unix.Sendmsg(int(fd), []byte(k.text), rights, nil, unix.MSG_NOSIGNAL) != unix.EAGAIN
		})
		if k.fd >= 0 {
			_ = unix.Close(k.fd)
		}
	}
}

// flush waits until all is sent, if that does not take too long.
func (s *store) flush(patience time.Duration) {
	if s == nil {
		return
	}
	_ = s.conn.SetWriteDeadline(time.Now().Add(patience)) // then the rest fails at once
	s.mu.Lock()
	defer s.mu.Unlock()
	for s.sending {
		s.idle.Wait()
	}
	_ = s.conn.SetWriteDeadline(time.Time{})
}

// restored is what a service manager had kept of a service, when the daemon began. No
// holder's loop watches it: the manager may know what it is.
type restored struct {
	service
	names []string
}

// restore sorts out what comes from the store among descriptors that have names.
func restore(files []socket) (of map[uint64]*restored, others []socket) {
	of = map[uint64]*restored{}
	for _, f := range files {
		id, pid, stream, ok := parseStoreName(f.name)
		if !ok {
			others = append(others, f)
			continue
		}
		r := of[id]
		if r == nil {
			r = &restored{service: service{id: id, pid: pid, pidfd: -1}}
			of[id] = r
		}
		r.names = append(r.names, f.name)
		if pid != r.pid || !r.takes(stream, f.fd) {
			_ = unix.Close(f.fd)
		}
	}
	return of, others
}

// takes takes a descriptor, unless there is one like it.
func (r *restored) takes(stream, fd int) bool {
	if stream < 0 {
		if r.pidfd >= 0 {
			return false
		}
		r.pidfd = fd
		return true
	}
	for _, k := range r.keep {
		if k.Stream == stream {
			return false
		}
	}
	r.keep = append(r.keep, proc.Kept{Stream: stream, FD: fd})
	return true
}

// parseStoreName parses a name. The stream of a process's own descriptor is -1.
func parseStoreName(name string) (id uint64, pid, stream int, ok bool) {
	rest, ok := strings.CutPrefix(name, storePrefix)
	parts := strings.Split(rest, ".")
	if !ok || len(parts) != 3 {
		return 0, 0, 0, false
	}
	id, err := strconv.ParseUint(parts[0], 10, 63)
	if err == nil {
		pid, err = strconv.Atoi(parts[1])
	}
	if err == nil && parts[2] != pidfdStream {
		stream, err = strconv.Atoi(parts[2])
	} else {
		stream = -1
	}
	if err != nil || pid <= 0 || parts[2] != pidfdStream && (stream < 0 || stream >= maxFDs) {
		return 0, 0, 0, false
	}
	return id, pid, stream, storeName(id, pid, parts[2]) == name
}

// giveBack tells a manager what the store had.
func (h *holder) giveBack(m *manager) {
	for _, r := range h.restored {
		f := r.held(m.epoch)
		f.kind = kindRestored
		m.line.send(f)
	}
}

// releaseRestored gives up what the store had, once a manager has taken what it knows.
func (h *holder) releaseRestored() {
	for id, r := range h.restored {
		if h.services[id] == nil {
			for _, name := range r.names {
				h.outside.store.remove(name)
			}
		}
		r.close()
	}
	if n := len(h.restored); n > 0 {
		h.log.Info(fmt.Sprintf("the service manager had kept descriptors of %d processes", n))
	}
	h.restored = nil
}
