package gaffer

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// What needs an operating system to be shown.

// script is a template of a shell script.
func script(name, text string, more ...func(*Template)) Template {
	t := Template{Name: name, Cmd: text, Shell: true}
	for _, f := range more {
		f(&t)
	}
	return t
}

func TestShellRunsAScript(t *testing.T) {
	r := newReal(t, Options{})
	r.ok(r.Add(r.ctx, script("sh", `for i in 1 2 3; do printf "$i-"; done | cat; echo "$1"; exec sleep 100`, args("an argument"))))
	r.reads(r.output("sh", OutputOptions{Tail: -1}), "1-2-3-an argument")
}

func TestWorkingDirectoryIsApplied(t *testing.T) {
	r := newReal(t, Options{})
	dir := t.TempDir()
	r.ok(r.Add(r.ctx, script("sh", "pwd -P; exec sleep 100", func(t *Template) { t.Cwd = dir })))
	r.reads(r.output("sh", OutputOptions{Tail: -1}), dir)
}

func TestUserAndGroupsAreApplied(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("only root can run programs as somebody else")
	}
	r := newReal(t, Options{})
	r.ok(r.Add(r.ctx, script("sh", `echo "$(id -u) $(id -g) $(id -G) $USER $LOGNAME"; exec sleep 100`, func(t *Template) {
		t.UID, t.Cwd = "daemon", "/"
	})))
	r.reads(r.output("sh", OutputOptions{Tail: -1}), "1 1 1 daemon daemon")
}

func TestOwnUserIsAllowedToAnybody(t *testing.T) {
	r := newReal(t, Options{})
	r.ok(r.Add(r.ctx, script("sh", `id -u; exec sleep 100`, func(t *Template) { t.UID = Account(strconv.Itoa(os.Getuid())) })))
	r.reads(r.output("sh", OutputOptions{Tail: -1}), strconv.Itoa(os.Getuid()))
	if os.Getuid() == 0 {
		return
	}
	if err := r.Add(r.ctx, script("other", "id", func(t *Template) { t.UID = "root" })); !errors.Is(err, ErrInvalid) {
		t.Errorf("another user, not being root: %v", err)
	}
}

// alive says whether a process exists that is no zombie.
func alive(pid int) bool {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return syscall.Kill(pid, 0) == nil && !os.IsNotExist(err)
	}
	_, rest, _ := bytes.Cut(stat, []byte(") "))
	return !bytes.HasPrefix(rest, []byte("Z"))
}

func TestStopEndsWhatTheProcessStarted(t *testing.T) {
	r := newReal(t, Options{})
	r.ok(r.Add(r.ctx, script("sh", `trap 'exit 7' TERM; (trap '' TERM; sleep 100 & echo "pid $!"; wait) & wait; wait`)))
	line := r.reads(r.output("sh", OutputOptions{Tail: -1}), "pid ")
	pid, err := strconv.Atoi(strings.TrimPrefix(string(line.Data), "pid "))
	r.ok(err)
	r.ok(r.Stop(r.ctx, "sh"))
	if alive(pid) {
		t.Errorf("process %d outlives the stop", pid)
	}
	exit := r.next(KindExit).Exit
	if !strings.Contains(exit.Reason, "had left behind") {
		t.Errorf("the exit does not say what had to be killed: %+v", exit)
	}
}

func TestGrandchildWithThePipeDelaysNothing(t *testing.T) {
	r := newReal(t, Options{})
	r.ok(r.Add(r.ctx, script("sh", "sleep 100 & echo hello; exit 5", noBackoff, numprocesses(1))))
	exit := r.next(KindExit)
	if exit.Exit.Status != 5 {
		t.Errorf("exit %+v", exit.Exit)
	}
	r.next(KindSpawn) // the replacement comes too
}

func TestDetachedOutlivesTheManager(t *testing.T) {
	r := newReal(t, Options{})
	r.ok(r.Add(r.ctx, program("batch", "sleep", func(t *Template) { t.Detach = true })))
	pid := r.next(KindSpawn).PID
	t.Cleanup(func() { // before the manager's, which has ended by then
		if alive(pid) {
			_ = syscall.Kill(pid, syscall.SIGKILL)
		}
	})
	sid, err := getsid(pid)
	r.ok(err)
	if sid != pid {
		t.Errorf("process %d is in session %d", pid, sid)
	}
	r.ok(r.Remove(r.ctx, "batch"))
	if !alive(pid) {
		t.Error("the detached process ended with its template")
	}
}

