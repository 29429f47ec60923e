//go:build unix && !linux && !openbsd

package proc

import "golang.org/x/sys/unix"

const rlimitAS = unix.RLIMIT_AS
