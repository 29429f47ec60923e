package gaffer

import (
	"bufio"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/gafferpm/gaffer/internal/proc"
)

// freePort is a port of the loopback that nobody has now.
func freePort(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

func listensAt(sockets ...Socket) func(*Template) { return func(t *Template) { t.Sockets = sockets } }

// asks connects, and says which socket of which process has answered.
func asks(network, address string) (name string, pid int, err error) {
	c, err := net.DialTimeout(network, address, 10*time.Second)
	if err != nil {
		return "", 0, err
	}
	defer c.Close()
	_ = c.SetDeadline(time.Now().Add(20 * time.Second))
	line, err := bufio.NewReader(c).ReadString('\n')
	if err != nil {
		return "", 0, err
	}
	name, number, _ := strings.Cut(strings.TrimSpace(line), " ")
	pid, err = strconv.Atoi(number)
	return name, pid, err
}

func (r *real) asks(network, address string) (name string, pid int) {
	r.Helper()
	name, pid, err := asks(network, address)
	r.ok(err)
	return name, pid
}

func TestSocketsArePassed(t *testing.T) {
	r := newReal(t, Options{})
	one, two := freePort(t), filepath.Join(t.TempDir(), "s")
	mine, err := net.Listen("tcp4", "127.0.0.1:0")
	r.ok(err)
	defer mine.Close()
	f, err := mine.(*net.TCPListener).File()
	r.ok(err)
	defer f.Close()
	r.ok(r.Add(r.ctx, program("web", "listener", numprocesses(2), listensAt(
		Socket{Name: "one", Listen: one}, Socket{Name: "two", Listen: "unix:" + two, Mode: 0o640}, Socket{Name: "mine", File: f}))))
	for _, c := range [][3]string{{"one", "tcp", one}, {"two", "unix", two}, {"mine", "tcp", mine.Addr().String()}} {
		name, pid := r.asks(c[1], c[2])
		if pids := r.pids("web"); name != c[0] || !slices.Contains(pids, pid) {
			t.Errorf("%s: answered by %s of %d, want %s of one of %d", c[2], name, pid, c[0], pids)
		}
	}
	if info, err := os.Stat(two); err != nil || info.Mode().Perm() != 0o640 {
		t.Errorf("%v, %v", info, err)
	}
	r.ok(r.Stop(r.ctx, "web"))
	if _, err := os.Stat(two); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the socket of a stopped template: %v", err)
	}
	if c, err := net.Dial("tcp", one); err == nil {
		c.Close()
		t.Error("the socket of a stopped template is open")
	}
	r.ok(r.Start(r.ctx, "web"))
	r.asks("unix", two)
}

// settled waits until what the launcher has to do is done.
func (r *real) settled() {
	r.Helper()
	r.ok(r.launcher.do(r.ctx, func() {}))
}

func (r *real) pids(name string) (pids []int) {
	r.Helper()
	list, err := r.Status(r.ctx, Target(name))
	r.ok(err)
	for _, p := range list[0].Processes {
		pids = append(pids, p.PID)
	}
	return pids
}

func TestSocketsStayOpenWhileProcessesAreReplaced(t *testing.T) {
	r := newReal(t, Options{})
	at := freePort(t)
	tmpl := program("web", "listener", listensAt(Socket{Name: "web", Listen: at}))
	r.ok(r.Add(r.ctx, tmpl))
	stop, refused, asked := make(chan struct{}), 0, 0
	var beside sync.WaitGroup
	beside.Go(func() {
		for {
			select {
			case <-stop:
				return
			default:
			}
			c, err := net.DialTimeout("tcp", at, 10*time.Second)
			asked++
			if err != nil {
				refused++
				continue
			}
			c.Close()
		}
	})
	before := r.pids("web")
	r.ok(r.Restart(r.ctx, "web", StopFirst))
	r.ok(r.Signal(r.ctx, "web.1", Signal(syscall.SIGKILL)))
	tmpl.Env["NEW"] = "1"
	r.ok(r.Update(r.ctx, tmpl))
	close(stop)
	beside.Wait()
	if refused > 0 || asked == 0 {
		t.Errorf("%d of %d connections were refused", refused, asked)
	}
	if _, pid := r.asks("tcp", at); slices.Contains(before, pid) {
		t.Error("nothing was replaced")
	}
}

