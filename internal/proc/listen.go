package proc

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/netip"
	"os"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// Listen says what a listening socket is to be, with everything resolved.
type Listen struct {
	Network string // tcp, tcp4, tcp6, udp, udp4, udp6, unix, unixgram, unixpacket
	Address string // an address and a port, an absolute path, or @ and an abstract name

	Mode     os.FileMode // of a path; 0: 0600
	UID, GID int         // likewise; -1: the caller's
	Backlog  int         // of connections that nobody has accepted; 0: what the system allows

	Beside []*os.File // that are open at the same port, of this program, and no obstacle
}

// MaxPath is how long the path of a unix socket may be, on every system.
const MaxPath = 103

// Path is the file that a unix socket has, "" where there is none.
func (l *Listen) Path() string {
	if strings.HasPrefix(l.Network, "unix") && !strings.HasPrefix(l.Address, "@") {
		return l.Address
	}
	return ""
}

// datagrams says that there is nothing to accept.
func (l *Listen) datagrams() bool {
	return strings.HasPrefix(l.Network, "udp") || l.Network == "unixgram"
}

// Open opens the socket as a program gets it that is passed one: blocking. A unix socket
// that is there, is the caller's and has nobody who listens is left over, and removed.
func (l *Listen) Open() (*os.File, error) {
	if path := l.Path(); path != "" {
		if err := l.removeStale(path); err != nil {
			return nil, err
		}
	}
	f, err := l.listen()
	if err != nil {
		return nil, err
	}
	if err := l.Apply(f); err != nil {
		_ = f.Close()
		if path := l.Path(); path != "" {
			_ = os.Remove(path)
		}
		return nil, err
	}
	return f, nil
}

func (l *Listen) listen() (*os.File, error) {
	for _, f := range l.Beside { // the system allows it where both sides say so, while they do
		_ = control(f, func(fd int) error { return unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_REUSEPORT, 1) })
		defer func() {
			_ = control(f, func(fd int) error { return unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_REUSEPORT, 0) })
		}()
	}
	config := net.ListenConfig{Control: l.restrict}
	config.SetMultipathTCP(false) // programs expect the usual kind
	var conn interface {
		io.Closer
		File() (*os.File, error)
	}
	if l.datagrams() {
		c, err := config.ListenPacket(context.Background(), l.Network, l.Address)
		if err != nil {
			return nil, listenFault(err)
		}
		switch c := c.(type) {
		case *net.UDPConn:
			conn = c
		case *net.UnixConn:
			conn = c
		}
	} else {
		c, err := config.Listen(context.Background(), l.Network, l.Address)
		if err != nil {
			return nil, listenFault(err)
		}
		switch c := c.(type) {
		case *net.TCPListener:
			conn = c
		case *net.UnixListener:
			c.SetUnlinkOnClose(false)
			conn = c
		}
	}
	defer conn.Close()
	f, err := conn.File()
	if err != nil {
		return nil, errnoOf(err)
	}
	err = control(f, func(fd int) error {
		if len(l.Beside) > 0 {
			_ = unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_REUSEPORT, 0)
		}
		return unix.SetNonblock(fd, false)
	})
	if err != nil {
		_ = f.Close()
		return nil, err
	}
	return f, nil
}

// Port is the network and the port of a socket of IP, "" of any other.
func (l *Listen) Port() string {
	if strings.HasPrefix(l.Network, "unix") {
		return ""
	}
	_, port, err := net.SplitHostPort(l.Address)
	if err != nil {
		return ""
	}
	return strings.TrimRight(l.Network, "46") + ":" + port
}

// restrict keeps everybody but the owner from a path until Apply says who may use it:
// nobody slips in between. A system that can't do so before there is the path does it
// right after.
func (l *Listen) restrict(_, _ string, raw syscall.RawConn) error {
	return raw.Control(func(fd uintptr) {
		if l.Path() != "" {
			_ = unix.Fchmod(int(fd), uint32(0o600&l.mode()))
		}
		if len(l.Beside) > 0 {
			_ = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_REUSEPORT, 1)
		}
	})
}

func (l *Listen) mode() os.FileMode {
	if l.Mode == 0 {
		return 0o600
	}
	return l.Mode.Perm()
}

// listenFault leaves of an error what is news.
func listenFault(err error) error {
	var number syscall.Errno
	if !errors.As(err, &number) {
		return err
	}
	if number == syscall.EACCES {
		return fmt.Errorf("%w; a port below 1024 is root's, or of who has CAP_NET_BIND_SERVICE", number)
	}
	return number
}

// Apply gives an open socket what can be changed of it: who may use its path, and how
// many may wait.
func (l *Listen) Apply(f *os.File) error {
	if path := l.Path(); path != "" {
		if err := own(path, l.UID, l.GID, l.mode()); err != nil {
			return err
		}
	}
	if l.datagrams() {
		return nil
	}
	backlog := l.Backlog
	if backlog == 0 {
		backlog = mostBacklog
	}
	return control(f, func(fd int) error { return unix.Listen(fd, backlog) })
}

