package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/creack/pty"

	"github.com/gafferpm/gaffer/internal/proc"
)

// seats is a daemon, and terminals at which somebody sits.
type seats struct {
	*testing.T
	dir string
	v   *victim
}

func newSeats(t *testing.T, toml string) *seats {
	t.Helper()
	s := &seats{t, shortDir(t), nil}
	s.v = &victim{t: t, dir: s.dir}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		if _, err := proc.EndStrays(ctx, s.v.processes("WORK"), func(proc.Stray) syscall.Signal { return syscall.SIGKILL }); err != nil {
			t.Error(err)
		}
	})
	if err := os.WriteFile(filepath.Join(s.dir, "gaffer.toml"), []byte(toml), 0o600); err != nil {
		t.Fatal(err)
	}
	s.v.gaffer("daemon", "--background", "--config", filepath.Join(s.dir, "gaffer.toml"), "--pid-file", filepath.Join(s.dir, "pid"))
	return s
}

// stop stops the daemon: nothing is left when its own processes have ended, too.
func (s *seats) stop() {
	s.Helper()
	s.v.gaffer("daemon", "stop")
	for end := time.Now().Add(10 * time.Second); ; time.Sleep(time.Millisecond) {
		left := s.v.processes("WORK")
		if len(left) == 0 {
			return
		}
		if time.Now().After(end) {
			s.Fatalf("processes are left: %+v", left)
		}
	}
}

func (s *seats) holder() int {
	s.Helper()
	text, err := os.ReadFile(filepath.Join(s.dir, "pid"))
	if err != nil {
		s.Fatal(err)
	}
	pid, err := strconv.Atoi(strings.TrimSpace(string(text)))
	if err != nil {
		s.Fatal(err)
	}
	return pid
}

func (s *seats) command(args ...string) *exec.Cmd {
	cmd := exec.CommandContext(s.Context(), "gaffer", append([]string{args[0], "--state-dir", s.dir, "--runtime-dir", s.dir}, args[1:]...)...)
	cmd.Env = append(os.Environ(), "WORK="+s.dir, "TERM=vt220")
	return cmd
}

// killManager kills the manager, when there is one.
func (s *seats) killManager() {
	s.Helper()
	for end := time.Now().Add(20 * time.Second); ; time.Sleep(time.Millisecond) {
		manager := childWith(s.holder(), "manager")
		if manager != 0 && syscall.Kill(manager, syscall.SIGKILL) == nil {
			return
		}
		if time.Now().After(end) {
			s.Fatal("there is no manager")
		}
	}
}

// seat is a terminal at which a command runs.
type seat struct {
	*seats
	cmd      *exec.Cmd
	terminal *os.File // the end that shows it
	other    *os.File // kept open, so that it can be looked at
	before   string   // how it was

	mu    sync.Mutex // guards the rest
	shown strings.Builder
	at    int // up to where it was looked at
	came  chan struct{}
}

func (s *seats) sit(size pty.Winsize, args ...string) *seat {
	s.Helper()
	terminal, other, err := pty.Open()
	if err != nil {
		s.Fatal(err)
	}
	if err := pty.Setsize(terminal, &size); err != nil {
		s.Fatal(err)
	}
	one := &seat{seats: s, cmd: s.command(args...), terminal: terminal, other: other, came: make(chan struct{}, 1)}
	one.before = one.modes()
	one.cmd.Stdin, one.cmd.Stdout, one.cmd.Stderr = other, other, other
	one.cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Setctty: true}
	if err := one.cmd.Start(); err != nil {
		s.Fatal(err)
	}
	go one.watch()
	s.Cleanup(func() {
		_ = one.cmd.Process.Kill()
		_, _ = one.cmd.Process.Wait()
		_, _ = one.terminal.Close(), one.other.Close()
	})
	return one
}

func (s *seat) watch() {
	buf := make([]byte, 32<<10)
	for {
		n, err := s.terminal.Read(buf)
		s.mu.Lock()
		s.shown.Write(buf[:n])
		s.mu.Unlock()
		select {
		case s.came <- struct{}{}:
		default:
		}
		if err != nil {
			return
		}
	}
}

