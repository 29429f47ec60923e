//go:build unix && !linux

package proc

import (
	"os"

	"github.com/creack/pty"
	"golang.org/x/sys/unix"
)

const (
	getTermios = unix.TIOCGETA
	setTermios = unix.TIOCSETA
)

func openTerminal() (master, slave *os.File, err error) { return pty.Open() }
