package proc

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"os"
	"slices"

	"golang.org/x/sys/unix"
)

// Connections says how many connections that came through a listening socket are open,
// those included that nobody has accepted yet.
func Connections(socket *os.File) (n int, err error) {
	var name unix.Sockaddr
	err = control(socket, func(fd int) (err error) {
		name, err = unix.Getsockname(fd)
		return err
	})
	if err != nil {
		return 0, err
	}
	switch a := name.(type) {
	case *unix.SockaddrUnix:
		return countIn("/proc/self/net/unix", func(line []byte) bool { return unixConnection(line, a.Name) })
	case *unix.SockaddrInet4:
		at := netip.AddrPortFrom(netip.AddrFrom4(a.Addr), uint16(a.Port))
		return countIn("/proc/self/net/tcp", func(line []byte) bool { return tcpConnection(line, at) })
	case *unix.SockaddrInet6:
		at := netip.AddrPortFrom(netip.AddrFrom16(a.Addr), uint16(a.Port))
		return countIn("/proc/self/net/tcp6", func(line []byte) bool { return tcpConnection(line, at) })
	}
	return 0, fmt.Errorf("address of another kind: %w", unix.EAFNOSUPPORT)
}

func countIn(path string, is func(line []byte) bool) (n int, err error) {
	f, err := os.Open(path)
	if err != nil {
		return 0, err
	}
	defer f.Close()
	r := bufio.NewReaderSize(f, 32<<10)
	for {
		line, err := r.ReadSlice('\n')
		if is(line) {
			n++
		}
		if err != nil && !errors.Is(err, bufio.ErrBufferFull) {
			if errors.Is(err, io.EOF) {
				err = nil
			}
			return n, err
		}
	}
}

// The states of connections that are still to be served: as the kernel writes them.
var (
	tcpEstablished  = []byte("01")
	tcpCloseWait    = []byte("08") // the other side has said all, and may wait for the answer
	unixConnected   = []byte("03")
	unixConnecting  = []byte("02")
	unixListenFlags = []byte("00010000")
)

// tcpConnection says whether a line of /proc/net/tcp or tcp6 is of a connection to an
// address, the unspecified one being all.
func tcpConnection(line []byte, at netip.AddrPort) bool {
	fields := bytes.Fields(line)
	if len(fields) < 4 || !bytes.Equal(fields[3], tcpEstablished) && !bytes.Equal(fields[3], tcpCloseWait) {
		return false
	}
	host, port, found := bytes.Cut(fields[1], []byte(":"))
	if !found || !bytes.EqualFold(port, fmt.Appendf(nil, "%04X", at.Port())) {
		return false
	}
	if at.Addr().IsUnspecified() {
		return true
	}
	words := make([]byte, hex.DecodedLen(len(host)))
	if _, err := hex.Decode(words, host); err != nil || len(words)%4 != 0 {
		return false
	}
	if binary.NativeEndian.Uint16([]byte{1, 0}) == 1 {
		for i := 0; i < len(words); i += 4 { // each word is the machine's
			slices.Reverse(words[i : i+4])
		}
	}
	addr, ok := netip.AddrFromSlice(words)
	return ok && addr == at.Addr()
}

// unixConnection says whether a line of /proc/net/unix is of a connection to a path.
func unixConnection(line []byte, path string) bool {
	line = bytes.TrimSuffix(line, []byte("\n"))
	fields := bytes.Fields(line)
	if len(fields) < 8 || bytes.Equal(fields[3], unixListenFlags) ||
		!bytes.Equal(fields[5], unixConnected) && !bytes.Equal(fields[5], unixConnecting) {
		return false
	}
	return bytes.HasSuffix(line, append([]byte(" "), path...)) // it may have blanks
}
