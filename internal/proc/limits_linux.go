package proc

import (
	"bufio"
	"os"
	"strconv"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// usualOpenFiles is the soft limit of open files that Linux gives to the first
// process, and that most programs expect.
const usualOpenFiles = 1024

// originalLimit is the limit of open files that this program was started with,
// or nil where it is still in force. The Go runtime raises the soft limit to one
// below the hard one at start and remembers the old value for its own forks only:
// what is found raised like that is taken to have been the usual one.
func originalLimit() *unix.Rlimit {
	var limit unix.Rlimit
	if unix.Getrlimit(unix.RLIMIT_NOFILE, &limit) != nil {
		return nil
	}
	if limit.Cur != limit.Max-1 || limit.Cur <= usualOpenFiles {
		return nil
	}
	limit.Cur = usualOpenFiles
	return &limit
}

// ignoredSignals are the signals that this program ignores, as nohup makes it:
// what it starts would go on ignoring them.
func ignoredSignals() []syscall.Signal {
	f, err := os.Open("/proc/self/status")
	if err != nil {
		return nil
	}
	defer f.Close()
	lines := bufio.NewScanner(f)
	for lines.Scan() {
		if set, ok := strings.CutPrefix(lines.Text(), "SigIgn:"); ok {
			return signalSet(strings.TrimSpace(set))
		}
	}
	return nil
}

// signalSet reads a set of signals as /proc prints it: hexadecimal, the lowest
// bit is signal 1.
func signalSet(text string) []syscall.Signal {
	bits, err := strconv.ParseUint(text, 16, 64)
	if err != nil {
		return nil
	}
	var set []syscall.Signal
	for n := range 64 {
		if bits&(1<<n) != 0 {
			set = append(set, syscall.Signal(n+1))
		}
	}
	return set
}
