//go:build linux

package main

import (
	"bytes"
	"context"
	"fmt"
	"maps"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/gafferpm/gaffer"
	"github.com/gafferpm/gaffer/client"
	"github.com/gafferpm/gaffer/internal/proc"
)

// reaper is a program that runs another one and buries, at once, all that is left of it.
func reaper() {
	if err := unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0); err != nil {
		panic(err)
	}
	cmd := exec.Command(os.Args[1], os.Args[2:]...)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	if err := cmd.Start(); err != nil {
		panic(err)
	}
	for {
		if _, err := syscall.Wait4(-1, nil, 0, nil); err == syscall.ECHILD {
			os.Exit(0)
		}
	}
}

// keeper is what systemd's store is to a daemon.
type keeper struct {
	conn  *net.UnixConn
	ready chan struct{}

	mu    sync.Mutex
	kept  map[string]*os.File
	again int // that there was one of the name already
}

func newKeeper(t *testing.T, path string) *keeper {
	t.Helper()
	conn, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: path, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	k := &keeper{conn: conn, ready: make(chan struct{}, 10), kept: map[string]*os.File{}}
	done := make(chan struct{})
	go func() {
		defer close(done)
		k.listen(t)
	}()
	t.Cleanup(func() {
		_ = conn.Close()
		<-done
		for _, f := range k.kept {
			_ = f.Close()
		}
	})
	return k
}

func (k *keeper) listen(t *testing.T) {
	text, oob := make([]byte, 4096), make([]byte, 256)
	for {
		n, oobn, _, _, err := k.conn.ReadMsgUnix(text, oob)
		if err != nil {
			return
		}
		var fds []int
		if messages, err := unix.ParseSocketControlMessage(oob[:oobn]); err == nil && len(messages) > 0 {
			fds, _ = unix.ParseUnixRights(&messages[0])
		}
		vars := map[string]string{}
		for line := range strings.SplitSeq(string(text[:n]), "\n") {
			name, value, _ := strings.Cut(line, "=")
			vars[name] = value
		}
		k.mu.Lock()
		name := vars["FDNAME"]
		switch {
		case vars["FDSTORE"] == "1" && len(fds) == 1 && vars["FDPOLL"] == "0":
			if k.kept[name] != nil {
				k.again++
				_ = k.kept[name].Close()
			}
			k.kept[name] = os.NewFile(uintptr(fds[0]), name)
		case vars["FDSTORE"] != "" || len(fds) > 0:
			t.Errorf("%q with %d descriptors", text[:n], len(fds))
		case vars["FDSTOREREMOVE"] == "1":
			if f := k.kept[name]; f != nil {
				_ = f.Close()
				delete(k.kept, name)
			}
		case vars["READY"] == "1":
			k.ready <- struct{}{}
		}
		k.mu.Unlock()
	}
}

// await waits until what is kept has these streams, of whatever process.
func (k *keeper) await(t *testing.T, want ...string) {
	t.Helper()
	var got []string
	for end := time.Now().Add(20 * time.Second); time.Now().Before(end); time.Sleep(time.Millisecond) { // messages may come in any number
		k.mu.Lock()
		got = nil
		for name := range k.kept {
			got = append(got, name[strings.LastIndex(name, ".")+1:])
		}
		k.mu.Unlock()
		if slices.Sort(got); slices.Equal(got, want) {
			return
		}
	}
	log, _ := os.ReadFile(filepath.Join(filepath.Dir(k.conn.LocalAddr().String()), "log"))
	t.Fatalf("%v are kept, want %v\n%s", got, want, log)
}

