package state

import (
	"os"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"
)

func TestAnFsyncThatFailsIsTriedAgainAndRemembered(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var syncs atomic.Int32
		j := beginJournal(t, Options{syncJournal: func(f *os.File) error {
			if syncs.Add(1) <= 2 {
				return syscall.EIO
			}
			return f.Sync()
		}})
		j.write(1, 5)
		time.Sleep(10 * syncEvery)
		synctest.Wait()
		if n := syncs.Load(); n != 3 {
			t.Errorf("%d fsyncs, want two that fail and one that does not", n)
		}
		// What the first ones were to write may be lost: it is no proper end.
		j.end()
		if n := strings.Count(j.log.String(), "not on the disk"); n != 1 {
			t.Errorf("told %d times:\n%s", n, j.log)
		}
		j.opts.boot = "second"
		j.open()
		if seq, _ := j.Last(); seq < seqStep {
			t.Errorf("goes on after %d, as if nothing could be missing", seq)
		}
	})
}
