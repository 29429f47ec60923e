package proc

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"runtime"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

func TestSampleOfThisProgram(t *testing.T) {
	s := newSampler(t)
	u := sampleOne(t, s, os.Getpid(), WantFDs|WantIO)
	if u.PPID != os.Getppid() {
		t.Errorf("parent %d, want %d", u.PPID, os.Getppid())
	}
	if want := filepath.Base(os.Args[0]); u.Command != want {
		t.Errorf("command %q, want %q", u.Command, want)
	}
	if u.UID != os.Geteuid() {
		t.Errorf("user %d, want %d", u.UID, os.Geteuid())
	}
	if me, err := user.Current(); err == nil && u.User != me.Username {
		t.Errorf("user %q, want %q", u.User, me.Username)
	}
	if total := TotalMemory(); u.RSS < 1<<20 || u.RSS > u.VMS || u.RSS > total {
		t.Errorf("RSS %d, VMS %d, total %d", u.RSS, u.VMS, total)
	}
	if u.Threads < 2 || u.FDs < 3 || u.Read < 0 || u.Written < 0 {
		t.Errorf("threads %d, descriptors %d, read %d, written %d", u.Threads, u.FDs, u.Read, u.Written)
	}
	if u.Age <= 0 || u.Age > time.Hour {
		t.Errorf("age %v", u.Age)
	}
	if u.State != 'R' && u.State != 'S' {
		t.Errorf("state %c", u.State)
	}
}

func TestDearFieldsAreLeftOut(t *testing.T) {
	u := sampleOne(t, newSampler(t), os.Getpid(), 0)
	if u.FDs != -1 || u.Read != -1 || u.Written != -1 {
		t.Errorf("descriptors %d, read %d, written %d, want -1 each", u.FDs, u.Read, u.Written)
	}
}

func TestDescriptorsAreCounted(t *testing.T) {
	s := newSampler(t)
	for _, byDirectory := range []bool{false, true} {
		if byDirectory {
			s.fs.countFDs = false // as on an older kernel
		}
		before := sampleOne(t, s, os.Getpid(), WantFDs).FDs
		r, w, err := os.Pipe()
		if err != nil {
			t.Fatal(err)
		}
		after := sampleOne(t, s, os.Getpid(), WantFDs).FDs
		r.Close()
		w.Close()
		if after != before+2 {
			t.Errorf("by directory %v: %d descriptors, then two more: %d", byDirectory, before, after)
		}
	}
}

func TestCPUTimeAndPercentage(t *testing.T) {
	s := newSampler(t)
	var m Meter
	m.Begin()
	before := sampleOne(t, s, os.Getpid(), 0)
	m.Percent(&before)
	for { // burn, until the kernel's clock has seen it
		u := sampleOne(t, s, os.Getpid(), 0)
		if u.CPUTime < before.CPUTime+100*time.Millisecond {
			continue
		}
		m.Begin()
		if p := m.Percent(&u); p <= 0 || p > 100*float64(runtime.NumCPU()+1) {
			t.Errorf("%v%%", p)
		}
		return
	}
}

func TestDescendantsAreATree(t *testing.T) {
	// One child that has two, and one that has none.
	c := run(t, "sh", "-c", `(sleep 1000 & sleep 1001 & echo; wait) & sleep 1002 & echo; trap exit TERM; wait`)
	c.line(t)
	c.line(t)
	s := newSampler(t)
	root := sampleUntil(t, s, c.pid(), func(u *Usage) bool { return shape(u) == "sh(sh(sleep sleep) sleep)" })
	seen := map[int]bool{}
	var check func(u *Usage)
	check = func(u *Usage) {
		if seen[u.PID] {
			t.Errorf("pid %d is there twice", u.PID)
		}
		seen[u.PID] = true
		for i := range u.Children {
			if u.Children[i].PPID != u.PID {
				t.Errorf("pid %d is below %d, its parent is %d", u.Children[i].PID, u.PID, u.Children[i].PPID)
			}
			check(&u.Children[i])
		}
	}
	check(&root)
}

