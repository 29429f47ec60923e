package proc

import (
	"bytes"
	"math"
)

// commSize is the most bytes the kernel keeps of a process's name. (Its own
// threads may have longer ones.)
const commSize = 16

// stat is what is used of /proc/PID/stat.
type stat struct {
	pid, ppid int
	comm      [commSize]byte // cut off, zeros after it
	state     byte
	ticks     uint64 // of CPU time, user and system
	nice      int
	threads   int
	start     uint64 // in ticks since boot
	vms       uint64 // bytes
	pages     uint64 // of resident memory
}

// The numbers of the fields that are used, as proc(5) counts them.
const (
	statPPID    = 4
	statUtime   = 14
	statStime   = 15
	statNice    = 19
	statThreads = 20
	statStart   = 22
	statVsize   = 23
	statRSS     = 24
)

// parseStat reads the text of /proc/PID/stat. It reports false when that is not
// what it should be. The process's name may hold anything, also spaces and
// parentheses; but nothing after it does.
func parseStat(b []byte, s *stat) bool {
	open, end := bytes.IndexByte(b, '('), bytes.LastIndexByte(b, ')')
	if open < 1 || end < open || !startsWithState(b[end+1:]) {
		return false
	}
	pid, ok := parseInt(bytes.TrimSuffix(b[:open], []byte{' '}))
	if !ok || pid < 1 || pid > math.MaxInt32 {
		return false
	}
	*s = stat{pid: int(pid), state: b[end+2]}
	copy(s.comm[:], b[open+1:end])
	rest := b[end+4:]
	for field := statPPID; field <= statRSS; field++ {
		var word []byte
		word, rest, _ = bytes.Cut(rest, []byte{' '})
		if !s.set(field, word) {
			return false
		}
	}
	return true
}

// startsWithState is for what follows the name: " S 12 …".
func startsWithState(b []byte) bool {
	return len(b) > 3 && b[0] == ' ' && b[2] == ' ' && (b[1] >= 'A' && b[1] <= 'Z' || b[1] >= 'a' && b[1] <= 'z')
}

// set takes one field. It reports false when that can't be right.
func (s *stat) set(field int, word []byte) bool {
	switch field {
	case statPPID, statUtime, statStime, statNice, statThreads, statStart, statVsize, statRSS:
	default:
		return true
	}
	n, ok := parseInt(word)
	if !ok || n < 0 && field != statNice {
		return false
	}
	switch field {
	case statPPID:
		s.ppid = int(n)
	case statUtime, statStime:
		s.ticks += uint64(n)
	case statNice:
		s.nice = int(n)
	case statThreads:
		s.threads = int(n)
	case statStart:
		s.start = uint64(n)
	case statVsize:
		s.vms = uint64(n)
	case statRSS:
		s.pages = uint64(n)
	}
	return true
}

// parseInt reads a decimal number. It reports false when there is anything else
// in b, or when the number is too large.
func parseInt(b []byte) (n int64, ok bool) {
	negative := len(b) > 0 && b[0] == '-'
	if negative {
		b = b[1:]
	}
	if len(b) == 0 || len(b) > 18 { // 18 digits always fit
		return 0, false
	}
	for _, c := range b {
		if c < '0' || c > '9' {
			return 0, false
		}
		n = 10*n + int64(c-'0')
	}
	if negative {
		n = -n
	}
	return n, true
}
