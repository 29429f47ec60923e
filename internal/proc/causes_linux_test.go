package proc

import (
	"net"
	"os"
	"testing"
)

func TestTheHolderOfAPortIsFound(t *testing.T) {
	for _, address := range []string{"127.0.0.1:0", "[::1]:0"} {
		l, err := net.Listen("tcp", address)
		if err != nil {
			t.Logf("%s: %v", address, err) // a system without IPv6
			continue
		}
		port := l.Addr().(*net.TCPAddr).Port
		holder, found := Listening(port)
		if !found || holder.PID != os.Getpid() || holder.Command == "" {
			t.Errorf("port of %s: %+v, %v; want this process", address, holder, found)
		}
		if err := l.Close(); err != nil {
			t.Fatal(err)
		}
		if holder, found := Listening(port); found {
			t.Errorf("a closed port is held by %+v", holder)
		}
	}
}

func TestKillsForWantOfMemoryAreCounted(t *testing.T) {
	if n, ok := OOMKills(); !ok {
		t.Errorf("oom kills %d: not told", n)
	}
}
