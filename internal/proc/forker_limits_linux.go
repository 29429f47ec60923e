package proc

import (
	"fmt"
	"os"
	"strconv"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// limited calls start on a thread that has l's limits, as far as a thread can have
// them: what is started from it inherits them. The others are set by a shell.
func (l *launch) limited(start func(*Spec, *syscall.SysProcAttr) (pid int, err error)) error {
	var lines []string
	score, byShell := l.spec.Limits.OOMScoreAdj, l.spec.scoresItself()
	if byShell {
		lines = append(lines, fmt.Sprintf("echo %d > /proc/$$/oom_score_adj || exit %d", *score, failedLimit))
	}
	spec, err := l.spec.throughShell(lines...)
	if err != nil {
		return err
	}
	return onItsOwnThread(func() error {
		if err := l.limitThread(); err != nil {
			return err
		}
		attr := &syscall.SysProcAttr{Setsid: true}
		if l.cgroup >= 0 {
			attr.UseCgroupFD, attr.CgroupFD = true, l.cgroup
		}
		if l.spec.changesUser() {
			attr.Credential = &syscall.Credential{Uid: spec.Cred.UID, Gid: spec.Cred.GID, Groups: spec.Cred.Groups}
			if l.spec.Limits.raisesCaps(l.spec) {
				for _, c := range l.spec.Limits.Caps {
					attr.AmbientCaps = append(attr.AmbientCaps, uintptr(c))
				}
			}
		}
		pid, err := start(spec, attr)
		if err != nil || score == nil || byShell {
			return err
		}
		if err := os.WriteFile("/proc/"+strconv.Itoa(pid)+"/oom_score_adj", []byte(strconv.Itoa(*score)), 0); err != nil {
			if errnoOf(err) == unix.ENOENT || errnoOf(err) == unix.ESRCH { // it has ended already
				return nil
			}
			_ = unix.Kill(-pid, unix.SIGKILL) // not waited for yet: the number is still its own
			return l.spec.fault(stepOOMScore, errnoOf(err))
		}
		return nil
	})
}

// scoresItself says whether the process may set its readiness to be killed itself; else
// that is done as soon as it runs.
func (spec *Spec) scoresItself() bool {
	l := spec.Limits
	return l.OOMScoreAdj != nil && !l.Landlock && (!spec.changesUser() || oomLack(*l.OOMScoreAdj, 0) == nil)
}

// limitThread sets what a thread can have for itself, and hands on. What keeps it from
// the rest comes last.
func (l *launch) limitThread() error {
	limits := l.spec.Limits
	fault := func(at step, err error) error {
		if err == nil {
			return nil
		}
		return l.spec.fault(at, errnoOf(err))
	}
	if limits.PrivateTmp {
		if err := privateTmp(); err != nil {
			return fault(stepPrivateTmp, err)
		}
		for _, dir := range tmpDirs() {
			if l.rules == 0 {
				break
			}
			if err := allow(l.rules, dir, writeRights); err != nil {
				return fault(stepLandlock, err)
			}
		}
	}
	if limits.Nice != nil {
		if err := unix.Setpriority(unix.PRIO_PROCESS, 0, *limits.Nice); err != nil {
			return fault(stepNice, err)
		}
	}
	if limits.IOPrio != 0 {
		if _, _, errno := unix.RawSyscall(unix.SYS_IOPRIO_SET, ioprioWhoProcess, 0, uintptr(limits.IOPrio)); errno != 0 {
			return fault(stepIOPrio, errno)
		}
	}
	if len(limits.CPUs) > 0 {
		mask := cpuMask(limits.CPUs)
		if _, _, errno := unix.RawSyscall(unix.SYS_SCHED_SETAFFINITY, 0, unsafe.Sizeof(mask), uintptr(unsafe.Pointer(&mask))); errno != 0 {
			return fault(stepCPUs, errno)
		}
	}
	if limits.Umask != nil {
		if err := unix.Unshare(unix.CLONE_FS); err != nil {
			return fault(stepUmask, err)
		}
		unix.Umask(*limits.Umask)
	}
	if err := limits.limitThreadCaps(l.spec); err != nil {
		return fault(stepCaps, err)
	}
	if limits.NoNewPrivs || l.rules > 0 {
		if err := unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); err != nil {
			return fault(stepNoNewPrivs, err)
		}
	}
	if l.rules > 0 {
		if _, _, errno := unix.Syscall(unix.SYS_LANDLOCK_RESTRICT_SELF, uintptr(l.rules), 0, 0); errno != 0 {
			return fault(stepLandlock, errno)
		}
	}
	return nil
}

// limitThreadCaps gives up capabilities of the thread, but for those that are needed
// to become somebody else, which gives them up by itself.
func (l *Limits) limitThreadCaps(spec *Spec) error {
	if l.BoundCaps {
		for _, c := range l.droppedCaps() {
			if err := unix.Prctl(unix.PR_CAPBSET_DROP, uintptr(c), 0, 0, 0); err != nil {
				return err
			}
		}
	}
	if !l.KeepCaps || spec.changesUser() {
		return nil
	}
	if err := unix.Prctl(unix.PR_CAP_AMBIENT, unix.PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0); err != nil {
		return err
	}
	header, data := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}, l.capData(spec)
	if err := unix.Capset(&header, &data[0]); err != nil {
		return err
	}
	if l.raisesCaps(spec) {
		for _, c := range l.Caps {
			if err := unix.Prctl(unix.PR_CAP_AMBIENT, unix.PR_CAP_AMBIENT_RAISE, uintptr(c), 0, 0); err != nil {
				return err
			}
		}
	}
	return nil
}
