package proc

import (
	"errors"
	"fmt"
	"os"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"

	"golang.org/x/sys/unix"
)

// What limits are made by, for people.
const (
	ByRlimit   = "rlimit"
	ByCgroup   = "cgroup v2"
	ByLandlock = "Landlock"
)

const ioprioWhoProcess = 1

// Lacks is what can't be done here of limits, for this program and what it starts.
func (l *Limits) Lacks() (lacks []Lack) {
	lack := func(field string, err error) {
		if err != nil {
			lacks = append(lacks, Lack{field, err})
		}
	}
	own := ownCaps()
	for _, r := range l.Rlimits {
		lack("limits."+r.Name, r.lack(own))
	}
	if l.Nice != nil {
		lack("nice", niceLack(*l.Nice, own))
	}
	if l.IOPrio>>ioClassShift == ioClassRealtime && !own.has(unix.CAP_SYS_NICE) && !own.has(unix.CAP_SYS_ADMIN) {
		lack("ioprio", errors.New("only root may ask for realtime"))
	}
	if len(l.CPUs) > 0 {
		lack("cpu_affinity", cpusLack(l.CPUs))
	}
	if l.OOMScoreAdj != nil {
		lack("oom_score_adj", oomLack(*l.OOMScoreAdj, own))
	}
	if l.grouped() {
		for _, c := range []struct {
			field, controller string
			amount            uint64
		}{{"limits.memory", "memory", l.Memory}, {"limits.cpu", "cpu", l.CPU}, {"limits.pids", "pids", l.Pids}} {
			if c.amount > 0 {
				lack(c.field, delegated().lack(c.controller))
			}
		}
	}
	if l.KeepCaps {
		lack("sandbox.capabilities", l.capsLack(own))
	}
	if l.Landlock && landlockABI() == 0 {
		field := "sandbox.read_paths"
		if len(l.Read) == 0 {
			field = "sandbox.write_paths"
		}
		lack(field, errors.New("this kernel has no Landlock, or it is turned off"))
	}
	if l.PrivateTmp {
		lack("sandbox.private_tmp", tmpLack())
	}
	return lacks
}

func (r *Rlimit) lack(own capSet) error {
	kind := rlimitKinds[r.Name]
	if kind.resource == rlimitNoFile {
		if most := mostOpenFiles(); r.Hard > most {
			return fmt.Errorf("%s: the kernel allows at most %d (fs.nr_open)", r.Amount(), most)
		}
	}
	var now unix.Rlimit
	if err := unix.Getrlimit(kind.resource, &now); err != nil {
		return err
	}
	if r.Hard > now.Max && !own.has(unix.CAP_SYS_RESOURCE) {
		return fmt.Errorf("%s: gaffer's own limit is %s, which it may not raise", r.Amount(), amount(now.Max))
	}
	return nil
}

// mostOpenFiles is what not even root may exceed.
func mostOpenFiles() uint64 {
	text, err := os.ReadFile("/proc/sys/fs/nr_open")
	if err != nil {
		return Unlimited
	}
	n, err := strconv.ParseUint(strings.TrimSpace(string(text)), 10, 64)
	if err != nil {
		return Unlimited
	}
	return n
}

func niceLack(nice int, own capSet) error {
	raw, err := unix.Getpriority(unix.PRIO_PROCESS, 0) // 20 - nice, as the system call has it
	if err != nil || nice >= 20-raw || own.has(unix.CAP_SYS_NICE) {
		return nil
	}
	var limit unix.Rlimit
	if unix.Getrlimit(unix.RLIMIT_NICE, &limit) == nil && uint64(20-nice) <= limit.Cur {
		return nil
	}
	return fmt.Errorf("%d: less than gaffer's own, %d, which it may not do", nice, 20-raw)
}

func cpusLack(cpus []int) error {
	text, err := os.ReadFile("/sys/devices/system/cpu/online")
	if err != nil {
		return nil // the start will tell
	}
	online, err := ParseCPUs(strings.TrimSpace(string(text)))
	if err != nil {
		return nil
	}
	for _, n := range cpus {
		if !slices.Contains(online, n) {
			return fmt.Errorf("there is no processor %d; there are %s", n, strings.TrimSpace(string(text)))
		}
	}
	return nil
}

func oomLack(score int, own capSet) error {
	text, err := os.ReadFile("/proc/self/oom_score_adj")
	if err != nil {
		return err
	}
	now, err := strconv.Atoi(strings.TrimSpace(string(text)))
	if err != nil || score >= now || own.has(unix.CAP_SYS_RESOURCE) {
		return nil
	}
	return fmt.Errorf("%d: less than gaffer's own, %d, which it may not do", score, now)
}

