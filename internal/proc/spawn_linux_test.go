package proc

import (
	"errors"
	"io"
	"maps"
	"os"
	"os/exec"
	"os/signal"
	"os/user"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

// engines are all ways to start a process.
var engines = []struct {
	name   string
	engine engine
}{
	{"vfork", engineVfork},
	{"forkexec", engineForkExec},
	{"portable", enginePortable},
}

// forEngines runs f with a Host of each kind.
func forEngines(t *testing.T, f func(t *testing.T, h *Host)) {
	t.Helper()
	for _, e := range engines {
		t.Run(e.name, func(t *testing.T) {
			h, err := NewHost(Options{Subreaper: true, engine: e.engine})
			if errors.Is(err, syscall.ENOSYS) {
				t.Skipf("%s: not on this architecture or kernel", e.name)
			}
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() {
				if err := h.Close(); err != nil {
					t.Error(err)
				}
			})
			f(t, h)
		})
	}
}

func TestProgramGetsWhatTheSpecSays(t *testing.T) {
	forEngines(t, func(t *testing.T, h *Host) {
		spec := program(t, "report", "a b", "", "-c")
		spec.Dir = t.TempDir()
		s := surroundingsOf(t, h, spec)
		dir, err := filepath.EvalSymlinks(spec.Dir)
		if err != nil {
			t.Fatal(err)
		}
		env := slices.Clone(spec.Env)
		slices.Sort(env)
		if s.Dir != dir || !slices.Equal(s.Args, spec.Args[1:]) || !slices.Equal(s.Env, env) {
			t.Errorf("got %+v", s)
		}
		if s.Session != s.PID || s.Group != s.PID {
			t.Errorf("session %d, group %d, want its own, %d", s.Session, s.Group, s.PID)
		}
		if s.UID != os.Getuid() || s.GID != os.Getgid() {
			t.Errorf("user %d:%d, want the caller's", s.UID, s.GID)
		}
		if len(s.Blocked) != 0 {
			t.Errorf("blocked signals %v", s.Blocked)
		}
	})
}

// closesAll says whether what h starts gets no descriptor by accident: the
// fallbacks leave open what was not to be closed on exec.
func closesAll(h *Host) bool {
	d, ok := h.starter.(*direct)
	if !ok {
		return false
	}
	_, ok = d.spawner.(*forker)
	return !ok
}

func TestNoDescriptorIsLeaked(t *testing.T) {
	// One that is not closed on exec, as other packages leave them behind.
	fd, err := unix.Open(os.DevNull, unix.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(fd)
	h := newHost(t, Options{})
	if !closesAll(h) {
		t.Skip("not on this architecture or kernel")
	}
	s := surroundingsOf(t, h, program(t, "report"))
	if len(s.Files) != 3 {
		t.Errorf("descriptors %v, want three", s.Files)
	}
	if s.Files[Stdin] != os.DevNull || !strings.HasPrefix(s.Files[Stdout], "pipe:") || !strings.HasPrefix(s.Files[Stderr], "pipe:") {
		t.Errorf("descriptors %v, want the null device and two pipes", s.Files)
	}
}

func TestFilesAndStreamsFollowTheStandardThree(t *testing.T) {
	forEngines(t, func(t *testing.T, h *Host) {
		spec := program(t, "report")
		spec.Outputs, spec.Streams = 1, 2
		for range 20 { // more than the row of descriptors that is kept open
			f, err := os.CreateTemp(t.TempDir(), "file")
			if err != nil {
				t.Fatal(err)
			}
			defer f.Close()
			spec.Files = append(spec.Files, f)
		}
		s := surroundingsOf(t, h, spec)
		if !closesAll(h) {
			maps.DeleteFunc(s.Files, func(fd int, _ string) bool { return fd >= 25 })
		}
		if len(s.Files) != 25 {
			t.Fatalf("descriptors %v, want 25", s.Files)
		}
		if s.Files[Stderr] != os.DevNull {
			t.Errorf("stderr is %s", s.Files[Stderr])
		}
		for i, f := range spec.Files {
			if s.Files[3+i] != f.Name() {
				t.Errorf("descriptor %d is %s, want %s", 3+i, s.Files[3+i], f.Name())
			}
		}
		for i := range 2 {
			if !strings.HasPrefix(s.Files[23+i], "socket:") {
				t.Errorf("descriptor %d is %s, want a socket", 23+i, s.Files[23+i])
			}
		}
	})
}

func TestUserGroupsAndGroupAreApplied(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("only root can become somebody else")
	}
	exe := copyOfThisBinary(t)
	forEngines(t, func(t *testing.T, h *Host) {
		spec := program(t, "report")
		spec.Path = exe
		spec.Cred = &Cred{UID: 65534, GID: 65533, Groups: []uint32{65533, 12345, 23456}}
		s := surroundingsOf(t, h, spec)
		if s.UID != 65534 || s.EUID != 65534 || s.GID != 65533 || s.EGID != 65533 {
			t.Errorf("user %d %d, group %d %d", s.UID, s.EUID, s.GID, s.EGID)
		}
		slices.Sort(s.Groups)
		if !slices.Equal(s.Groups, []int{12345, 23456, 65533}) {
			t.Errorf("groups %v", s.Groups)
		}
		spec.Cred.Groups = nil
		if s := surroundingsOf(t, h, spec); len(s.Groups) != 0 {
			t.Errorf("groups %v, want none", s.Groups)
		}
	})
}

