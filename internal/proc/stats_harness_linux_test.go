package proc

import (
	"bufio"
	"io"
	"os/exec"
	"runtime"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

func newSampler(t testing.TB) *Sampler {
	t.Helper()
	s, err := NewSampler()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

func sampleOne(t testing.TB, s *Sampler, pid int, want Want) (u Usage) {
	t.Helper()
	err := s.Sample([]int{pid}, want|WantNames, func(root *Usage) { u = clone(root) })
	if err != nil {
		t.Fatal(err)
	}
	if u.PID != pid {
		t.Fatalf("pid %d: not told of", pid)
	}
	return u
}

// sampleUntil samples until ok; the test's deadline is that of the waiting.
func sampleUntil(t testing.TB, s *Sampler, pid int, ok func(*Usage) bool) Usage {
	t.Helper()
	for t.Context().Err() == nil {
		if u := sampleOne(t, s, pid, WantFDs|WantIO); ok(&u) {
			return u
		}
		runtime.Gosched()
	}
	t.Fatalf("pid %d: never as it should be", pid)
	return Usage{}
}

func clone(u *Usage) Usage {
	c := *u
	c.Children = nil
	for i := range u.Children {
		c.Children = append(c.Children, clone(&u.Children[i]))
	}
	return c
}

// shape is the commands of a tree.
func shape(u *Usage) string {
	if len(u.Children) == 0 {
		return u.Command
	}
	var children []string
	for i := range u.Children {
		children = append(children, shape(&u.Children[i]))
	}
	return u.Command + "(" + strings.Join(children, " ") + ")"
}

func nice(t testing.TB) int {
	t.Helper()
	n, err := unix.Getpriority(unix.PRIO_PROCESS, 0)
	if err != nil {
		t.Fatal(err)
	}
	return 20 - n
}

// sampled is a process to look at.
type sampled struct {
	cmd *exec.Cmd
	in  io.Writer
	out *bufio.Reader
	s   *Sampler
}

// run starts a process that is ended, with all it has started, after the test.
func run(t testing.TB, name string, args ...string) *sampled {
	t.Helper()
	c := &sampled{cmd: exec.Command(name, args...), s: newSampler(t)}
	in, err := c.cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := c.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	c.in, c.out = in, bufio.NewReader(out)
	if err := c.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.end)
	return c
}

func (c *sampled) pid() int { return c.cmd.Process.Pid }

func (c *sampled) line(t testing.TB) string {
	t.Helper()
	line, err := c.out.ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}
	return line
}

// end ends the process and all below it, the lowest first, so that each is
// awaited by its parent.
func (c *sampled) end() {
	if c.cmd.ProcessState != nil {
		return
	}
	for {
		alive := false
		err := c.s.Sample([]int{c.pid()}, 0, func(u *Usage) { alive = killLeaves(u) })
		if err != nil || !alive {
			break
		}
		runtime.Gosched()
	}
	_ = c.cmd.Wait() // killed
}

func killLeaves(u *Usage) (alive bool) {
	if u.State == 'Z' {
		return false
	}
	below := false
	for i := range u.Children {
		below = killLeaves(&u.Children[i]) || below
	}
	if !below {
		_ = syscall.Kill(u.PID, syscall.SIGKILL) // it may be gone
	}
	return true
}
