package proc

import "golang.org/x/sys/unix"

const (
	rlimitNoFile     = unix.RLIMIT_NOFILE
	rlimitNProc      = unix.RLIMIT_NPROC
	rlimitCore       = unix.RLIMIT_CORE
	rlimitCPU        = unix.RLIMIT_CPU
	rlimitFSize      = unix.RLIMIT_FSIZE
	rlimitStack      = unix.RLIMIT_STACK
	rlimitAS         = unix.RLIMIT_AS
	rlimitData       = unix.RLIMIT_DATA
	rlimitMemLock    = unix.RLIMIT_MEMLOCK
	rlimitSigPending = unix.RLIMIT_SIGPENDING
	rlimitMsgQueue   = unix.RLIMIT_MSGQUEUE
	rlimitRTPrio     = unix.RLIMIT_RTPRIO
)
