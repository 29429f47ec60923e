package holder

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"golang.org/x/sys/unix"

	"github.com/gafferpm/gaffer/internal/proc"
)

// program is what managers and spawners are started from.
type program struct {
	file *os.File
	path string // by which it was named
}

// upgrading is an upgrade that goes on. It belongs to the holder's loop.
type upgrading struct {
	next     program
	checker  *checker // not nil: it is asked whether it can do it
	replaces bool     // the holder becomes the next program, too
	before   program  // what was run before, once the upgrade has begun
	begun    bool     // the manager before has ended
	timer    *time.Timer
}

// checker is the next program while it looks at what it would be handed over.
type checker struct {
	child
	pipe   *os.File // that it answers through
	answer []byte
	exited bool
	silent bool
}

const (
	// upgradeTime is how long a manager may take to be ready before the one before it is
	// taken back.
	upgradeTime = time.Minute
	// checkTime is how long a program may look at what it would be handed over.
	checkTime = 15 * time.Second
	// lastWords is how long it may take to read what one that has ended has said.
	lastWords = 100 * time.Millisecond
	// maxAnswer is more than it has to say about that.
	maxAnswer = 4096
)

// beginUpgrade asks the program behind the descriptor whether it can take over.
func (h *holder) beginUpgrade(f *frame) {
	path := string(f.body)
	if len(f.fds) != 1 || h.upgrade != nil || h.stops > 0 {
		h.say(&frame{kind: kindRefused, body: []byte("an upgrade, or the end, is under way")})
		return
	}
	file, err := outOfTheWay(f.fds[0])
	if err != nil {
		h.say(&frame{kind: kindRefused, body: []byte(err.Error())})
		return
	}
	h.upgrade = &upgrading{next: program{file, path}}
	h.say(&frame{kind: kindAccepted})
	if err := h.check(h.upgrade); err != nil {
		h.refuseUpgrade(err)
	}
}

// check starts the next program, to read what it would be handed over.
func (h *holder) check(u *upgrading) error {
	state, err := h.handOver().file()
	if err != nil {
		return err
	}
	defer state.Close()
	r, w, err := os.Pipe()
	if err != nil {
		return err
	}
	defer w.Close()
	c, err := execute(u.next.file, h.opts.Check, h.outside.environ(), []uintptr{state.Fd(), w.Fd(), 2})
	if err == nil {
		err = h.exits.watchChild(c, keyChecker)
	}
	if err == nil {
		err = r.SetReadDeadline(h.now().Add(checkTime)) // somebody else may have the other end, too
	}
	if err != nil {
		_ = r.Close()
		return err
	}
	u.checker = &checker{child: c, pipe: r}
	go func() {
		answer, _ := io.ReadAll(io.LimitReader(r, maxAnswer)) // what is missing is no answer
		h.post(func() {
			_ = r.Close()
			u.checker.answer, u.checker.silent = answer, true
			if !u.checker.exited {
				_ = unix.Kill(-c.pid, unix.SIGKILL) // nothing more is wanted of it
			}
			h.checked(u)
		})
	}()
	return nil
}

// checked is called when the checker has answered and when it has ended: when both are
// so, the upgrade begins, or is refused.
func (h *holder) checked(u *upgrading) {
	c := u.checker
	if c.exited && !c.silent { // what it has said is there
		_ = c.pipe.SetReadDeadline(h.now().Add(lastWords))
	}
	if !c.exited || !c.silent {
		return
	}
	exit, _ := proc.PeekPidfd(c.pidfd)
	h.exits.forget(c.pidfd)
	proc.BuryPidfd(c.pidfd)
	_ = unix.Close(c.pidfd)
	u.checker = nil
	var answer Checked
	err := json.Unmarshal(c.answer, &answer)
	switch {
	case err == nil && answer.Error != "":
		err = errors.New(answer.Error)
	case err != nil || answer.Protocol == "":
		err = fmt.Errorf("it does not say whether it can take over (%s)", describe(exit))
	case h.stops > 0:
		err = errors.New("the daemon is about to end")
	}
	if err != nil {
		h.refuseUpgrade(err)
		return
	}
	u.replaces = answer.Protocol != Protocol
	u.before, h.program = h.program, u.next
	h.failures = 0
	h.limitUpgrade()
	m := h.manager
	switch {
	case m == nil: // it has ended meanwhile
		if !h.upgradeEnded() {
			h.startManager()
		}
	case m.greeted:
		m.leaving = true
		h.say(&frame{kind: kindLeave})
	default: // it has just begun
		m.leaving = true
		h.killManager()
	}
}

// limitUpgrade kills a manager that takes too long.
func (h *holder) limitUpgrade() {
	u := h.upgrade
	u.timer = time.AfterFunc(upgradeTime, func() {
		h.post(func() {
			if h.upgrade == u {
				h.log.Error("the new manager is not ready in time; it is killed", "binary", h.program.path)
				h.killManager()
			}
		})
	})
}

// refuseUpgrade ends an upgrade that has not begun.
func (h *holder) refuseUpgrade(err error) {
	u := h.upgrade
	_ = u.next.file.Close()
	h.log.Error("no upgrade", "binary", u.next.path, "reason", err)
	h.upgrade = nil
	h.upgradeOver(u.next.path, err)
}

// upgradeReady: a manager is ready. If it is the new one, the upgrade is done.
func (h *holder) upgradeReady() {
	u := h.upgrade
	if u == nil || !u.begun {
		return
	}
	u.timer.Stop()
	h.upgrade = nil
	_ = u.before.file.Close()
	h.log.Info("upgraded", "binary", h.program.path, "holder", u.replaces, "services", len(h.services))
	h.upgradeOver(h.program.path, nil)
	if !u.replaces {
		h.endSpawner(nil) // the next one is of the new program
	}
}

// upgradeEnded says what the end of a manager is to an upgrade: the one before has made
// room, or the new one has failed and the one before is taken back. It says whether it
// sees to what comes next, as the holder becomes another program.
func (h *holder) upgradeEnded() (sees bool) {
	u := h.upgrade
	if u == nil || u.checker != nil {
		return false
	}
	if !u.begun {
		u.begun = true
		if u.replaces {
			h.succeed(func(err error) { h.takeBack(err.Error()) })
		}
		return u.replaces
	}
	h.takeBack("the new manager: " + h.last)
	if u.replaces {
		h.succeed(func(err error) {
			h.log.Error("the holder before can't be had back; this one goes on", "reason", err)
			if err := h.openBinary(); err != nil { // a manager of the one before would not understand it
				h.log.Error("binary", "reason", err)
			}
		})
	}
	return u.replaces
}

// takeBack ends an upgrade that has failed.
func (h *holder) takeBack(reason string) {
	u := h.upgrade
	u.timer.Stop()
	h.upgrade = nil
	h.log.Error("the upgrade has failed; the manager before is taken back", "binary", h.program.path, "reason", reason)
	_ = h.program.file.Close()
	failed := h.program.path
	h.program = u.before
	h.failures = 0
	h.upgradeOver(failed, errors.New(reason))
}

// upgradeOver tells how an upgrade to a program went: well, or not for a reason.
func (h *holder) upgradeOver(path string, err error) {
	h.upgraded = &Upgraded{Binary: path, Time: h.now(), Done: err == nil}
	if err != nil {
		h.upgraded.Reason = err.Error()
	}
	body, _ := json.Marshal(h.upgraded) // it has only text and a time
	h.say(&frame{kind: kindUpgraded, body: body})
}
