package proc

import (
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

const (
	getTermios = unix.TCGETS
	setTermios = unix.TCSETS
)

// openTerminal needs no /dev/pts of its own: the kernel opens the other end itself.
func openTerminal() (master, slave *os.File, err error) {
	fd, err := unix.Open("/dev/ptmx", unix.O_RDWR|unix.O_NOCTTY|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, nil, &os.PathError{Op: "open", Path: "/dev/ptmx", Err: err}
	}
	other, err := openPeer(fd)
	if err != nil {
		_ = unix.Close(fd)
		return nil, nil, err
	}
	return os.NewFile(uintptr(fd), "terminal"), os.NewFile(uintptr(other), "terminal"), nil
}

// openPeer unlocks and opens the other end.
func openPeer(fd int) (int, error) {
	if err := unix.IoctlSetPointerInt(fd, unix.TIOCSPTLCK, 0); err != nil {
		return -1, err
	}
	const flags = unix.O_RDWR | unix.O_NOCTTY | unix.O_CLOEXEC
	other, _, errno := unix.Syscall(unix.SYS_IOCTL, uintptr(fd), unix.TIOCGPTPEER, flags)
	if errno != 0 {
		return -1, errno
	}
	return int(other), nil
}

// isTerminal says whether a descriptor is the end of a pseudo terminal that shows it.
func isTerminal(fd int) bool {
	_, err := unix.IoctlGetUint32(fd, unix.TIOCGPTN)
	return err == nil
}

// openTerminal opens the process's terminal. Our end is there twice, to be read and to be
// written to, so that each can be closed, kept and found again like that of a pipe.
func (c *channels) openTerminal(spec *Spec) error {
	var cred *Cred
	if spec.changesUser() {
		cred = spec.Cred
	}
	master, slave, err := OpenTerminal(DefaultWindow, cred)
	if err != nil {
		return err
	}
	defer master.Close()
	defer slave.Close()
	var fds [3]int
	for i, f := range [...]*os.File{slave, master, master} {
		if fds[i], err = duplicateFD(f); err != nil {
			for _, fd := range fds[:i] {
				_ = unix.Close(fd)
			}
			return fmt.Errorf("terminal: %w", err)
		}
	}
	theirs, typed, shown := fds[0], fds[1], fds[2]
	c.fds[Stdin], c.fds[Stdout], c.fds[Stderr] = theirs, theirs, theirs
	c.theirs = append(c.theirs, theirs)
	c.inputs = append(make([]*input, 0, 1+spec.Streams), newInput(typed, "terminal"))
	c.sources = append(c.sources, source{shown, Stdout})
	if c.fifos != nil {
		c.ours = append(c.ours, Kept{Stdin, typed}, Kept{Stdout, shown})
	}
	return nil
}

func duplicateFD(f *os.File) (fd int, err error) {
	err = control(f, func(from int) (err error) {
		fd, err = unix.FcntlInt(uintptr(from), unix.F_DUPFD_CLOEXEC, 3)
		return err
	})
	return fd, err
}

// takeStdio gives a process streams whose other ends somebody else has.
func (c *channels) takeStdio(files *[3]*os.File) error {
	for i, f := range files {
		if f == nil {
			continue
		}
		fd, err := descriptor(f)
		if err != nil {
			return fmt.Errorf("descriptor %d: %w", i, err)
		}
		c.fds[i] = fd
	}
	return nil
}