func TestSocketsAreShared(t *testing.T) {
	r := newReal(t, Options{})
	at := freePort(t)
	r.ok(r.Add(r.ctx, program("a", "listener", listensAt(Socket{Name: "a", Listen: at}))))
	r.ok(r.Add(r.ctx, program("b", "listener", listensAt(Socket{Name: "b", Listen: "tcp://" + at}))))
	r.ok(r.Remove(r.ctx, "a"))
	if name, _ := r.asks("tcp", at); name != "b" {
		t.Errorf("answered by %s", name)
	}
	r.ok(r.Remove(r.ctx, "b"))
	if len(r.sockets.open) > 0 {
		t.Errorf("%d sockets are open", len(r.sockets.open))
	}
}

func TestSocketThatCannotBeOpenedIsRefused(t *testing.T) {
	r := newReal(t, Options{})
	taken, err := net.Listen("tcp4", "127.0.0.1:0")
	r.ok(err)
	defer taken.Close()
	free, at := freePort(t), taken.Addr().String()
	bad := program("web", "listener", listensAt(Socket{Name: "free", Listen: free}, Socket{Name: "web", Listen: at}))
	if err := r.Add(r.ctx, bad); !errors.Is(err, ErrConflict) || !strings.Contains(err.Error(), "template web: sockets: web: "+at+": address already in use") {
		t.Errorf("got %v", err)
	}
	r.settled()
	if len(r.sockets.open) > 0 {
		t.Error("what was refused has left a socket")
	}
	good := program("web", "listener", listensAt(Socket{Name: "free", Listen: free}))
	r.ok(r.Add(r.ctx, good))
	before := r.pids("web")
	if err := r.Update(r.ctx, bad); !errors.Is(err, ErrConflict) {
		t.Errorf("got %v", err)
	}
	if _, pid := r.asks("tcp", free); !slices.Contains(before, pid) {
		t.Error("a refused update has replaced the process")
	}
	// What comes from a file waits instead, and gets it once it is free.
	late := program("late", "listener", listensAt(Socket{Name: "late", Listen: at}), backsOff(Backoff{First: new(Duration(50 * time.Millisecond))}))
	r.ok(r.Load(r.ctx, late))
	list, err := r.Status(r.ctx, "late")
	r.ok(err)
	if st := list[0]; st.State != InBackoff || !strings.Contains(st.Reason, "address already in use") {
		t.Errorf("got %+v", st)
	}
	taken.Close()
	if name, _ := r.waitAsks(at); name != "late" {
		t.Errorf("answered by %s", name)
	}
}

// waitAsks asks until somebody listens.
func (r *real) waitAsks(at string) (string, int) {
	r.Helper()
	for {
		name, pid, err := asks("tcp", at)
		if err == nil {
			return name, pid
		}
		if r.ctx.Err() != nil {
			r.Fatal(err)
		}
	}
}

func TestChangedAddressReplacesProcesses(t *testing.T) {
	r := newReal(t, Options{})
	old, now, path := freePort(t), freePort(t), filepath.Join(t.TempDir(), "s")
	r.ok(r.Add(r.ctx, program("web", "listener", listensAt(Socket{Name: "web", Listen: old}, Socket{Name: "u", Listen: "unix:" + path}))))
	r.ok(r.Update(r.ctx, program("web", "listener", listensAt(Socket{Name: "web", Listen: now}, Socket{Name: "u", Listen: "unix:" + path}))))
	r.settled()
	r.asks("tcp", now)
	if c, err := net.Dial("tcp", old); err == nil {
		c.Close()
		t.Error("the socket before is open")
	}
	before := r.pids("web")
	r.ok(r.Update(r.ctx, program("web", "listener", listensAt(Socket{Name: "web", Listen: now, Backlog: 5}, Socket{Name: "u", Listen: "unix:" + path, Mode: 0o666}))))
	r.settled()
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o666 || !slices.Equal(before, r.pids("web")) {
		t.Errorf("mode %v, %v; processes %v, were %v", info.Mode(), err, r.pids("web"), before)
	}
}

