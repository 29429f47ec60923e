package proc

import (
	"bytes"
	"cmp"
	"fmt"
	"os"
	"os/user"
	"slices"
	"strconv"
	"time"

	"golang.org/x/sys/unix"
)

const (
	// tick is the unit of times in /proc/PID/stat: sysconf(_SC_CLK_TCK) is 100 on
	// all architectures that Go knows.
	tick = 10 * time.Millisecond

	// A process that was in no tree is not looked at again for so many samples.
	// It can't come into one: a process is given to another parent only when its
	// own dies, and then to one of its ancestors. Only the reuse of its pid makes
	// a difference, and takes so long to be seen.
	fullEvery = 10
)

// Sampler reads what processes use. It keeps one descriptor and its buffers, and
// allocates nothing for processes that it has seen before. One goroutine may use
// it at a time.
//
// Trees are found by listing /proc and linking each process to its parent, which
// costs 0.2µs for a process that need not be read. Asking the kernel for the
// children of a process would cost ten times that for each of its threads.
type Sampler struct {
	fs     *procfs
	users  map[int]string
	page   uint64 // bytes of a page of memory
	rounds int

	pids      []int
	roots     []int    // of the last sample, sorted
	processes []sample // by pid
	before    []sample // the same, of the sample before

	tree  []Usage // the tree that is being made, level by level
	index []int   // in processes, of each of tree
}

// sample is a process in a round of readings.
type sample struct {
	usage    Usage
	comm     [commSize]byte
	foreign  bool // in no tree, and so perhaps not read this time
	fresh    bool // read this time
	detailed bool // the dearer fields have been read
	child    int  // the first child's index, -1 for none
	sibling  int  // the next child of the same parent, -1 for none
}

// NewSampler opens /proc.
func NewSampler() (*Sampler, error) {
	fs, err := openProcfs()
	if err != nil {
		return nil, err
	}
	return &Sampler{fs: fs, users: make(map[int]string), page: uint64(os.Getpagesize())}, nil
}

// Close gives back what the sampler has open.
func (s *Sampler) Close() error { return s.fs.close() }

// Sample reads what the processes roots use, and all that descend from them, and
// calls each for one root after the other, without those that are gone. The
// Usage is only valid during that call. The error is that /proc can't be read.
func (s *Sampler) Sample(roots []int, want Want, each func(root *Usage)) error {
	var err error
	if s.pids, err = s.fs.pids(s.pids[:0]); err != nil {
		return err
	}
	var boot unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_BOOTTIME, &boot); err != nil {
		return fmt.Errorf("clock: %w", err)
	}
	full := s.setRoots(roots)
	s.read(full, time.Duration(boot.Nano()), time.Now())
	s.link()
	for i := range s.processes {
		s.processes[i].foreign = true
	}
	for _, pid := range roots {
		if i, ok := s.find(pid); ok && s.processes[i].fresh {
			each(s.grow(i, want))
		}
	}
	return nil
}

// setRoots says whether all processes have to be read: once in a while, and when
// there is a root that was none before.
func (s *Sampler) setRoots(roots []int) (full bool) {
	full = s.rounds%fullEvery == 0
	s.rounds++
	for _, pid := range roots {
		if _, known := slices.BinarySearch(s.roots, pid); !known {
			full = true
		}
	}
	s.roots = append(s.roots[:0], roots...)
	slices.Sort(s.roots)
	return full
}

// read reads the basic fields of all processes, or of those that may be in a tree.
// boot is the time since boot at now.
func (s *Sampler) read(full bool, boot time.Duration, now time.Time) {
	s.processes, s.before = s.before[:0], s.processes
	old := 0
	var st stat
	for _, pid := range s.pids {
		for old < len(s.before) && s.before[old].usage.PID < pid {
			old++
		}
		var before *sample
		if old < len(s.before) && s.before[old].usage.PID == pid {
			before = &s.before[old]
		}
		if before != nil && before.foreign && !full {
			s.processes = append(s.processes, *before)
			s.processes[len(s.processes)-1].fresh = false
			continue
		}
		uid, ok := s.fs.stat(pid, &st)
		if !ok {
			continue // gone meanwhile
		}
		s.processes = append(s.processes, sample{comm: st.comm, fresh: true, child: -1, sibling: -1})
		p := &s.processes[len(s.processes)-1]
		p.usage = s.usage(&st, uid, boot+time.Since(now))
		if before != nil && before.usage.Start == st.start && before.comm == st.comm {
			p.usage.Command = before.usage.Command // a new program would have changed comm
		}
	}
}

