package gaffer

import (
	"fmt"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/gafferpm/gaffer/internal/proc"
)

// Socket is a listening socket that the manager opens for the processes of a template:
// they get it as descriptors from 3 on, with LISTEN_FDS, LISTEN_FDNAMES and LISTEN_PID
// as of systemd. Templates that listen at the same address share one socket. It is open
// for as long as one of them is wanted or runs, so it is kept over all restarts; who
// connects meanwhile waits.
type Socket struct {
	// Name is what processes know it by, in LISTEN_FDNAMES. Required.
	Name string `json:"name" toml:"name"`
	// Listen is "127.0.0.1:8080", "[::1]:8080", ":8080" for all addresses of IPv4 and
	// IPv6, the same after tcp:// or udp://, or unix:///path, unixgram:///path or
	// unixpacket:///path; unix:@name is an abstract one (Linux). Required, unless there is
	// a File.
	Listen string `json:"listen" toml:"listen"`
	// Mode is who may connect to a unix socket. Default 0600.
	Mode Mode `json:"mode,omitzero" toml:"mode,omitempty"`
	// UID and GID own the file of a unix socket. Default: the manager's.
	UID Account `json:"uid,omitempty" toml:"uid,omitempty"`
	GID Account `json:"gid,omitempty" toml:"gid,omitempty"`
	// Backlog is how many connections may wait to be accepted. Default: as many as the
	// system allows.
	Backlog int `json:"backlog,omitempty" toml:"backlog,omitempty"`
	// File is a socket that is open already. It exists in Go only, and stays the caller's
	// to close, once no template has it.
	File *os.File `json:"-" toml:"-"`
}

// Bounds of sockets.
const (
	MaxSockets = 64 // of a template

	mostBacklog = 1 << 16
)

// Validate tells everything that is wrong with the socket as it is written, each as a
// *FieldError, joined.
func (s *Socket) Validate() error {
	var f faults
	s.validate(&f, "")
	return f.err()
}

func (s *Socket) validate(f *faults, prefix string) {
	if !isWord(s.Name) {
		f.add(prefix+"name", "%q: want a letter, then up to 62 letters, digits, '_' or '-'", s.Name)
	}
	if s.File != nil {
		if s.Listen != "" || s.Mode != 0 || s.UID != "" || s.GID != "" || s.Backlog != 0 {
			f.add(prefix+"listen", "it is open already: leave out listen, mode, uid, gid and backlog")
		}
		return
	}
	network, address, err := parseListen(s.Listen)
	if err != nil {
		f.wrap(prefix+"listen", err)
		return
	}
	l := proc.Listen{Network: network, Address: address}
	if l.Path() == "" && (s.Mode != 0 || s.UID != "" || s.GID != "") {
		f.add(prefix+"listen", "%s: has no file: leave out mode, uid and gid", s.Listen)
	}
	if s.Backlog < 0 || s.Backlog > mostBacklog {
		f.add(prefix+"backlog", "%d: want 1 to %d", s.Backlog, mostBacklog)
	}
	if s.Backlog != 0 && (strings.HasPrefix(network, "udp") || network == "unixgram") {
		f.add(prefix+"backlog", "%s: knows no connections that could wait", s.Listen)
	}
}

func (t *Template) validateSockets(f *faults) {
	if len(t.Sockets) == 0 {
		return
	}
	if len(t.Sockets) > MaxSockets {
		f.add("sockets", "%d sockets; want at most %d", len(t.Sockets), MaxSockets)
	}
	if t.Detach {
		f.add("detach", "a detached program is not watched: leave out sockets")
	}
	names, places := map[string]bool{}, map[string]bool{}
	for i := range t.Sockets {
		s := &t.Sockets[i]
		s.validate(f, "sockets."+strconv.Itoa(i)+".")
		if names[s.Name] {
			f.add("sockets", "name %q is used twice", s.Name)
		}
		if at := s.address(); at != "" && places[at] {
			f.add("sockets", "%s is there twice", s.Listen)
		}
		names[s.Name], places[s.address()] = true, true
	}
	for _, name := range []string{"LISTEN_FDS", "LISTEN_FDNAMES", "LISTEN_PID"} {
		if _, there := t.Env[name]; there {
			f.add("env."+name, "is set by sockets")
		}
	}
}

// address is where the socket listens, written in one way; "" where that is not known.
func (s *Socket) address() string {
	network, address, err := parseListen(s.Listen)
	if err != nil {
		return ""
	}
	return network + "://" + address
}

