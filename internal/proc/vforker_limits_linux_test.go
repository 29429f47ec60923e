//go:build linux && (amd64 || arm64)

package proc

import (
	"slices"
	"testing"

	"golang.org/x/sys/unix"
)

// callsOf are the system calls of a start, by their numbers.
func callsOf(t *testing.T, spec *Spec, rules int) (f *vforker, numbers []uintptr) {
	t.Helper()
	null, err := unix.Open("/dev/null", unix.O_RDWR|unix.O_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = unix.Close(null) })
	s, err := newVforker(null, nil, nil, false)
	if err != nil {
		t.Skipf("not on this kernel: %v", err)
	}
	f = s.(*vforker)
	t.Cleanup(f.close)
	f.prepare(&launch{spec: spec, fds: []int{-1, -1, -1}, cgroup: -1, rules: rules}, f.row)
	f.pinner.Unpin()
	for _, c := range f.calls {
		numbers = append(numbers, c.number)
	}
	return f, numbers
}

func TestStartWithoutLimitsHasNoMoreCalls(t *testing.T) {
	f, got := callsOf(t, &Spec{Path: "/bin/true", Args: []string{"true"}, Dir: "/"}, 0)
	want := []uintptr{
		unix.SYS_CLOSE_RANGE, unix.SYS_SETSID, unix.SYS_CHDIR, unix.SYS_DUP3, unix.SYS_DUP3, unix.SYS_DUP3, unix.SYS_CLOSE_RANGE,
		unix.SYS_RT_SIGPROCMASK, unix.SYS_EXECVE,
	}
	if !slices.Equal(got, want) || f.room != nil {
		t.Errorf("calls %v, want %v; room %v", got, want, f.room != nil)
	}
}

func TestWhatIsInTheWayComesLast(t *testing.T) {
	limits := allLimits()
	limits.Caps = []int{unix.CAP_NET_BIND_SERVICE}
	_, got := callsOf(t, &Spec{Path: "/bin/true", Args: []string{"true"}, Dir: "/", Limits: limits}, 5)
	at := func(number uintptr) int {
		i := slices.Index(got, number)
		if i < 0 {
			t.Fatalf("call %d is not made", number)
		}
		return i
	}
	order := []uintptr{
		unix.SYS_UNSHARE, unix.SYS_MOUNT, unix.SYS_PRLIMIT64, unix.SYS_SETPRIORITY, unix.SYS_IOPRIO_SET, unix.SYS_SCHED_SETAFFINITY, unix.SYS_UMASK,
		unix.SYS_CAPSET, unix.SYS_CHDIR, unix.SYS_LANDLOCK_RESTRICT_SELF, unix.SYS_EXECVE,
	}
	for i := 1; i < len(order); i++ {
		if at(order[i-1]) > at(order[i]) {
			t.Errorf("call %d is made after %d", order[i-1], order[i])
		}
	}
}
