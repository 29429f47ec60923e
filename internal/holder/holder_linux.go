package holder

import (
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/gafferpm/gaffer/internal/proc"
)

// Options say how a holder is to be.
type Options struct {
	// Manager are the arguments of the manager, whose last one is to be the number of
	// the descriptor that leads to the holder.
	Manager []string
	// Spawner are those of the spawner, likewise.
	Spawner []string
	// Check are those of a program that reads, from its standard input, what it would be
	// handed over; see Check.
	Check []string
	// Successor are the arguments of a holder that is handed over what is behind that
	// descriptor.
	Successor func(handed int) []string
	// Starter is the descriptor of who waits for the daemon; 0: nobody.
	Starter int
	// Handed is the descriptor of what the holder before this one has handed over when it
	// became this program; 0: there was none.
	Handed int
	// Log makes a log of a file, in a way that only the manager knows more of.
	Log func(file *os.File, way string) (*slog.Logger, error)
}

// holder is the holder's life. All fields belong to the goroutine of its loop; the
// others give it what they have through its inbox.
type holder struct {
	opts    Options
	log     *slog.Logger
	logFile *os.File // of log; nil: standard error
	inbox   chan func()
	exits   *exits
	signals chan os.Signal
	deaf    chan struct{} // closed when no signal is heard any more
	program program       // what managers and spawners are started from

	services map[uint64]*service
	files    map[string]int       // that managers have had kept, by their names
	restored map[uint64]*restored // that the service manager had kept, until a manager is ready
	pids     map[int]uint64       // of those that are not buried
	manager  *manager             // nil: none runs
	spawner  *spawnerProc         // nil: none runs
	epoch    uint32
	begun    bool // a manager was ready once
	failures int  // managers in a row that did not live for long
	unready  int  // those that were started since one was ready
	last     string
	since    time.Time // when that was
	stops    int
	reload   bool // the files are to be applied, and no manager was told
	upgrade  *upgrading
	upgraded *Upgraded

	replacing bool // this process is about to become another program

	pulse *time.Timer // asks the manager whether it is alive
	due   time.Time   // when it does so next
	spoke bool        // something was said to the manager since it was asked

	tidier  tidier
	outside outside
	status  int
	done    bool
}

const (
	// longLife is how long a manager has to live for its end to be a new misfortune.
	longLife = 10 * time.Second
	// firstPause and longestPause are between managers that don't live for long; the
	// first that ends is replaced at once.
	firstPause   = 100 * time.Millisecond
	longestPause = 10 * time.Second
	// beat is how often the manager is asked whether it is alive, and beats how often in
	// a row it may not answer. One that has answered, and that nothing was said to since,
	// is left in peace for restBeat: each question wakes two programs.
	beat     = 15 * time.Second
	restBeat = 4 * beat
	beats    = 2
	// readyTime is how long a manager may take until it does all that it has to. It may
	// have thousands of services to start, and leftovers to end.
	readyTime = 5 * time.Minute
)

// Keys of what is watched beside services, whose keys are their ids, which never
// get that large.
const (
	keyManager = 1<<63 + iota
	keySpawner
	keyChecker
)

// Run is the life of the holder. It returns the daemon's exit status. It must be
// called while the calling goroutine has the main thread to itself, so that what is
// started here is never on the list on which the kernel puts orphans.
func Run(o Options) int {
	h := &holder{
		opts: o, inbox: make(chan func(), 64),
		services: map[uint64]*service{}, pids: map[int]uint64{}, files: map[string]int{},
	}
	h.log, _ = o.Log(os.Stderr, "") // the usual way
	done := make(chan struct{})
	go func() {
		defer close(done)
		if err := h.open(); err != nil {
			fmt.Fprintf(os.Stderr, "gaffer: holder: %v\n", err)
			h.outside.tellStarter("error holder: " + err.Error())
			h.status = 1
			return
		}
		h.loop()
	}()
	<-done
	return h.status
}

func (h *holder) now() time.Time { return time.Now() }

func (h *holder) post(f func()) { h.inbox <- f }

