package proc

import "time"

// Usage is what one process uses, at one moment.
type Usage struct {
	PID, PPID int
	// Start is when the process started, in clock ticks since the system did. A
	// pid is used again some day; a pid together with its start is not.
	Start uint64
	Age   time.Duration // for how long the process has been there
	State byte          // as ps shows it: 'R', 'S', 'D', 'T', 'Z', …

	CPUTime  time.Duration // user and system, in steps of 10ms
	RSS, VMS uint64        // bytes
	Threads  int
	Nice     int

	FDs     int   // open descriptors; -1: not asked for, or not permitted
	Read    int64 // bytes read from storage; -1: likewise
	Written int64 // bytes written to storage; -1: likewise

	UID     int    // the effective user's number; 0 for a process that keeps others from looking
	User    string // its name, or the number of one that has none; "": not asked for
	Command string // the base name of argv[0]; where there is none, the kernel's name for the process; "": not asked for

	Children []Usage // what it started, by pid
}

// Want says what to read beside the basic fields.
type Want uint8

// What costs more.
const (
	WantFDs   Want = 1 << iota // Usage.FDs
	WantIO                     // Usage.Read and Written
	WantNames                  // Usage.User and Command
)
