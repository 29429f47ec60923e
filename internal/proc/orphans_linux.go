package proc

import (
	"os"
	"strconv"

	"golang.org/x/sys/unix"
)

// What a program has to know of its children that holds those that others have started.

// HaveOrphans says whether there may be children that this program has not started.
func HaveOrphans() bool {
	if !haveChildLists() {
		return true
	}
	pid := strconv.Itoa(os.Getpid())
	return len(childList("/proc/self/task/"+pid+"/children")) > 0
}

// BuryChildren buries the children that have ended and that may says nobody else waits
// for. orphan says that a child came to this program as an orphan for certain.
func BuryChildren(may func(pid int, orphan bool) bool) {
	eachChild(func(pid int, orphan bool) bool {
		k, ok := readKin(pid)
		if !ok || !k.dead || !may(pid, orphan) {
			return true
		}
		for unix.Waitid(unix.P_PID, pid, nil, unix.WEXITED|unix.WNOHANG, nil) == unix.EINTR {
		}
		return true
	})
}

// FindChild finds the child that some thread has started, and that is as wanted; 0 if
// there is none.
func FindChild(wanted func(pid int) bool) (found int) {
	eachChild(func(pid int, orphan bool) bool {
		if !orphan && wanted(pid) {
			found = pid
		}
		return found == 0
	})
	return found
}

// eachChild calls f for the children of this program, until it returns false. Orphans
// are the main thread's, if the kernel tells.
func eachChild(f func(pid int, orphan bool) bool) {
	if !haveChildLists() {
		for _, pid := range readFamilies().children(os.Getpid()) {
			if !f(pid, false) {
				return
			}
		}
		return
	}
	main := strconv.Itoa(os.Getpid())
	dir, err := os.Open("/proc/self/task")
	if err != nil {
		return
	}
	defer dir.Close()
	threads, _ := dir.Readdirnames(-1)
	for _, thread := range threads {
		for _, pid := range childList("/proc/self/task/" + thread + "/children") {
			if !f(pid, thread == main) {
				return
			}
		}
	}
}

// Executes says whether a process executes a program.
func Executes(pid int, program os.FileInfo) bool {
	its, err := os.Stat("/proc/" + strconv.Itoa(pid) + "/exe")
	return err == nil && os.SameFile(program, its)
}