func (h *holder) open() error {
	h.listen()
	h.outside.open(h.opts.Starter)
	lowerOOMScore()
	if err := unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0); err != nil {
		return fmt.Errorf("subreaper: %w", err)
	}
	var err error
	if h.exits, err = newExits(func(key uint64) { h.post(func() { h.ended(key) }) }); err != nil {
		return err
	}
	if err := h.openBinary(); err != nil {
		return err
	}
	if h.opts.Handed > 0 {
		if err := h.takeOver(h.opts.Handed); err != nil {
			return fmt.Errorf("what the holder before has handed over: %w", err)
		}
	} else {
		h.restored, h.outside.sockets = restore(passed())
	}
	go watchOrphans(func() { h.post(h.bury) })
	h.startSpawner()
	h.startManager()
	nameProgram()
	proc.DropProgramPages()
	h.tidier.busy()
	return nil
}

// openBinary keeps this program as it is now: what is installed in its place meanwhile
// is nobody's business before an upgrade.
func (h *holder) openBinary() (err error) {
	if h.program.path, err = os.Executable(); err != nil {
		return err
	}
	f, err := os.Open("/proc/self/exe")
	if err != nil {
		return err
	}
	defer f.Close()
	h.program.file, err = outOfTheWay(int(f.Fd()))
	return err
}

// outOfTheWay is a copy of a descriptor whose number is none that a child gets, and so
// still leads to the same in the child that is about to execute it.
func outOfTheWay(fd int) (*os.File, error) {
	const high, few = 200, 20
	n, err := unix.FcntlInt(uintptr(fd), unix.F_DUPFD_CLOEXEC, high)
	if errors.Is(err, unix.EINVAL) { // that is more than this program may have
		n, err = unix.FcntlInt(uintptr(fd), unix.F_DUPFD_CLOEXEC, few)
	}
	if err != nil {
		return nil, fmt.Errorf("descriptors: %w; see ulimit -n", err)
	}
	return os.NewFile(uintptr(n), "binary"), nil
}

func (h *holder) loop() {
	h.pulse = time.NewTimer(0) // nobody is there yet
	defer h.pulse.Stop()
	for !h.done {
		select {
		case f := <-h.inbox:
			f()
		case <-h.pulse.C:
			h.ping()
			h.askIn(h.outside.beat(beat))
		}
	}
}

// ended: something that is watched has.
func (h *holder) ended(key uint64) {
	switch key {
	case keyManager:
		if h.manager != nil {
			h.manager.exited = true
			h.managerEnded()
		}
	case keySpawner:
		if h.spawner != nil {
			h.spawner.exited = true
			h.spawnerEnded()
		}
	case keyChecker:
		if u := h.upgrade; u != nil && u.checker != nil {
			u.checker.exited = true
			h.checked(u)
		}
	default:
		if s := h.services[key]; s != nil {
			h.serviceEnded(s)
		}
	}
}

// helper says whether a child is no service and no stranger.
func (h *holder) helper(pid int) bool {
	return h.manager != nil && pid == h.manager.pid || h.spawner != nil && pid == h.spawner.pid ||
		h.upgrade != nil && h.upgrade.checker != nil && pid == h.upgrade.checker.pid
}

// bury reaps strangers: orphans that came to this program and have ended.
func (h *holder) bury() {
	starting := h.spawner != nil && len(h.spawner.orders) > 0
	proc.BuryChildren(func(pid int, orphan bool) bool {
		_, held := h.pids[pid]
		return !held && !h.helper(pid) && (orphan || !starting)
	})
}

// say tells the manager, if there is one that listens.
func (h *holder) say(f *frame) {
	if m := h.manager; m != nil && m.greeted {
		f.epoch = m.epoch
		m.line.send(f)
		h.stir(f.kind)
	}
}

// stir sees that the manager is asked soon whether it is alive: it has something to do.
func (h *holder) stir(said kind) {
	if said == kindPing || h.spoke {
		return
	}
	h.spoke = true
	if soon := h.outside.beat(beat); h.due.After(h.now().Add(soon)) { // never later than it would be
		h.askIn(soon)
	}
}

func (h *holder) askIn(d time.Duration) {
	h.due = h.now().Add(d)
	h.pulse.Reset(d)
}

// rest leaves a manager in peace that has answered and has nothing to do.
func (h *holder) rest() {
	if !h.spoke {
		h.askIn(h.outside.beat(restBeat))
	}
}

