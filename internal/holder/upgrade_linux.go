package holder

import (
	"encoding/json"
	"os"
	"time"
)

// upgrading is an upgrade that goes on: the next manager is another program. It belongs
// to the holder's loop.
type upgrading struct {
	binary *os.File // what was run before
	path   string
	timer  *time.Timer
	begun  bool // the manager before has ended
}

// upgradeTime is how long a manager may take to be ready before the one before it is
// taken back.
const upgradeTime = time.Minute

// beginUpgrade has the manager end, and the next one, and the spawner, be the program
// behind the descriptor.
func (h *holder) beginUpgrade(f *frame) {
	if len(f.fds) != 1 || h.upgrade != nil || h.stops > 0 {
		h.say(&frame{kind: kindRefused, body: []byte("an upgrade, or the end, is under way")})
		return
	}
	binary, err := outOfTheWay(f.fds[0])
	if err != nil {
		h.say(&frame{kind: kindRefused, body: []byte(err.Error())})
		return
	}
	u := &upgrading{binary: h.binary, path: h.path}
	h.binary, h.path = binary, string(f.body)
	h.upgrade = u
	u.timer = time.AfterFunc(upgradeTime, func() {
		h.post(func() {
			if h.upgrade == u {
				h.log.Error("the new manager is not ready in time; it is killed", "binary", h.path)
				h.killManager()
			}
		})
	})
	h.manager.leaving = true
	h.failures = 0
	h.say(&frame{kind: kindLeave})
}

// upgradeReady: a manager is ready. If it is the new one, the upgrade is done.
func (h *holder) upgradeReady() {
	u := h.upgrade
	if u == nil || !u.begun {
		return
	}
	h.upgradeOver(true, "")
	_ = u.binary.Close()
	h.log.Info("upgraded", "binary", h.path, "services", len(h.services))
	if h.spawner != nil && len(h.spawner.orders) == 0 { // the next one is of the new program
		h.spawner.line.close()
	}
}

// upgradeEnded says what the end of a manager is to an upgrade: the one before has made
// room, or the new one has failed and the one before is taken back.
func (h *holder) upgradeEnded() {
	u := h.upgrade
	if u == nil {
		return
	}
	if !u.begun {
		u.begun = true
		return
	}
	h.log.Error("the new manager has ended before it was ready; the one before is taken back", "binary", h.path, "end", h.last)
	_ = h.binary.Close()
	failed := h.path
	h.binary, h.path = u.binary, u.path
	h.upgradeOver(false, "the new manager: "+h.last)
	h.upgraded.Binary = failed
	h.failures = 0
}

func (h *holder) upgradeOver(done bool, reason string) {
	h.upgrade.timer.Stop()
	h.upgrade = nil
	h.upgraded = &Upgraded{Binary: h.path, Time: h.now(), Done: done, Reason: reason}
	body, _ := json.Marshal(h.upgraded) // it has only text and a time
	h.say(&frame{kind: kindUpgraded, body: body})
}
