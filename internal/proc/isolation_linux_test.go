package proc

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

// values prints all that limits can set, as a process has it.
const values = `ulimit -n; ulimit -Hn; ulimit -c; umask; cat /proc/self/oom_score_adj; cut -d' ' -f19 /proc/self/stat
	grep -E 'Cpus_allowed_list|NoNewPrivs|CapBnd|CapAmb|CapEff' /proc/self/status; readlink /proc/self/ns/mnt`

// outputOf is what a process writes to stdout that ends well.
func outputOf(t *testing.T, h *Host, spec *Spec) string {
	t.Helper()
	r := start(t, h, spec)
	if exit := r.await(t); exit.Status != 0 {
		t.Fatalf("%q: exit %+v, it said %s%s", spec.Args, exit, r.text(Stdout), r.text(Stderr))
	}
	return r.text(Stdout)
}

// ownValues are those of this program, as far as they could be changed by a start.
func ownValues(t *testing.T) string {
	t.Helper()
	var limit unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &limit); err != nil {
		t.Fatal(err)
	}
	text := fmt.Sprint(limit)
	for _, pid := range []string{"self", "thread-self"} {
		status, err := os.ReadFile("/proc/" + pid + "/status")
		if err != nil {
			t.Fatal(err)
		}
		for line := range strings.Lines(string(status)) {
			for _, name := range []string{"Umask:", "Cap", "NoNewPrivs:", "Cpus_allowed_list:"} {
				if strings.HasPrefix(line, name) {
					text += line
				}
			}
		}
		for _, name := range []string{"oom_score_adj", "limits"} {
			b, err := os.ReadFile("/proc/" + pid + "/" + name)
			if err != nil && pid == "self" {
				t.Fatal(err)
			}
			text += string(b)
		}
		ns, _ := os.Readlink("/proc/" + pid + "/ns/mnt")
		text += ns
	}
	nice, err := unix.Getpriority(unix.PRIO_PROCESS, 0)
	return text + fmt.Sprint(nice, err)
}

// with are the limits of a Spec, settled.
func (spec *Spec) with(l Limits) *Spec {
	l.Settle()
	spec.Limits = &l
	return spec
}

// inIsolation runs a test for all ways of starting, and looks that nobody else is touched.
func inIsolation(t *testing.T, test func(t *testing.T, h *Host)) {
	t.Helper()
	forEngines(t, func(t *testing.T, h *Host) {
		mine, others := ownValues(t), outputOf(t, h, shell(values))
		test(t, h)
		if now := ownValues(t); now != mine {
			t.Errorf("this program has\n%s\nand had\n%s", now, mine)
		}
		if now := outputOf(t, h, shell(values)); now != others {
			t.Errorf("a process without limits has\n%s\nand had\n%s", now, others)
		}
	})
}

func TestLimitsAreSet(t *testing.T) {
	inIsolation(t, func(t *testing.T, h *Host) {
		got := outputOf(t, h, shell(values).with(Limits{
			Rlimits: []Rlimit{{"nofile", 50, 60}, {"core", 0, 0}},
			Nice:    new(7), CPUs: []int{0}, Umask: new(0o27), OOMScoreAdj: new(700), NoNewPrivs: true,
		}))
		for _, want := range []string{"50\n60\n0\n0027\n700\n7\n", "Cpus_allowed_list:\t0\n", "NoNewPrivs:\t1\n"} {
			if !strings.Contains(got, want) {
				t.Errorf("no %q in\n%s", want, got)
			}
		}
	})
}

func TestUnlimitedStaysUnlimited(t *testing.T) {
	inIsolation(t, func(t *testing.T, h *Host) {
		if got := outputOf(t, h, shell("ulimit -t; ulimit -Ht").with(Limits{Rlimits: []Rlimit{{"cpu_time", Unlimited, Unlimited}}})); got != "unlimited\nunlimited\n" {
			t.Errorf("got %s", got)
		}
	})
}

func TestLimitsOfResourcesBite(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	for _, c := range []struct {
		name   string
		limit  Rlimit
		script string
		signal syscall.Signal
	}{
		{"nofile", Rlimit{"nofile", 20, 20}, "! exec 30</dev/null", 0},
		{"fsize", Rlimit{"fsize", 1024, 1024}, "exec dd if=/dev/zero of=" + file + " bs=4096 count=1", unix.SIGXFSZ},
		{"cpu_time", Rlimit{"cpu_time", 1, 2}, "while :; do :; done", unix.SIGXCPU},
		{"data", Rlimit{"data", 16 << 20, 16 << 20}, "! dd if=/dev/zero of=/dev/null bs=64M count=1 2>/dev/null", 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			inIsolation(t, func(t *testing.T, h *Host) {
				r := start(t, h, shell(c.script).with(Limits{Rlimits: []Rlimit{c.limit}}))
				if exit := r.await(t); exit.Signal != c.signal || c.signal == 0 && exit.Status != 0 && c.name != "nofile" {
					t.Errorf("exit %+v, %s%s", exit, r.text(Stdout), r.text(Stderr))
				}
				if c.name == "nofile" && !strings.Contains(r.text(Stderr), "30") {
					t.Errorf("it said %q", r.text(Stderr))
				}
			})
		})
	}
}

