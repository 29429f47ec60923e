package api

import (
	"bufio"
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// dialAs connects as another user, which only the thread becomes that does it. It
// is not used for anything else afterwards.
func dialAs(t *testing.T, socket string, uid, gid int, groups []int) net.Conn {
	t.Helper()
	type result struct {
		c   net.Conn
		err error
	}
	dialed := make(chan result)
	go func() {
		runtime.LockOSThread()
		// These are of the thread, where those of package syscall are of all threads.
		err := unix.Setgroups(groups)
		err = errors.Join(err, become(unix.SYS_SETRESGID, gid), become(unix.SYS_SETRESUID, uid))
		if err != nil {
			dialed <- result{nil, err}
			return
		}
		c, err := net.Dial("unix", socket)
		dialed <- result{c, err}
	}()
	r := <-dialed
	if r.err != nil {
		t.Fatal(r.err)
	}
	t.Cleanup(func() { r.c.Close() })
	return r.c
}

func become(call uintptr, id int) error {
	if _, _, e := unix.RawSyscall(call, uintptr(id), uintptr(id), uintptr(id)); e != 0 {
		return e
	}
	return nil
}

func TestTheUserOfASocketDecides(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("only root can call as other users")
	}
	dir := shortDir(t)
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	socket := filepath.Join(dir, "s")
	told := &audits{}
	open(t, refusing{}, Options{Audit: told.add}, Endpoint{
		Address: "unix://" + socket, Mode: 0o666,
		Users:  map[string]Role{"12345": Operator, "nobody": Viewer, "no-such-user": Admin},
		Groups: map[string]Role{"4242": Viewer, "4343": Admin, "no-such-group": Admin},
	})
	for _, c := range []struct {
		uid, gid int
		groups   []int
		role     Role
	}{
		{0, 0, nil, Admin},
		{12345, 12345, nil, Operator},
		{65534, 65534, nil, Viewer},
		{20001, 20001, nil, Nobody},
		{20001, 4242, nil, Viewer},
		{20001, 20001, []int{1, 2, 4242}, Viewer},
		{12345, 4242, []int{4343}, Admin},
	} {
		conn := dialAs(t, socket, c.uid, c.gid, c.groups)
		in := bufio.NewReader(conn)
		for path, needs := range map[string]Role{"POST /v1/processes/web/stop": Operator, "GET /v1/ping": Viewer, "DELETE /v1/processes/web": Admin, "GET /healthz": Nobody} {
			if _, err := io.WriteString(conn, path+" HTTP/1.1\r\nHost: gaffer\r\nContent-Length: 0\r\n\r\n"); err != nil {
				t.Fatal(err)
			}
			res, err := http.ReadResponse(in, nil)
			if err != nil {
				t.Fatal(err)
			}
			b, err := io.ReadAll(res.Body)
			if admitted(res.StatusCode) != (c.role >= needs) || err != nil {
				t.Errorf("uid %d gid %d %v: %s: %d %s", c.uid, c.gid, c.groups, path, res.StatusCode, b)
			}
		}
		for _, a := range told.take() {
			if !strings.HasPrefix(a, "uid "+strconv.Itoa(c.uid)) {
				t.Errorf("audit %q of uid %d", a, c.uid)
			}
		}
	}
}
