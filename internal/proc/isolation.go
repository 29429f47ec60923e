package proc

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"syscall"
)

// Limits are what a process is given beside its user: bounds, and what it is kept
// from. A nil pointer, an empty list and a zero leave as it is what this program has
// itself.
type Limits struct {
	Rlimits     []Rlimit
	Nice        *int
	IOPrio      int   // as the kernel has it, class and level; 0: as it is
	CPUs        []int // to run on
	Umask       *int
	OOMScoreAdj *int

	Memory uint64 // bytes, of the process with all that it starts
	CPU    uint64 // microseconds of processor time in each 100 ms
	Pids   uint64

	// Cgroup is the directory of the process's own cgroup, which goes with it. "": the
	// host makes one, with Memory, CPU and Pids, if these are given.
	Cgroup string

	NoNewPrivs bool
	KeepCaps   bool  // no more capabilities than Caps
	Caps       []int // that are given even to an ordinary user
	BoundCaps  bool  // also what it could get is bounded, not only what it has
	Landlock   bool  // nothing but Read, Write and what every program needs
	Read       []string
	Write      []string
	PrivateTmp bool
}

// Rlimit is a limit of a kind that each process has.
type Rlimit struct {
	Name       string // "nofile"; a key of rlimitKinds
	Soft, Hard uint64
}

// Unlimited is a Rlimit that does not limit.
const Unlimited = ^uint64(0)

// The periods and bounds of cgroups and priorities, as the kernel has them.
const (
	CPUPeriod = 100_000 // microseconds

	ioClassRealtime = 1
	ioClassShift    = 13
	ioLevels        = 8
)

// ioClasses are the classes of I/O priorities, by the names that ionice has for them.
var ioClasses = map[string]int{"realtime": ioClassRealtime, "best-effort": 2, "idle": 3}

// ParseIOPrio reads "best-effort:5", "realtime" or "idle".
func ParseIOPrio(text string) (int, error) {
	name, level, found := strings.Cut(text, ":")
	class, known := ioClasses[name]
	if !known {
		return 0, fmt.Errorf("%q: want realtime, best-effort or idle; the first two perhaps with a level, as best-effort:5", text)
	}
	n := 4
	switch {
	case name == "idle" && found:
		return 0, fmt.Errorf("%q: idle has no levels", text)
	case name == "idle":
		n = 0
	case found:
		var err error
		if n, err = strconv.Atoi(level); err != nil || n < 0 || n >= ioLevels {
			return 0, fmt.Errorf("%q: want a level from 0, the highest, to %d", text, ioLevels-1)
		}
	}
	return class<<ioClassShift | n, nil
}

// MostCPUs is more processors than a kernel can have.
const MostCPUs = 8192

// ParseCPUs reads "0-3,6".
func ParseCPUs(text string) ([]int, error) {
	var cpus []int
	for part := range strings.SplitSeq(text, ",") {
		from, to, isRange := strings.Cut(strings.TrimSpace(part), "-")
		first, err := strconv.Atoi(from)
		last := first
		if err == nil && isRange {
			last, err = strconv.Atoi(to)
		}
		if err != nil || first < 0 || last < first || last >= MostCPUs {
			return nil, fmt.Errorf("%q: want processors such as 0-3,6", text)
		}
		for n := first; n <= last; n++ {
			cpus = append(cpus, n)
		}
	}
	slices.Sort(cpus)
	return slices.Compact(cpus), nil
}

// capabilityNames are the capabilities of Linux, by their numbers.
var capabilityNames = []string{
	"chown", "dac_override", "dac_read_search", "fowner", "fsetid", "kill", "setgid", "setuid", "setpcap", "linux_immutable",
	"net_bind_service", "net_broadcast", "net_admin", "net_raw", "ipc_lock", "ipc_owner", "sys_module", "sys_rawio", "sys_chroot",
	"sys_ptrace", "sys_pacct", "sys_admin", "sys_boot", "sys_nice", "sys_resource", "sys_time", "sys_tty_config", "mknod", "lease",
	"audit_write", "audit_control", "setfcap", "mac_override", "mac_admin", "syslog", "wake_alarm", "block_suspend", "audit_read",
	"perfmon", "bpf", "checkpoint_restore",
}

