//go:build linux

package main

import (
	"bufio"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// usage is what the processes of a supervisor hold, summed.
type usage struct {
	pss, anon            int // KiB
	procs, threads, open int
}

// measure sums up what the processes hold. One that has just ended counts nothing.
func measure(rs []relative) usage {
	var u usage
	for _, r := range rs {
		dir := filepath.Join("/proc", strconv.Itoa(r.pid))
		rollup := fields(filepath.Join(dir, "smaps_rollup"))
		u.pss += rollup["Pss"]
		u.anon += rollup["Anonymous"]
		u.threads += fields(filepath.Join(dir, "status"))["Threads"]
		fds, _ := os.ReadDir(filepath.Join(dir, "fd"))
		u.open += len(fds)
		u.procs++
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

// cpuTime is the processor time of the processes so far in nanoseconds, threads
// that have ended included: each process has a clock of its own for that.
func cpuTime(rs []relative) int64 {
	const schedClock = 2 // CPUCLOCK_SCHED of the whole process
	var sum int64
	for _, r := range rs {
		var t unix.Timespec
		if unix.ClockGettime(int32(^r.pid<<3|schedClock), &t) == nil {
			sum += t.Nano()
		}
	}
	return sum
}

// switches counts the voluntary context switches of each thread so far: how
// often it went to sleep, hence how often something woke it.
func switches(rs []relative) map[int]int {
	out := make(map[int]int)
	for _, r := range rs {
		dir := filepath.Join("/proc", strconv.Itoa(r.pid), "task")
		tasks, _ := os.ReadDir(dir)
		for _, t := range tasks {
			if tid, err := strconv.Atoi(t.Name()); err == nil {
				out[tid] = fields(filepath.Join(dir, t.Name(), "status"))["voluntary_ctxt_switches"]
			}
		}
	}
	return out
}

// machine describes in one line where the figures are from.
func machine() string {
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
