//go:build unix

package proc

import "syscall"

func newPortable(o Options) (starter, error) { return nil, syscall.ENOSYS }
