//go:build linux && (amd64 || arm64)

package proc

import (
	"runtime"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

const (
	// usualDescriptors is how many descriptors a child may get without a row
	// having to be opened for it alone.
	usualDescriptors = 16
	// keptArena is how much room for strings is kept from one start to the next.
	keptArena = 1 << 18

	maxDescriptor = uintptr(^uint32(0))

	// procSelf is a link whose text is the number of the process that reads it.
	procSelf = "/proc/self"
	// pidDigits is how long such a number can get.
	pidDigits = 10
)

// vforker starts processes without copying this program's descriptor table: the
// child begins with the same table, and its first system call leaves it with a
// private copy of the lowest few.
//
// Everything the child reads hangs on this struct, is pinned, and stays as it is
// until the child has become another program. The Host serialises its use.
type vforker struct {
	v     *vfork
	null  int
	row   block
	reset []uintptr // signals this program ignores, which a service should not
	limit *unix.Rlimit
	tried int // of siblings: the pidfd of the child that was tried, which its parent buries; 0: none

	held     runtime.Pinner // v and fixed, for good
	pinner   runtime.Pinner // the rest, during a start
	calls    []call
	steps    []step // what calls[i] is for
	words    []byte
	pointers []uintptr
	fixed    *fixedArgs
	groups   []uint32
	room     *room // of starts with limits; nil: there was none yet
}

// fixedArgs are arguments of system calls that are the same for each start.
type fixedArgs struct {
	noSignals uint64
	self      [len(procSelf) + 1]byte
	byDefault [4]uint64 // struct sigaction: the default, no flags, no mask
	limit     unix.Rlimit
	dot       [2]byte
}

func newVforker(null int, ignored []syscall.Signal, limit *unix.Rlimit, sibling bool) (spawner, error) {
	f := &vforker{v: newVfork(), null: null, fixed: new(fixedArgs), limit: limit}
	f.v.sibling = sibling
	copy(f.fixed.self[:], procSelf)
	for _, sig := range ignored {
		f.reset = append(f.reset, uintptr(sig))
	}
	if limit != nil {
		f.fixed.limit = *limit
	}
	row, err := takeBlock(null, usualDescriptors, usualDescriptors)
	if err != nil {
		return nil, err
	}
	f.row = row
	f.held.Pin(f.v)
	f.held.Pin(f.fixed)
	if err := f.try(); err != nil {
		f.close()
		return nil, err
	}
	return f, nil
}

// try finds out whether the kernel, and what may filter system calls, know
// everything that a start needs: it starts a child that only closes its table.
func (f *vforker) try() error {
	calls := []call{
		{number: unix.SYS_CLOSE_RANGE, args: [6]uintptr{0, maxDescriptor, unix.CLOSE_RANGE_UNSHARE}},
		{number: unix.SYS_EXIT},
	}
	runtime.LockOSThread()
	_, pidfd, _, errno := f.v.run(calls, -1)
	runtime.UnlockOSThread()
	if pidfd >= 0 {
		if f.v.sibling {
			f.tried = pidfd
		} else {
			_, _ = reap(pidfd)
			_ = unix.Close(pidfd)
		}
	}
	if errno != 0 {
		return errno
	}
	return nil
}

func (f *vforker) close() {
	f.row.close()
	f.held.Unpin()
}

func (f *vforker) spawn(l *launch) (pid, pidfd int, err error) {
	row, err := f.rowFor(l.places())
	if err != nil {
		return 0, -1, err
	}
	if row.first != f.row.first {
		defer row.close()
	}
	f.prepare(l, row)

	f.pinner.Pin(&f.calls[0])

	// Others fork under the same lock: they must not inherit the row while the
	// child's descriptors are in it.
	syscall.ForkLock.Lock()
	defer syscall.ForkLock.Unlock()
	defer f.clear(l, row)
	for i, fd := range l.fds {
		if fd < 0 {
			continue
		}
		if err := row.set(i, fd); err != nil {
			return 0, -1, l.spec.fault(stepDescriptors, err.(syscall.Errno))
		}
	}
	if l.rules > 0 {
		if err := row.set(len(l.fds), l.rules); err != nil {
			return 0, -1, l.spec.fault(stepDescriptors, err.(syscall.Errno))
		}
	}
	return f.run(l)
}

// run starts the prepared child, and buries it again if it could not become the
// program, unless that is its parent's business.
func (f *vforker) run(l *launch) (pid, pidfd int, err error) {
	pid, pidfd, failed, errno := f.v.run(f.calls, l.cgroup)
	runtime.KeepAlive(f)
	if errno == 0 {
		return pid, pidfd, nil
	}
	if pidfd < 0 {
		return 0, -1, l.spec.fault(stepFork, errno)
	}
	err = l.spec.fault(f.steps[failed], errno)
	if f.v.sibling {
		return pid, pidfd, err
	}
	_, _ = reap(pidfd)
	_ = unix.Close(pidfd)
	return 0, -1, err
}

// rowFor returns a row for n descriptors: the usual one, or one for this start only.
func (f *vforker) rowFor(n int) (block, error) {
	if n <= f.row.count {
		return f.row, nil
	}
	return takeBlock(f.null, n, n)
}

// clear takes the child's descriptors out of the row again.
func (f *vforker) clear(l *launch, row block) {
	for i, fd := range l.fds {
		if fd >= 0 {
			_ = row.set(i, f.null)
		}
	}
	if l.rules > 0 {
		_ = row.set(len(l.fds), f.null)
	}
	f.pinner.Unpin()
	if cap(f.words) > keptArena {
		f.words, f.pointers = nil, nil
	}
}

// prepare writes the list of system calls for l. Further attributes of a process
// are further entries here.
func (f *vforker) prepare(l *launch, row block) {
	spec, fixed := l.spec, f.fixed
	path, dir, argv, envv, digits := f.strings(spec)
	n := uintptr(len(l.fds))

	f.calls, f.steps = f.calls[:0], f.steps[:0]
	f.add(stepDescriptors, unix.SYS_CLOSE_RANGE, uintptr(row.end()), maxDescriptor, unix.CLOSE_RANGE_UNSHARE)
	f.add(stepSession, unix.SYS_SETSID)
	for _, sig := range f.reset {
		f.add(stepSignals, unix.SYS_RT_SIGACTION, sig, address(&fixed.byDefault), 0, unsafe.Sizeof(fixed.noSignals))
	}
	if f.limit != nil {
		f.add(stepLimits, unix.SYS_PRLIMIT64, 0, unix.RLIMIT_NOFILE, address(&fixed.limit), 0)
	}
	if spec.Limits != nil {
		f.limitFirst(l, row)
	}
	if spec.changesUser() {
		uid, gid := uintptr(spec.Cred.UID), uintptr(spec.Cred.GID)
		f.groups = append(append(f.groups[:0], spec.Cred.Groups...), 0) // never empty: it has an address
		f.add(stepGroups, unix.SYS_SETGROUPS, uintptr(len(spec.Cred.Groups)), pinned(&f.pinner, &f.groups[0]))
		f.add(stepGID, unix.SYS_SETRESGID, gid, gid, gid)
		f.add(stepUID, unix.SYS_SETRESUID, uid, uid, uid)
	}
	if spec.Limits != nil {
		f.limitCaps(spec)
	}
	if spec.Dir != "" {
		f.add(stepDir, unix.SYS_CHDIR, dir)
	}
	if digits != 0 {
		at := unix.AT_FDCWD
		f.add(stepPID, unix.SYS_READLINKAT, uintptr(at), address(&fixed.self), digits, pidDigits)
	}
	if spec.Limits != nil {
		f.limitLast(l, row)
	}
	for i := range n {
		f.add(stepDescriptors, unix.SYS_DUP3, uintptr(row.first)+i, i, 0)
	}
	f.add(stepDescriptors, unix.SYS_CLOSE_RANGE, n, maxDescriptor, 0)
	if spec.Terminal {
		f.add(stepTerminal, unix.SYS_IOCTL, 0, unix.TIOCSCTTY, 0)
	}
	f.add(stepSignals, unix.SYS_RT_SIGPROCMASK, unix.SIG_SETMASK, address(&fixed.noSignals), 0, unsafe.Sizeof(fixed.noSignals))
	f.add(stepExec, unix.SYS_EXECVE, path, argv, envv)
}

func (f *vforker) add(s step, number uintptr, args ...uintptr) {
	c := call{number: number}
	copy(c.args[:], args)
	f.calls = append(f.calls, c)
	f.steps = append(f.steps, s)
}

func address[T any](p *T) uintptr { return uintptr(unsafe.Pointer(p)) }

func pinned[T any](pinner *runtime.Pinner, p *T) uintptr {
	pinner.Pin(p)
	return address(p)
}

// strings writes spec's strings the way the kernel wants them and returns the
// addresses of the path, the directory, the two lists, and of the zero bytes that are
// to be the digits of the child's number, 0 if it is not to have it.
func (f *vforker) strings(spec *Spec) (path, dir, argv, envv, digits uintptr) {
	size := len(spec.Path) + len(spec.Dir) + 2 + len(spec.OwnPID) + 1 + pidDigits + 1
	for _, s := range spec.Args {
		size += len(s) + 1
	}
	for _, s := range spec.Env {
		size += len(s) + 1
	}
	if size > cap(f.words) {
		f.words = make([]byte, 0, size+size/2)
	}
	if count := len(spec.Args) + len(spec.Env) + 3; count > cap(f.pointers) {
		f.pointers = make([]uintptr, 0, count+count/2)
	}

	base := pinned(&f.pinner, unsafe.SliceData(f.words))
	list := pinned(&f.pinner, unsafe.SliceData(f.pointers))
	f.words, f.pointers = f.words[:0], f.pointers[:0]
	word := func(s string) uintptr {
		at := base + uintptr(len(f.words))
		f.words = append(append(f.words, s...), 0)
		return at
	}
	path, dir = word(spec.Path), word(spec.Dir)
	for _, s := range spec.Args {
		f.pointers = append(f.pointers, word(s))
	}
	f.pointers = append(f.pointers, 0)
	for _, s := range spec.Env {
		f.pointers = append(f.pointers, word(s))
	}
	if spec.OwnPID != "" {
		f.pointers = append(f.pointers, word(spec.OwnPID+"="+string(make([]byte, pidDigits))))
		digits = base + uintptr(len(f.words)) - pidDigits - 1
	}
	f.pointers = append(f.pointers, 0)
	return path, dir, list, list + uintptr(len(spec.Args)+1)*unsafe.Sizeof(list), digits
}