func TestStartAsAnotherUserLeavesThisProgramDumpable(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("only root can become somebody else")
	}
	exe := copyOfThisBinary(t)
	if err := unix.Prctl(unix.PR_SET_DUMPABLE, 1, 0, 0, 0); err != nil {
		t.Fatal(err)
	}
	forEngines(t, func(t *testing.T, h *Host) {
		if _, ok := h.starter.(*portable); ok {
			t.Skip("the os package takes no care of it")
		}
		spec := program(t, "report")
		spec.Path, spec.Cred = exe, &Cred{UID: 65534, GID: 65534}
		surroundingsOf(t, h, spec)
		if after, err := unix.PrctlRetInt(unix.PR_GET_DUMPABLE, 0, 0, 0, 0); err != nil || after != 1 {
			t.Errorf("dumpable is %d, %v", after, err)
		}
	})
}

func TestOrdinaryUserStaysWhatHeIs(t *testing.T) {
	if os.Geteuid() == 0 {
		t.Skip("root may become anybody")
	}
	forEngines(t, func(t *testing.T, h *Host) {
		spec := program(t, "report")
		spec.Cred = &Cred{UID: uint32(os.Geteuid()), GID: uint32(os.Getegid())}
		surroundingsOf(t, h, spec)
		spec.Cred = &Cred{UID: 1, GID: 1}
		if err := h.Start(spec, newRecorder()); !errors.Is(err, syscall.EPERM) {
			t.Errorf("got %v, want %v", err, syscall.EPERM)
		}
	})
}

// ignorer ignores signals, as nohup does, starts report, and prints what that prints.
func ignorer([]string) int {
	signal.Ignore(syscall.SIGHUP, syscall.SIGUSR1)
	h, err := NewHost(Options{})
	if err != nil {
		return 1
	}
	defer h.Close()
	r := newRecorder()
	env := []string{programVariable + "=report", raceOptions}
	if err := h.Start(&Spec{Path: "/proc/self/exe", Args: os.Args[:1], Env: env, Outputs: 1}, r); err != nil {
		return 1
	}
	<-r.gone
	_, _ = os.Stdout.WriteString(r.text(Stdout))
	return r.exit.Status
}

func TestIgnoredSignalsAreNotInherited(t *testing.T) {
	h := newHost(t, Options{})
	if !closesAll(h) {
		t.Skip("the syscall package hands ignored signals on")
	}
	started.Store("report", true)
	if s := surroundingsOf(t, h, program(t, "ignorer")); len(s.Ignored) != 0 {
		t.Errorf("ignored signals %v", s.Ignored)
	}
}

