package proc

import (
	"errors"
	"syscall"
)

// errnoOf is the system's error number in err.
func errnoOf(err error) syscall.Errno {
	var errno syscall.Errno
	if errors.As(err, &errno) {
		return errno
	}
	return syscall.EIO
}
