//go:build linux

package machine

import (
	"bufio"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// Usage is what the processes of a supervisor hold, summed.
type Usage struct {
	PSS, Anonymous int // KiB
	Processes      int
	Threads        int
	Descriptors    int
}

// Measure sums up what the processes hold. One that has just ended counts nothing.
func Measure(rs []Relative) Usage {
	var u Usage
	for _, r := range rs {
		dir := filepath.Join("/proc", strconv.Itoa(r.PID))
		rollup := fields(filepath.Join(dir, "smaps_rollup"))
		u.PSS += rollup["Pss"]
		u.Anonymous += rollup["Anonymous"]
		u.Threads += fields(filepath.Join(dir, "status"))["Threads"]
		fds, _ := os.ReadDir(filepath.Join(dir, "fd"))
		u.Descriptors += len(fds)
		u.Processes++
	}
	return u
}

// fields reads the lines "Name: NUMBER …" of a file of /proc.
func fields(path string) map[string]int {
	out := make(map[string]int)
	f, err := os.Open(path)
	if err != nil {
		return out
	}
	defer f.Close()
	for s := bufio.NewScanner(f); s.Scan(); {
		name, rest, ok := strings.Cut(s.Text(), ":")
		if words := strings.Fields(rest); ok && len(words) > 0 {
			if n, err := strconv.Atoi(words[0]); err == nil {
				out[name] = n
			}
		}
	}
	return out
}

// CPUTime is the processor time of the processes so far in nanoseconds, threads
// that have ended included: each process has a clock of its own for that.
func CPUTime(rs []Relative) int64 {
	const schedClock = 2 // CPUCLOCK_SCHED of the whole process
	var sum int64
	for _, r := range rs {
		var t unix.Timespec
		if unix.ClockGettime(int32(^r.PID<<3|schedClock), &t) == nil {
			sum += t.Nano()
		}
	}
	return sum
}

// Switches counts the voluntary context switches of each thread so far: how
// often it went to sleep, hence how often something woke it.
func Switches(rs []Relative) map[int]int {
	out := make(map[int]int)
	for _, r := range rs {
		dir := filepath.Join("/proc", strconv.Itoa(r.PID), "task")
		tasks, _ := os.ReadDir(dir)
		for _, t := range tasks {
			if tid, err := strconv.Atoi(t.Name()); err == nil {
				out[tid] = fields(filepath.Join(dir, t.Name(), "status"))["voluntary_ctxt_switches"]
			}
		}
	}
	return out
}

// Describe describes in one line where the figures are from.
func Describe() string {
	cpu := "unknown processor"
	if info, err := os.ReadFile("/proc/cpuinfo"); err == nil {
		for line := range strings.Lines(string(info)) {
			if name, value, ok := strings.Cut(line, ":"); ok && strings.TrimSpace(name) == "model name" {
				cpu = strings.TrimSpace(value)
				break
			}
		}
	}
	var set unix.CPUSet
	_ = unix.SchedGetaffinity(0, &set)
	var uts unix.Utsname
	_ = unix.Uname(&uts)
	return fmt.Sprintf("%s, %d cores, %d GiB, Linux %s", cpu, set.Count(),
		fields("/proc/meminfo")["MemTotal"]/(1<<20), unix.ByteSliceToString(uts.Release[:]))
}
