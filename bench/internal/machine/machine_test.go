//go:build linux

package machine

import (
	"os"
	"testing"
)

func TestStatFieldsCountFromTheLastParenthesis(t *testing.T) {
	stat := "42 (a) S 9 (b) R 7 1 1 0 -1 0 0 0 0 0 0 0 0 0 20 0 1 0 123456 0 0\n"
	got, ok := parseStat([]byte(stat))
	if want := (Relative{PID: 42, parent: 7, state: 'R', born: "123456"}); !ok || got != want {
		t.Errorf("parseStat = %+v, %v, want %+v", got, ok, want)
	}
}

func TestStatThatIsCutShortIsRefused(t *testing.T) {
	for _, stat := range []string{"", ")", "42 (a", "42 (a) S 9", "x (a) R 7 1 1 0 -1 0 0 0 0 0 0 0 0 0 20 0 1 0 123456"} {
		if got, ok := parseStat([]byte(stat)); ok {
			t.Errorf("parseStat(%q) = %+v, want refused", stat, got)
		}
	}
}

func TestStatOfThisProcess(t *testing.T) {
	got, ok := Find(os.Getpid())
	if !ok || got.PID != os.Getpid() || got.parent != os.Getppid() {
		t.Errorf("Find = %+v, %v, want pid %d of %d", got, ok, os.Getpid(), os.Getppid())
	}
}

func TestBusyLeavesOutIdleDiskAndGuests(t *testing.T) {
	busy, all := parseBusy("cpu  1 2 4 100 200 8 16 32 1000 1000\ncpu0 9 9 9 9\n")
	if busy != 1+2+4+8+16+32 || all != busy+300 {
		t.Errorf("parseBusy = %d of %d, want 63 of 363", busy, all)
	}
}
