package holder

import (
	"log/slog"
	"net"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
	"time"
)

// While no manager is ready the holder answers the service manager's watchdog itself, and
// ends one that does not get ready.
func TestTheWatchdogIsAnsweredWhileNoManagerIsReady(t *testing.T) {
	path := filepath.Join(t.TempDir(), "notify")
	l, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: path, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	c, err := net.DialUnix("unixgram", nil, &net.UnixAddr{Name: path, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	h := &holder{log: slog.New(slog.DiscardHandler), outside: outside{notify: c}}
	told := func() {
		t.Helper()
		buf := make([]byte, 100)
		_ = l.SetReadDeadline(time.Now().Add(10 * time.Second))
		if n, err := l.Read(buf); err != nil || string(buf[:n]) != "WATCHDOG=1" {
			t.Fatalf("told %q, %v", buf[:n], err)
		}
	}
	h.ping()
	told()
	pidfd := -1
	cmd := exec.Command("sleep", "1000")
	cmd.SysProcAttr = &syscall.SysProcAttr{PidFD: &pidfd}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer syscall.Close(pidfd)
	h.manager = &manager{pid: cmd.Process.Pid, pidfd: pidfd, began: time.Now()}
	h.ping()
	told()
	if err := cmd.Process.Signal(syscall.Signal(0)); err != nil {
		t.Errorf("one that has just begun: %v", err)
	}
	h.manager.began = time.Now().Add(-readyTime - time.Second)
	h.ping()
	told()
	if err := cmd.Wait(); err == nil || cmd.ProcessState.Sys().(syscall.WaitStatus).Signal() != syscall.SIGKILL {
		t.Errorf("one that does not get ready: %v", err)
	}
}
