package proc

import (
	"syscall"

	"golang.org/x/sys/unix"
)

// SignalNumber is the number of the signal with that full name ("SIGTERM") on
// this system, 0 when there is none.
func SignalNumber(name string) syscall.Signal { return unix.SignalNum(name) }

// SignalName is the full name of a signal, "" for a number without one.
func SignalName(sig syscall.Signal) string { return unix.SignalName(sig) }
