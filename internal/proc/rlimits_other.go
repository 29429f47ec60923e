//go:build unix && !linux

package proc

import "golang.org/x/sys/unix"

// noResource is the number of what the system does not limit.
const noResource = -1

const (
	rlimitNoFile     = unix.RLIMIT_NOFILE
	rlimitNProc      = unix.RLIMIT_NPROC
	rlimitCore       = unix.RLIMIT_CORE
	rlimitCPU        = unix.RLIMIT_CPU
	rlimitFSize      = unix.RLIMIT_FSIZE
	rlimitStack      = unix.RLIMIT_STACK
	rlimitData       = unix.RLIMIT_DATA
	rlimitMemLock    = unix.RLIMIT_MEMLOCK
	rlimitSigPending = noResource
	rlimitMsgQueue   = noResource
	rlimitRTPrio     = noResource
)
