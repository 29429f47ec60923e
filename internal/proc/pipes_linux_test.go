package proc

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"
)

func TestPipesOfNobodyAreRemoved(t *testing.T) {
	dir := t.TempDir()
	for _, name := range []string{"3.1", "3.2", "4.0", "40.1", "x.1", "5"} {
		if err := unix.Mkfifo(filepath.Join(dir, name), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(filepath.Join(dir, "3.3"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	SweepPipes(dir, func(id uint64) bool { return id == 4 })
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var left []string
	for _, e := range entries {
		left = append(left, e.Name())
	}
	if diff := cmp.Diff([]string{"3.3", "4.0", "5", "x.1"}, left); diff != "" {
		t.Error(diff)
	}
}

// Who opens a pipe to read that all writers have left hears of the end.
func TestTheEndOfAPipeIsHeardByWhoComesLate(t *testing.T) {
	dir := t.TempDir()
	if err := unix.Mkfifo(fifoPath(dir, 7, Stdout), 0o600); err != nil {
		t.Fatal(err)
	}
	keep := openFIFOs(dir, 7)
	if len(keep) != 1 {
		t.Fatalf("%v", keep)
	}
	defer unix.Close(keep[0].FD)
	fds := []unix.PollFd{{Fd: int32(keep[0].FD), Events: unix.POLLIN}}
	if _, err := unix.Poll(fds, 0); err != nil || fds[0].Revents != unix.POLLHUP {
		t.Errorf("%#x, %v", fds[0].Revents, err)
	}
}