func TestProgramOfAnotherDirectoryAndInterpreterAreNamed(t *testing.T) {
	forEngines(t, func(t *testing.T, h *Host) {
		dir := t.TempDir()
		script := filepath.Join(dir, "script")
		if err := os.WriteFile(script, []byte("#!/no/such/interpreter -x\n"), 0o755); err != nil {
			t.Fatal(err)
		}
		err := h.Start(&Spec{Path: "./script", Dir: dir, Args: []string{"script"}}, newRecorder())
		if !errors.Is(err, syscall.ENOENT) || !strings.Contains(err.Error(), "interpreter /no/such/interpreter") {
			t.Errorf("got %v", err)
		}
		if err := os.WriteFile(script, []byte("#!/bin/sh\npwd\n"), 0o755); err != nil {
			t.Fatal(err)
		}
		r := start(t, h, &Spec{Path: "./script", Dir: dir, Args: []string{"script"}, Outputs: 1})
		r.await(t)
		if got, _ := filepath.EvalSymlinks(strings.TrimSpace(r.text(Stdout))); got == "" || filepath.Base(got) != filepath.Base(dir) {
			t.Errorf("ran in %q, want %q", got, dir)
		}
	})
}

func TestStartBesideOtherForks(t *testing.T) {
	h := newHost(t, Options{Subreaper: true})
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for range 50 {
				out, err := exec.CommandContext(t.Context(), "/bin/echo", "foreign").Output()
				if err != nil || string(out) != "foreign\n" {
					t.Errorf("foreign command: %q, %v", out, err)
				}
			}
		})
		wg.Go(func() {
			for range 50 {
				r := newRecorder()
				if err := h.Start(shell("echo ours"), r); err != nil {
					t.Error(err)
					return
				}
				<-r.gone
				if r.exit.Status != 0 || r.text(Stdout) != "ours\n" {
					t.Errorf("exit %+v, stdout %q", r.exit, r.text(Stdout))
				}
			}
		})
	}
	wg.Wait()
}

// copyOfThisBinary is where everybody can execute it.
func copyOfThisBinary(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "gaffer-test-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	from, err := os.Open(exe)
	if err != nil {
		t.Fatal(err)
	}
	defer from.Close()
	path := filepath.Join(dir, "proc.test")
	to, err := os.OpenFile(path, os.O_CREATE|os.O_WRONLY, 0o755)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.Copy(to, from); err != nil {
		t.Fatal(err)
	}
	if err := to.Close(); err != nil {
		t.Fatal(err)
	}
	return path
}

// TestAsOrdinaryUser runs the other tests as nobody.
func TestAsOrdinaryUser(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("this is an ordinary user's run")
	}
	if testing.Short() {
		t.Skip("all tests once more: not in a short run")
	}
	nobody, err := user.Lookup("nobody")
	if err != nil {
		t.Skipf("no ordinary user here: %v", err)
	}
	uid, _ := strconv.Atoi(nobody.Uid)
	gid, _ := strconv.Atoi(nobody.Gid)
	exe := copyOfThisBinary(t)
	tmp := filepath.Join(filepath.Dir(exe), "tmp")
	if err := os.Mkdir(tmp, 0o711); err != nil {
		t.Fatal(err)
	}
	if err := os.Chown(tmp, uid, gid); err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), exe, "-test.skip=^$", "-test.short")
	cmd.Dir = tmp
	cmd.Env = append(os.Environ(), "TMPDIR="+tmp, "HOME="+tmp)
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}}
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Errorf("%v\n%s", err, out)
	}
}

func TestProgramGetsItsOwnNumber(t *testing.T) {
	forEngines(t, func(t *testing.T, h *Host) {
		spec := program(t, "report", "a b", "", "-c")
		spec.OwnPID = "LISTEN_PID"
		s := surroundingsOf(t, h, spec)
		if want := "LISTEN_PID=" + strconv.Itoa(s.PID); !slices.Contains(s.Env, want) {
			t.Errorf("no %s in %q", want, s.Env)
		}
		if !slices.Equal(s.Args, spec.Args[1:]) {
			t.Errorf("arguments %q, want %q", s.Args, spec.Args[1:])
		}
	})
}

func TestOwnNumberNeedsAName(t *testing.T) {
	spec := program(t, "report")
	spec.OwnPID = "A=b"
	if err := spec.check(); !errors.Is(err, syscall.EINVAL) {
		t.Errorf("got %v", err)
	}
}
