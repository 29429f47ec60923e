//go:build unix

package proc

import (
	"io/fs"
	"syscall"

	"golang.org/x/sys/unix"
)

// mayExecute asks the system whether the caller may execute a file, or go
// through a directory.
func mayExecute(path string) bool {
	return unix.Faccessat(unix.AT_FDCWD, path, unix.X_OK, unix.AT_EACCESS) == nil
}

func owner(info fs.FileInfo) (uid, gid uint32) {
	stat, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return ^uint32(0), ^uint32(0)
	}
	return stat.Uid, stat.Gid
}