// start starts the daemon as systemd does, and waits until it says that it is ready.
func (k *keeper) start(t *testing.T, dir string) (holder int, ended <-chan struct{}) {
	t.Helper()
	k.mu.Lock()
	names := slices.Sorted(maps.Keys(k.kept))
	var files []*os.File
	for _, name := range names {
		files = append(files, k.kept[name])
	}
	listen := fmt.Sprintf("LISTEN_FDS=%d LISTEN_FDNAMES=%s LISTEN_PID=$$", len(files), strings.Join(names, ":"))
	cmd := exec.Command("reaper", "sh", "-c", "echo $$ > pid; "+listen+
		" exec gaffer daemon --config gaffer.toml --state-dir state --runtime-dir "+dir)
	log, err := os.OpenFile(filepath.Join(dir, "log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	defer log.Close()
	cmd.Dir, cmd.ExtraFiles, cmd.Stdout, cmd.Stderr = dir, files, log, log
	cmd.Env = append(os.Environ(), "WORK="+dir, "FDSTORE=4096", "NOTIFY_SOCKET="+filepath.Join(dir, "notify"))
	err = cmd.Start()
	k.mu.Unlock()
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = cmd.Wait() // how is not the reaper's business
	}()
	select {
	case <-k.ready:
	case <-time.After(30 * time.Second):
		text, _ := os.ReadFile(log.Name())
		t.Fatalf("it is not ready\n%s", text)
	}
	text, err := os.ReadFile(filepath.Join(dir, "pid"))
	if err != nil {
		t.Fatal(err)
	}
	holder, err = strconv.Atoi(strings.TrimSpace(string(text)))
	if err != nil {
		t.Fatal(err)
	}
	return holder, done
}

// Holder and manager are killed, and a service ends then: what it wrote last, and how it
// ended, is known from what systemd has kept.
func TestWhatTheServiceManagerKeepsIsNotLost(t *testing.T) {
	m := newMatrix(t) // ends what is left, and has the directory
	for name, text := range map[string]string{
		"gaffer.toml": "[process.job]\ncmd = 'sh job.sh'\n",
		"job.sh":      "read -r word < go\necho \"last $word\"\nprintf torn\nexit 7\n",
	} {
		if err := os.WriteFile(filepath.Join(m.dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := syscall.Mkfifo(filepath.Join(m.dir, "go"), 0o600); err != nil {
		t.Fatal(err)
	}
	k := newKeeper(t, filepath.Join(m.dir, "notify"))
	holder, ended := k.start(t, m.dir)
	c, err := client.New("unix://"+filepath.Join(m.dir, socketName), client.Options{})
	if err != nil {
		t.Fatal(err)
	}
	m.client = c
	k.await(t, "1", "2", "pidfd")
	infos, err := c.List(t.Context(), gaffer.All)
	if err != nil {
		t.Fatal(err)
	}
	pid := infos[0].Status.Processes[0].PID
	manager := childWith(holder, roleManager)
	for _, victim := range []int{manager, holder} {
		if err := syscall.Kill(victim, syscall.SIGKILL); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(filepath.Join(m.dir, "go"), []byte("words\n"), 0); err != nil {
		t.Fatal(err)
	}
	select {
	case <-ended: // the reaper has buried all
	case <-time.After(30 * time.Second):
		t.Fatal("the service does not end")
	}
	if err := syscall.Kill(pid, 0); err != syscall.ESRCH {
		t.Fatalf("%d: %v", pid, err)
	}
	_, ended = k.start(t, m.dir)
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	events, err := c.Subscribe(ctx, "job", gaffer.EventOptions{Kinds: []gaffer.Kind{gaffer.KindExit, gaffer.KindGap}, Tail: -1})
	if err != nil {
		t.Fatal(err)
	}
	defer events.Close()
	e, err := events.Next(ctx)
	if err != nil {
		t.Fatal(err)
	}
	if exitsAreKept() && (e.Kind != gaffer.KindExit || e.Exit.Status != 7) {
		t.Errorf("got %+v %+v", e, e.Exit)
	}
	k.await(t, "1", "2", "pidfd") // of the next one: nothing of it is kept any more
	text, err := os.ReadFile(filepath.Join(m.dir, "state", "logs", "job.1", "stdout.log"))
	if err != nil || !bytes.Equal(text, []byte("last words\ntorn\n")) {
		t.Errorf("%q, %v", text, err)
	}
	if k.again > 0 {
		t.Errorf("%d were kept twice", k.again)
	}
	if out, err := m.gaffer("daemon", "stop"); err != nil {
		t.Errorf("%v: %s", err, out)
	}
	<-ended
}

// exitsAreKept says whether the kernel tells of what was buried how it ended (6.15).
func exitsAreKept() bool {
	cmd := exec.Command("sh", "-c", "exit 3")
	var fd int
	cmd.SysProcAttr = &syscall.SysProcAttr{PidFD: &fd}
	if cmd.Run() == nil {
		return false
	}
	defer syscall.Close(fd)
	exit, _ := proc.PeekPidfd(fd)
	return exit.Status == 3
}
