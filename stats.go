package gaffer

import "time"

// Stats is what a template uses: the sums over its processes, and the least and
// the most of one of them. What a process has started counts with it.
type Stats struct {
	Name      string         `json:"name"`
	Time      time.Time      `json:"time"`
	CPU       float64        `json:"cpu"` // percent of one core
	MaxCPU    float64        `json:"max_cpu"`
	MinCPU    float64        `json:"min_cpu"`
	RSS       uint64         `json:"rss"` // bytes
	MaxRSS    uint64         `json:"max_rss"`
	MinRSS    uint64         `json:"min_rss"`
	Mem       float64        `json:"mem"` // percent of RAM
	MaxMem    float64        `json:"max_mem"`
	MinMem    float64        `json:"min_mem"`
	Processes []ProcessStats `json:"processes"`

	// LostOutput is how many bytes of output could not be kept in log files since the
	// daemon began, Blocked for how long processes had to wait at most, since then,
	// because their pipes were full.
	LostOutput uint64   `json:"lost_output,omitempty"`
	Blocked    Duration `json:"blocked,omitzero"`
}

// ProcessStats is what one process uses, and what the processes it started use.
type ProcessStats struct {
	ID       uint64         `json:"id,omitempty"`   // 0 for a process that a process started
	Slot     int            `json:"slot,omitempty"` // likewise
	PID      int            `json:"pid"`
	Command  string         `json:"command"`
	User     string         `json:"user"`
	Nice     int            `json:"nice"`
	CPU      float64        `json:"cpu"` // percent of one core, since this watcher's last reading or else since the start
	CPUTime  Duration       `json:"cpu_time"`
	RSS      uint64         `json:"rss"` // bytes
	VMS      uint64         `json:"vms"` // bytes
	Mem      float64        `json:"mem"` // percent of RAM
	Threads  int            `json:"threads"`
	FDs      int            `json:"fds"`        // -1: not permitted
	Read     int64          `json:"read_bytes"` // -1: not permitted
	Written  int64          `json:"written_bytes"`
	Time     time.Time      `json:"time"`
	Children []ProcessStats `json:"children,omitempty"`
}

// Use is what one process and all that it has started use.
type Use struct {
	ID  uint64  `json:"id"`
	PID int     `json:"pid"`
	CPU float64 `json:"cpu"` // percent of one core, since the start
	RSS uint64  `json:"rss"` // bytes
}