// capSet are capabilities, a bit for each.
type capSet uint64

func (s capSet) has(n int) bool { return s&(1<<n) != 0 }

// ownCaps are those that this program may use.
func ownCaps() capSet {
	header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var data [2]unix.CapUserData
	if unix.Capget(&header, &data[0]) != nil {
		return 0
	}
	return capSet(data[0].Effective) | capSet(data[1].Effective)<<32
}

// capsLack is why a process can't be given l's capabilities, or bounded by them.
func (l *Limits) capsLack(own capSet) error {
	for _, c := range l.Caps {
		if !own.has(c) {
			return fmt.Errorf("gaffer itself has no %s to give away", CapabilityName(c))
		}
	}
	return nil
}

// Settle decides what depends on what this program may do: who can't bound
// what a process could get has it get nothing more at all.
func (l *Limits) Settle() {
	if !l.KeepCaps {
		return
	}
	l.BoundCaps = ownCaps().has(unix.CAP_SETPCAP)
	if !l.BoundCaps {
		l.NoNewPrivs = true
	}
}

// droppedCaps are those that the kernel knows and that are not kept.
func (l *Limits) droppedCaps() (dropped []int) {
	for n := range lastCap() + 1 {
		if !slices.Contains(l.Caps, n) {
			dropped = append(dropped, n)
		}
	}
	return dropped
}

// lastCap is the last capability that the kernel knows.
var lastCap = sync.OnceValue(func() int {
	text, err := os.ReadFile("/proc/sys/kernel/cap_last_cap")
	if err == nil {
		if n, err := strconv.Atoi(strings.TrimSpace(string(text))); err == nil && n < 64 {
			return n
		}
	}
	return len(capabilityNames) - 1
})

// raisesCaps says whether the process is an ordinary user's, who has capabilities
// only if they are handed on to it.
func (l *Limits) raisesCaps(spec *Spec) bool {
	return l.KeepCaps && len(l.Caps) > 0 && spec.userID() != 0
}

// userID is who the process will be.
func (spec *Spec) userID() int {
	if spec.Cred != nil {
		return int(spec.Cred.UID)
	}
	return os.Geteuid()
}

// capData are the capabilities to have, as the kernel wants them.
func (l *Limits) capData(spec *Spec) (data [2]unix.CapUserData) {
	set := uint64(0)
	if !spec.changesUser() || spec.userID() == 0 || l.raisesCaps(spec) {
		for _, c := range l.Caps {
			set |= 1 << c
		}
	}
	for i := range data {
		half := uint32(set >> (32 * i))
		data[i] = unix.CapUserData{Effective: half, Permitted: half}
		if l.raisesCaps(spec) {
			data[i].Inheritable = half
		}
	}
	return data
}

// cpuMask is a set of processors as the kernel wants it.
func cpuMask(cpus []int) (mask [MostCPUs / 64]uint64) {
	for _, n := range cpus {
		mask[n/64] |= 1 << (n % 64)
	}
	return mask
}

// tmpLack tries, on a thread that ends with it, whether a process can have its own
// directories for temporary files.
var tmpLack = sync.OnceValue(func() error {
	if !ownCaps().has(unix.CAP_SYS_ADMIN) {
		return errors.New("only root may give a process a /tmp of its own")
	}
	return onItsOwnThread(func() error {
		if err := privateTmp(); err != nil {
			return fmt.Errorf("file systems can't be mounted here: %w", err)
		}
		return nil
	})
})

// privateTmp puts memory over the directories for temporary files, for the calling
// thread alone.
func privateTmp() error {
	if err := unix.Unshare(unix.CLONE_NEWNS); err != nil {
		return err
	}
	if err := unix.Mount("tmpfs", "/", "", unix.MS_REC|unix.MS_SLAVE, ""); err != nil {
		return err
	}
	for _, dir := range tmpDirs() {
		if err := unix.Mount("tmpfs", dir, "tmpfs", unix.MS_NOSUID|unix.MS_NODEV, tmpOptions); err != nil {
			return err
		}
	}
	return nil
}

// onItsOwnThread calls f on a thread that is never used again.
func onItsOwnThread(f func() error) error {
	done := make(chan error, 1)
	var run func()
	run = func() {
		runtime.LockOSThread() // and never unlocked: the thread ends with the goroutine
		if unix.Gettid() == os.Getpid() {
			// The main thread does not end. Nobody else can get it meanwhile.
			wait := make(chan struct{})
			go func() { defer close(wait); run() }()
			<-wait
			runtime.UnlockOSThread()
			return
		}
		done <- f()
	}
	go run()
	return <-done
}
