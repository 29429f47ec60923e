package state

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"syscall"
	"testing"

	"github.com/gafferpm/gaffer"
)

func TestAFullDiskKeepsWhatWasAndGoesOnLater(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("only root can mount a small file system; TestAFileThatMustNotGrow does it with a limit")
	}
	dir := t.TempDir()
	if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, "size=1m,mode=0700"); err != nil {
		t.Skipf("no tmpfs can be mounted here: %v", err)
	}
	defer func() {
		if err := syscall.Unmount(dir, syscall.MNT_DETACH); err != nil {
			t.Errorf("unmount: %v", err)
		}
	}()
	s, err := Open(dir, Options{JournalSegments: 2, JournalSegmentBytes: 64 << 10})
	if err != nil {
		t.Fatal(err)
	}
	ctx := context.Background()
	big := strings.Repeat("x", 10_000)
	acknowledged, n := 0, 1
	for ; n < 1000; n++ {
		if err = s.Keep(ctx, []gaffer.Kept{kept(uint64(n), fmt.Sprintf("t%d", n), big, n, true)}); err != nil {
			break
		}
		acknowledged = n
	}
	if !errors.Is(err, syscall.ENOSPC) || acknowledged == 0 {
		t.Fatalf("after %d: error %v", acknowledged, err)
	}
	// What can't be kept is in nobody's way, and small things may still fit.
	_ = s.Journal().Append(events(1, 3))
	abandon(t, s)
	if s, err = Open(dir, Options{JournalSegments: 2, JournalSegmentBytes: 64 << 10}); err != nil {
		t.Fatalf("opened again on the full disk: %v", err)
	}
	for i := 1; i <= acknowledged; i++ {
		if r := s.records[fmt.Sprintf("t%d", i)]; r == nil || r.Count != i {
			t.Fatalf("t%d of %d is %v", i, acknowledged, r)
		}
	}
	if s.records[fmt.Sprintf("t%d", n)] != nil {
		t.Error("what was refused is there")
	}
	err = s.Keep(ctx, []gaffer.Kept{kept(2000, "later", strings.Repeat(big, 60), 7, true)})
	if !errors.Is(err, syscall.ENOSPC) {
		t.Fatalf("there is no room; error %v", err)
	}
	// Room again: what could not be kept before is kept with the next change.
	if err := syscall.Mount("tmpfs", dir, "tmpfs", syscall.MS_REMOUNT, "size=8m,mode=0700"); err != nil {
		t.Fatal(err)
	}
	if err := s.Keep(ctx, []gaffer.Kept{kept(2001, "last", "x", 1, true)}); err != nil {
		t.Fatal(err)
	}
	seq, _ := s.Journal().Last()
	if err := s.Journal().Append(events(seq+1, seq+1)); err != nil {
		t.Error(err)
	}
	if err := s.readRecords(); err != nil {
		t.Fatal(err)
	}
	if len(s.records) != acknowledged+2 || s.records["later"].Count != 7 || s.records["last"] == nil {
		t.Errorf("%d records, want %d", len(s.records), acknowledged+2)
	}
	if err := s.Close(); err != nil {
		t.Error(err)
	}
}
