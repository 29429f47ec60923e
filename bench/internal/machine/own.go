//go:build linux

// Package machine is what a benchmark sees of the machine: its own descendants,
// what processes use, and how busy others keep it.
package machine

import (
	"fmt"
	"syscall"

	"golang.org/x/sys/unix"
)

// Now is the clock that programs of a benchmark share: CLOCK_MONOTONIC in
// nanoseconds.
func Now() int64 {
	var t unix.Timespec
	_ = unix.ClockGettime(unix.CLOCK_MONOTONIC, &t)
	return t.Nano()
}

// AllDescriptors raises the limit of open files as far as it goes, for
// everybody that is started from here.
func AllDescriptors() error {
	var limit syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
		return fmt.Errorf("limit of open files: %w", err)
	}
	limit.Cur = limit.Max
	if err := syscall.Setrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
		return fmt.Errorf("limit of open files: %w", err)
	}
	return nil
}
