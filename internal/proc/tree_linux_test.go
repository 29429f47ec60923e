package proc

import (
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// The ways in which the family program starts its members.
const (
	inGroup    = "group"    // an ordinary child
	inSession  = "session"  // a child with its own session
	asDaemon   = "daemon"   // an orphan with its own session
	asLeader   = "leader"   // an orphan that leads its own session
	asStranger = "stranger" // a child with its own session and without our environment
	asGhost    = "ghost"    // an orphan with its own session and without our environment
)

// family starts a member in each of the ways in args, prints "WAY PID" for each,
// and leaves if the last argument says so.
func family(args []string) int {
	last := args[len(args)-1]
	for _, way := range args[:len(args)-1] {
		pid, err := startMember(way)
		if err != nil {
			fmt.Println(err)
			return 1
		}
		fmt.Println(way, pid)
	}
	fmt.Println("ready")
	if last == "leave" {
		return 0
	}
	return sleeper(nil)
}

func startMember(way string) (pid int, err error) {
	env := os.Environ()
	if way == asStranger || way == asGhost {
		env = nil
	}
	own := way != inGroup
	name := "sleeper"
	switch way {
	case asDaemon, asGhost:
		name = "daemonizer"
	case asLeader:
		name, own = "leaderizer", false
	}
	cmd := again(name, env, own)
	if name == "sleeper" {
		cmd.Stdout = os.Stdout // it holds the pipe open
		if err := cmd.Start(); err != nil {
			return 0, err
		}
		return cmd.Process.Pid, nil
	}
	text, err := cmd.Output()
	if err != nil {
		return 0, fmt.Errorf("%s: %w", name, err)
	}
	return strconv.Atoi(strings.TrimSpace(string(text)))
}

// again is this binary as another program.
func again(name string, env []string, ownSession bool) *exec.Cmd {
	return &exec.Cmd{
		Path: "/proc/self/exe", Args: os.Args[:1], Env: append(env, programVariable+"="+name, raceOptions),
		SysProcAttr: &syscall.SysProcAttr{Setsid: ownSession},
	}
}

// daemonizer starts a sleeper, prints its number, and leaves it behind.
func daemonizer(own bool) int {
	cmd := again("sleeper", os.Environ(), own)
	if err := cmd.Start(); err != nil {
		fmt.Println(err)
		return 1
	}
	fmt.Println(cmd.Process.Pid)
	return 0
}

func sleeper([]string) int {
	time.Sleep(time.Hour)
	return 0
}

// mode is one of the ways to know what a process has left behind.
type mode struct {
	name    string
	options Options
}

var modes = []mode{
	{"cgroup", Options{}},
	{"subreaper", Options{Subreaper: true}},
	{"search", Options{NoCgroup: true}},
}

const instanceToken = "GAFFER_TEST_INSTANCE=a"

// host returns a Host of that mode, or skips the test.
func (m mode) host(t *testing.T) *Host {
	t.Helper()
	o := m.options
	o.Token = instanceToken
	o.Logger = slog.New(slog.NewTextHandler(t.Output(), &slog.HandlerOptions{Level: slog.LevelDebug}))
	h := newHost(t, o)
	if m.name == "cgroup" && h.starter.(*direct).tree.cgroups == nil {
		t.Skip("no writable cgroup v2 here")
	}
	return h
}

// tagged gives spec what it is found by.
func tagged(t *testing.T, spec *Spec) *Spec {
	spec.Token = "GAFFER_TEST_ID=" + t.Name()
	spec.Env = append(spec.Env, instanceToken, spec.Token)
	return spec
}

// startFamily starts a family and returns its members' relations once all are there.
func startFamily(t *testing.T, h *Host, args ...string) (*recorder, map[string]kin) {
	t.Helper()
	spec := program(t, "family", args...)
	started.Store("sleeper", true)
	for _, way := range args {
		switch way {
		case asDaemon, asGhost:
			started.Store("daemonizer", true)
		case asLeader:
			started.Store("leaderizer", true)
		}
	}
	r := start(t, h, tagged(t, spec))
	members := map[string]kin{}
	for line := range strings.Lines(r.awaitText(t, Stdout, "ready\n")) {
		way, number, ok := strings.Cut(strings.TrimSpace(line), " ")
		pid, err := strconv.Atoi(number)
		if !ok || err != nil {
			continue
		}
		k, ok := readKin(pid)
		if !ok {
			t.Fatalf("%s: process %d is not there", way, pid)
		}
		members[way] = k
		t.Cleanup(func() {
			if pidfd := k.kill(); pidfd >= 0 {
				t.Logf("%s: process %d was still there after the test", way, pid)
				_ = unix.Close(pidfd)
			}
		})
	}
	return r, members
}

func wantGone(t *testing.T, members map[string]kin) {
	t.Helper()
	for way, k := range members {
		if k.alive() {
			t.Errorf("%s: process %d still runs", way, k.pid)
		}
	}
}

// eventually waits for something that no event tells of.
func eventually(t *testing.T, what string, is func() bool) {
	t.Helper()
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	deadline := time.After(patience)
	for !is() {
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatalf("not after %v: %s", patience, what)
		}
	}
}