// sees waits until a text is shown after what was seen before, and returns all since.
func (s *seat) sees(want string) string {
	s.Helper()
	patience := time.After(30 * time.Second)
	for {
		s.mu.Lock()
		news := s.shown.String()[s.at:]
		if i := strings.Index(news, want); i >= 0 {
			s.at += i + len(want)
			s.mu.Unlock()
			return news[:i+len(want)]
		}
		s.mu.Unlock()
		select {
		case <-s.came:
		case <-patience:
			s.Fatalf("%q is not shown, but %q", want, news)
		}
	}
}

func (s *seat) types(text string) {
	s.Helper()
	if _, err := s.terminal.WriteString(text); err != nil {
		s.Fatal(err)
	}
}

// modes are those of the terminal, in the words of stty.
func (s *seat) modes() string {
	s.Helper()
	cmd := exec.CommandContext(s.Context(), "stty", "-g")
	cmd.Stdin = s.other
	out, err := cmd.Output()
	if err != nil {
		s.Fatal(err)
	}
	return string(out)
}

// ends waits for the end of the command, which has restored the terminal.
func (s *seat) ends(statuses ...int) {
	s.Helper()
	done := make(chan error, 1)
	go func() { done <- s.cmd.Wait() }()
	select {
	case err := <-done:
		var exit *exec.ExitError
		if err != nil && !errors.As(err, &exit) || !slices.Contains(statuses, s.cmd.ProcessState.ExitCode()) {
			s.Errorf("exit status %d, %v, want %d", s.cmd.ProcessState.ExitCode(), err, statuses)
		}
	case <-time.After(30 * time.Second):
		s.mu.Lock()
		defer s.mu.Unlock()
		s.Fatalf("it does not end; it shows %q", s.shown.String())
	}
	if after := s.modes(); after != s.before {
		s.Errorf("the terminal is left as %q, it was %q", after, s.before)
	}
}

// small is a window of 100x30.
var small = pty.Winsize{Cols: 100, Rows: 30}

const console1 = `
[process.console]
cmd = "sh console.sh"
shell = false
pty = true
[process.console.backoff]
first = "1h"
max = "1h"
`

// consoleScript answers each line, and says how large its window is.
const consoleScript = `stty -echo
trap 'echo "now $(stty size)"' WINCH
echo "ready $$ $TERM"
echo "now $(stty size)"
while :; do
	if read -r line; then
		case $line in
		exit*) exit ${line#exit} ;;
		many) i=0; while [ $i -lt 20000 ]; do echo "line $i of many"; i=$((i+1)); done ;;
		esac
		echo "got $line"
	fi
done
`

func newConsole(t *testing.T) *seats {
	t.Helper()
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "console.sh"), []byte(consoleScript), 0o600); err != nil {
		t.Fatal(err)
	}
	return newSeats(t, strings.ReplaceAll(console1, "console.sh", filepath.Join(dir, "console.sh")))
}

func TestAttachSeesTypesAndDetaches(t *testing.T) {
	s := newConsole(t)
	defer s.stop()
	one := s.sit(small, "attach", "console")
	first := one.sees("now 30 100\r\n") // what it wrote before comes first
	if !strings.Contains(first, "ready") || !strings.Contains(first, "xterm-256color\r\n") {
		t.Errorf("it begins with %q", first)
	}
	one.types("hello\r")
	one.sees("got hello\r\n")

	// A second one sees all of it, and has the size.
	two := s.sit(pty.Winsize{Cols: 50, Rows: 20}, "attach", "console.1")
	two.sees("now 20 50\r\n")
	one.sees("now 20 50\r\n")
	two.types("both\r")
	one.sees("got both\r\n")
	two.sees("got both\r\n")
	if err := pty.Setsize(one.terminal, &pty.Winsize{Cols: 90, Rows: 25}); err != nil {
		t.Fatal(err)
	}
	two.sees("now 25 90\r\n")

	// What only begins like the keys that detach is typed.
	two.types("\x10")
	two.types("x\r")
	one.sees("got \x10x\r\n")
	two.types("\x10")
	two.types("\x11")
	two.sees("gaffer: detached from console.1, which goes on")
	two.ends(0)
	one.types("still\r")
	one.sees("got still\r\n")
	one.types("exit 7\r")
	one.sees("gaffer: console.1 has ended: exit status 7")
	one.ends(7)
}

