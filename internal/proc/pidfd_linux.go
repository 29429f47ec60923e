package proc

import (
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// What siginfo's code says of a child's end.
const (
	codeExited = 1
	codeKilled = 2
	codeDumped = 3
)

// reap waits until the child behind pidfd has ended, and buries it.
func reap(pidfd int) (Exit, error) {
	exit, _, err := waitid(pidfd, 0)
	return exit, err
}

// tryReap is reap without waiting: ended is false while the child runs.
func tryReap(pidfd int) (exit Exit, ended bool, err error) {
	return waitid(pidfd, unix.WNOHANG)
}

func waitid(pidfd, options int) (exit Exit, ended bool, err error) {
	var info unix.Siginfo
	for {
		err = unix.Waitid(unix.P_PIDFD, pidfd, &info, unix.WEXITED|options, nil)
		if err != unix.EINTR {
			break
		}
	}
	if err != nil || info.Signo == 0 {
		return Exit{}, false, err
	}
	status := siginfoStatus(&info)
	switch info.Code {
	case codeKilled:
		return Exit{Status: -1, Signal: syscall.Signal(status)}, true, nil
	case codeDumped:
		return Exit{Status: -1, Signal: syscall.Signal(status), Core: true}, true, nil
	default:
		return Exit{Status: status}, true, nil
	}
}

// siginfoStatus reads si_status: after the three first numbers come, at the
// machine's alignment, the pid, the uid and the status.
func siginfoStatus(info *unix.Siginfo) int {
	const word = unsafe.Sizeof(uintptr(0))
	const union = (3*4 + word - 1) / word * word
	return int(*(*int32)(unsafe.Add(unsafe.Pointer(info), union+2*4)))
}

// signalPidfd sends sig to the process behind pidfd. os.ErrProcessDone's
// number is ESRCH.
func signalPidfd(pidfd int, sig syscall.Signal) error {
	return unix.PidfdSendSignal(pidfd, sig, nil, 0)
}

// signalGroup sends sig to the process group that the process behind pidfd
// leads or led. ESRCH: the group is empty. Kernels before 6.9 answer EINVAL.
func signalGroup(pidfd int, sig syscall.Signal) error {
	return unix.PidfdSendSignal(pidfd, sig, nil, unix.PIDFD_SIGNAL_PROCESS_GROUP)
}

// lostExit is the end of a child that was waited for by somebody else, as far as
// the kernel still tells it. It does not before that one has buried it.
func lostExit(pidfd int) Exit {
	var info pidfdInfo
	info.mask = unix.PIDFD_INFO_EXIT
	_, _, errno := unix.Syscall(unix.SYS_IOCTL, uintptr(pidfd), unix.PIDFD_GET_INFO, uintptr(unsafe.Pointer(&info)))
	if errno != 0 || info.mask&unix.PIDFD_INFO_EXIT == 0 {
		return Exit{Status: -1, Lost: true, later: errno == 0}
	}
	status := syscall.WaitStatus(info.exitCode)
	if status.Signaled() {
		return Exit{Status: -1, Signal: status.Signal(), Core: status.CoreDump()}
	}
	return Exit{Status: status.ExitStatus()}
}

// pidfdInfo is the kernel's struct pidfd_info. PIDFD_GET_INFO carries its size.
type pidfdInfo struct {
	mask     uint64
	_        uint64
	_        [11]uint32
	exitCode int32
	_        [6]uint32
}