func (s *Sampler) usage(st *stat, uid int, boot time.Duration) Usage {
	return Usage{
		PID:     st.pid,
		PPID:    st.ppid,
		Start:   st.start,
		Age:     max(0, boot-time.Duration(st.start)*tick),
		State:   st.state,
		CPUTime: time.Duration(st.ticks) * tick,
		RSS:     st.pages * s.page,
		VMS:     st.vms,
		Threads: st.threads,
		Nice:    st.nice,
		FDs:     -1,
		Read:    -1,
		Written: -1,
		UID:     uid,
	}
}

// link finds each process's children among those that were read.
func (s *Sampler) link() {
	for i := len(s.processes) - 1; i >= 0; i-- {
		p := &s.processes[i]
		if !p.fresh {
			continue
		}
		j, ok := s.find(p.usage.PPID)
		if !ok || !s.processes[j].fresh {
			continue
		}
		parent := &s.processes[j]
		if parent.usage.Start > p.usage.Start {
			continue // that is another process, with the pid of the parent that ended
		}
		p.sibling, parent.child = parent.child, i
	}
}

func (s *Sampler) find(pid int) (index int, ok bool) {
	return slices.BinarySearchFunc(s.processes, pid, func(p sample, pid int) int { return cmp.Compare(p.usage.PID, pid) })
}

// grow makes the tree below the process at root, level by level, so that the
// children of each stand side by side.
func (s *Sampler) grow(root int, want Want) *Usage {
	s.tree = append(s.tree[:0], s.complete(root, want))
	s.index = append(s.index[:0], root)
	for i := 0; i < len(s.tree) && len(s.tree) <= len(s.processes); i++ {
		for c := s.processes[s.index[i]].child; c >= 0; c = s.processes[c].sibling {
			s.tree = append(s.tree, s.complete(c, want))
			s.index = append(s.index, c)
		}
	}
	next := 1
	for i := range s.tree {
		first := next
		for c := s.processes[s.index[i]].child; c >= 0 && next < len(s.tree); c = s.processes[c].sibling {
			next++
		}
		s.tree[i].Children = s.tree[first:next:next]
	}
	return &s.tree[0]
}

// complete reads what is read only of processes in a tree.
func (s *Sampler) complete(i int, want Want) Usage {
	p := &s.processes[i]
	p.foreign = false
	u := &p.usage
	if p.detailed {
		return *u // it is in another tree, too
	}
	p.detailed = true
	if want&WantNames != 0 {
		s.name(p)
	}
	if want&WantFDs != 0 {
		u.FDs = s.fs.fds(u.PID)
	}
	if want&WantIO != 0 {
		u.Read, u.Written = s.fs.io(u.PID)
	}
	return *u
}

// name reads the names of a process's user and program.
func (s *Sampler) name(p *sample) {
	u := &p.usage
	u.User = s.user(u.UID)
	if u.Command == "" {
		u.Command = s.fs.command(u.PID)
	}
	if u.Command == "" {
		u.Command = string(bytes.TrimRight(p.comm[:], "\x00"))
	}
}

// user is the name of a user. It is looked up once.
func (s *Sampler) user(uid int) string {
	name, known := s.users[uid]
	if known {
		return name
	}
	name = strconv.Itoa(uid)
	if u, err := user.LookupId(name); err == nil {
		name = u.Username
	}
	s.users[uid] = name
	return name
}

// TotalMemory is the system's memory in bytes, 0 if that is not known.
func TotalMemory() uint64 {
	var info unix.Sysinfo_t
	if err := unix.Sysinfo(&info); err != nil {
		return 0
	}
	return uint64(info.Totalram) * uint64(info.Unit)
}
