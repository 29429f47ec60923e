package proc

import (
	"os/exec"
	"runtime"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// noParent starts and holds nothing.
type noParent struct{}

func (noParent) PID() int                            { return 1 }
func (noParent) Start(*Order, func(int, int, error)) {}
func (noParent) Hold(uint64, int, int, []Kept)       {}
func (noParent) Reap(uint64)                         {}
func (noParent) Forget(uint64)                       {}

// The end of a process, or of the parent, comes while the process is being adopted: it is
// told of, once, after the start.
func TestAnEndWhileAProcessIsAdopted(t *testing.T) {
	dir := t.TempDir()
	l, _, err := OpenLedger(dir, "boot")
	if err != nil {
		t.Fatal(err)
	}
	h, err := NewHeldHost(Options{}, noParent{}, dir, l)
	if err != nil {
		t.Fatal(err)
	}
	defer h.Close()
	for id := range uint64(200) {
		pidfd := -1
		cmd := exec.Command("true")
		cmd.SysProcAttr = &unix.SysProcAttr{PidFD: &pidfd}
		if err := cmd.Run(); err != nil {
			t.Fatal(err)
		}
		r := newRecorder()
		var both sync.WaitGroup
		h.direct.poller.mu.Lock() // so that neither gets far before the other has begun
		both.Go(func() { h.Adopt(&Held{ID: id, PID: cmd.Process.Pid, PIDFD: pidfd, Token: "NOBODYS=1"}, nil, r) })
		both.Go(func() { h.Ended(id, Exit{Status: 7, Time: time.Now()}) })
		if id == 150 {
			both.Go(h.ParentGone)
		}
		for range 1000 {
			runtime.Gosched()
		}
		h.direct.poller.mu.Unlock()
		both.Wait()
		r.await(t)
		if len(r.calls) != 2 || r.calls[0] != "started" || r.calls[1] != "exited" {
			t.Fatalf("%d: %v", id, r.calls)
		}
	}
}