func TestAddressMayComeToBePartOfAnother(t *testing.T) {
	r := newReal(t, Options{})
	at := freePort(t)
	_, port, _ := net.SplitHostPort(at)
	web := func(listen string) Template {
		return program("web", "listener", listensAt(Socket{Name: "web", Listen: listen}))
	}
	r.ok(r.Add(r.ctx, web(at)))
	for _, listen := range []string{":" + port, "0.0.0.0:" + port, at} {
		if err := r.Update(r.ctx, web(listen)); err != nil {
			t.Fatalf("%s: %v", listen, err)
		}
		if name, _ := r.asks("tcp4", at); name != "web" {
			t.Errorf("%s: answered by %q", listen, name)
		}
	}
	// Nobody else gets in for that.
	if l, err := net.Listen("tcp4", at); err == nil {
		l.Close()
		t.Error("somebody else listens there, too")
	}
}

func TestStaleUnixSocketsAreRemovedAndOthersNot(t *testing.T) {
	r := newReal(t, Options{})
	dir := t.TempDir()
	stale := filepath.Join(dir, "stale")
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: stale, Net: "unix"})
	r.ok(err)
	l.SetUnlinkOnClose(false)
	l.Close()
	r.ok(r.Add(r.ctx, program("a", "listener", listensAt(Socket{Name: "a", Listen: "unix:" + stale}))))
	r.asks("unix", stale)

	busy := filepath.Join(dir, "busy")
	other, err := net.Listen("unix", busy)
	r.ok(err)
	defer other.Close()
	file := filepath.Join(dir, "file")
	r.ok(os.WriteFile(file, []byte("x"), 0o600))
	for path, want := range map[string]string{busy: "somebody listens there", file: "no socket", filepath.Join(dir, "no", "dir"): "no such file"} {
		err := r.Add(r.ctx, program("b", "listener", listensAt(Socket{Name: "b", Listen: "unix:" + path})))
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", path, err)
		}
	}
	if text, err := os.ReadFile(file); err != nil || string(text) != "x" {
		t.Errorf("%q, %v", text, err)
	}
	// A file that was put into the place of ours is not ours to remove.
	r.ok(os.Remove(stale))
	r.ok(os.WriteFile(stale, nil, 0o600))
	r.ok(r.Remove(r.ctx, "a"))
	r.settled()
	if _, err := os.Stat(stale); err != nil {
		t.Error(err)
	}
}

func TestOwnerOfUnixSockets(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("only root can give a socket to somebody else")
	}
	r := newReal(t, Options{})
	path := filepath.Join(t.TempDir(), "s")
	r.ok(r.Add(r.ctx, program("web", "listener", listensAt(Socket{Name: "web", Listen: "unix:" + path, Mode: 0o660, UID: "daemon", GID: "1"}))))
	info, err := os.Stat(path)
	r.ok(err)
	if st := info.Sys().(*syscall.Stat_t); st.Uid != 1 || st.Gid != 1 || info.Mode().Perm() != 0o660 {
		t.Errorf("%d:%d %v", st.Uid, st.Gid, info.Mode())
	}
	err = r.Add(r.ctx, program("b", "listener", listensAt(Socket{Name: "b", Listen: "unix:" + path + "2", UID: "nobody-there"})))
	if !errors.Is(err, ErrInvalid) || !strings.Contains(err.Error(), "nobody-there") {
		t.Errorf("got %v", err)
	}
}

func TestDatagramSocketsArePassed(t *testing.T) {
	r := newReal(t, Options{})
	at := freePort(t)
	r.ok(r.Add(r.ctx, script("udp", `test "$LISTEN_FDS:$LISTEN_FDNAMES:$LISTEN_PID" = "1:dns:$$" && test -S /proc/self/fd/3 && echo good; exec sleep 100`,
		listensAt(Socket{Name: "dns", Listen: "udp://" + at}))))
	r.reads(r.output("udp", OutputOptions{Tail: -1}), "good")
	if l, err := net.ListenPacket("udp4", at); err == nil {
		l.Close()
		t.Error("nobody listens")
	}
}

// memoryStore keeps sockets as another process would.
type memoryStore struct {
	mu    sync.Mutex
	kept  map[string]*os.File
	calls []string
}