func TestLimitThatMayNotBeRaisedIsNamed(t *testing.T) {
	text, err := os.ReadFile("/proc/sys/fs/nr_open")
	if err != nil {
		t.Fatal(err)
	}
	var most uint64
	if _, err := fmt.Sscan(string(text), &most); err != nil {
		t.Fatal(err)
	}
	l := Limits{Rlimits: []Rlimit{{"core", 0, 0}, {"nofile", most + 1, most + 1}}}
	if lacks := l.Lacks(); len(lacks) != 1 || lacks[0].Field != "limits.nofile" || !strings.Contains(lacks[0].Err.Error(), "nr_open") {
		t.Errorf("lacking are %v", lacks)
	}
	h := newHost(t, Options{engine: engineVfork})
	err = h.Start(shell("exit 0").with(l), newRecorder())
	if !errors.Is(err, unix.EPERM) || !strings.HasPrefix(err.Error(), "limits.nofile ") {
		t.Errorf("got %v", err)
	}
	l.Without(l.Lacks())
	if len(l.Rlimits) != 1 {
		t.Errorf("left are %+v", l.Rlimits)
	}
}

func TestMaskOfNewFilesIsApplied(t *testing.T) {
	dir := t.TempDir()
	inIsolation(t, func(t *testing.T, h *Host) {
		name := filepath.Join(dir, filepath.Base(t.Name()))
		outputOf(t, h, shell("echo > "+name).with(Limits{Umask: new(0o77)}))
		if info, err := os.Stat(name); err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("%v, %v", info, err)
		}
	})
}

func TestIOPriorityIsSet(t *testing.T) {
	ionice, err := exec.LookPath("ionice")
	if err != nil {
		t.Skip("no ionice to tell what it is")
	}
	inIsolation(t, func(t *testing.T, h *Host) {
		for text, want := range map[string]string{"best-effort:6": "best-effort: prio 6\n", "idle": "idle\n"} {
			n, err := ParseIOPrio(text)
			if err != nil {
				t.Fatal(err)
			}
			if got := outputOf(t, h, shell(ionice+" -p $$").with(Limits{IOPrio: n})); got != want {
				t.Errorf("got %q, want %q", got, want)
			}
		}
		if got := outputOf(t, h, shell(ionice+" -p $$")); strings.Contains(got, "6") || strings.Contains(got, "idle") {
			t.Errorf("without limits: %q", got)
		}
	})
}

func TestPrivilegedLimits(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("only root may lower what others share")
	}
	inIsolation(t, func(t *testing.T, h *Host) {
		l, want := Limits{Nice: new(-5), OOMScoreAdj: new(5)}, "\n5\n-5\n"
		if ownCaps().has(unix.CAP_SYS_RESOURCE) {
			l.OOMScoreAdj, want = new(-500), "\n-500\n-5\n"
		}
		spec := shell("while [ $(cat /proc/self/oom_score_adj) = " + strings.TrimSpace(ownScore(t)) + " ]; do :; done; " + values).with(l)
		spec.Cred = &Cred{UID: 65534, GID: 65534, Groups: []uint32{65534}}
		if got := outputOf(t, h, spec); !strings.Contains(got, want) {
			t.Errorf("got %s", got)
		}
	})
}

