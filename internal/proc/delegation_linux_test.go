package proc

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// fakeCgroup makes a directory with files as cgroups have them.
func fakeCgroup(t *testing.T, dir string, files map[string]string) string {
	t.Helper()
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	for name, text := range files {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func fileIn(t *testing.T, dir, name string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(dir, name))
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func TestDelegationIsFound(t *testing.T) {
	root := t.TempDir()
	unit := fakeCgroup(t, root+"/system.slice/gaffer.service", map[string]string{"cgroup.type": "domain\n"})
	sub := fakeCgroup(t, unit+"/"+selfGroup, map[string]string{"cgroup.type": "domain\n"})
	container := fakeCgroup(t, t.TempDir(), map[string]string{"cgroup.type": "domain\n"})
	marks := func(dirs ...string) func(string) bool {
		return func(dir string) bool { return slices.Contains(dirs, dir) }
	}
	for _, c := range []struct {
		what, own, path string
		marked          []string
		dir             string
		move            bool
	}{
		{"the root of the tree", root, "/", nil, root, false},
		{"the root of a container", container, "/", nil, container, true},
		{"moved in a container", container + "/" + selfGroup, "/" + selfGroup, nil, container, true},
		{"a delegated unit", unit, "/system.slice/gaffer.service", []string{unit}, unit, true},
		{"moved in a delegated unit", sub, "/system.slice/gaffer.service/" + selfGroup, []string{unit}, unit, true},
		{"a unit that was not delegated", unit, "/system.slice/gaffer.service", nil, "", false},
		{"below the root", root + "/system.slice", "/system.slice", []string{root}, "", false},
	} {
		d := findDelegation(c.own, c.path, marks(c.marked...))
		if d.dir != c.dir || d.move != c.move || (d.none == nil) != (c.dir != "") {
			t.Errorf("%s: %+v", c.what, d)
		}
	}
}

// fakeDelegation is one in a directory of files. The kernel's part is played there: who is written
// to a group's members has left the other one.
func fakeDelegation(t *testing.T) *delegation {
	t.Helper()
	return &delegation{move: true, dir: fakeCgroup(t, t.TempDir(), map[string]string{
		"cgroup.controllers": "cpu memory pids\n", "cgroup.subtree_control": "", "cgroup.procs": "",
	})}
}

func TestLimitsOfACgroupAreWritten(t *testing.T) {
	d := fakeDelegation(t)
	for _, controller := range []string{"cpu", "memory", "pids"} {
		if err := d.lack(controller); err != nil {
			t.Errorf("%s: %v", controller, err)
		}
	}
	l, err := d.leaf("GAFFER_INSTANCE=outer.1/mine.17", &Limits{Memory: 512 << 20, CPU: 150_000, Pids: 40})
	if err != nil {
		t.Fatal(err)
	}
	if name := filepath.Base(l.dir); name != "gaffer-outer.1_mine.17" || !l.limited {
		t.Errorf("leaf %+v", l)
	}
	for name, want := range map[string]string{"memory.max": "536870912", "memory.oom.group": "1", "cpu.max": "150000 100000", "pids.max": "40"} {
		if got := fileIn(t, l.dir, name); got != want {
			t.Errorf("%s is %s, want %s", name, got, want)
		}
	}
	if got := fileIn(t, d.dir, "cgroup.subtree_control"); got != "+cpu +memory +pids" {
		t.Errorf("controllers %s", got)
	}
	only, err := d.leaf("GAFFER_INSTANCE=mine.18", &Limits{Pids: 1})
	if err != nil {
		t.Fatal(err)
	}
	if names, err := os.ReadDir(only.dir); err != nil || len(names) != 1 {
		t.Errorf("files %v, %v", names, err)
	}
}

func TestControllersAreNotAskedForTwice(t *testing.T) {
	d := fakeDelegation(t)
	fakeCgroup(t, d.dir, map[string]string{"cgroup.subtree_control": "cpu memory\n", "cgroup.procs": "1\n"}) // who would never leave
	if _, err := d.leaf("A=b.1", &Limits{Memory: 1 << 20}); err != nil {
		t.Error(err)
	}
	_, err := d.leaf("A=b.2", &Limits{Pids: 1})
	if err == nil || !strings.Contains(err.Error(), "new processes keep coming") {
		t.Errorf("got %v", err)
	}
	if got := fileIn(t, d.dir+"/"+selfGroup, "cgroup.procs"); got != "1" {
		t.Errorf("moved was %s", got)
	}
}

func TestWhatADelegationLacksIsSaid(t *testing.T) {
	d := fakeDelegation(t)
	fakeCgroup(t, d.dir, map[string]string{"cgroup.controllers": "hugetlb\n"})
	if err := d.lack("memory"); err == nil || !strings.Contains(err.Error(), "controller memory") || !strings.Contains(err.Error(), "max_memory") {
		t.Errorf("got %v", err)
	}
	d = findDelegation("/x/y", "/y", func(string) bool { return false })
	if err := d.lack("pids"); err == nil || !strings.Contains(err.Error(), "Delegate=yes") {
		t.Errorf("got %v", err)
	}
	if _, err := d.leaf("", &Limits{Pids: 1}); err == nil {
		t.Error("a cgroup was made")
	}
}

func TestCgroupsOfEarlierProgramsAreRemoved(t *testing.T) {
	d := fakeDelegation(t)
	for _, name := range []string{"gaffer-mine.3", "gaffer-mine.4", "gaffer-other.3", "gaffer-mine2.1"} {
		fakeCgroup(t, d.dir+"/"+name, nil)
	}
	fakeCgroup(t, d.dir+"/gaffer-mine.4", map[string]string{"cgroup.procs": "7\n"}) // not empty
	if _, err := d.leaf("GAFFER_INSTANCE=mine.5", &Limits{Pids: 1}); err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, dir := range subgroups(d.dir) {
		names = append(names, filepath.Base(dir))
	}
	if got := strings.Join(names, " "); got != "gaffer-mine.4 gaffer-mine.5 gaffer-mine2.1 gaffer-other.3 "+selfGroup {
		t.Errorf("left are %s", got)
	}
}

func TestKillsForWantOfMemoryAreRead(t *testing.T) {
	l := leaf{dir: fakeCgroup(t, t.TempDir(), map[string]string{"memory.events": "low 0\nhigh 0\nmax 12\noom 3\noom_kill 2\noom_group_kill 1\n"})}
	if n := l.oomKills(); n != 2 {
		t.Errorf("%d kills", n)
	}
	if n := (&leaf{dir: "/no/such/dir"}).oomKills(); n != 0 {
		t.Errorf("%d kills where there is nothing", n)
	}
}

// realCgroup is a new cgroup of the real tree.
func realCgroup(t *testing.T, name string) string {
	t.Helper()
	c, err := newCgroups()
	if err != nil {
		t.Skipf("no cgroup that can be written: %v", err)
	}
	t.Cleanup(c.close)
	dir := filepath.Join(c.base, name)
	if err := unix.Mkdir(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	return dir
}

func TestProcessLivesAndDiesInItsCgroup(t *testing.T) {
	forEngines(t, func(t *testing.T, h *Host) {
		dir := realCgroup(t, "mine")
		spec := shell("grep ^0:: /proc/self/cgroup; setsid sleep 1000 & echo").with(Limits{Cgroup: dir})
		r := start(t, h, spec)
		exit := r.await(t)
		if got := r.text(Stdout); !strings.Contains(got, filepath.Base(filepath.Dir(dir))+"/mine\n") || !exit.Grouped || exit.OutOfMemory != 0 {
			t.Errorf("exit %+v, it said %s", exit, got)
		}
		eventually(t, "the cgroup is gone", func() bool { _, err := os.Stat(dir); return os.IsNotExist(err) })
		if got := outputOf(t, h, shell("cat /proc/self/cgroup")); strings.Contains(got, "/mine\n") {
			t.Errorf("the next one is in %s", got)
		}
	})
}

func TestCgroupThatIsNotThereIsNamed(t *testing.T) {
	forEngines(t, func(t *testing.T, h *Host) {
		err := h.Start(shell("exit 0").with(Limits{Cgroup: "/no/such/cgroup"}), newRecorder())
		if err == nil || !strings.HasPrefix(err.Error(), "cgroup /no/such/cgroup: ") {
			t.Errorf("got %v", err)
		}
	})
}

// memoryController skips a test where this program can't limit memory.
func memoryController(t *testing.T) {
	t.Helper()
	if err := delegated().lack("memory"); err != nil {
		t.Skipf("no memory controller: %v", err)
	}
}

func TestMemoryOfACgroupBites(t *testing.T) {
	memoryController(t)
	forEngines(t, func(t *testing.T, h *Host) {
		spec := shell("exec dd if=/dev/zero of=/dev/null bs=256M count=1").with(Limits{Memory: 32 << 20})
		spec.Token = fmt.Sprintf("GAFFER_INSTANCE=test-%d.1", os.Getpid())
		r := start(t, h, spec)
		if exit := r.await(t); exit.Signal != unix.SIGKILL || !exit.Grouped || exit.OutOfMemory == 0 {
			t.Errorf("exit %+v", exit)
		}
		outputOf(t, h, shell("exec dd if=/dev/zero of=/dev/null bs=64M count=1"))
	})
}

func TestPidsOfACgroupBite(t *testing.T) {
	if err := delegated().lack("pids"); err != nil {
		t.Skipf("no pids controller: %v", err)
	}
	forEngines(t, func(t *testing.T, h *Host) {
		r := start(t, h, shell("for i in 1 2 3 4 5; do sleep 1000 & done; wait").with(Limits{Pids: 3}))
		r.awaitText(t, Stderr, "fork")
		outputOf(t, h, shell("sleep 0 & sleep 0 & sleep 0 & sleep 0 & wait"))
	})
}

func TestCPUOfACgroupBites(t *testing.T) {
	if err := delegated().lack("cpu"); err != nil {
		t.Skipf("no cpu controller: %v", err)
	}
	forEngines(t, func(t *testing.T, h *Host) {
		spec := shell("i=0; while [ $i -lt 300000 ]; do i=$((i+1)); done; cat /sys/fs/cgroup$(sed -n s/^0:://p /proc/self/cgroup)/cpu.stat")
		got := outputOf(t, h, spec.with(Limits{CPU: 10_000}))
		if !strings.Contains(got, "nr_throttled") || strings.Contains(got, "nr_throttled 0\n") {
			t.Errorf("it was not slowed: %s", got)
		}
	})
}

func TestCgroupOfAnEarlierProgramsProcessIsFound(t *testing.T) {
	d := delegated()
	if d.none != nil {
		t.Skipf("no cgroup that can be arranged: %v", d.none)
	}
	token := fmt.Sprintf("GAFFER_INSTANCE=test-%d.1", os.Getpid())
	dir := filepath.Join(d.dir, d.leafName(token))
	if err := unix.Mkdir(dir, 0o755); err != nil {
		t.Skipf("no cgroup that can be written: %v", err)
	}
	t.Cleanup(func() { removeCgroup(dir) })
	h := newHost(t, Options{})
	r := start(t, h, shell("echo; exec sleep 1000").with(Limits{Cgroup: dir}))
	r.awaitText(t, Stdout, "\n")
	if l := limitedLeafOf(r.process.PID(), token); l == nil || l.dir != dir || !l.limited {
		t.Errorf("found %+v, want %s", l, dir)
	}
	if l := limitedLeafOf(r.process.PID(), "GAFFER_INSTANCE=other.1"); l != nil {
		t.Errorf("found %+v of somebody else", l)
	}
	if l := limitedLeafOf(os.Getpid(), token); l != nil {
		t.Errorf("found %+v of this program", l)
	}
}
