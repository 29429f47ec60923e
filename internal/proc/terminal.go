//go:build unix

package proc

import (
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// OpenTerminal makes a pseudo terminal: the end that shows it and types on it, and the
// end that a program gets, which belongs to cred unless that is nil.
func OpenTerminal(size WindowSize, cred *Cred) (master, slave *os.File, err error) {
	if master, slave, err = openTerminal(); err != nil {
		return nil, nil, fmt.Errorf("terminal: %w", err)
	}
	if err = Resize(master, size); err == nil && cred != nil && os.Geteuid() == 0 {
		err = slave.Chown(int(cred.UID), -1)
	}
	if err != nil {
		_, _ = master.Close(), slave.Close()
		return nil, nil, fmt.Errorf("terminal: %w", err)
	}
	return master, slave, nil
}

// Resize says how large the window of a terminal is. Its programs are told by SIGWINCH
// if that is another size.
func Resize(f *os.File, size WindowSize) error {
	return control(f, func(fd int) error {
		return unix.IoctlSetWinsize(fd, unix.TIOCSWINSZ, &unix.Winsize{Row: size.Rows, Col: size.Cols})
	})
}

// Window is the size of the window of a terminal. The error says that it is none.
func Window(f *os.File) (size WindowSize, err error) {
	err = control(f, func(fd int) error {
		w, err := unix.IoctlGetWinsize(fd, unix.TIOCGWINSZ)
		if err == nil {
			size = WindowSize{Cols: w.Col, Rows: w.Row}
		}
		return err
	})
	return size, err
}

// RawTerminal is a terminal that hands over each key as it is, and shows what it is sent
// as it is.
type RawTerminal struct {
	file        *os.File
	raw, before unix.Termios
}

// MakeRaw makes a terminal so.
func MakeRaw(f *os.File) (*RawTerminal, error) {
	r := &RawTerminal{file: f}
	err := control(f, func(fd int) error {
		t, err := unix.IoctlGetTermios(fd, getTermios)
		if err != nil {
			return err
		}
		r.before = *t
		t.Iflag &^= unix.IGNBRK | unix.BRKINT | unix.PARMRK | unix.ISTRIP | unix.INLCR | unix.IGNCR | unix.ICRNL | unix.IXON
		t.Oflag &^= unix.OPOST
		t.Lflag &^= unix.ECHO | unix.ECHONL | unix.ICANON | unix.ISIG | unix.IEXTEN
		t.Cflag &^= unix.CSIZE | unix.PARENB
		t.Cflag |= unix.CS8
		t.Cc[unix.VMIN], t.Cc[unix.VTIME] = 1, 0
		r.raw = *t
		return nil
	})
	if err == nil {
		err = r.Again()
	}
	if err != nil {
		return nil, fmt.Errorf("terminal: %w", err)
	}
	return r, nil
}

// Again makes it raw again, after somebody else has had it.
func (r *RawTerminal) Again() error { return r.set(&r.raw) }

// Restore makes it as it was.
func (r *RawTerminal) Restore() error { return r.set(&r.before) }

func (r *RawTerminal) set(t *unix.Termios) error {
	return control(r.file, func(fd int) error { return unix.IoctlSetTermios(fd, setTermios, t) })
}

// Pipe is a pipe of which a process gets one end, which blocks as is usual for those.
func Pipe(processReads bool) (ours, theirs *os.File, err error) {
	r, w, err := os.Pipe()
	if err != nil {
		return nil, nil, fmt.Errorf("pipe: %w", errnoOf(err))
	}
	ours, theirs = r, w
	if processReads {
		ours, theirs = w, r
	}
	if err := control(theirs, func(fd int) error { return unix.SetNonblock(fd, false) }); err != nil {
		_, _ = r.Close(), w.Close()
		return nil, nil, fmt.Errorf("pipe: %w", err)
	}
	return ours, theirs, nil
}

// duplicate is another descriptor of the same file.
func duplicate(f *os.File) (*os.File, error) {
	copied := -1
	err := control(f, func(fd int) (err error) {
		copied, err = unix.FcntlInt(uintptr(fd), unix.F_DUPFD_CLOEXEC, 3)
		return err
	})
	if err != nil {
		return nil, err
	}
	return os.NewFile(uintptr(copied), f.Name()), nil
}
