//go:build linux

package machine

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"golang.org/x/sys/unix"
)

// Relative is a process that descends from the harness.
type Relative struct {
	PID    int
	parent int
	state  byte
	born   string // start time, which with the pid names a process
}

// Adopt makes the harness the parent of orphaned descendants, so that those of
// a supervisor that puts itself into the background, or dies first, stay ours.
func Adopt() error {
	if err := unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0); err != nil {
		return fmt.Errorf("subreaper: %w", err)
	}
	return nil
}

// parseStat reads the fields that Relative needs from /proc/PID/stat. The name
// in it may hold blanks and parentheses, so the fields count from the last one.
func parseStat(stat []byte) (Relative, bool) {
	end := bytes.LastIndexByte(stat, ')')
	if end < 0 {
		return Relative{}, false
	}
	f := bytes.Fields(stat[end+1:])
	if len(f) < 20 || len(f[0]) != 1 {
		return Relative{}, false
	}
	pid, err := strconv.Atoi(string(bytes.TrimSpace(stat[:max(bytes.IndexByte(stat, '('), 0)])))
	if err != nil {
		return Relative{}, false
	}
	parent, err := strconv.Atoi(string(f[1]))
	return Relative{PID: pid, parent: parent, state: f[0][0], born: string(f[19])}, err == nil
}

// Find looks a process up.
func Find(pid int) (Relative, bool) {
	stat, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(pid), "stat"))
	if err != nil {
		return Relative{}, false
	}
	return parseStat(stat)
}

// Family lists the living descendants of the harness, parents before children,
// split into supervisors and children of the benchmark by what they execute.
func Family(child string) (supervisors, children []Relative) {
	kids := byParent()
	todo := []int{os.Getpid()}
	for len(todo) > 0 {
		next := kids[todo[0]]
		todo = todo[1:]
		for _, r := range next {
			todo = append(todo, r.PID)
			switch exe := r.program(); exe {
			case "":
			case child:
				children = append(children, r)
			default:
				supervisors = append(supervisors, r)
			}
		}
	}
	return supervisors, children
}

// Same lists a process and its children that execute the same program, which are parts
// of it.
func Same(pid int) (all []Relative) {
	first, ok := Find(pid)
	program := first.program()
	if !ok || program == "" {
		return nil
	}
	all = []Relative{first}
	for _, r := range byParent()[pid] {
		if r.program() == program {
			all = append(all, r)
		}
	}
	return all
}

// byParent are all processes of the machine.
func byParent() map[int][]Relative {
	kids := make(map[int][]Relative)
	entries, _ := os.ReadDir("/proc")
	for _, e := range entries {
		if pid, err := strconv.Atoi(e.Name()); err == nil {
			if r, ok := Find(pid); ok {
				kids[r.parent] = append(kids[r.parent], r)
			}
		}
	}
	return kids
}

// program is what it executes; nothing of one that has ended.
func (r Relative) program() string {
	if r.state == 'Z' || r.state == 'X' {
		return ""
	}
	exe, err := os.Readlink(filepath.Join("/proc", strconv.Itoa(r.PID), "exe"))
	if err != nil {
		return ""
	}
	return exe
}

// Handle opens a pidfd of r and makes sure that it is still the same process.
func (r Relative) Handle() (int, error) {
	fd, err := unix.PidfdOpen(r.PID, 0)
	if err != nil {
		return -1, fmt.Errorf("process %d: %w", r.PID, err)
	}
	if again, ok := Find(r.PID); !ok || again.born != r.born {
		unix.Close(fd)
		return -1, fmt.Errorf("process %d: %w", r.PID, unix.ESRCH)
	}
	return fd, nil
}

// Handles opens a pidfd of each process that still lives.
func Handles(rs []Relative) []int {
	fds := make([]int, 0, len(rs))
	for _, r := range rs {
		if fd, err := r.Handle(); err == nil {
			fds = append(fds, fd)
		}
	}
	return fds
}

// CloseAll closes what Handles has opened.
func CloseAll(fds []int) {
	for _, fd := range fds {
		unix.Close(fd)
	}
}

// Send sends a signal to the process of a pidfd.
func Send(pidfd int, sig unix.Signal) error { return unix.PidfdSendSignal(pidfd, sig, nil, 0) }

// WaitGone waits until all the processes have ended and returns when it saw the
// last one go. They are looked at one after the other: only the last counts,
// and watching all at once would take time from those who are being measured.
func WaitGone(pidfds []int, limit time.Duration) (int64, error) {
	deadline := time.Now().Add(limit)
	for _, fd := range pidfds {
		for {
			left := time.Until(deadline)
			if left <= 0 {
				return 0, errors.New("still running when the time was up")
			}
			n, err := unix.Poll([]unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}, int(left.Milliseconds())+1)
			if err != nil && !errors.Is(err, unix.EINTR) {
				return 0, fmt.Errorf("pidfd: %w", err)
			}
			if n > 0 {
				break
			}
		}
	}
	return Now(), nil
}

// EndFamily kills every descendant, supervisors first so that they start
// nothing anew.
func EndFamily(child string) error {
	for range 100 {
		supervisors, children := Family(child)
		if len(supervisors)+len(children) == 0 {
			return nil
		}
		for _, rs := range [][]Relative{supervisors, children} {
			fds := Handles(rs)
			for _, fd := range fds {
				_ = Send(fd, unix.SIGKILL) // it may have gone by itself
			}
			_, _ = WaitGone(fds, time.Second) // the next look tells who is left
			CloseAll(fds)
		}
	}
	return errors.New("some processes of the benchmark do not end")
}

// ReapAll collects the orphans that became children of the harness.
func ReapAll() {
	for {
		pid, err := unix.Wait4(-1, nil, unix.WNOHANG, nil)
		if pid <= 0 && !errors.Is(err, unix.EINTR) {
			return
		}
	}
}
