//go:build unix && !linux

package proc

import (
	"os"

	"golang.org/x/sys/unix"
)

// CanWatch says whether sockets can be watched on this system.
const CanWatch = false

// Readable can't be had on this system.
type Readable struct{}

// Watch is an error.
func (r *Readable) Watch(*os.File, func()) (func(), error) { return nil, unix.ENOSYS }

// Connections is an error.
func Connections(*os.File) (int, error) { return 0, unix.ENOSYS }