// ownScore is how ready this program is to be killed. In one of the ways to start, a
// process gets another one only when it runs already.
func ownScore(t *testing.T) string {
	t.Helper()
	text, err := os.ReadFile("/proc/self/oom_score_adj")
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func TestOrdinaryUserMayNotTakeFromOthers(t *testing.T) {
	if os.Geteuid() == 0 {
		t.Skip("root may")
	}
	l := Limits{Nice: new(-20), OOMScoreAdj: new(-1000), IOPrio: ioClassRealtime << ioClassShift, KeepCaps: true, Caps: []int{unix.CAP_CHOWN}, PrivateTmp: true}
	var fields []string
	for _, lack := range l.Lacks() {
		fields = append(fields, lack.Field)
	}
	if got := strings.Join(fields, " "); got != "nice ioprio oom_score_adj sandbox.capabilities sandbox.private_tmp" {
		t.Errorf("lacking are %s", got)
	}
	h := newHost(t, Options{engine: engineVfork})
	if err := h.Start(shell("exit 0").with(Limits{Nice: new(-20)}), newRecorder()); !errors.Is(err, unix.EACCES) || !strings.HasPrefix(err.Error(), "nice -20") {
		t.Errorf("got %v", err)
	}
}

func TestNoNewPrivilegesBite(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("only root can make a program that gives privileges")
	}
	id, err := exec.LookPath("id")
	if err != nil {
		t.Skip("no id to tell who it is")
	}
	dir, err := os.MkdirTemp("/var/tmp", "gaffer-test-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	copied := filepath.Join(dir, "id")
	text, err := os.ReadFile(id)
	if err != nil {
		t.Fatal(err)
	}
	for _, err := range []error{os.Chmod(dir, 0o755), os.WriteFile(copied, text, 0o755), os.Chmod(copied, os.ModeSetuid|0o755)} {
		if err != nil {
			t.Fatal(err)
		}
	}
	who := func(h *Host, l *Limits) string {
		spec := shell(copied + " -u")
		spec.Cred, spec.Limits = &Cred{UID: 65534, GID: 65534, Groups: []uint32{65534}}, l
		return outputOf(t, h, spec)
	}
	inIsolation(t, func(t *testing.T, h *Host) {
		if got := who(h, nil); got != "0\n" {
			t.Skipf("programs that give privileges do nothing here: it is %s", got)
		}
		if got := who(h, &Limits{NoNewPrivs: true}); got != "65534\n" {
			t.Errorf("it became %s", got)
		}
		if got := who(h, nil); got != "0\n" {
			t.Errorf("another one became %s", got)
		}
	})
}

func TestCapabilitiesAreBounded(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("an ordinary user has none")
	}
	dir := t.TempDir()
	for path := dir; path != "/" && path != os.TempDir(); path = filepath.Dir(path) {
		_ = os.Chmod(path, 0o777)
	}
	chown := func(l Limits, cred *Cred) *Spec {
		spec := shell("umask 0; f=" + dir + "/$$; echo > $f; chown 12345 $f && stat -c %u $f; grep -E 'CapEff|CapBnd' /proc/self/status").with(l)
		spec.Cred = cred
		return spec
	}
	nobody := &Cred{UID: 65534, GID: 65534, Groups: []uint32{65534}}
	inIsolation(t, func(t *testing.T, h *Host) {
		none := Limits{KeepCaps: true}
		kept := Limits{KeepCaps: true, Caps: []int{unix.CAP_CHOWN}}
		for _, c := range []struct {
			what  string
			spec  *Spec
			wants []string
		}{
			{"root with nothing", chown(none, nil), []string{"CapEff:\t0000000000000000", "CapBnd:\t0000000000000000"}},
			{"root with one", chown(kept, nil), []string{"12345\n", "CapEff:\t0000000000000001", "CapBnd:\t0000000000000001"}},
			{"an ordinary user with one", chown(kept, nobody), []string{"12345\n", "CapEff:\t0000000000000001", "CapBnd:\t0000000000000001"}},
			{"an ordinary user with nothing", chown(none, nobody), []string{"CapEff:\t0000000000000000", "CapBnd:\t0000000000000000"}},
		} {
			got := outputOf(t, h, c.spec)
			for _, want := range c.wants {
				if !strings.Contains(got, want) {
					t.Errorf("%s: no %q in\n%s", c.what, want, got)
				}
			}
			if !strings.Contains(c.wants[0], "12345") && strings.Contains(got, "12345") {
				t.Errorf("%s: it could\n%s", c.what, got)
			}
		}
	})
}

func TestWhoHasNoPrivilegesGetsNone(t *testing.T) {
	if os.Geteuid() == 0 {
		t.Skip("root has some")
	}
	inIsolation(t, func(t *testing.T, h *Host) {
		l := Limits{KeepCaps: true}
		if lacks := l.Lacks(); lacks != nil {
			t.Errorf("lacking are %v", lacks)
		}
		if got := outputOf(t, h, shell(values).with(l)); !strings.Contains(got, "NoNewPrivs:\t1\n") {
			t.Errorf("got %s", got)
		}
	})
}

// skipWithoutLandlock skips a test on kernels that have none.
func skipWithoutLandlock(t *testing.T) {
	t.Helper()
	if landlockABI() == 0 {
		t.Skip("this kernel has no Landlock")
	}
}