func TestAttachWithOtherKeysAndSignals(t *testing.T) {
	s := newConsole(t)
	defer s.stop()
	one := s.sit(small, "attach", "--detach-keys", "ctrl-a,d", "console")
	one.sees("now 30 100\r\n")
	one.types("\x10q\r")
	one.sees("got \x10q\r\n")
	one.types("\x01d")
	one.ends(0)

	for _, sig := range []syscall.Signal{syscall.SIGTERM, syscall.SIGHUP, syscall.SIGINT, syscall.SIGQUIT} {
		one = s.sit(small, "attach", "console")
		one.sees("now 30 100\r\n")
		if one.modes() == one.before {
			t.Error("the terminal is not raw")
		}
		if err := one.cmd.Process.Signal(sig); err != nil {
			t.Fatal(err)
		}
		one.ends(128 + int(sig))
	}

	// Whoever had the terminal meanwhile has left it as he likes.
	one = s.sit(small, "attach", "console")
	one.sees("now 30 100\r\n")
	raw := one.modes()
	cmd := exec.CommandContext(t.Context(), "stty", "sane")
	cmd.Stdin = one.other
	if err := cmd.Run(); err != nil {
		t.Fatal(err)
	}
	if err := one.cmd.Process.Signal(syscall.SIGCONT); err != nil {
		t.Fatal(err)
	}
	for end := time.Now().Add(10 * time.Second); one.modes() != raw; time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("it is not raw again")
		}
	}
	one.types("\x03") // it goes to the process, and ends that
	one.sees("console.1 has ended: ended by SIGINT")
	one.ends(130)
}

// The manager is killed while the process writes: the terminal is the holder's, too, and
// nothing of what is written is lost, doubled or out of order.
func TestAttachOutlivesTheManager(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("daemons are killed: not in a short run")
	}
	s := newConsole(t)
	defer s.stop()
	one := s.sit(small, "attach", "console")
	first := one.sees("now 30 100\r\n")
	pid := strings.Fields(first[strings.Index(first, "ready"):])[1]
	one.types("many\r")
	for round := range 4 {
		one.sees(fmt.Sprintf("line %d of many\r\n", 4000*(round+1)))
		s.killManager()
	}
	one.sees("got many\r\n")
	one.mu.Lock()
	shown := one.shown.String()
	one.mu.Unlock()
	var want, got strings.Builder
	for i := range 20000 {
		fmt.Fprintf(&want, "line %d of many\r\n", i)
	}
	for line := range strings.Lines(shown) {
		if strings.HasPrefix(line, "line ") {
			got.WriteString(line)
		}
	}
	if got.String() != want.String() {
		t.Errorf("%d bytes are shown, want %d", got.Len(), want.Len())
	}
	one.types("again\r")
	one.sees("got again\r\n")
	cmd := s.command("send", "console", "exit 3")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Errorf("%v: %s", err, out)
	}
	one.sees("console.1 has ended: exit status 3")
	one.ends(3)
	if alive(must(strconv.Atoi(pid))) {
		t.Error("it was another process")
	}
}

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

