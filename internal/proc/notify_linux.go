package proc

import (
	"crypto/rand"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"

	"golang.org/x/sys/unix"
)

// A process that asks for it has a socket to which it, and what it starts, tells how it
// is, as systemd's services do (sd_notify). Its address is in NOTIFY_SOCKET. It has a
// name without a file, so that nothing is left of it; who may write to it is known by
// what the kernel says of the sender.

const (
	notifyVariable = "NOTIFY_SOCKET"
	// mostNotified is how long a message can be, and mostNotifiedFiles how many
	// descriptors can come with it, as with systemd.
	mostNotified      = 4096
	mostNotifiedFiles = 253
	// notifyTurn is how many messages are read before others get their turn.
	notifyTurn = 64
)

// isCustom says whether a stream is one of those that go both ways.
func isCustom(stream int) bool { return stream >= Custom && stream < Notify }

// notifyName is the socket's name for a process of that mark: the next program can give
// it the same one.
func notifyName(token string) string {
	_, mark, _ := strings.Cut(token, "=")
	return "@gaffer/" + mark
}

// listenNotify opens a socket of that name, or of a longer one if somebody has taken it.
func listenNotify(name string) (fd int, taken string, err error) {
	fd, err = unix.Socket(unix.AF_UNIX, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
	if err != nil {
		return -1, "", fmt.Errorf("socket: %w", err)
	}
	err = unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_PASSCRED, 1)
	if err == nil {
		err = unix.Bind(fd, &unix.SockaddrUnix{Name: name})
	}
	if errors.Is(err, unix.EADDRINUSE) || errors.Is(err, unix.EINVAL) { // or it is too long
		name = "@gaffer/" + rand.Text()
		err = unix.Bind(fd, &unix.SockaddrUnix{Name: name})
	}
	if err != nil {
		_ = unix.Close(fd)
		return -1, "", fmt.Errorf("socket %s: %w", name, err)
	}
	return fd, name, nil
}

// openNotify opens the socket of a process, whose environment gets its address.
func (c *channels) openNotify(spec *Spec) error {
	fd, name, err := listenNotify(notifyName(spec.Token))
	if err != nil {
		return fmt.Errorf("notify: %w", err)
	}
	spec.Env = slices.DeleteFunc(slices.Clone(spec.Env), func(entry string) bool {
		return strings.HasPrefix(entry, notifyVariable+"=")
	})
	spec.Env = append(spec.Env, notifyVariable+"="+name)
	c.sources, c.ours = append(c.sources, source{fd, Notify}), append(c.ours, Kept{Notify, fd})
	return nil
}

// openReady opens the pipe on which a process says that it is ready, as s6's services do.
func (c *channels) openReady(number int) error {
	if number < len(c.fds) {
		return fmt.Errorf("descriptor %d: is taken: %w", number, unix.EBUSY)
	}
	for len(c.fds) < number {
		c.fds = append(c.fds, -1)
	}
	if c.fifos != nil {
		theirs, ours, err := c.fifos.make(ReadyPipe, unix.O_RDONLY)
		if err != nil {
			return fmt.Errorf("descriptor %d: %w", number, err)
		}
		c.fds, c.theirs = append(c.fds, theirs), append(c.theirs, theirs)
		c.sources, c.ours = append(c.sources, source{ours, ReadyPipe}), append(c.ours, Kept{ReadyPipe, ours})
		return nil
	}
	var p [2]int
	if err := unix.Pipe2(p[:], unix.O_CLOEXEC); err != nil {
		return fmt.Errorf("descriptor %d: %w", number, err)
	}
	c.fds, c.theirs = append(c.fds, p[1]), append(c.theirs, p[1])
	c.sources = append(c.sources, source{p[0], ReadyPipe})
	if err := unix.SetNonblock(p[0], true); err != nil {
		return fmt.Errorf("descriptor %d: %w", number, err)
	}
	return nil
}

// notified hands over the messages that wait in a process's socket, to their number.
func (p *poller) notified(s slot) {
	listener, ok := s.child.handler.(Notified)
	oob := make([]byte, unix.CmsgSpace(mostNotifiedFiles*4)+unix.CmsgSpace(unix.SizeofUcred))
	for range notifyTurn {
		n, oobn, flags, _, err := unix.Recvmsg(int(s.fd), p.buf[:mostNotified], oob, unix.MSG_DONTWAIT|unix.MSG_CMSG_CLOEXEC)
		if err == unix.EINTR {
			continue
		}
		if err != nil {
			return // there is no more for now
		}
		m := Message{Text: p.buf[:n]}
		m.read(oob[:oobn])
		if !ok || flags&unix.MSG_TRUNC != 0 || flags&unix.MSG_CTRUNC != 0 || m.PID == 0 {
			m.Close()
			continue
		}
		listener.Notified(m)
	}
}

// read takes in what the kernel says of a message.
func (m *Message) read(oob []byte) {
	parts, err := unix.ParseSocketControlMessage(oob)
	if err != nil {
		return
	}
	for i := range parts {
		if cred, err := unix.ParseUnixCredentials(&parts[i]); err == nil {
			m.PID, m.UID = int(cred.Pid), cred.Uid
			continue
		}
		if fds, err := unix.ParseUnixRights(&parts[i]); err == nil {
			for _, fd := range fds {
				m.Files = append(m.Files, os.NewFile(uintptr(fd), "notified"))
			}
		}
	}
}

// rebind opens the socket of a process again that everybody who had it open has left.
func rebind(token string) (source, bool) {
	name := notifyName(token)
	fd, taken, err := listenNotify(name)
	if err != nil {
		return source{}, false
	}
	if taken != name {
		_ = unix.Close(fd)
		return source{}, false
	}
	return source{fd, Notify}, true
}