// welcome answers a manager's greeting: who it is, and what there is.
func (h *holder) welcome(m *manager, protocol string) {
	if protocol != Protocol {
		m.line.send(&frame{kind: kindRefused, body: fmt.Appendf(nil, "the running holder speaks protocol %s, this program %s", Protocol, protocol)})
		return
	}
	body, err := json.Marshal(Welcome{
		Protocol: Protocol, Epoch: m.epoch, PID: os.Getpid(), First: !h.begun, Stops: h.stops, Last: h.last, Since: h.since, Upgrade: h.upgraded,
	})
	if err != nil {
		h.log.Error("welcome", "reason", err)
		return
	}
	m.greeted = true
	h.tidier.busy()
	m.line.send(&frame{kind: kindWelcome, epoch: m.epoch, body: body})
	for _, s := range h.services {
		m.line.send(s.held(m.epoch))
	}
	for name, fd := range h.files {
		m.line.send(&frame{kind: kindFile, epoch: m.epoch, body: []byte(name), fds: []int{fd}})
	}
	h.giveBack(m)
	m.line.send(&frame{kind: kindListed, epoch: m.epoch})
}

// heard is what a manager says.
func (h *holder) heard(m *manager, f *frame) {
	defer func() { closeAll(f.fds) }() // but for those that somebody has taken
	if f.kind == kindHello {
		h.greet(m, string(f.body))
		return
	}
	if m != h.manager || f.epoch != m.epoch {
		return // of one that was given up, and has woken up since
	}
	s := h.services[f.id]
	switch f.kind {
	case kindStart:
		h.start(f)
	case kindHold:
		h.hold(f)
	case kindReap:
		if s != nil {
			h.reap(s)
		}
	case kindForget:
		if s != nil {
			h.forget(s)
		}
	case kindTell:
		h.tell(m, f.body)
	case kindOver:
		status := int(f.number)
		m.over = &status
	case kindAlive:
		m.missed = 0
		h.rest()
		h.outside.tellService("WATCHDOG=1")
	case kindLog:
		if len(f.fds) == 1 {
			h.logTo(f.fds[0], string(f.body))
			f.fds = nil // it is the log's
		}
	case kindFile:
		if len(f.fds) == 1 {
			h.keepFile(string(f.body), f.fds[0])
			f.fds = nil // it is kept
		}
	case kindSocket:
		if len(f.fds) == 1 {
			h.outside.keepSocket(string(f.body), f.fds[0])
			f.fds = nil // it is kept
		}
	case kindSockets:
		if prefix := string(f.body); strings.HasPrefix(prefix, SocketPrefix) || strings.HasPrefix(prefix, ServiceSocketPrefix) {
			h.outside.dropKept(prefix)
		}
	case kindUpgrade:
		h.beginUpgrade(f)
	}
}

func (h *holder) tell(m *manager, body []byte) {
	if len(body) == 0 {
		return
	}
	text := string(body[1:])
	switch body[0] {
	case tellService:
		h.outside.tellService(text)
	case tellStarter:
		h.outside.tellStarter(text)
	case tellReady:
		h.begun, m.ready, h.unready = true, true, 0
		h.releaseRestored()
		h.ping()
		h.outside.closeStarter()
		h.upgradeReady()
		h.sayReload()
	}
}

// hold takes what another holder has held.
func (h *holder) hold(f *frame) {
	held, err := parseHeld(f)
	if err != nil || h.services[f.id] != nil || held.PIDFD < 0 {
		return
	}
	f.fds = nil // they are the service's now
	h.took(&service{id: f.id, pid: held.PID, pidfd: held.PIDFD, keep: held.Keep})
}

// stop is asked for from outside: the first time everything is to be stopped, then
// what has not stopped is to be killed.
func (h *holder) stop(why string) {
	h.stops++
	h.say(&frame{kind: kindStop, number: int64(h.stops), body: []byte(why)})
}

// keepFile keeps a file until this program ends.
func (h *holder) keepFile(name string, fd int) {
	if before, ok := h.files[name]; ok {
		_ = unix.Close(before)
	}
	h.files[name] = fd
}

// logTo goes on with the log where the manager writes its own.
func (h *holder) logTo(fd int, way string) {
	file := os.NewFile(uintptr(fd), "log")
	log, err := h.opts.Log(file, way)
	if err != nil { // it goes on where it was
		_ = file.Close()
		return
	}
	if h.logFile != nil {
		_ = h.logFile.Close()
	}
	h.log, h.logFile = log, file
}

// askReload has the files applied, by the next manager if there is none now.
func (h *holder) askReload() {
	h.reload = true
	h.sayReload()
}

func (h *holder) sayReload() {
	if h.reload && h.manager != nil && h.manager.ready {
		h.reload = false
		h.say(&frame{kind: kindReload})
	}
}
