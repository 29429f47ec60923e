//go:build linux && (amd64 || arm64)

package proc

import (
	"encoding/binary"
	"strconv"

	"golang.org/x/sys/unix"
)

// room is what the system calls for limits read and point to. It has no pointers, so
// that pinning it is enough.
type room struct {
	rlimits [mostRlimits]unix.Rlimit
	cpus    [MostCPUs / 64]uint64
	header  unix.CapUserHeader
	caps    [2]unix.CapUserData
	rule    [pathRuleSize]byte
	text    [16]byte // what is written to oom_score_adj
	words   [128]byte
	used    int
}

// word is the address of a string as the kernel wants it.
func (r *room) word(s string) uintptr {
	at := r.used
	r.used += copy(r.words[at:], s) + 1
	r.words[r.used-1] = 0
	return address(&r.words[at])
}

// limitFirst adds what has to be done while the child is still who this program is.
// What opens files comes first, as limits could keep it from that.
func (f *vforker) limitFirst(l *launch, row block) {
	if f.room == nil {
		f.room = new(room)
	}
	r, limits := f.room, l.spec.Limits
	f.pinner.Pin(r)
	r.used = 0
	if limits.OOMScoreAdj != nil || limits.PrivateTmp && l.rules > 0 {
		f.placeDescriptors(l, row)
	}
	if limits.PrivateTmp {
		f.makeTmp(l, row)
	}
	if limits.OOMScoreAdj != nil {
		fd := lowestAfter(l, row)
		text := strconv.AppendInt(r.text[:0], int64(*limits.OOMScoreAdj), 10)
		f.add(stepOOMScore, unix.SYS_OPENAT, atCWD, r.word("/proc/self/oom_score_adj"), unix.O_WRONLY|unix.O_CLOEXEC, 0)
		f.add(stepOOMScore, unix.SYS_WRITE, fd, address(&r.text), uintptr(len(text)))
		f.add(stepOOMScore, unix.SYS_CLOSE, fd)
	}
	for i, limit := range limits.Rlimits {
		r.rlimits[i] = unix.Rlimit{Cur: limit.Soft, Max: limit.Hard}
		f.add(stepRlimit+step(i), unix.SYS_PRLIMIT64, 0, uintptr(rlimitKinds[limit.Name].resource), address(&r.rlimits[i]), 0)
	}
	if limits.Nice != nil {
		f.add(stepNice, unix.SYS_SETPRIORITY, unix.PRIO_PROCESS, 0, uintptr(*limits.Nice))
	}
	if limits.IOPrio != 0 {
		f.add(stepIOPrio, unix.SYS_IOPRIO_SET, ioprioWhoProcess, 0, uintptr(limits.IOPrio))
	}
	if len(limits.CPUs) > 0 {
		r.cpus = cpuMask(limits.CPUs)
		f.add(stepCPUs, unix.SYS_SCHED_SETAFFINITY, 0, uintptr(8*len(r.cpus)), address(&r.cpus))
	}
	if limits.Umask != nil {
		f.add(stepUmask, unix.SYS_UMASK, uintptr(*limits.Umask))
	}
	if limits.BoundCaps {
		for _, c := range limits.droppedCaps() {
			f.add(stepCaps, unix.SYS_PRCTL, unix.PR_CAPBSET_DROP, uintptr(c), 0, 0, 0)
		}
	}
	if limits.raisesCaps(l.spec) && l.spec.changesUser() {
		f.add(stepCaps, unix.SYS_PRCTL, unix.PR_SET_KEEPCAPS, 1, 0, 0, 0)
	}
}

// limitCaps adds what gives up capabilities, when nothing needs them any more.
func (f *vforker) limitCaps(spec *Spec) {
	limits := spec.Limits
	if !limits.KeepCaps {
		return
	}
	r := f.room
	r.header, r.caps = unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}, limits.capData(spec)
	f.add(stepCaps, unix.SYS_PRCTL, unix.PR_CAP_AMBIENT, unix.PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0)
	f.add(stepCaps, unix.SYS_CAPSET, address(&r.header), address(&r.caps))
	if limits.raisesCaps(spec) {
		for _, c := range limits.Caps {
			f.add(stepCaps, unix.SYS_PRCTL, unix.PR_CAP_AMBIENT, unix.PR_CAP_AMBIENT_RAISE, uintptr(c), 0, 0)
		}
	}
}

// limitLast adds what would be in the way of the rest.
func (f *vforker) limitLast(l *launch, row block) {
	if l.spec.Limits.NoNewPrivs || l.rules > 0 {
		f.add(stepNoNewPrivs, unix.SYS_PRCTL, unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
	}
	if l.rules > 0 {
		f.add(stepLandlock, unix.SYS_LANDLOCK_RESTRICT_SELF, rulesIn(l, row), 0)
	}
}

// rulesIn is the child's number of the ruleset.
func rulesIn(l *launch, row block) uintptr { return uintptr(row.first + len(l.fds)) }

// placeDescriptors gives the child its descriptors before the time, so that the
// number of the next one that it opens is known.
func (f *vforker) placeDescriptors(l *launch, row block) {
	n := len(l.fds)
	for i := range n {
		f.add(stepDescriptors, unix.SYS_DUP3, uintptr(row.first+i), uintptr(i), 0)
	}
	if n < row.first {
		f.add(stepDescriptors, unix.SYS_CLOSE_RANGE, uintptr(n), uintptr(row.first-1), 0)
	}
}

// lowestAfter is the number of the next descriptor after placeDescriptors.
func lowestAfter(l *launch, row block) uintptr {
	if n := len(l.fds); n < row.first {
		return uintptr(n)
	}
	return uintptr(row.end())
}

// makeTmp adds what puts memory where the directories for temporary files were, for
// this child alone.
func (f *vforker) makeTmp(l *launch, row block) {
	r := f.room
	none, how := r.word("tmpfs"), r.word(tmpOptions)
	f.add(stepPrivateTmp, unix.SYS_UNSHARE, unix.CLONE_NEWNS)
	f.add(stepPrivateTmp, unix.SYS_MOUNT, none, r.word("/"), none, unix.MS_REC|unix.MS_SLAVE, 0)
	for _, dir := range tmpDirs() {
		at := r.word(dir)
		f.add(stepPrivateTmp, unix.SYS_MOUNT, none, at, none, unix.MS_NOSUID|unix.MS_NODEV, how)
		if l.rules == 0 {
			continue
		}
		// The ruleset allows the directories that were there; what is in them now has to
		// be allowed from within.
		fd := lowestAfter(l, row)
		binary.NativeEndian.PutUint64(r.rule[:], writeRights&handledRights())
		binary.NativeEndian.PutUint32(r.rule[8:], uint32(fd))
		f.add(stepPrivateTmp, unix.SYS_OPENAT, atCWD, at, unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
		f.add(stepLandlock, unix.SYS_LANDLOCK_ADD_RULE, rulesIn(l, row), unix.LANDLOCK_RULE_PATH_BENEATH, address(&r.rule), 0)
		f.add(stepPrivateTmp, unix.SYS_CLOSE, fd)
	}
}

// atCWD is AT_FDCWD as a system call takes it.
const atCWD = ^uintptr(99)
