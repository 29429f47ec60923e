package main

import (
	"context"
	"flag"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/gafferpm/gaffer"
	"github.com/gafferpm/gaffer/client"
	"github.com/gafferpm/gaffer/internal/proc"
)

var killRounds = flag.Int("kill-rounds", 4, "how often a daemon is killed while it is told what to run")

// victim is a daemon that is killed and started again, and what it has acknowledged.
type victim struct {
	t      *testing.T
	dir    string
	wanted map[string]int // the number of processes of each template
	begun  map[string]int // the same, with the change that was not acknowledged; -1: removed
}

func (v *victim) gaffer(args ...string) {
	v.t.Helper()
	args = append(args, "--state-dir", v.dir, "--runtime-dir", v.dir)
	cmd := exec.CommandContext(v.t.Context(), "gaffer", args...)
	cmd.Env = append(os.Environ(), "WORK="+v.dir)
	if out, err := cmd.CombinedOutput(); err != nil {
		v.t.Fatalf("gaffer %s: %v: %s", strings.Join(args, " "), err, out)
	}
}

// change makes random changes, until the daemon does not answer any more, or ctx ends.
func (v *victim) change(ctx context.Context, c *client.Client) {
	for ctx.Err() == nil {
		name, n := fmt.Sprintf("t%d", rand.IntN(6)), rand.IntN(4)
		was, there := v.wanted[name]
		var err error
		ctx := context.WithoutCancel(ctx) // what has begun is waited for
		switch {
		case !there:
			v.begun = map[string]int{name: n}
			err = c.Add(ctx, gaffer.Template{
				Name: name, Cmd: "sleep 1000", NumProcesses: &n, Env: map[string]string{"VICTIM": v.dir},
			})
		case was == n:
			n = -1
			v.begun = map[string]int{name: n}
			err = c.Remove(ctx, gaffer.Target(name))
		default:
			v.begun = map[string]int{name: n}
			_, err = c.Scale(ctx, gaffer.Target(name), gaffer.Change{Op: '=', N: n})
		}
		if err != nil {
			return
		}
		v.wanted[name] = n
		if n < 0 {
			delete(v.wanted, name)
		}
		v.begun = nil
	}
}

// check compares what a new daemon runs with what the killed one had acknowledged,
// and learns what became of the change that it had not.
func (v *victim) check(c *client.Client) {
	infos := v.list(c)
	got := map[string]int{}
	for _, info := range infos {
		got[info.Template.Name] = info.Status.MaxProcesses
	}
	maps.DeleteFunc(v.begun, func(name string, n int) bool {
		if now, there := got[name]; there && now == n {
			v.wanted[name] = n
		} else if !there && n < 0 {
			delete(v.wanted, name)
		}
		return true
	})
	if !maps.Equal(got, v.wanted) {
		v.t.Fatalf("after a kill there is %v, want %v", got, v.wanted)
	}
	running := map[string]int{}
	for _, s := range v.processes("VICTIM") {
		running[s.Value]++
	}
	for name, n := range v.wanted {
		if running[name] != n {
			v.t.Errorf("%s: %d processes run, want %d; the daemon says %+v", name, running[name], n, infos)
		}
	}
}

// list waits until nothing is on its way out: what the daemon before has begun to remove
// may still be when the next one answers.
func (v *victim) list(c *client.Client) []gaffer.Info {
	for end := time.Now().Add(20 * time.Second); ; time.Sleep(time.Millisecond) {
		infos, err := c.List(v.t.Context(), gaffer.All)
		if err == nil && time.Now().After(end) {
			err = fmt.Errorf("it still stops: %+v", infos)
		}
		if err != nil {
			v.t.Fatal(err)
		}
		if !slices.ContainsFunc(infos, func(i gaffer.Info) bool { return i.Status.State == gaffer.Stopping }) {
			return infos
		}
	}
}

// processes are those with a variable that has the victim's directory: WORK is the
// daemon's and its services', VICTIM the services'.
func (v *victim) processes(variable string) []proc.Stray {
	return proc.Strays(proc.Search{Mark: func(entry string) bool { return entry == variable+"="+v.dir }, Variable: "GAFFER_NAME"})
}

// shortDir is a directory for a socket, whose path can't be long.
func shortDir(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "gaffer")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := os.RemoveAll(dir); err != nil {
			t.Error(err)
		}
	})
	return dir
}

func TestAKilledDaemonForgetsNothingAndIsFollowedByOneCopyOfEach(t *testing.T) {
	t.Parallel()
	v := &victim{t: t, dir: shortDir(t), wanted: map[string]int{}}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		if _, err := proc.EndStrays(ctx, v.processes("WORK"), func(proc.Stray) syscall.Signal { return syscall.SIGKILL }); err != nil {
			t.Error(err)
		}
	})
	pidFile := filepath.Join(v.dir, "pid")
	for round := range *killRounds {
		v.gaffer("daemon", "--background", "--pid-file", pidFile)
		c, err := client.New("unix://"+filepath.Join(v.dir, socketName), client.Options{})
		if err != nil {
			t.Fatal(err)
		}
		v.check(c)
		text, err := os.ReadFile(pidFile)
		if err != nil {
			t.Fatal(err)
		}
		holder, err := strconv.Atoi(strings.TrimSpace(string(text)))
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
		time.AfterFunc(rand.N(100*time.Millisecond), func() {
			// Both, or the holder alone: its manager then goes on until the next daemon comes.
			if manager := childWith(holder, "manager"); manager != 0 && round%2 == 0 {
				_ = syscall.Kill(manager, syscall.SIGKILL)
			}
			_ = syscall.Kill(holder, syscall.SIGKILL)
		})
		v.change(ctx, c)
		<-ctx.Done()
		cancel()
		if err := c.Close(); err != nil {
			t.Error(err)
		}
	}
	v.gaffer("daemon", "--background")
	v.gaffer("daemon", "stop")
}

// childWith is the child of a process that has a word in its command line, 0 if there
// is none.
func childWith(parent int, word string) int {
	threads, _ := os.ReadDir(fmt.Sprintf("/proc/%d/task", parent))
	for _, thread := range threads {
		children, _ := os.ReadFile(fmt.Sprintf("/proc/%d/task/%s/children", parent, thread.Name()))
		for _, child := range strings.Fields(string(children)) {
			line, _ := os.ReadFile("/proc/" + child + "/cmdline")
			words := strings.Split(string(line), "\x00")
			if len(words) > 2 && words[1] == "daemon" && words[2] == word {
				pid, _ := strconv.Atoi(child)
				return pid
			}
		}
	}
	return 0
}
