package proc

import (
	"bytes"
	"io"
	"os"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// kin is what /proc/PID/stat tells of a process's relations. Its number and its
// start time together are never somebody else's.
type kin struct {
	pid, parent, group, session int
	start                       uint64 // clock ticks since boot
	dead                        bool   // ended, perhaps not waited for yet
}

// readKin is false when there is no such process.
func readKin(pid int) (kin, bool) {
	var buf [1024]byte
	text, err := readProc("/proc/"+strconv.Itoa(pid)+"/stat", buf[:])
	if err != nil {
		return kin{}, false
	}
	return parseKin(text)
}

// parseKin reads a line of /proc/PID/stat. The program's name in it may contain
// anything, also spaces and parentheses.
func parseKin(line []byte) (kin, bool) {
	open, end := bytes.IndexByte(line, '('), bytes.LastIndexByte(line, ')')
	if open < 0 || end < open {
		return kin{}, false
	}
	pid, err := strconv.Atoi(string(bytes.TrimSpace(line[:open])))
	fields := bytes.Fields(line[end+1:])
	if err != nil || len(fields) < 20 {
		return kin{}, false
	}
	k := kin{pid: pid}
	for i, number := range [...]*int{1: &k.parent, &k.group, &k.session} {
		if number == nil {
			continue
		}
		if *number, err = strconv.Atoi(string(fields[i])); err != nil {
			return kin{}, false
		}
	}
	k.start, err = strconv.ParseUint(string(fields[19]), 10, 64)
	// The first thread can be a zombie while others still run.
	state, threads := fields[0][0], string(fields[17])
	k.dead = (state == 'Z' || state == 'X' || state == 'x') && (threads == "0" || threads == "1")
	return k, err == nil
}

// alive says whether k is still there and running.
func (k kin) alive() bool {
	now, ok := readKin(k.pid)
	return ok && now.start == k.start && !now.dead
}

// ticks is how many of kin.start's units a second has, on every architecture.
const ticks = 100

// startedSince says whether k was started at that time or later, roughly.
func (k kin) startedSince(at time.Time) bool {
	var boot unix.Timespec
	if unix.ClockGettime(unix.CLOCK_BOOTTIME, &boot) != nil {
		return true
	}
	up := time.Duration(boot.Nano()) - time.Since(at) // what the clock said then
	return time.Duration(k.start)*(time.Second/ticks) >= up-time.Second
}

// kill ends k and returns a descriptor of it, or -1 when it is gone or can't be had.
func (k kin) kill() (pidfd int) {
	pidfd, err := unix.PidfdOpen(k.pid, 0)
	if err != nil {
		return -1
	}
	if !k.alive() || signalPidfd(pidfd, unix.SIGKILL) != nil {
		_ = unix.Close(pidfd)
		return -1
	}
	return pidfd
}

// readProc reads a small file into buf.
func readProc(path string, buf []byte) ([]byte, error) {
	fd, err := unix.Open(path, unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, err
	}
	defer unix.Close(fd)
	n, err := unix.Read(fd, buf)
	if err != nil {
		return nil, err
	}
	return buf[:n], nil
}

// families tells who is whose child. Where the kernel keeps no lists of children,
// it is made from one look at all processes, and then only as good as that.
type families struct {
	byParent map[int][]int // nil: the kernel's lists
}

// haveChildLists says whether the kernel keeps lists of children.
func haveChildLists() bool {
	pid := strconv.Itoa(os.Getpid())
	return unix.Access("/proc/self/task/"+pid+"/children", unix.R_OK) == nil
}

func readFamilies() families {
	f := families{byParent: map[int][]int{}}
	proc, err := os.Open("/proc")
	if err != nil {
		return f
	}
	defer proc.Close()
	names, _ := proc.Readdirnames(-1)
	for _, name := range names {
		pid, err := strconv.Atoi(name)
		if err != nil {
			continue
		}
		if k, ok := readKin(pid); ok {
			f.byParent[k.parent] = append(f.byParent[k.parent], pid)
		}
	}
	return f
}

// children are the children of all threads of pid.
func (f families) children(pid int) []int {
	if f.byParent != nil {
		return f.byParent[pid]
	}
	n := strconv.Itoa(pid)
	task := "/proc/" + n + "/task"
	var info unix.Stat_t
	if err := unix.Stat(task, &info); err != nil {
		return nil
	}
	if info.Nlink == 3 { // itself, its parent, and one thread
		return childList(task + "/" + n + "/children")
	}
	dir, err := os.Open(task)
	if err != nil {
		return nil
	}
	defer dir.Close()
	threads, _ := dir.Readdirnames(-1)
	var children []int
	for _, thread := range threads {
		children = append(children, childList(task+"/"+thread+"/children")...)
	}
	return children
}

// adopted are the children that pid's main thread has: there the kernel puts
// orphans that pid is to look after.
func (f families) adopted(pid int) []int {
	if f.byParent != nil {
		return f.byParent[pid]
	}
	n := strconv.Itoa(pid)
	return childList("/proc/" + n + "/task/" + n + "/children")
}

// descendants calls found for everything below pid that is alive.
func (f families) descendants(pid int, found func(kin)) {
	for _, child := range f.children(pid) {
		k, ok := readKin(child)
		if !ok {
			continue
		}
		if !k.dead {
			found(k)
		}
		f.descendants(child, found)
	}
}

// childList reads a file of numbers. Most have none: that must be cheap.
func childList(path string) []int {
	fd, err := unix.Open(path, unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil
	}
	defer unix.Close(fd)
	var buf [512]byte
	var text []byte
	for {
		n, err := unix.Read(fd, buf[:])
		if err == unix.EINTR {
			continue
		}
		if err != nil || n == 0 {
			break
		}
		text = append(text, buf[:n]...)
	}
	if len(text) == 0 {
		return nil
	}
	return parseNumbers(string(text))
}

// parseNumbers reads numbers between spaces or line ends; it stops at anything else.
func parseNumbers(text string) []int {
	var numbers []int
	for _, word := range strings.Fields(text) {
		n, err := strconv.Atoi(word)
		if err != nil {
			break
		}
		numbers = append(numbers, n)
	}
	return numbers
}

// ancestors are the processes above this one, the nearest first.
func ancestors() []int {
	var above []int
	for pid := os.Getppid(); pid > 0 && len(above) < 100; {
		above = append(above, pid)
		k, ok := readKin(pid)
		if !ok {
			break
		}
		pid = k.parent
	}
	return above
}

// environmentLimit is how much of an environment is looked at.
const environmentLimit = 1 << 20

// eachVariable calls f for the entries of a process's environment, as far as we
// may read it, until f returns false.
func eachVariable(pid int, f func(entry []byte) bool) {
	file, err := os.Open("/proc/" + strconv.Itoa(pid) + "/environ")
	if err != nil {
		return
	}
	defer file.Close()
	text, _ := io.ReadAll(io.LimitReader(file, environmentLimit))
	for len(text) > 0 {
		entry, rest, _ := bytes.Cut(text, []byte{0})
		if !f(entry) {
			return
		}
		text = rest
	}
}