func TestOutputLabels(t *testing.T) {
	const text = "echo out; echo err >&2; exec sleep 100"
	for _, c := range []struct {
		labels []string
		want   string
	}{
		{nil, "stdout:out stderr:err"},
		{[]string{"a", "b"}, "a:out b:err"},
		{[]string{"both", "both"}, "both:out both:err"},
		{[]string{"only"}, "only:out"},
	} {
		r := newReal(t, Options{})
		r.ok(r.Add(r.ctx, script("sh", text, func(t *Template) { t.RedirectOutput = c.labels })))
		out := r.output("sh", OutputOptions{Tail: -1})
		got := map[string]bool{}
		for range strings.Fields(c.want) {
			o, err := out.Next(r.ctx)
			r.ok(err)
			got[o.Label+":"+string(o.Data)] = true
		}
		for _, want := range strings.Fields(c.want) {
			if !got[want] {
				t.Errorf("labels %q: got %v, want %s", c.labels, got, c.want)
			}
		}
	}
}

func TestOutputNobodyWantsIsDiscarded(t *testing.T) {
	r := newReal(t, Options{})
	r.ok(r.Add(r.ctx, script("sh", "echo out; echo err >&2; echo done >&3; exec sleep 100", func(t *Template) {
		t.RedirectOutput, t.CustomStreams = []string{}, []string{"link"}
	})))
	out := r.output("sh", OutputOptions{Tail: -1})
	if o := r.reads(out, "done"); o.Label != "link" {
		t.Errorf("output %+v", o)
	}
}

func TestBacklogComesFirstThenWhatIsNew(t *testing.T) {
	r := newReal(t, Options{})
	r.ok(r.Add(r.ctx, script("sh", "echo 1; echo 2; echo 3; while read x; do echo $x; done", func(t *Template) { t.RedirectInput = true })))
	all := r.output("sh", OutputOptions{Tail: -1})
	r.reads(all, "3")
	two := r.output("sh", OutputOptions{Tail: 2})
	none := r.output("sh", OutputOptions{})
	past := r.output("sh", OutputOptions{Tail: -1, NoFollow: true})
	r.ok(r.Write(r.ctx, "sh", "stdin", []byte("4\n")))
	for _, c := range []struct {
		out  Stream[Output]
		want string
	}{{two, "2 3 4"}, {none, "4"}, {all, "4"}} {
		for _, want := range strings.Fields(c.want) {
			if o, err := c.out.Next(r.ctx); err != nil || string(o.Data) != want {
				t.Errorf("got %q, %v, want %s of %s", o.Data, err, want, c.want)
			}
		}
	}
	var seen []string
	for {
		o, err := past.Next(r.ctx)
		if errors.Is(err, io.EOF) {
			break
		}
		r.ok(err)
		seen = append(seen, string(o.Data))
	}
	if got := strings.Join(seen, " "); got != "1 2 3" {
		t.Errorf("what was written before: %s", got)
	}
}

func TestOutputFollowsReplacedProcesses(t *testing.T) {
	r := newReal(t, Options{})
	out := r.output(All, OutputOptions{})
	r.ok(r.Add(r.ctx, script("sh", `echo "I am $GAFFER_ID"; exec sleep 100`)))
	r.reads(out, "I am 1")
	r.ok(r.Restart(r.ctx, "sh", StopFirst))
	if o := r.reads(out, "I am 2"); o.ID != 2 || o.Slot != 1 {
		t.Errorf("output %+v", o)
	}
	// what the process before wrote is still there for whoever comes now
	r.reads(r.output("sh", OutputOptions{Tail: -1}), "I am 1I am 2")
}

func TestLastLineWithoutNewlineIsDelivered(t *testing.T) {
	r := newReal(t, Options{})
	out := r.output(All, OutputOptions{})
	r.ok(r.Add(r.ctx, script("sh", `printf "no newline"; exit 1`, backsOff(Backoff{}))))
	r.reads(out, "no newline")
}