func TestKillEndsEverythingThatWasStarted(t *testing.T) {
	for _, m := range modes {
		t.Run(m.name, func(t *testing.T) {
			h := m.host(t)
			r, members := startFamily(t, h, inGroup, inSession, asDaemon, asStranger, "stay")
			r.process.Kill()
			exit := r.await(t)
			wantGone(t, members)
			if exit.Signal != syscall.SIGKILL || exit.Leftover != len(members) || exit.Stuck != 0 {
				t.Errorf("exit %+v, want SIGKILL and %d left over", exit, len(members))
			}
		})
	}
}

func TestExitEndsWhatWasLeftBehind(t *testing.T) {
	for _, m := range modes {
		t.Run(m.name, func(t *testing.T) {
			h := m.host(t)
			r, members := startFamily(t, h, inGroup, inSession, asDaemon, asLeader, "leave")
			exit := r.await(t)
			wantGone(t, members)
			if exit.Status != 0 || exit.Leftover != len(members) || exit.Stuck != 0 {
				t.Errorf("exit %+v, want status 0 and %d left over", exit, len(members))
			}
		})
	}
}

func TestStopSignalRemembersWhoLeftTheSession(t *testing.T) {
	for _, m := range modes {
		t.Run(m.name, func(t *testing.T) {
			h := m.host(t)
			r, members := startFamily(t, h, inSession, asStranger, "stay")
			if err := r.process.SignalGroup(syscall.SIGTERM); err != nil {
				t.Fatal(err)
			}
			exit := r.await(t)
			wantGone(t, members)
			if exit.Signal != syscall.SIGTERM || exit.Leftover != len(members) {
				t.Errorf("exit %+v, want SIGTERM and %d left over", exit, len(members))
			}
		})
	}
}

func TestCgroupFindsWhoHidEverything(t *testing.T) {
	h := modes[0].host(t)
	r, members := startFamily(t, h, asGhost, "leave")
	if exit := r.await(t); exit.Leftover != 1 {
		t.Errorf("exit %+v, want 1 left over", exit)
	}
	wantGone(t, members)
}

func TestCleanExitLeavesNothingOver(t *testing.T) {
	for _, m := range modes {
		t.Run(m.name, func(t *testing.T) {
			h := m.host(t)
			r := start(t, h, shell("exit 0"))
			if exit := r.await(t); exit.Leftover != 0 || exit.Stuck != 0 {
				t.Errorf("exit %+v", exit)
			}
		})
	}
}

func TestSubreaperBuriesOrphansThatEndByThemselves(t *testing.T) {
	for _, test := range []struct {
		alone bool
		ways  []string
	}{
		{false, []string{asDaemon, asGhost, "stay"}},
		{true, []string{asDaemon, asLeader, asGhost, "stay"}},
	} {
		t.Run(fmt.Sprintf("alone=%v", test.alone), func(t *testing.T) {
			h := mode{"subreaper", Options{Subreaper: true, Alone: test.alone}}.host(t)
			_, members := startFamily(t, h, test.ways...)
			for way, k := range members {
				eventually(t, way+" becomes an orphan", func() bool {
					now, ok := readKin(k.pid)
					return ok && now.parent == os.Getpid()
				})
				pidfd := k.kill()
				if pidfd < 0 {
					t.Fatalf("%s: process %d is not there", way, k.pid)
				}
				_ = unix.Close(pidfd)
				eventually(t, way+" is waited for", func() bool {
					_, there := readKin(k.pid)
					return !there
				})
			}
		})
	}
}

// What a process leaves behind that is to be spared goes on, and is in nobody's way.
func TestWhatIsSparedGoesOn(t *testing.T) {
	for _, m := range modes {
		t.Run(m.name, func(t *testing.T) {
			h := m.host(t)
			for _, signal := range []syscall.Signal{0, syscall.SIGTERM, syscall.SIGKILL} {
				spec := shell("sleep 1000 >/dev/null 2>&1 </dev/null & echo $!; test $SIG = 0 || wait")
				spec.Spare, spec.Env = true, append(spec.Env, "SIG="+strconv.Itoa(int(signal)))
				r := start(t, h, spec)
				pid := 0
				eventually(t, "its output", func() bool {
					pid, _ = strconv.Atoi(strings.TrimSpace(r.text(Stdout)))
					return pid != 0
				})
				if signal != 0 {
					if err := r.process.Signal(signal); err != nil {
						t.Fatal(err)
					}
				}
				exit := r.await(t)
				k, ok := readKin(pid)
				if !ok || !k.alive() || exit.Leftover != 0 || exit.Stuck != 0 {
					t.Errorf("signal %d: exit %+v, it lives: %v", signal, exit, ok && k.alive())
				}
				// What comes after is looked after as ever, and does not end it.
				if exit := start(t, h, shell("sleep 1000 & exit 0")).await(t); exit.Leftover != 1 || !k.alive() {
					t.Errorf("exit %+v of another one, it lives: %v", exit, k.alive())
				}
				if pidfd := k.kill(); pidfd >= 0 {
					_ = unix.Close(pidfd)
				}
				eventually(t, "its end", func() bool {
					now, there := readKin(pid)
					return !there || now.start != k.start || now.dead && now.parent != os.Getpid()
				})
			}
		})
	}
}
