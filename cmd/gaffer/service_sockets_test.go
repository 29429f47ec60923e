//go:build linux

package main

import (
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// listening is a daemon with a service that listens.
type listening struct {
	*matrix
	at, path string
}

func newListening(t *testing.T) *listening {
	t.Helper()
	free, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	at := free.Addr().String()
	_ = free.Close()
	m := &matrix{t: t, dir: shortDir(t), kills: map[string]int{}, pids: map[string]int{}, killed: map[string]int{}}
	l := &listening{m, at, filepath.Join(m.dir, "s")}
	text := fmt.Sprintf(`
[socket.web]
listen = %q
[socket.local]
listen = "unix:s"
mode = "0660"
[process.web]
cmd = "listener"
numprocesses = 2
sockets = ["web", "local"]
backoff = { first = "0s" }
`, at)
	if err := os.WriteFile(filepath.Join(m.dir, "gaffer.toml"), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(m.endAll)
	m.start()
	l.await("web")
	return l
}

// asks is answered by both sockets.
func (l *listening) asks() {
	l.t.Helper()
	for network, address := range map[string]string{"tcp": l.at, "unix": l.path} {
		if line, err := askAt(network, address); err != nil || !strings.Contains(line, " by web.") {
			l.t.Fatalf("%s: %q, %v", address, line, err)
		}
	}
}

// sockets are the kernel's numbers of those that a process of the service has.
func (l *listening) sockets() string {
	l.t.Helper()
	l.await("web")
	l.note()
	var all []string
	for _, fd := range []string{"3", "4"} {
		text, err := os.Readlink(fmt.Sprintf("/proc/%d/fd/%s", l.pids["web.1"], fd))
		if err != nil {
			l.t.Fatal(err)
		}
		all = append(all, text)
	}
	return strings.Join(all, " ")
}

// knocks connects again and again until it is told to stop, and says how often that was
// refused.
func (l *listening) knocks() (stop func() (times, refused int)) {
	over := make(chan struct{})
	var beside sync.WaitGroup
	times, refused := 0, 0
	beside.Go(func() {
		for {
			select {
			case <-over:
				return
			default:
			}
			c, err := net.DialTimeout("tcp", l.at, 20*time.Second)
			times++
			if err != nil {
				refused++
				continue
			}
			_ = c.Close()
			time.Sleep(time.Millisecond)
		}
	})
	return func() (int, int) {
		close(over)
		beside.Wait()
		return times, refused
	}
}

func TestSocketsOfServicesOutliveTheManager(t *testing.T) {
	t.Parallel()
	l := newListening(t)
	before := l.sockets()
	stop := l.knocks()
	for i := range 3 {
		l.awaitReady(i + 1)
		manager := childWith(l.holder(), roleManager)
		_ = syscall.Kill(manager, syscall.SIGKILL)
		for _, pid := range l.pids { // then nobody accepts, and who connects waits
			_ = syscall.Kill(pid, syscall.SIGKILL)
			for runs(pid) { // until then it may have been about to accept
				time.Sleep(100 * time.Microsecond)
			}
		}
		l.asks()
		if now := l.sockets(); now != before {
			t.Errorf("sockets %s, were %s", now, before)
		}
	}
	l.awaitReady(4)
	if out, err := l.gaffer("daemon", "upgrade"); err != nil {
		t.Errorf("%v: %s", err, out)
	}
	if out, err := l.gaffer("restart", "web"); err != nil {
		t.Errorf("%v: %s", err, out)
	}
	if now := l.sockets(); now != before {
		t.Errorf("after an upgrade: sockets %s, were %s", now, before)
	}
	if times, refused := stop(); refused > 0 || times == 0 {
		t.Errorf("%d of %d connections were refused", refused, times)
	}
	if out, err := l.gaffer("stop", "web"); err != nil {
		t.Errorf("%v: %s", err, out)
	}
	l.closed()
	if out, err := l.gaffer("start", "web"); err != nil {
		t.Errorf("%v: %s", err, out)
	}
	l.asks()
	if out, err := l.gaffer("daemon", "stop"); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	l.closed()
}

// runs says that a process has not ended.
func runs(pid int) bool {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	return err == nil && !strings.Contains(string(text), ") Z ")
}

// closed waits until the sockets are.
func (l *listening) closed() {
	l.t.Helper()
	for end := time.Now().Add(20 * time.Second); ; time.Sleep(time.Millisecond) { // nobody tells
		_, err := os.Lstat(l.path)
		c, refused := net.Dial("tcp", l.at)
		if refused == nil {
			_ = c.Close()
		}
		if os.IsNotExist(err) && refused != nil {
			return
		}
		if time.Now().After(end) {
			l.t.Fatalf("file: %v, connection: %v", err, refused)
		}
	}
}

// When holder and manager are killed, the services that live on have the sockets, and the
// next daemon takes them from there.
func TestSocketsOfServicesAreFoundAgain(t *testing.T) {
	t.Parallel()
	if scope, err := os.ReadFile("/proc/sys/kernel/yama/ptrace_scope"); err == nil && strings.TrimSpace(string(scope)) != "0" && os.Getuid() != 0 {
		t.Skip("only root may look at what services have where ptrace_scope is not 0")
	}
	l := newListening(t)
	before := l.sockets()
	stop := l.knocks()
	holder := l.holder()
	_ = syscall.Kill(childWith(holder, roleManager), syscall.SIGKILL)
	_ = syscall.Kill(holder, syscall.SIGKILL)
	l.start()
	if now := l.sockets(); now != before {
		t.Errorf("sockets %s, were %s", now, before)
	}
	if out, err := l.gaffer("restart", "web"); err != nil {
		t.Errorf("%v: %s", err, out)
	}
	if now := l.sockets(); now != before {
		t.Errorf("after a restart: sockets %s, were %s", now, before)
	}
	l.asks()
	if times, refused := stop(); refused > 0 || times == 0 {
		t.Errorf("%d of %d connections were refused", refused, times)
	}
	// The holder alone: its manager goes on until the next one comes.
	_ = syscall.Kill(l.holder(), syscall.SIGKILL)
	l.start()
	if now := l.sockets(); now != before {
		t.Errorf("sockets %s, were %s", now, before)
	}
	l.asks()
	// A template that is gone from the file takes its sockets with it.
	if err := os.WriteFile(filepath.Join(l.dir, "gaffer.toml"), []byte("[process.other]\ncmd = \"sleep 1000\"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if out, err := l.gaffer("reload"); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	l.closed()
	if out, err := l.gaffer("daemon", "stop"); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
}

// systemd keeps them where nothing of the daemon and its services is left.
func TestServiceManagerKeepsSocketsOfServices(t *testing.T) {
	k := newKeeper(t, filepath.Join(shortDir(t), "n"))
	t.Setenv("NOTIFY_SOCKET", k.conn.LocalAddr().String())
	t.Setenv("FDSTORE", "100")
	l := newListening(t)
	name := servedName("tcp4://" + l.at)
	for end := time.Now().Add(20 * time.Second); k.has(name) == nil; time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("it is not kept")
		}
	}
	if out, err := l.gaffer("stop", "web"); err != nil {
		t.Errorf("%v: %s", err, out)
	}
	for end := time.Now().Add(20 * time.Second); k.has(name) != nil; time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("it is kept although it is closed")
		}
	}
	if out, err := l.gaffer("daemon", "stop"); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
}

func (k *keeper) has(name string) *os.File {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.kept[name]
}
