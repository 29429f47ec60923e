//go:build unix && !linux

package proc

import (
	"errors"
	"fmt"
	"os"
	"strconv"
	"syscall"

	"golang.org/x/sys/unix"
)

// What limits are made by, for people.
const (
	ByRlimit   = "rlimit"
	ByCgroup   = "cgroup v2"
	ByLandlock = "Landlock"
)

// Settle decides what depends on what this program may do.
func (l *Limits) Settle() {}

// Arrange has nothing to arrange.
func (l *Limits) Arrange([]Lack) []Lack { return nil }

var errOnlyLinux = errors.New("gaffer does that on Linux only")

// Lacks is what can't be done here of limits.
func (l *Limits) Lacks() (lacks []Lack) {
	for field, wanted := range map[string]bool{
		"ioprio": l.IOPrio != 0, "cpu_affinity": len(l.CPUs) > 0, "oom_score_adj": l.OOMScoreAdj != nil,
		"limits.memory": l.Memory > 0, "limits.cpu": l.CPU > 0, "limits.pids": l.Pids > 0,
		"sandbox.no_new_privs": l.NoNewPrivs, "sandbox.capabilities": l.KeepCaps, "sandbox.read_paths": l.Landlock, "sandbox.private_tmp": l.PrivateTmp,
	} {
		if wanted {
			lacks = append(lacks, Lack{field, errOnlyLinux})
		}
	}
	for _, r := range l.Rlimits {
		if err := r.lack(); err != nil {
			lacks = append(lacks, Lack{"limits." + r.Name, err})
		}
	}
	if l.Nice != nil && *l.Nice < ownNice() && os.Geteuid() != 0 {
		lacks = append(lacks, Lack{"nice", fmt.Errorf("%d: less than gaffer's own, %d, which it may not do", *l.Nice, ownNice())})
	}
	return lacks
}

func (r *Rlimit) lack() error {
	kind := rlimitKinds[r.Name]
	if kind.resource == noResource {
		return errOnlyLinux
	}
	var now unix.Rlimit
	if err := unix.Getrlimit(kind.resource, &now); err != nil {
		return err
	}
	if r.Hard > uint64(now.Max) && os.Geteuid() != 0 {
		return fmt.Errorf("%s: gaffer's own limit is %s, which it may not raise", r.Amount(), amount(uint64(now.Max)))
	}
	return nil
}

func ownNice() int {
	n, err := unix.Getpriority(unix.PRIO_PROCESS, 0)
	if err != nil {
		return 0
	}
	return n
}

// startLimited starts a process with limits: a shell sets them.
func (w *waited) startLimited(spec *Spec, files []*os.File) error {
	var lines []string
	if spec.Limits.Nice != nil {
		lines = append(lines, niceLine(*spec.Limits.Nice-ownNice()))
	}
	if spec.Limits.Umask != nil {
		lines = append(lines, umaskLine(*spec.Limits.Umask))
	}
	spec, err := spec.throughShell(lines...)
	if err != nil {
		return err
	}
	sys := &syscall.SysProcAttr{Setsid: true}
	if spec.changesUser() {
		sys.Credential = &syscall.Credential{Uid: spec.Cred.UID, Gid: spec.Cred.GID, Groups: spec.Cred.Groups}
	}
	return w.startAs(spec, files, sys)
}

func umaskLine(mask int) string { return "umask " + strconv.FormatInt(int64(mask), 8) }

func niceLine(by int) string {
	return fmt.Sprintf("renice -n %d -p $$ >/dev/null || exit %d", by, failedLimit)
}
