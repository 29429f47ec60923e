package peer

import (
	"errors"
	"net"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Of is who made a connection, as it was then.
func Of(c *net.UnixConn) (Cred, error) {
	raw, err := c.SyscallConn()
	if err != nil {
		return Cred{}, err
	}
	var cred *unix.Ucred
	var groups []int
	var err1, err2 error
	if err := raw.Control(func(fd uintptr) {
		cred, err1 = unix.GetsockoptUcred(int(fd), unix.SOL_SOCKET, unix.SO_PEERCRED)
		groups, err2 = groupsOf(fd)
	}); err != nil {
		return Cred{}, err
	}
	if err := errors.Join(err1, err2); err != nil {
		return Cred{}, err
	}
	return Cred{int(cred.Uid), int(cred.Gid), groups}, nil
}

// groupsOf asks for the supplementary groups, which x/sys has no call for.
func groupsOf(fd uintptr) ([]int, error) {
	list := make([]uint32, 64)
	for {
		size := uint32(len(list)) * 4
		_, _, e := unix.Syscall6(unix.SYS_GETSOCKOPT, fd, unix.SOL_SOCKET, unix.SO_PEERGROUPS,
			uintptr(unsafe.Pointer(unsafe.SliceData(list))), uintptr(unsafe.Pointer(&size)), 0)
		switch {
		case e == unix.ERANGE && int(size/4) > len(list):
			list = make([]uint32, size/4) // it said how many there are
			continue
		case e == unix.ENOPROTOOPT:
			return nil, nil // a kernel before 4.13
		case e != 0:
			return nil, e
		}
		groups := make([]int, size/4)
		for i := range groups {
			groups[i] = int(list[i])
		}
		return groups, nil
	}
}
