package proc

import (
	"syscall"

	"golang.org/x/sys/unix"
)

// forker starts processes by the syscall package, where the kernel, a filter of
// system calls or the architecture don't allow anything better. It copies the
// whole descriptor table for each start, and signals that this program ignores
// stay ignored in what it starts.
type forker struct {
	null    int
	sibling bool // what it starts are this program's parent's children
}

func (f *forker) close() {}

func (f *forker) spawn(l *launch) (pid, pidfd int, err error) {
	if l.spec.Limits == nil {
		return f.fork(l, l.spec, &syscall.SysProcAttr{})
	}
	pidfd = -1
	err = l.limited(func(spec *Spec, sys *syscall.SysProcAttr) (int, error) {
		pid, pidfd, err = f.fork(l, spec, sys)
		return pid, err
	})
	if err != nil && pidfd >= 0 { // a child that is no use
		if f.sibling {
			return pid, pidfd, err
		}
		_, _ = reap(pidfd)
		_ = unix.Close(pidfd)
		return 0, -1, err
	}
	return pid, pidfd, err
}

// fork starts a child with what is asked for in sys, and what every child has.
func (f *forker) fork(l *launch, spec *Spec, sys *syscall.SysProcAttr) (pid, pidfd int, err error) {
	spec = spec.withOwnPID()
	attr := syscall.ProcAttr{Dir: spec.Dir, Env: spec.Env, Files: make([]uintptr, len(l.fds)), Sys: sys}
	for i, fd := range l.fds {
		if fd < 0 {
			fd = f.null
		}
		attr.Files[i] = uintptr(fd)
	}
	pidfd = -1
	sys.Setsid, sys.Setctty, sys.PidFD = true, spec.Terminal, &pidfd
	if f.sibling {
		attr.Sys.Cloneflags = unix.CLONE_PARENT
	}
	if l.cgroup >= 0 {
		attr.Sys.UseCgroupFD, attr.Sys.CgroupFD = true, l.cgroup
	}
	if spec.changesUser() {
		attr.Sys.Credential = &syscall.Credential{Uid: spec.Cred.UID, Gid: spec.Cred.GID, Groups: spec.Cred.Groups}
	}
	pid, err = syscall.ForkExec(spec.Path, spec.Args, &attr)
	if err != nil {
		return 0, -1, l.spec.guessFault(err)
	}
	if pidfd >= 0 {
		return pid, pidfd, nil
	}
	pidfd, err = unix.PidfdOpen(pid, 0)
	if err != nil {
		_ = unix.Kill(-pid, unix.SIGKILL) // not waited for yet: the number is still its own
		_, _ = unix.Wait4(pid, nil, 0, nil)
		return 0, -1, spec.fault(stepFork, errnoOf(err))
	}
	return pid, pidfd, nil
}
