package proc

import (
	"os"

	"golang.org/x/sys/unix"
)

// Duplicate is another descriptor of what a file is open for.
func Duplicate(f *os.File) (*os.File, error) {
	conn, err := f.SyscallConn()
	if err != nil {
		return nil, err
	}
	var copied *os.File
	e := conn.Control(func(fd uintptr) {
		var n int
		if n, err = unix.FcntlInt(fd, unix.F_DUPFD_CLOEXEC, 0); err == nil {
			copied = os.NewFile(uintptr(n), f.Name())
		}
	})
	if e != nil {
		return nil, e
	}
	return copied, err
}