// listen is the socket with everything resolved.
func (s *Socket) listen() (*proc.Listen, error) {
	network, address, err := parseListen(s.Listen)
	if err != nil {
		return nil, err
	}
	l := &proc.Listen{Network: network, Address: address, Mode: os.FileMode(s.Mode), UID: -1, GID: -1, Backlog: s.Backlog}
	if s.UID == "" && s.GID == "" {
		return l, nil
	}
	cred, _, err := proc.LookupCred(string(s.UID), string(s.GID))
	if err != nil {
		return nil, err
	}
	if s.UID != "" {
		l.UID = int(cred.UID)
	}
	l.GID = int(cred.GID)
	return l, nil
}

// The networks that a socket can be of.
var (
	ipNetworks   = []string{"tcp", "udp"}
	unixNetworks = []string{"unix", "unixgram", "unixpacket"}
)

// parseListen reads the address of a socket: of what network it is, and the address
// as the network has it.
func parseListen(s string) (network, address string, err error) {
	if s == "" {
		return "", "", invalidf("is required; want an address such as \"127.0.0.1:8080\" or \"unix:///run/web.sock\"")
	}
	if strings.ContainsRune(s, 0) {
		return "", "", invalidf("has a NUL byte")
	}
	network, rest, found := strings.Cut(s, "://")
	if !found {
		if network, rest, found = strings.Cut(s, ":"); !found || !slices.Contains(unixNetworks, network) {
			network, rest = "tcp", s
			if strings.HasPrefix(s, "/") {
				return "", "", invalidf("%q: want unix://%s", s, s)
			}
		}
	}
	switch {
	case slices.Contains(unixNetworks, network):
		address, err = parseUnix(network, rest)
		return network, address, err
	case slices.Contains(ipNetworks, network):
		return parseIP(network, rest)
	}
	return "", "", invalidf("%q: unknown network %s; want tcp, udp, unix, unixgram or unixpacket", s, network)
}

func parseUnix(network, path string) (string, error) {
	switch {
	case strings.HasPrefix(path, "@"):
		if len(path) == 1 {
			return "", invalidf("%s:%s: the name is empty", network, path)
		}
	case !filepath.IsAbs(path):
		return "", invalidf("%s:%s: want an absolute path", network, path)
	case strings.HasSuffix(path, "/"), filepath.Clean(path) == "/":
		return "", invalidf("%s:%s: that is a directory", network, path)
	default:
		path = filepath.Clean(path)
	}
	if len(path) > proc.MaxPath {
		return "", invalidf("%s:%s: has %d bytes, and systems take no more than %d", network, path, len(path), proc.MaxPath)
	}
	return path, nil
}

// parseIP reads an address and a port. Names are refused: what they stand for may be
// another address each time, or none while the machine starts.
func parseIP(network, s string) (string, string, error) {
	host, text, err := net.SplitHostPort(s)
	if err != nil {
		return "", "", invalidf("%q: want an address and a port, such as \"127.0.0.1:8080\"", s)
	}
	port, err := strconv.ParseUint(text, 10, 16)
	if err != nil || port == 0 {
		return "", "", invalidf("%q: port %q: want 1 to 65535", s, text)
	}
	text = strconv.FormatUint(port, 10)
	switch host {
	case "":
		return network, ":" + text, nil
	case "localhost":
		host = "127.0.0.1"
	}
	ip, err := netip.ParseAddr(host)
	if err != nil {
		return "", "", invalidf("%q: %q: want the number of an address, not a name; without one it is all addresses", s, host)
	}
	ip = ip.Unmap()
	family := "6"
	if ip.Is4() {
		family = "4"
	}
	return network + family, net.JoinHostPort(ip.String(), text), nil
}

// sameSockets says whether a process that was passed one list has what it would be
// passed with another one.
func sameSockets(a, b []Socket) bool {
	return slices.EqualFunc(a, b, func(a, b Socket) bool {
		return a.Name == b.Name && a.File == b.File && a.address() == b.address()
	})
}

// Mode is the permissions of a file, written in octal: "0660".
type Mode uint32

// UnmarshalText reads octal digits.
func (m *Mode) UnmarshalText(b []byte) error {
	n, err := strconv.ParseUint(strings.TrimPrefix(string(b), "0o"), 8, 32)
	if err != nil || n > 0o777 {
		return fmt.Errorf("mode %q: want octal digits such as \"0660\"", b)
	}
	*m = Mode(n)
	return nil
}

// MarshalText writes four octal digits.
func (m Mode) MarshalText() ([]byte, error) { return []byte(m.String()), nil }

func (m Mode) String() string { return fmt.Sprintf("%#04o", uint32(m)) }