func (s *memoryStore) Kept(address string) *os.File {
	s.mu.Lock()
	defer s.mu.Unlock()
	return dup(s.kept[address])
}

func dup(f *os.File) *os.File {
	if f == nil {
		return nil
	}
	l, err := net.FileListener(f)
	if err != nil {
		panic(err)
	}
	defer l.Close()
	switch l := l.(type) {
	case *net.TCPListener:
		f, err = l.File()
	case *net.UnixListener:
		l.SetUnlinkOnClose(false)
		f, err = l.File()
	}
	if err != nil {
		panic(err)
	}
	return f
}

func (s *memoryStore) Keep(address string, f *os.File) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.kept[address] = dup(f)
	s.calls = append(s.calls, "keep "+address)
	return nil
}

func (s *memoryStore) Drop(address string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if f := s.kept[address]; f != nil {
		f.Close()
	}
	delete(s.kept, address)
	s.calls = append(s.calls, "drop "+address)
}

func (s *memoryStore) Settled() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.calls = append(s.calls, "settled")
}

func TestKeptSocketsGoOn(t *testing.T) {
	store := &memoryStore{kept: map[string]*os.File{}}
	at, path := freePort(t), filepath.Join(t.TempDir(), "s")
	listen := func(address string) *os.File {
		s := Socket{Name: "x", Listen: address}
		l, err := s.listen()
		if err != nil {
			t.Fatal(err)
		}
		f, err := l.Open()
		if err != nil {
			t.Fatal(err)
		}
		return f
	}
	web, file := Socket{Name: "web", Listen: at}, Socket{Name: "file", Listen: "unix:" + path}
	store.kept[web.address()] = listen(at)
	store.kept[file.address()] = listen("unix:" + path)
	waiting, err := net.Dial("tcp", at) // while nobody accepts
	if err != nil {
		t.Fatal(err)
	}
	defer waiting.Close()
	t.Run("manager", func(t *testing.T) {
		r := newReal(t, Options{Sockets: store})
		r.ok(r.Add(r.ctx, program("web", "listener", listensAt(web, file))))
		line, err := bufio.NewReader(waiting).ReadString('\n')
		if err != nil || !strings.HasPrefix(line, "web ") {
			t.Errorf("%q, %v", line, err)
		}
		r.asks("unix", path)
		r.ok(r.Remove(r.ctx, "web"))
		r.settled()
	})
	slices.Sort(store.calls)
	if want := []string{"drop " + web.address(), "drop " + file.address(), "settled"}; !slices.Equal(store.calls, want) {
		t.Errorf("calls %q, want %q", store.calls, want)
	}
}

func TestWhatWasKeptIsLookedAt(t *testing.T) {
	at, other := freePort(t), freePort(t)
	web := Socket{Name: "web", Listen: at}
	l := &proc.Listen{Network: "tcp4", Address: other, UID: -1, GID: -1}
	wrong, err := l.Open()
	if err != nil {
		t.Fatal(err)
	}
	store := &memoryStore{kept: map[string]*os.File{web.address(): wrong}}
	r := newReal(t, Options{Sockets: store})
	r.ok(r.Add(r.ctx, program("web", "listener", listensAt(web))))
	if name, _ := r.asks("tcp", at); name != "web" {
		t.Errorf("answered by %s", name)
	}
}

func TestManySocketsOfManyTemplates(t *testing.T) {
	r := newReal(t, Options{})
	dir := t.TempDir()
	var add sync.WaitGroup
	for i := range 8 {
		add.Go(func() {
			var list []Socket
			for j := range 8 {
				list = append(list, Socket{Name: fmt.Sprint("s", j), Listen: fmt.Sprintf("unix:%s/%d", dir, (i+j)%10)})
			}
			if err := r.Add(r.ctx, program(fmt.Sprint("web", i), "listener", listensAt(list...))); err != nil {
				t.Error(err)
			}
		})
	}
	add.Wait()
	r.ok(r.Remove(r.ctx, "web*"))
	r.settled()
	if left, err := os.ReadDir(dir); err != nil || len(left) > 0 || len(r.sockets.open) > 0 {
		t.Errorf("%v are left, %v", left, err)
	}
}
