package proc

import (
	"errors"
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// source is a descriptor of ours that a process writes to.
type source struct {
	fd     int
	stream int
}

// channels are the ends of all that connects a process with us.
type channels struct {
	leaf    *leaf    // the process's own cgroup; nil: none
	fds     []int    // the child's, by its own numbers; -1 is the null device
	theirs  []int    // those of them that we opened and close after the start
	sources []source // ours to read
	inputs  []*input // ours to write: stdin, then the custom streams; nil where there is none
	fifos   *fifos   // nil: the streams are pipes that nobody can open again
	ours    []Kept   // all of our ends that somebody else can hold, too
}

// openChannels opens what spec asks for, or nothing at all.
func openChannels(spec *Spec) (channels, error) {
	var c channels
	err := c.open(spec)
	return c, err
}

func (c *channels) open(spec *Spec) (err error) {
	c.fds = make([]int, 3, 3+len(spec.Files)+spec.Streams)
	c.fds[0], c.fds[1], c.fds[2] = -1, -1, -1
	for i, f := range spec.Files {
		fd, err := descriptor(f)
		if err != nil {
			return fmt.Errorf("file %d: %w", i, err)
		}
		c.fds = append(c.fds, fd)
	}
	if spec.Detach {
		return nil
	}
	defer func() {
		if err != nil {
			c.closeTheirs()
			c.closeOurs()
		}
	}()

	switch {
	case spec.Stdio != nil:
		if err := c.takeStdio(spec.Stdio); err != nil {
			return err
		}
	case spec.Terminal:
		if err := c.openTerminal(spec); err != nil {
			return err
		}
	default:
		if err := c.openStandard(spec); err != nil {
			return err
		}
	}
	for i := range spec.Streams {
		if err := c.openStream(i); err != nil {
			return err
		}
	}
	if spec.Notify {
		if err := c.openNotify(spec); err != nil {
			return err
		}
	}
	if spec.ReadyFD > 0 {
		return c.openReady(spec.ReadyFD)
	}
	return nil
}

// openStandard opens stdin, stdout and stderr.
func (c *channels) openStandard(spec *Spec) error {
	if spec.Input {
		if err := c.openStdin(spec.Streams); err != nil {
			return err
		}
	}
	for i := range spec.Outputs {
		if i == 1 && spec.Merge {
			c.fds[Stderr] = c.fds[Stdout]
			break
		}
		if err := c.openOutput(Stdout + i); err != nil {
			return err
		}
	}
	return nil
}

func (c *channels) openStdin(streams int) error {
	if c.fifos != nil {
		theirs, ours, err := c.fifos.make(Stdin, unix.O_WRONLY)
		if err != nil {
			return fmt.Errorf("stdin: %w", err)
		}
		c.fds[Stdin], c.theirs = theirs, append(c.theirs, theirs)
		c.inputs = append(make([]*input, 0, 1+streams), newInput(ours, "stdin"))
		c.ours = append(c.ours, Kept{Stdin, ours})
		return nil
	}
	var p [2]int
	if err := unix.Pipe2(p[:], unix.O_CLOEXEC); err != nil {
		return fmt.Errorf("stdin: %w", err)
	}
	c.fds[Stdin] = p[0]
	c.theirs = append(c.theirs, p[0])
	if err := unix.SetNonblock(p[1], true); err != nil {
		_ = unix.Close(p[1])
		return fmt.Errorf("stdin: %w", err)
	}
	c.inputs = append(make([]*input, 0, 1+streams), newInput(p[1], "stdin"))
	return nil
}

func (c *channels) openOutput(stream int) error {
	name := [...]string{Stdout: "stdout", Stderr: "stderr"}[stream]
	if c.fifos != nil {
		theirs, ours, err := c.fifos.make(stream, unix.O_RDONLY)
		if err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		c.fds[stream], c.theirs = theirs, append(c.theirs, theirs)
		c.sources, c.ours = append(c.sources, source{ours, stream}), append(c.ours, Kept{stream, ours})
		return nil
	}
	var p [2]int
	if err := unix.Pipe2(p[:], unix.O_CLOEXEC); err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	c.fds[stream] = p[1]
	c.theirs = append(c.theirs, p[1])
	c.sources = append(c.sources, source{p[0], stream})
	if err := unix.SetNonblock(p[0], true); err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	return nil
}

func (c *channels) openStream(i int) error {
	if len(c.inputs) == 0 {
		c.inputs = append(c.inputs, nil) // stdin's place
	}
	p, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return fmt.Errorf("stream %d: %w", i, err)
	}
	c.fds = append(c.fds, p[1])
	c.theirs = append(c.theirs, p[1])
	if err := unix.SetNonblock(p[0], true); err != nil {
		_ = unix.Close(p[0])
		return fmt.Errorf("stream %d: %w", i, err)
	}
	c.sources = append(c.sources, source{p[0], Custom + i})
	c.inputs = append(c.inputs, newInput(p[0], "stream"))
	c.ours = append(c.ours, Kept{Custom + i, p[0]})
	return nil
}

func (c *channels) closeTheirs() {
	for _, fd := range c.theirs {
		_ = unix.Close(fd)
	}
	c.theirs = nil
}

// closeOurs is for a start that failed; of a process that ran, the poller closes them.
func (c *channels) closeOurs() {
	for _, s := range c.sources {
		if !isCustom(s.stream) { // the others belong to their input
			_ = unix.Close(s.fd)
		}
	}
	for _, in := range c.inputs {
		if in != nil {
			_ = in.file.Close()
		}
	}
}

// descriptor returns f's number without changing how f works.
func descriptor(f *os.File) (int, error) {
	if f == nil {
		return -1, errors.New("nil file")
	}
	conn, err := f.SyscallConn()
	if err != nil {
		return -1, err
	}
	n := -1
	err = conn.Control(func(fd uintptr) { n = int(fd) })
	return n, err
}