func TestMegabytesWithoutNewlineInBoundedMemory(t *testing.T) {
	r := newReal(t, Options{})
	r.ok(r.Add(r.ctx, script("sh", "head -c 67108864 /dev/zero; echo; echo end; exec sleep 100", notStarted)))
	out := r.output("sh", OutputOptions{})
	r.ok(r.Start(r.ctx, "sh"))
	var total, lost int
	for {
		o, err := out.Next(r.ctx)
		if missed := Missed(0); errors.As(err, &missed) {
			lost += int(missed)
			continue
		}
		r.ok(err)
		if len(o.Data) > 64<<10 {
			t.Fatalf("a record of %d bytes", len(o.Data))
		}
		if string(o.Data) == "end" {
			break
		}
		total += len(o.Data)
	}
	if lost == 0 && total != 64<<20 {
		t.Errorf("%d bytes, want %d", total, 64<<20)
	}
}

func TestFilesArePassedOn(t *testing.T) {
	r := newReal(t, Options{})
	in, out, err := os.Pipe()
	r.ok(err)
	defer in.Close()
	r.ok(r.Add(r.ctx, script("sh", "echo through >&3; exec sleep 100", func(t *Template) { t.Files = []*os.File{out} })))
	r.ok(out.Close())
	buf := make([]byte, 100)
	n, err := in.Read(buf)
	r.ok(err)
	if string(buf[:n]) != "through\n" {
		t.Errorf("read %q", buf[:n])
	}
}

func TestHugeEnvironmentIsRefusedByName(t *testing.T) {
	r := newReal(t, Options{})
	huge := script("sh", "exec sleep 100", func(t *Template) {
		t.Env = map[string]string{"HUGE": strings.Repeat("x", 10<<20)}
	})
	r.ok(r.Add(r.ctx, script("other", "exec sleep 100")))
	err := r.Add(r.ctx, huge)
	st := r.status("other")
	if err == nil {
		// It could not be known before the start: then the template says so.
		if st := r.status("sh"); st.State != InBackoff || !strings.Contains(st.Reason, "environment") {
			t.Errorf("status %+v", st)
		}
	} else if !strings.Contains(err.Error(), "environment") {
		t.Errorf("Add: %v", err)
	}
	if st.Running != 1 {
		t.Errorf("the other template: %+v", st)
	}
}

func TestRestartOfAGroup(t *testing.T) {
	r := newReal(t, Options{})
	for _, name := range []string{"jobs:a", "jobs:b", "web"} {
		r.ok(r.Add(r.ctx, program(name, "sleep")))
	}
	r.ok(r.Restart(r.ctx, "jobs:*", Overlap))
	for name, want := range map[string]uint64{"jobs:a": 4, "jobs:b": 5, "web": 3} {
		if p := r.status(name).Processes; len(p) != 1 || p[0].ID != want && name == "web" || p[0].ID <= 3 && name != "web" {
			t.Errorf("%s: %+v", name, p)
		}
	}
}

// What left the session and lost its parent is found by its mark, also when a
// manager below ours has added its own.
func TestOrphansInSessionsOfTheirOwnAreEnded(t *testing.T) {
	if _, err := exec.LookPath("setsid"); err != nil || runtime.GOOS != "linux" {
		t.Skip("needs Linux and the program setsid")
	}
	for _, mark := range []string{"$GAFFER_INSTANCE", "$GAFFER_INSTANCE/inner.1"} {
		r := newReal(t, Options{Subreaper: true, NoCgroup: true})
		r.ok(r.Add(r.ctx, script("sh", `(GAFFER_INSTANCE="`+mark+`" setsid sh -c 'echo pid $$; exec sleep 100' &); read ready; exit 4`, func(t *Template) {
			t.RedirectInput = true
		}, backsOff(Backoff{First: new(Duration(20 * time.Second))}))))
		line := r.reads(r.output("sh", OutputOptions{Tail: -1}), "pid ")
		pid, err := strconv.Atoi(strings.TrimPrefix(string(line.Data), "pid "))
		r.ok(err)
		r.ok(r.Write(r.ctx, "sh", "stdin", []byte("go\n")))
		exit := r.next(KindExit).Exit
		if exit.Status != 4 || !strings.Contains(exit.Reason, "1 process it had left behind") || alive(pid) {
			t.Errorf("mark %s: exit %+v, process %d lives: %v", mark, exit, pid, alive(pid))
		}
		r.ok(r.Remove(r.ctx, "sh"))
	}
}