// mostBacklog is more than any system allows, which takes what it does.
const mostBacklog = 1 << 16

// staleWait bounds how long it is waited for an answer at a path.
const staleWait = time.Second

// removeStale removes what a socket before has left at a path.
func (l *Listen) removeStale(path string) error {
	info, err := os.Lstat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil
	case err != nil:
		return errnoOf(err)
	case info.Mode().Type() != fs.ModeSocket:
		return fmt.Errorf("the file is there, and no socket: %w", syscall.EADDRINUSE)
	}
	if st, ok := info.Sys().(*syscall.Stat_t); ok && int(st.Uid) != os.Geteuid() && int(st.Uid) != l.UID {
		return fmt.Errorf("the file belongs to uid %d: %w", st.Uid, syscall.EADDRINUSE)
	}
	c, err := net.DialTimeout(l.Network, path, staleWait)
	if err == nil {
		_ = c.Close()
		return fmt.Errorf("somebody listens there: %w", syscall.EADDRINUSE)
	}
	if !errors.Is(err, syscall.ECONNREFUSED) {
		return fmt.Errorf("somebody may listen there (%w): %w", errnoOf(err), syscall.EADDRINUSE)
	}
	return os.Remove(path)
}

// FileID tells a file from another that was put in its place.
type FileID struct{ dev, ino uint64 }

// ID is that of the socket's file; zero where there is none.
func (l *Listen) ID() FileID {
	path := l.Path()
	if path == "" {
		return FileID{}
	}
	info, err := os.Lstat(path)
	if err != nil || info.Mode().Type() != fs.ModeSocket {
		return FileID{}
	}
	st, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return FileID{}
	}
	return FileID{uint64(st.Dev), st.Ino}
}

// Remove removes the socket's file, if it is still that one.
func (l *Listen) Remove(id FileID) {
	if id != (FileID{}) && l.ID() == id {
		_ = os.Remove(l.Path())
	}
}

// Is says whether an open socket is one such as that.
func (l *Listen) Is(f *os.File) (is bool) {
	_ = control(f, func(fd int) error {
		is = l.is(fd)
		return nil
	})
	return is
}

func (l *Listen) is(fd int) bool {
	kind, err := unix.GetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_TYPE)
	if err != nil || kind != l.kind() {
		return false
	}
	if !l.datagrams() {
		if accepts, err := unix.GetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_ACCEPTCONN); err != nil || accepts == 0 {
			return false
		}
	}
	name, err := unix.Getsockname(fd)
	if err != nil {
		return false
	}
	switch a := name.(type) {
	case *unix.SockaddrUnix:
		return strings.HasPrefix(l.Network, "unix") && a.Name == l.Address
	case *unix.SockaddrInet4:
		return l.isAt(netip.AddrPortFrom(netip.AddrFrom4(a.Addr), uint16(a.Port)), 0, true)
	case *unix.SockaddrInet6:
		only, err := unix.GetsockoptInt(fd, unix.IPPROTO_IPV6, unix.IPV6_V6ONLY)
		return err == nil && l.isAt(netip.AddrPortFrom(netip.AddrFrom16(a.Addr), uint16(a.Port)), int(a.ZoneId), only != 0)
	}
	return false
}

func (l *Listen) kind() int {
	switch {
	case l.datagrams():
		return unix.SOCK_DGRAM
	case l.Network == "unixpacket":
		return unix.SOCK_SEQPACKET
	}
	return unix.SOCK_STREAM
}

// isAt says whether a socket at an address is the one: only of IPv6, that no IPv4 comes
// to it.
func (l *Listen) isAt(at netip.AddrPort, zone int, only bool) bool {
	host, port, err := net.SplitHostPort(l.Address)
	if err != nil || port != fmt.Sprint(at.Port()) || strings.HasPrefix(l.Network, "unix") {
		return false
	}
	if host == "" { // every address
		return at.Addr().IsUnspecified() && (at.Addr().Is4() || !only)
	}
	want, err := netip.ParseAddr(host)
	if err != nil || want.WithZone("") != at.Addr() {
		return false
	}
	if want.Zone() != "" {
		i, err := net.InterfaceByName(want.Zone())
		return err == nil && i.Index == zone
	}
	return want.Is4() || !want.IsUnspecified() || only
}

// control calls f with the descriptor of a file.
func control(file *os.File, f func(fd int) error) error {
	conn, err := file.SyscallConn()
	if err != nil {
		return err
	}
	var result error
	if err := conn.Control(func(fd uintptr) { result = f(int(fd)) }); err != nil {
		return os.ErrClosed // what it says is not the package's own
	}
	return result
}