// Capability is the number of a capability, which is named with or without CAP_, in
// upper or lower case.
func Capability(name string) (int, bool) {
	n := slices.Index(capabilityNames, strings.TrimPrefix(strings.ToLower(name), "cap_"))
	return n, n >= 0
}

// CapabilityName is the other way round.
func CapabilityName(n int) string {
	if n < 0 || n >= len(capabilityNames) {
		return strconv.Itoa(n)
	}
	return capabilityNames[n]
}

// grouped says whether l needs a cgroup.
func (l *Limits) grouped() bool { return l != nil && (l.Memory > 0 || l.CPU > 0 || l.Pids > 0) }

// Lack is what this system, or this program's user, can't do of Limits.
type Lack struct {
	Field string // as templates have it: "limits.memory"
	Err   error
}

// Without takes what is lacking out of l.
func (l *Limits) Without(lacks []Lack) {
	for _, lack := range lacks {
		switch lack.Field {
		case "nice":
			l.Nice = nil
		case "ioprio":
			l.IOPrio = 0
		case "cpu_affinity":
			l.CPUs = nil
		case "umask":
			l.Umask = nil
		case "oom_score_adj":
			l.OOMScoreAdj = nil
		case "limits.memory":
			l.Memory = 0
		case "limits.cpu":
			l.CPU = 0
		case "limits.pids":
			l.Pids = 0
		case "sandbox.no_new_privs":
			l.NoNewPrivs = false
		case "sandbox.capabilities":
			l.KeepCaps, l.Caps, l.BoundCaps = false, nil, false
		case "sandbox.read_paths", "sandbox.write_paths":
			l.Landlock, l.Read, l.Write = false, nil, nil
		case "sandbox.private_tmp":
			l.PrivateTmp = false
		default:
			l.Rlimits = slices.DeleteFunc(l.Rlimits, func(r Rlimit) bool { return "limits."+r.Name == lack.Field })
		}
	}
}

// Steps of limits, between those of the rest: which of them failed.
const (
	stepPrivateTmp step = 100 + iota
	stepOOMScore
	stepNice
	stepIOPrio
	stepCPUs
	stepUmask
	stepCaps
	stepNoNewPrivs
	stepLandlock
	stepCgroup
	stepRlimit // and on: the first, the second …
)

// fault names what was in the way.
func (l *Limits) fault(at step, err syscall.Errno) error {
	switch at {
	case stepPrivateTmp:
		return fmt.Errorf("sandbox.private_tmp: %w", err)
	case stepOOMScore:
		return fmt.Errorf("oom_score_adj %d: %w", *l.OOMScoreAdj, err)
	case stepNice:
		return fmt.Errorf("nice %d: %w", *l.Nice, err)
	case stepIOPrio:
		return fmt.Errorf("ioprio: %w", err)
	case stepCPUs:
		return fmt.Errorf("cpu_affinity: %w", err)
	case stepUmask:
		return fmt.Errorf("umask: %w", err)
	case stepCaps:
		return fmt.Errorf("sandbox.capabilities: %w", err)
	case stepNoNewPrivs:
		return fmt.Errorf("sandbox.no_new_privs: %w", err)
	case stepLandlock:
		return fmt.Errorf("sandbox: paths: %w", err)
	case stepCgroup:
		return fmt.Errorf("cgroup %s: %w", l.Cgroup, err)
	}
	if i := int(at - stepRlimit); i < len(l.Rlimits) {
		r := l.Rlimits[i]
		return fmt.Errorf("limits.%s %s: %w", r.Name, r.Amount(), err)
	}
	return fmt.Errorf("limits: %w", err)
}

// Amount is the limit as it is written: one number, or soft:hard.
func (r Rlimit) Amount() string {
	if r.Soft == r.Hard {
		return amount(r.Soft)
	}
	return amount(r.Soft) + ":" + amount(r.Hard)
}

func amount(n uint64) string {
	if n == Unlimited {
		return "unlimited"
	}
	return strconv.FormatUint(n, 10)
}
