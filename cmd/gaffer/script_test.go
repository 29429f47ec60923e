package main

import (
	"bufio"
	"context"
	"errors"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/gafferpm/gaffer"
	"github.com/gafferpm/gaffer/internal/proc"
)

func TestMain(m *testing.M) {
	// What others could write is refused when the tests run as root.
	syscall.Umask(0o022)
	testscript.Main(m, map[string]func(){"gaffer": main, "reaper": reaper, "listener": listener, "ask": ask, "notify": notify})
}

// TestScripts runs the scripts of testdata/script. In them, gaffer is this
// program, and beside testscript's own commands there are
//
//	exits STATUS COMMAND…   run a command that has to exit with that status
//	mkfifo FILE…            make named pipes
//	signal NAME FILE        send a signal to the process whose id is in the file
//	hear FILE TEXT          wait for a line that ends so in a named pipe
//	gone FILE…              the processes whose ids are in the files have ended
//	freed FILE              wait until nobody holds the lock of a file
//	told TEXT…              wait until the daemon has told systemd, which the script is
//	masked FILE WANT        compare, without times, pids and the like
//	freeport NAME FILE…     set a variable to a free port, and put it for NAME into files
//	awaits [-count=N] REGEXP COMMAND…  run a command until it writes a line that matches
func TestScripts(t *testing.T) {
	// Under nohup a hang-up is ignored, and so it is by what the scripts start,
	// unless it is caught here.
	hangups := make(chan os.Signal, 1)
	signal.Notify(hangups, syscall.SIGHUP)
	defer signal.Stop(hangups)
	deadline, ok := t.Deadline()
	if !ok {
		deadline = time.Now().Add(5 * time.Minute)
	}
	testscript.Run(t, testscript.Params{
		Dir:      filepath.Join("testdata", "script"),
		Deadline: deadline,
		Setup: func(env *testscript.Env) error {
			// The variables of whoever runs the tests are not those of the scripts.
			for _, name := range []string{"PORT", "NO_COLOR", "CLICOLOR_FORCE", "TERM", "XDG_STATE_HOME", "XDG_RUNTIME_DIR"} {
				env.Setenv(name, "")
			}
			env.Setenv("GORACE", "atexit_sleep_ms=10") // not a second at each end
			// Each script has a daemon of its own, if it starts one.
			env.Setenv("GAFFER_STATE_DIR", filepath.Join(env.WorkDir, ".state"))
			env.Setenv("GAFFER_RUNTIME_DIR", filepath.Join(env.WorkDir, ".run"))
			env.Setenv("XDG_CONFIG_HOME", filepath.Join(env.WorkDir, ".config"))
			for _, name := range []string{"GAFFER_CONFIG", "GAFFER_PROFILE", "GAFFER_HOST", "GAFFER_KEY", "GAFFER_KEY_FILE", "NOTIFY_SOCKET", "GAFFER_INSTANCE"} {
				env.Setenv(name, "")
			}
			env.Values[serviceListener{}] = new(serviceListener)
			env.Defer(func() { endAll(env.T(), env.WorkDir) })
			return nil
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"exits":    exits,
			"manager":  managerOf,
			"mkfifo":   mkfifo,
			"hear":     func(ts *testscript.TestScript, neg bool, args []string) { hear(ts, deadline, args) },
			"gone":     gone,
			"told":     func(ts *testscript.TestScript, neg bool, args []string) { told(ts, deadline, neg, args) },
			"freed":    func(ts *testscript.TestScript, neg bool, args []string) { freed(ts, deadline, args) },
			"signal":   sendSignal,
			"masked":   masked,
			"freeport": freePort,
			"awaits":   func(ts *testscript.TestScript, neg bool, args []string) { awaits(ts, deadline, neg, args) },
		},
		Condition: func(name string) (bool, error) {
			switch name {
			case "root":
				return os.Geteuid() == 0, nil
			case "landlock":
				return len((&proc.Limits{Landlock: true}).Lacks()) == 0, nil
			}
			return false, errors.New("unknown condition " + name)
		},
	})
}