func TestEachRootHasItsOwnTree(t *testing.T) {
	a, b := run(t, "sleep", "1000"), run(t, "sleep", "1001")
	s := newSampler(t)
	var got []string
	err := s.Sample([]int{b.pid(), os.Getpid(), a.pid(), b.pid()}, 0, func(u *Usage) {
		got = append(got, fmt.Sprint(u.PID, len(u.Children)))
	})
	if err != nil {
		t.Fatal(err)
	}
	want := []string{fmt.Sprint(b.pid(), 0), fmt.Sprint(os.Getpid(), 2), fmt.Sprint(a.pid(), 0), fmt.Sprint(b.pid(), 0)}
	if fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

// Most processes are only looked at once in a while; those that come must be
// found all the same, at once.
func TestNewDescendantsAreFound(t *testing.T) {
	s := newSampler(t)
	for n := range fullEvery + 2 {
		if got := len(sampleOne(t, s, os.Getpid(), 0).Children); got != n {
			t.Fatalf("%d children, want %d", got, n)
		}
		run(t, "sleep", "1000")
	}
}

// A process that was nobody's descendant so far may become a root.
func TestNewRootIsFoundAmongOtherProcesses(t *testing.T) {
	c := run(t, "sh", "-c", `sleep 1000 & echo; trap exit TERM; wait`)
	c.line(t)
	other := run(t, "sleep", "1001")
	s := newSampler(t)
	for range 3 {
		sampleOne(t, s, other.pid(), 0)
	}
	if u := sampleOne(t, s, c.pid(), 0); len(u.Children) != 1 {
		t.Errorf("%d children, want 1", len(u.Children))
	}
}

func TestStrangeNamesAreNoTrouble(t *testing.T) {
	sleep, err := exec.LookPath("sleep")
	if err != nil {
		t.Fatal(err)
	}
	program, err := os.ReadFile(sleep)
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{") S 1 (", "a b", "(", "Ünï ☃"} {
		path := filepath.Join(t.TempDir(), name)
		if err := os.WriteFile(path, program, 0o755); err != nil {
			t.Fatal(err)
		}
		c := run(t, path, "1000")
		u := sampleUntil(t, newSampler(t), c.pid(), func(u *Usage) bool { return u.Command == name })
		if u.PPID != os.Getpid() || u.Threads != 1 || u.Nice != nice(t) {
			t.Errorf("%q: parent %d, threads %d, nice %d", name, u.PPID, u.Threads, u.Nice)
		}
	}
}

func TestCommandFollowsAnExec(t *testing.T) {
	c := run(t, "sh", "-c", `echo; read x; exec sleep 1000`)
	c.line(t)
	s := newSampler(t)
	if u := sampleOne(t, s, c.pid(), 0); u.Command != "sh" {
		t.Errorf("command %q, want sh", u.Command)
	}
	if _, err := fmt.Fprintln(c.in); err != nil {
		t.Fatal(err)
	}
	sampleUntil(t, s, c.pid(), func(u *Usage) bool { return u.Command == "sleep" })
}

func TestZombieIsToldWithItsName(t *testing.T) {
	c := run(t, "sh", "-c", "exit")
	s := newSampler(t)
	u := sampleUntil(t, s, c.pid(), func(u *Usage) bool { return u.State == 'Z' })
	if u.Command != "sh" || u.RSS != 0 || u.PPID != os.Getpid() {
		t.Errorf("zombie: %+v", u)
	}
	if fresh := sampleOne(t, newSampler(t), c.pid(), WantFDs|WantIO); fresh.Command != "sh" {
		t.Errorf("zombie that was never seen alive: %+v", fresh)
	}
}

func TestProcessThatIsGoneIsLeftOut(t *testing.T) {
	c := run(t, "sleep", "1000")
	s := newSampler(t)
	sampleOne(t, s, c.pid(), 0)
	c.end()
	if err := s.Sample([]int{c.pid(), 0, -1, 1 << 30}, WantFDs|WantIO, func(u *Usage) { t.Errorf("told of pid %d", u.PID) }); err != nil {
		t.Error(err)
	}
}

func TestChildOlderThanItsParentIsNotItsChild(t *testing.T) {
	s := newSampler(t)
	for _, p := range []struct {
		pid, parent int
		start       uint64
	}{{10, 1, 500}, {11, 10, 499}, {12, 10, 500}} {
		u := Usage{PID: p.pid, PPID: p.parent, Start: p.start, Command: "x"}
		s.processes = append(s.processes, sample{usage: u, fresh: true, child: -1, sibling: -1})
	}
	s.link()
	if u := s.grow(0, 0); len(u.Children) != 1 || u.Children[0].PID != 12 {
		t.Errorf("children of 10: %+v", u.Children)
	}
}

func TestWhatIsNotPermittedIsMinusOne(t *testing.T) {
	asNobody(t, nil, func(s *Sampler) error {
		told := 0
		err := s.Sample([]int{1}, WantFDs|WantIO|WantNames, func(u *Usage) {
			told++
			if u.Read != -1 || u.Written != -1 {
				t.Errorf("read %d, written %d, want -1", u.Read, u.Written)
			}
			if s.fs.countFDs = false; s.fs.fds(1) != -1 {
				t.Errorf("the descriptors of pid 1 were counted")
			}
			if u.Threads < 1 || u.Command == "" {
				t.Errorf("threads %d, command %q", u.Threads, u.Command)
			}
		})
		if told != 1 && err == nil {
			err = errors.New("pid 1: not told of")
		}
		return err
	})
}

func TestHiddenProcessesAreLeftOut(t *testing.T) {
	hide := func() error {
		if err := unix.Unshare(unix.CLONE_NEWNS); err != nil {
			return err
		}
		if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
			return err
		}
		return unix.Mount("proc", "/proc", "proc", 0, "hidepid=2")
	}
	asNobody(t, hide, func(s *Sampler) error {
		return s.Sample([]int{1}, WantFDs|WantIO, func(u *Usage) { t.Errorf("told of pid %d", u.PID) })
	})
}

// asNobody calls f on a thread of its own that has lost the rights of root,
// after prepare.
func asNobody(t *testing.T, prepare func() error, f func(*Sampler) error) {
	if os.Geteuid() != 0 {
		t.Skip("needs root, to become somebody else")
	}
	done := make(chan error)
	go func() {
		runtime.LockOSThread() // never unlocked: the thread ends with the goroutine
		done <- func() error {
			if prepare != nil {
				if err := prepare(); err != nil {
					return fmt.Errorf("%w: %w", fs.ErrPermission, err)
				}
			}
			s, err := NewSampler()
			if err != nil {
				return err
			}
			defer s.Close()
			for _, call := range []uintptr{unix.SYS_SETGROUPS, unix.SYS_SETRESGID, unix.SYS_SETRESUID} {
				id := uintptr(65534)
				if call == unix.SYS_SETGROUPS {
					id = 0 // none
				}
				if _, _, errno := unix.RawSyscall(call, id, id, id); errno != 0 {
					return errno
				}
			}
			return f(s)
		}()
	}()
	err := <-done
	if errors.Is(err, fs.ErrPermission) {
		t.Skipf("can't be prepared here: %v", err)
	}
	if err != nil {
		t.Error(err)
	}
}
