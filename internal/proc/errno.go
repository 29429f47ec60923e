package proc

import (
	"errors"
	"syscall"
)

// numbered is an error with that number.
func numbered(n uint32) error { return syscall.Errno(n) }

// errnoOf is the system's error number in err.
func errnoOf(err error) syscall.Errno {
	var errno syscall.Errno
	if errors.As(err, &errno) {
		return errno
	}
	return syscall.EIO
}
