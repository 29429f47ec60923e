//go:build linux && !amd64 && !arm64

package proc

import (
	"syscall"

	"golang.org/x/sys/unix"
)

// newVforker has no assembly for this architecture.
func newVforker(int, []syscall.Signal, *unix.Rlimit) (spawner, error) {
	return nil, syscall.ENOSYS
}