func TestPathsAreBounded(t *testing.T) {
	skipWithoutLandlock(t)
	base := t.TempDir()
	read, write, other := filepath.Join(base, "read"), filepath.Join(base, "write"), filepath.Join(base, "other")
	for _, dir := range []string{read, write, other} {
		if err := errors.Join(os.Mkdir(dir, 0o700), os.WriteFile(dir+"/old", []byte("old"), 0o600)); err != nil {
			t.Fatal(err)
		}
	}
	script := fmt.Sprintf(`
		can() { if ( eval "$2" ) 2>/dev/null >/dev/null; then echo "+$1"; else echo "-$1"; fi; }
		can read 'cat %[1]s/old'; can list 'ls %[1]s'; can write 'echo > %[1]s/new'; can truncate 'echo > %[1]s/old'; can remove 'rm %[1]s/old'
		can read2 'cat %[2]s/old'; can write2 'echo > %[2]s/new'; can dir2 'mkdir %[2]s/dir'; can move2 'mv %[2]s/new %[2]s/dir/new'; can remove2 'rm -r %[2]s/dir'
		can read3 'cat %[3]s/old'; can list3 'ls %[3]s'; can write3 'echo > %[3]s/new'; can null 'echo > /dev/null'; can sys 'echo > /etc/gaffer-test'; can stdout 'echo > /dev/stdout'`,
		read, write, other)
	inIsolation(t, func(t *testing.T, h *Host) {
		spec := shell(script).with(Limits{Landlock: true, Read: []string{read}, Write: []string{write}})
		want := "+read +list -write -truncate -remove +read2 +write2 +dir2 +move2 +remove2 -read3 -list3 -write3 +null -sys +stdout"
		if got := strings.Join(strings.Fields(outputOf(t, h, spec)), " "); got != want {
			t.Errorf("got  %s\nwant %s", got, want)
		}
		outputOf(t, h, shell("cat "+other+"/old; echo > "+other+"/free")) // who is free, is
	})
}

func TestPathThatIsNotThereIsNamed(t *testing.T) {
	skipWithoutLandlock(t)
	forEngines(t, func(t *testing.T, h *Host) {
		err := h.Start(shell("exit 0").with(Limits{Landlock: true, Write: []string{"/no/such/path"}}), newRecorder())
		if !errors.Is(err, unix.ENOENT) || !strings.Contains(err.Error(), "sandbox.write_paths") || !strings.Contains(err.Error(), "/no/such/path") {
			t.Errorf("got %v", err)
		}
	})
}

func TestTmpIsPrivate(t *testing.T) {
	if err := tmpLack(); err != nil {
		t.Skipf("no file system can be mounted: %v", err)
	}
	marker, err := os.CreateTemp("/tmp", "gaffer-test-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _, _ = marker.Close(), os.Remove(marker.Name()) })
	const script = "ls -A /tmp /var/tmp; echo secret > /tmp/gaffer-mine; cat /tmp/gaffer-mine; stat -c %a /tmp"
	for name, l := range map[string]Limits{"alone": {PrivateTmp: true}, "with paths": {PrivateTmp: true, Landlock: true}} {
		if l.Landlock && landlockABI() == 0 {
			continue
		}
		t.Run(name, func(t *testing.T) {
			inIsolation(t, func(t *testing.T, h *Host) {
				spec := shell(script).with(l)
				spec.Dir = "/"
				got := outputOf(t, h, spec)
				if strings.Contains(got, filepath.Base(marker.Name())) || !strings.Contains(got, "secret\n1777\n") {
					t.Errorf("it saw %s", got)
				}
				if _, err := os.Stat("/tmp/gaffer-mine"); err == nil {
					t.Error("others see it")
				}
			})
		})
	}
}

func TestPriorityOfIO(t *testing.T) {
	for text, want := range map[string]int{"realtime": 1<<13 | 4, "best-effort": 2<<13 | 4, "best-effort:0": 2 << 13, "realtime:7": 1<<13 | 7, "idle": 3 << 13} {
		if got, err := ParseIOPrio(text); err != nil || got != want {
			t.Errorf("%s: %d, %v", text, got, err)
		}
	}
	for _, text := range []string{"", "5", "best-effort:", "best-effort:8", "best-effort:-1", "idle:1", "idle:"} {
		if _, err := ParseIOPrio(text); err == nil {
			t.Errorf("%q was taken", text)
		}
	}
}

func FuzzParseCPUs(f *testing.F) {
	for _, s := range []string{"0-3,6", "0", "", "8191", "3-1", "a", "1,", " 1 , 2"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		cpus, err := ParseCPUs(s)
		if err == nil && (len(cpus) == 0 || cpus[0] < 0 || cpus[len(cpus)-1] >= MostCPUs) {
			t.Errorf("%q is %v", s, cpus)
		}
	})
}
