package proc

import (
	"os"
	"slices"
	"time"

	"golang.org/x/sys/unix"
)

// FindHeld finds again what was started for an earlier program and is held by nobody
// any more: by its number and when it began, and where it is not known whether it was
// started at all, by its mark. One that has ended is among them, with an Exit that says
// that nobody saw how; one that was never started is not.
func FindHeld(entries []Entry, pipes string, marked func(id uint64) func(string) bool) []*Held {
	var all []*Held
	for _, e := range entries {
		h := &Held{ID: e.ID, Note: e.Note, PID: e.PID, PIDFD: -1}
		if e.PID == 0 {
			for _, s := range Strays(Search{Mark: marked(e.ID)}) {
				if s.Main {
					h.PID, e.Birth = s.PID, s.start
					break
				}
			}
			if h.PID == 0 {
				h.Doubtful = true
			}
		}
		if !h.Doubtful {
			h.find(e.Birth)
		}
		h.Keep = openFIFOs(pipes, e.ID)
		all = append(all, h)
	}
	return all
}

// Merge takes over from an earlier look what this one has not found any more. The rest of
// that is to be released.
func (h *Held) Merge(before *Held) {
	if h.Doubtful && before.PID != 0 {
		h.PID, h.Doubtful = before.PID, false
		h.Exit = &Exit{Status: -1, Lost: true, Time: time.Now()}
	}
	if h.PID != before.PID { // it was another one
		return
	}
	if h.PIDFD < 0 && before.PIDFD >= 0 {
		h.PIDFD, before.PIDFD = before.PIDFD, -1
		h.Exit = nil // that is told by the descriptor
	}
	for _, k := range before.Keep {
		if !slices.ContainsFunc(h.Keep, func(o Kept) bool { return o.Stream == k.Stream }) {
			h.Keep = append(h.Keep, k)
		} else {
			_ = unix.Close(k.FD)
		}
	}
	before.Keep = nil
}

// find opens the process, if it is still the one that began then.
func (h *Held) find(birth uint64) {
	pidfd, err := unix.PidfdOpen(h.PID, 0)
	if err == nil {
		if k, ok := readKin(h.PID); ok && k.start == birth && !k.dead {
			h.PIDFD = pidfd
			return
		}
		_ = unix.Close(pidfd)
	}
	h.Exit = &Exit{Status: -1, Lost: true, Time: time.Now()}
}

// openFIFOs opens our ends of the streams that are there.
func openFIFOs(dir string, id uint64) []Kept {
	var keep []Kept
	for _, stream := range filed {
		mode := unix.O_RDONLY
		if stream == Stdin {
			mode = unix.O_WRONLY
		}
		path := fifoPath(dir, id, stream)
		if info, err := os.Lstat(path); err != nil || info.Mode()&os.ModeNamedPipe == 0 {
			continue
		}
		fd, err := unix.Open(path, mode|unix.O_NONBLOCK|unix.O_CLOEXEC|unix.O_NOFOLLOW, 0)
		if err != nil { // for writing, nobody reads it any more
			continue
		}
		if stream != Stdin {
			hangUp(path)
		}
		keep = append(keep, Kept{stream, fd})
	}
	return keep
}

// hangUp has those who have just opened a FIFO to read hear of its end, if nobody writes
// to it any more: they hear of the end of writers that were there before them no other
// way.
func hangUp(path string) {
	if fd, err := unix.Open(path, unix.O_WRONLY|unix.O_NONBLOCK|unix.O_CLOEXEC|unix.O_NOFOLLOW, 0); err == nil {
		_ = unix.Close(fd)
	}
}