// endAll ends what a script has left running: daemons, and after them their services.
// All of it has the script's directory in its environment.
func endAll(t testscript.T, dir string) {
	left := func() []proc.Stray {
		return proc.Strays(proc.Search{Mark: func(entry string) bool { return entry == "WORK="+dir }})
	}
	for range 3 {
		found := left()
		if len(found) == 0 {
			return
		}
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		killed, err := proc.EndStrays(ctx, found, func(proc.Stray) syscall.Signal { return syscall.SIGTERM })
		cancel()
		if err != nil || len(killed) > 0 {
			t.Log("what the script has started and left did not end when asked:", killed, err)
		}
	}
	t.Log("processes are left:", left())
	t.FailNow()
}

func exits(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("want: exits STATUS COMMAND...")
	}
	status, err := strconv.Atoi(args[0])
	ts.Check(err)
	got := 0
	err = ts.Exec(args[1], args[2:]...)
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		got = exit.ExitCode()
	} else {
		ts.Check(err)
	}
	if got != status {
		ts.Fatalf("exit status %d, want %d", got, status)
	}
}

func mkfifo(ts *testscript.TestScript, neg bool, args []string) {
	for _, name := range args {
		ts.Check(syscall.Mkfifo(ts.MkAbs(name), 0o600))
	}
}

func hear(ts *testscript.TestScript, deadline time.Time, args []string) {
	if len(args) != 2 {
		ts.Fatalf("want: hear FILE TEXT")
	}
	// Opened for writing too, there is no end of the file while nobody else writes.
	f, err := os.OpenFile(ts.MkAbs(args[0]), os.O_RDWR|syscall.O_NONBLOCK, 0)
	ts.Check(err)
	defer f.Close()
	ts.Check(f.SetReadDeadline(deadline.Add(-10 * time.Second)))
	lines := bufio.NewReader(f)
	for {
		line, err := lines.ReadString('\n')
		ts.Check(err)
		if strings.HasSuffix(line, args[1]+"\n") {
			return
		}
	}
}

// sendSignal is kill for every signal: testscript's own knows two.
func sendSignal(ts *testscript.TestScript, neg bool, args []string) {
	if len(args) != 2 {
		ts.Fatalf("want: signal NAME FILE")
	}
	sig, err := gaffer.ParseSignal(args[0])
	ts.Check(err)
	pid, err := strconv.Atoi(strings.TrimSpace(ts.ReadFile(args[1])))
	ts.Check(err)
	ts.Check(syscall.Kill(pid, syscall.Signal(sig)))
}

// managerOf writes the pid of the manager of the daemon whose pid is in a file to another.
func managerOf(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("want: manager FILE FILE")
	}
	pid, err := strconv.Atoi(strings.TrimSpace(ts.ReadFile(args[0])))
	ts.Check(err)
	manager := childWith(pid, "manager")
	if manager == 0 {
		ts.Fatalf("%s: the daemon has no manager", args[0])
	}
	ts.Check(os.WriteFile(ts.MkAbs(args[1]), []byte(strconv.Itoa(manager)), 0o600))
}

func gone(ts *testscript.TestScript, neg bool, args []string) {
	for _, name := range args {
		pid, err := strconv.Atoi(strings.TrimSpace(ts.ReadFile(name)))
		ts.Check(err)
		if alive(pid) {
			ts.Fatalf("%s: process %d still runs", name, pid)
		}
	}
}

func freed(ts *testscript.TestScript, deadline time.Time, args []string) {
	if len(args) != 1 {
		ts.Fatalf("want: freed FILE")
	}
	f, err := os.Open(ts.MkAbs(args[0]))
	ts.Check(err)
	done := make(chan error, 1)
	go func() {
		defer f.Close()
		done <- syscall.Flock(int(f.Fd()), syscall.LOCK_SH)
	}()
	select {
	case err := <-done:
		ts.Check(err)
	case <-time.After(time.Until(deadline) - 10*time.Second):
		ts.Fatalf("%s: somebody still holds its lock", args[0])
	}
}

// alive tells whether a process runs; one that has ended and was not waited for
// does not.
func alive(pid int) bool {
	if syscall.Kill(pid, 0) != nil {
		return false
	}
	stat, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
	if err != nil {
		return !errors.Is(err, os.ErrNotExist)
	}
	_, after, _ := strings.Cut(string(stat), ") ")
	return !strings.HasPrefix(after, "Z")
}
