//go:build linux && !amd64 && !arm64

package proc

import (
	"syscall"

	"golang.org/x/sys/unix"
)

// newVforker has no assembly for this architecture.
func newVforker(int, []syscall.Signal, *unix.Rlimit, bool) (spawner, error) {
	return nil, syscall.ENOSYS
}

// vforker is not there for this architecture.
type vforker struct {
	spawner
	tried int
}
