package proc

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"slices"
	"strconv"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// What a birth's note and the kernel's may differ by: the note is made a little
// later, and the clock may have been set since.
const (
	notedBefore = time.Second
	notedAfter  = 5 * time.Second
)

// search is one look at all processes.
type search struct {
	Search
	boot     time.Time // when the system was started, by today's clock
	spared   map[int]bool
	all      map[int]kin
	children map[int][]int
	members  map[int][]int // of sessions
	found    map[int]Stray
}

func strays(wanted Search) []Stray {
	s := &search{
		Search: wanted, boot: bootTime(), spared: map[int]bool{os.Getpid(): true, 1: true},
		all: map[int]kin{}, children: map[int][]int{}, members: map[int][]int{}, found: map[int]Stray{},
	}
	for _, pid := range ancestors() {
		s.spared[pid] = true
	}
	s.readAll()
	look := slices.Collect(maps.Values(s.all))
	for try := 0; len(look) > 0; try++ {
		look = s.look(look)
		if try == strayLooks {
			break
		}
		if len(look) > 0 {
			time.Sleep(lookAgain)
		}
	}
	return slices.SortedFunc(maps.Values(s.found), func(a, b Stray) int {
		return cmp.Or(cmp.Compare(a.start, b.start), a.PID-b.PID)
	})
}

// look adds those that are looked for. It returns those that it can't tell: while a
// process executes another program, it has no environment.
func (s *search) look(among []kin) (unsure []kin) {
	for _, k := range among {
		if s.spared[k.pid] {
			continue
		}
		value, noted := s.noted(k)
		marked, empty := s.marked(k.pid)
		switch {
		case noted || marked:
			s.add(k, value)
		case empty && k.session == k.pid && k.startedSince(time.Now().Add(-justStarted)):
			unsure = append(unsure, k)
		}
	}
	return unsure
}

const (
	// justStarted is how old a process can be that still executes its program.
	justStarted = 3 * time.Second
	// strayLooks is how often to look again for what such a one is, lookAgain apart.
	strayLooks = 40
)

func (s *search) readAll() {
	dir, err := os.Open("/proc")
	if err != nil {
		return
	}
	defer dir.Close()
	names, _ := dir.Readdirnames(-1)
	for _, name := range names {
		pid, err := strconv.Atoi(name)
		if err != nil {
			continue
		}
		if k, ok := readKin(pid); ok && !k.dead {
			s.all[pid] = k
			s.children[k.parent] = append(s.children[k.parent], pid)
			s.members[k.session] = append(s.members[k.session], pid)
		}
	}
}

// noted says whether k was started when a birth of its number was noted. A Host
// makes each process the leader of a session.
func (s *search) noted(k kin) (value string, noted bool) {
	if k.session != k.pid {
		return "", false
	}
	start := s.boot.Add(time.Duration(k.start) * (time.Second / ticks))
	for _, b := range s.Births {
		if b.PID == k.pid && !start.After(b.At.Add(notedBefore)) && b.At.Before(start.Add(notedAfter)) {
			return b.Value, true
		}
	}
	return "", false
}

func (s *search) marked(pid int) (is, empty bool) {
	empty = true
	eachVariable(pid, func(entry []byte) bool {
		is, empty = s.Mark(string(entry)), false
		return !is
	})
	return is, empty
}

// add adds k, those below it, and if it leads a session the members of that. value
// is the variable's of those that have none.
func (s *search) add(k kin, value string) {
	if s.spared[k.pid] || s.found[k.pid].PID != 0 {
		return
	}
	stray := Stray{PID: k.pid, Main: k.session == k.pid, Value: value, start: k.start}
	eachVariable(k.pid, func(entry []byte) bool {
		name, value, _ := bytes.Cut(entry, []byte("="))
		if string(name) != s.Variable {
			return true
		}
		stray.Value = string(value)
		return false
	})
	s.found[k.pid] = stray
	for _, child := range s.children[k.pid] {
		s.add(s.all[child], value)
	}
	if stray.Main {
		for _, member := range s.members[k.pid] {
			s.add(s.all[member], value)
		}
	}
}

// bootTime is when the system was started, by the clock as it is now.
func bootTime() time.Time {
	var up unix.Timespec
	if unix.ClockGettime(unix.CLOCK_BOOTTIME, &up) != nil {
		return time.Time{}
	}
	return time.Now().Add(-time.Duration(up.Nano()))
}

// held is a stray with a descriptor of it, so that its number can't be another's.
type held struct {
	Stray
	pidfd int
}

func endStrays(ctx context.Context, strays []Stray, signal func(Stray) syscall.Signal) (killed []Stray, err error) {
	all, err := hold(strays)
	defer func() {
		for _, h := range all {
			_ = unix.Close(h.pidfd)
		}
	}()
	if err != nil {
		return nil, err
	}
	asked := slices.DeleteFunc(slices.Clone(all), func(h held) bool { return !h.Main })
	if len(asked) == 0 {
		asked = all
	}
	for _, h := range asked {
		h.ask(signal(h.Stray))
	}
	for _, h := range waitHeld(ctx, asked) {
		killed = append(killed, h.Stray)
	}
	for _, h := range all {
		_ = signalPidfd(h.pidfd, unix.SIGKILL)
	}
	late, cancel := context.WithTimeout(context.WithoutCancel(ctx), stuckAfter)
	defer cancel()
	if stuck := waitHeld(late, all); len(stuck) > 0 {
		return killed, fmt.Errorf("%d processes, %d among them, do not end although killed", len(stuck), stuck[0].PID)
	}
	return killed, nil
}

// hold opens those strays that are still there.
func hold(strays []Stray) ([]held, error) {
	var all []held
	for _, s := range strays {
		pidfd, err := unix.PidfdOpen(s.PID, 0)
		if errors.Is(err, unix.ESRCH) {
			continue
		}
		if err != nil {
			return all, fmt.Errorf("process %d: %w", s.PID, err)
		}
		if k, ok := readKin(s.PID); !ok || k.dead || k.start != s.start {
			_ = unix.Close(pidfd)
			continue
		}
		all = append(all, held{s, pidfd})
	}
	return all, nil
}

// ask sends the signal by which a process is asked to end, as a service gets it:
// with its group, and not held up by having been stopped.
func (h held) ask(sig syscall.Signal) {
	for _, s := range []syscall.Signal{sig, unix.SIGCONT} {
		if !h.Main || signalGroup(h.pidfd, s) != nil {
			_ = signalPidfd(h.pidfd, s)
		}
	}
}

// waitHeld waits until they have ended, or ctx has, and returns those that have not.
func waitHeld(ctx context.Context, all []held) []held {
	var pipe [2]int
	if unix.Pipe2(pipe[:], unix.O_CLOEXEC) != nil {
		return all
	}
	stop := context.AfterFunc(ctx, func() { _ = unix.Close(pipe[1]) }) // ends the poll
	defer func() {
		if stop() {
			_ = unix.Close(pipe[1])
		}
		_ = unix.Close(pipe[0])
	}()
	left := slices.Clone(all)
	for over := false; len(left) > 0 && !over; {
		fds := []unix.PollFd{{Fd: int32(pipe[0])}}
		for _, h := range left {
			fds = append(fds, unix.PollFd{Fd: int32(h.pidfd), Events: unix.POLLIN})
		}
		if _, err := unix.Poll(fds, -1); err != nil && err != unix.EINTR {
			return left
		}
		over = fds[0].Revents != 0
		for i := len(left) - 1; i >= 0; i-- {
			if fds[i+1].Revents != 0 {
				left = slices.Delete(left, i, i+1)
			}
		}
	}
	return left
}