// The holder is killed: its terminals are the manager's alone then. With the next daemon
// they are gone, and so is what they control.
func TestTerminalsAfterTheHoldersEnd(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("daemons are killed: not in a short run")
	}
	s := newConsole(t)
	defer s.stop()
	one := s.sit(small, "attach", "console")
	first := one.sees("now 30 100\r\n")
	pid := must(strconv.Atoi(strings.Fields(first[strings.Index(first, "ready"):])[1]))
	if err := syscall.Kill(s.holder(), syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	one.types("hello\r")
	one.sees("got hello\r\n")
	s.v.gaffer("daemon", "--background", "--config", filepath.Join(s.dir, "gaffer.toml"), "--pid-file", filepath.Join(s.dir, "pid"))
	one.sees("console.1 has ended")
	// Newer kernels tell how it was; it is asked to stop at the same time.
	one.ends(1, 128+int(syscall.SIGHUP), 128+int(syscall.SIGTERM))
	if alive(pid) {
		t.Error("it runs without its terminal")
	}
}

func TestAttachWithoutATerminal(t *testing.T) {
	s := newSeats(t, `
[process.cat]
cmd = "sh -c 'echo begun; echo err >&2; while read x; do [ $x = end ] && exit 5; echo got $x; done'"
redirect_input = true
[process.deaf]
cmd = "sh -c 'echo deaf; sleep 1000'"
[process.deaf.backoff]
first = "1h"
max = "1h"
[process.once]
cmd = "true"
detach = true
[process.two]
cmd = "sleep 1000"
numprocesses = 2
`)
	defer s.stop()
	cmd := s.command("attach", "cat")
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	var out, stderr strings.Builder
	cmd.Stdout, cmd.Stderr = &out, &stderr
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	if _, err := io.WriteString(in, "one\n\x10\x11\nend\n"); err != nil {
		t.Fatal(err)
	}
	_ = cmd.Wait()
	if got := out.String(); cmd.ProcessState.ExitCode() != 5 || !strings.Contains(got, "cat.1  | begun\n") || !strings.Contains(got, "cat.1  | got one\ncat.1  | got \x10\x11\n") || !strings.Contains(got, "cat.1  ! err\n") ||
		!strings.Contains(stderr.String(), "cat.1 has ended: exit status 5") {
		t.Errorf("exit status %d\n%s\n%s", cmd.ProcessState.ExitCode(), got, stderr.String())
	}
	for target, want := range map[string]string{
		"once": "detached", "two": "selects 2 processes", "none": "not found", "two.3": "not found",
	} {
		out, err := s.command("attach", target).CombinedOutput()
		if err == nil || !strings.Contains(string(out), want) {
			t.Errorf("%s: %v, %s", target, err, out)
		}
	}
	one := s.sit(small, "attach", "deaf")
	one.sees("deaf.1 reads nothing")
	one.sees("deaf\r\n")
	one.types("\x03")
	one.ends(-1) // by the signal
}

func TestExecOnATerminal(t *testing.T) {
	s := newSeats(t, "[process.web]\ncmd = \"sleep 1000\"\nnumprocesses = 2\nport = 8000\n")
	defer s.stop()
	one := s.sit(small, "exec", "web.2", "--", "sh", "-c", `trap 'echo int' INT; trap 'stty size' WINCH; echo "$TERM $PORT $(stty size)"; while :; do read x && exit 3; done`)
	one.sees("vt220 8001 30 100\r\n")
	if err := pty.Setsize(one.terminal, &pty.Winsize{Cols: 40, Rows: 10}); err != nil {
		t.Fatal(err)
	}
	one.sees("10 40\r\n")
	one.types("\x03")
	one.sees("int\r\n")
	one.types("\r")
	one.ends(3)

	one = s.sit(small, "exec", "web", "--", "sh", "-c", "echo ready; sleep 1000")
	one.sees("ready")
	if err := one.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	one.ends(143)
}

