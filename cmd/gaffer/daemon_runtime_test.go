package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/gafferpm/gaffer"
)

func TestALockThatSomebodyLooksAtIsWaitedFor(t *testing.T) {
	path := filepath.Join(t.TempDir(), "gaffer.sock")
	looker, err := os.OpenFile(path+".lock", os.O_RDONLY|os.O_CREATE, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	if err := syscall.Flock(int(looker.Fd()), syscall.LOCK_SH); err != nil {
		t.Fatal(err)
	}
	gone := make(chan error) // it is, while the lock is asked for
	go func() {
		time.Sleep(lockPatience / 10)
		gone <- looker.Close()
	}()
	lock, err := lockSocket(path, os.Getpid(), nil)
	if err := <-gone; err != nil {
		t.Fatal(err)
	}
	if err != nil {
		t.Fatal(err)
	}
	defer lock.Close()
	_, err = lockSocket(path, os.Getpid(), nil) // it is not given up
	if who := fmt.Sprintf("pid %d", os.Getpid()); !errors.Is(err, gaffer.ErrConflict) || !strings.Contains(err.Error(), who) {
		t.Errorf("error %v, want a conflict with %s", err, who)
	}
}
