package proc

import (
	"net"
	"net/netip"
	"path/filepath"
	"testing"
)

func TestConnectionsAreCounted(t *testing.T) {
	for _, l := range []Listen{
		{Network: "tcp4", Address: "127.0.0.1:0"}, {Network: "tcp", Address: ":0"}, {Network: "tcp6", Address: "[::1]:0"},
		{Network: "unix", Address: filepath.Join(t.TempDir(), "a b")}, {Network: "unixpacket", Address: filepath.Join(t.TempDir(), "p")},
		{Network: "unix", Address: "@" + filepath.Base(t.TempDir()) + "-gaffer"},
	} {
		l.UID, l.GID = -1, -1
		f, err := l.Open()
		if err != nil && l.Network == "tcp6" {
			continue // there is no IPv6
		}
		if err != nil {
			t.Fatal(err)
		}
		listener, err := net.FileListener(f)
		if err != nil {
			t.Fatal(err)
		}
		want := func(n int) {
			t.Helper()
			if got, err := Connections(f); err != nil || got != n {
				t.Errorf("%s %s: %d connections, want %d, %v", l.Network, l.Address, got, n, err)
			}
		}
		want(0)
		network, address := listener.Addr().Network(), listener.Addr().String()
		if l.Network == "tcp" {
			network, address = "tcp4", "127.0.0.1"+address[len("[::]"):]
		}
		c, err := net.Dial(network, address)
		if err != nil {
			t.Fatal(err)
		}
		want(1) // nobody has accepted it
		served, err := listener.Accept()
		if err != nil {
			t.Fatal(err)
		}
		want(1)
		_ = served.Close()
		_ = c.Close()
		want(0)
		_ = listener.Close()
		_ = f.Close()
	}
}

func FuzzConnectionLines(f *testing.F) {
	f.Add([]byte("   0: 0100007F:1F90 0100007F:A0B2 01 00000000:00000000"), "x")
	f.Add([]byte("   0: 00000000000000000000000001000000:1F90 00000000000000000000000001000000:A0B2 08"), "x")
	f.Add([]byte("00000000ab0d1966: 00000003 00000000 00000000 0001 03 5964772 /a b"), "/a b")
	f.Fuzz(func(t *testing.T, line []byte, path string) {
		tcpConnection(line, netip.MustParseAddrPort("127.0.0.1:8080"))
		tcpConnection(line, netip.MustParseAddrPort("[::1]:8080"))
		unixConnection(line, path)
	})
}

func TestReadableTellsOnce(t *testing.T) {
	var r Readable
	l := &Listen{Network: "unix", Address: filepath.Join(t.TempDir(), "s"), UID: -1, GID: -1}
	f, err := l.Open()
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for range 2 { // also after nothing was watched
		first, second := make(chan int, 10), make(chan int, 10)
		stopFirst, err := r.Watch(f, func() { first <- 1 })
		if err != nil {
			t.Fatal(err)
		}
		stopSecond, err := r.Watch(f, func() { second <- 1 })
		if err != nil {
			t.Fatal(err)
		}
		c, err := net.Dial("unix", l.Address)
		if err != nil {
			t.Fatal(err)
		}
		<-first
		<-second
		again, err := net.Dial("unix", l.Address)
		if err != nil {
			t.Fatal(err)
		}
		stopFirst()
		stopSecond()
		stopSecond()
		if len(first)+len(second) > 0 || r.poll != nil {
			t.Errorf("told %d and %d times more; poll %v", len(first), len(second), r.poll)
		}
		_, _ = c.Close(), again.Close()
	}
}