func TestExecWithoutATerminal(t *testing.T) {
	s := newSeats(t, "[process.web]\ncmd = \"sleep 1000\"\n")
	defer s.stop()
	data := strings.Repeat("\x00\xff\r\nx", 300_000)
	cmd := s.command("exec", "web", "--", "sh", "-c", "cat; echo err >&2; tty || true; exit 9")
	var out, stderr strings.Builder
	cmd.Stdin, cmd.Stdout, cmd.Stderr = strings.NewReader(data), &out, &stderr
	_ = cmd.Run()
	if out.String() != data+"not a tty\n" || stderr.String() != "err\n" || cmd.ProcessState.ExitCode() != 9 {
		t.Errorf("%d bytes of %d, %q, exit status %d", out.Len(), len(data), stderr.String(), cmd.ProcessState.ExitCode())
	}
	for _, c := range []struct {
		args   []string
		status int
		want   string
	}{
		{[]string{"web", "--", "sh", "-c", "kill -9 $$"}, 137, ""},
		{[]string{"-t", "web", "--", "stty", "size"}, 0, "24 80"},
		{[]string{"-e", "A=b c", "web", "--", "sh", "-c", `echo "$A"`}, 0, "b c"},
		{[]string{"-n", "web", "--", "cat"}, 0, ""},
		{[]string{"web", "--", "nowhere-to-be-found"}, 1, "nowhere-to-be-found"},
		{[]string{"none", "--", "true"}, 1, "not found"},
		{[]string{"web"}, 2, "which command"},
		{[]string{"--", "true"}, 2, "where"},
		{[]string{"web", "true"}, 2, "behind --"},
		{[]string{"-t", "-T", "web", "--", "true"}, 2, "one of them"},
		{[]string{"-e", "A", "web", "--", "true"}, 2, "NAME=VALUE"},
	} {
		cmd := s.command(append([]string{"exec"}, c.args...)...)
		out, _ := cmd.CombinedOutput()
		if cmd.ProcessState.ExitCode() != c.status || !strings.Contains(string(out), c.want) {
			t.Errorf("%q: exit status %d, %s", c.args, cmd.ProcessState.ExitCode(), out)
		}
	}
	for _, sig := range []syscall.Signal{syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP} {
		cmd := s.command("exec", "web", "--", "sh", "-c", fmt.Sprintf("trap 'exit %d' %d; echo ready; while :; do sleep 0.01; done", 40+int(sig), int(sig)))
		started(t, cmd)
		if err := cmd.Process.Signal(sig); err != nil {
			t.Fatal(err)
		}
		_ = cmd.Wait()
		if got := cmd.ProcessState.ExitCode(); got != 40+int(sig) {
			t.Errorf("%v: exit status %d", sig, got)
		}
	}
}

// started starts a command, and waits until it has written something.
func started(t *testing.T, cmd *exec.Cmd) string {
	t.Helper()
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	buf := make([]byte, 100)
	n, err := out.Read(buf)
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(string(buf[:n]))
}

// What is executed ends with whoever asked for it, with the manager, and is found by the
// next one if that was killed.
func TestExecOutlivesNobody(t *testing.T) {
	if testing.Short() {
		t.Skip("daemons are killed: not in a short run")
	}
	s := newSeats(t, "[process.web]\ncmd = \"sleep 1000\"\n")
	defer s.stop()
	const hides = "trap '' HUP TERM INT; setsid sh -c 'trap \"\" HUP TERM INT; echo $$; exec sleep 1000' & wait"
	for name, kill := range map[string]func(*exec.Cmd){
		"client":  func(cmd *exec.Cmd) { _ = cmd.Process.Kill() },
		"manager": func(*exec.Cmd) { s.killManager() },
	} {
		cmd := s.command("exec", "-n", "web", "--", "sh", "-c", hides)
		hidden := must(strconv.Atoi(started(t, cmd)))
		kill(cmd)
		_ = cmd.Wait()
		for end := time.Now().Add(20 * time.Second); alive(hidden); time.Sleep(time.Millisecond) {
			if time.Now().After(end) {
				t.Fatalf("%s: what the command has started runs on", name)
			}
		}
		if name == "manager" && cmd.ProcessState.ExitCode() != 1 {
			t.Errorf("exit status %d", cmd.ProcessState.ExitCode())
		}
	}
	if out, err := s.command("ps", "--no-stats").CombinedOutput(); err != nil || !strings.Contains(string(out), "web.1") {
		t.Errorf("%v: %s", err, out)
	}
}
