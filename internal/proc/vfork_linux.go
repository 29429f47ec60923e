//go:build linux && (amd64 || arm64)

package proc

import (
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// call is one system call that the child makes before it becomes the program.
type call struct {
	number uintptr
	args   [6]uintptr
}

// cloneArgs is the kernel's struct clone_args, as far as every kernel with
// clone3 and CLONE_INTO_CGROUP knows it.
type cloneArgs struct {
	flags      uint64
	pidfd      uint64
	childTID   uint64
	parentTID  uint64
	exitSignal uint64
	stack      uint64
	stackSize  uint64
	tls        uint64
	setTID     uint64
	setTIDSize uint64
	cgroup     uint64
}

// vfork is what vforkCalls reads and writes. It must not lie on a goroutine's
// stack, which may move: the child writes to it by its address.
type vfork struct {
	clone      cloneArgs
	allSignals uint64
	oldSignals uint64
	calls      *call   // the last one is execve, which does not return
	pid        uintptr // the child's, or clone3's error as a negative number
	failed     uintptr // index of the call that failed in the child
	errno      uintptr // why; 0: execve succeeded
	pidfd      int32
	sibling    bool // the child is this program's parent's
}

// vforkCalls starts a child that shares this program's memory and descriptor
// table, and returns when that child has made all calls, that is when it has
// become another program, or when one of them failed and it has exited.
//
// The child executes no Go code, so neither the race detector nor the runtime
// has to know of it.
//
//go:noescape
func vforkCalls(v *vfork)

func newVfork() *vfork {
	v := &vfork{allSignals: ^uint64(0)}
	v.clone.exitSignal = uint64(unix.SIGCHLD)
	v.clone.pidfd = uint64(uintptr(unsafe.Pointer(&v.pidfd)))
	return v
}

// run starts one child with the calls. cgroup is the descriptor of the directory
// to start it in, or -1. failed is the index of the call whose error is err, or
// -1 when there is no child: then err is clone3's.
func (v *vfork) run(calls []call, cgroup int) (pid, pidfd, failed int, err syscall.Errno) {
	v.clone.flags = unix.CLONE_VM | unix.CLONE_VFORK | unix.CLONE_FILES |
		unix.CLONE_PIDFD | unix.CLONE_CLEAR_SIGHAND
	if v.sibling {
		v.clone.flags |= unix.CLONE_PARENT
		v.clone.exitSignal = 0 // the parent's own: the kernel allows no other
	}
	v.clone.cgroup = 0
	if cgroup >= 0 {
		v.clone.flags |= unix.CLONE_INTO_CGROUP
		v.clone.cgroup = uint64(cgroup)
	}
	v.calls, v.failed, v.errno = &calls[0], 0, 0
	vforkCalls(v)
	v.calls = nil
	if n := int(v.pid); n < 0 {
		return 0, -1, -1, syscall.Errno(-n)
	}
	return int(v.pid), int(v.pidfd), int(v.failed), syscall.Errno(v.errno)
}
