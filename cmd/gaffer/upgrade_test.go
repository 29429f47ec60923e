//go:build linux

package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// build builds another version of this program: with that text as its version and, if
// protocol is not empty, with a holder that speaks another one. Files are replaced, or
// added, by their names from the module's directory.
func (m *matrix) build(name, protocol string, files map[string]string) {
	m.t.Helper()
	overlay := struct{ Replace map[string]string }{map[string]string{}}
	for path, text := range files {
		abs, err := filepath.Abs(filepath.Join("..", "..", path))
		if err != nil {
			m.t.Fatal(err)
		}
		copied := filepath.Join(m.dir, name+"-"+filepath.Base(path))
		if err := os.WriteFile(copied, []byte(text), 0o600); err != nil {
			m.t.Fatal(err)
		}
		overlay.Replace[abs] = copied
	}
	text, err := json.Marshal(overlay)
	if err != nil {
		m.t.Fatal(err)
	}
	list := filepath.Join(m.dir, name+"-overlay.json")
	if err := os.WriteFile(list, text, 0o600); err != nil {
		m.t.Fatal(err)
	}
	flags := "-s -w -X main.release=" + name
	if protocol != "" {
		flags += " -X github.com/gafferpm/gaffer/internal/holder.Protocol=" + protocol
	}
	// Without the race detector, whatever these tests are built with: this version has it,
	// and each of the others would be built anew for it.
	cmd := exec.CommandContext(m.t.Context(), "go", "build", "-race=false", "-o", filepath.Join(m.dir, name), "-overlay", list, "-ldflags", flags, ".")
	if out, err := cmd.CombinedOutput(); err != nil {
		m.t.Fatalf("%v: %s", err, out)
	}
}

// copy copies a program, absolute or of the matrix, under another name.
func (m *matrix) copy(from, name string) {
	m.t.Helper()
	if !filepath.IsAbs(from) {
		from = filepath.Join(m.dir, from)
	}
	text, err := os.ReadFile(from)
	if err == nil {
		err = os.WriteFile(filepath.Join(m.dir, name), text, 0o700)
	}
	if err != nil {
		m.t.Fatal(err)
	}
}

// otherDefaults is the file of defaults with other ones.
func otherDefaults(t *testing.T) string {
	t.Helper()
	text, err := os.ReadFile("../../template.go")
	if err != nil {
		t.Fatal(err)
	}
	for before, after := range map[string]string{
		"DefaultGracefulTimeout   = 30 * time.Second": "DefaultGracefulTimeout = 29 * time.Second",
		"DefaultFlappingRetryIn   = 7 * time.Second":  "DefaultFlappingRetryIn = 8 * time.Second",
		"DefaultFlappingAttempts  = 2":                "DefaultFlappingAttempts = 3",
		"DefaultLogMaxSize  Size = 10 << 20":          "DefaultLogMaxSize Size = 4 << 20",
	} {
		if strings.Count(string(text), before) != 1 {
			t.Fatalf("template.go has no %q", before)
		}
		text = []byte(strings.Replace(string(text), before, after, 1))
	}
	return string(text)
}

// oddities are what programs do, by their names, that can't take over or leave something
// behind.
const oddities = `package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
)

func init() {
	program, _ := os.Executable()
	role := func(word string, at int) bool { return len(os.Args) > at && os.Args[1] == "daemon" && os.Args[at] == word }
	switch name := filepath.Base(program); {
	case name == "babbler": // says more than anybody would read
		for {
			fmt.Println("y")
		}
	case name == "parent" && role(checkHanded, 3): // leaves a process behind that has its standard output
		cmd := exec.Command("sleep", "60")
		cmd.Stdout, cmd.SysProcAttr = os.Stdout, &syscall.SysProcAttr{Setsid: true}
		_ = cmd.Start()
	case (name == "v9.2.0" || name == "v9.3.0") && role(roleManager, 2): // its managers all end
		os.Exit(3)
	}
}
`

// This version is replaced, under load, by ones with other defaults, and back: once by
// one that works with the same holder, once by one for which the holder has to become
// another program. Those that can't take over are refused or taken back.
func TestUpgradesTouchNoService(t *testing.T) {
	t.Parallel()
	if _, err := exec.LookPath("go"); err != nil {
		t.Skip("other versions are built with go: ", err)
	}
	m := newMatrix(t)
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	m.copy(exe, "this")
	if err := os.WriteFile(filepath.Join(m.dir, "script"), []byte("#!/bin/sh\nexit 1\n"), 0o700); err != nil {
		t.Fatal(err)
	}
	other := otherDefaults(t)
	m.build("v9.0.0", "", map[string]string{"template.go": other})
	m.build("v9.1.0", "9", map[string]string{"template.go": other})
	odd := map[string]string{"cmd/gaffer/oddities.go": oddities}
	m.build("v9.2.0", "", odd)
	m.build("v9.3.0", "9", odd)
	for _, name := range []string{"babbler", "parent"} {
		m.copy("v9.2.0", name)
	}
	if err := syscall.Mkfifo(filepath.Join(m.dir, "fifo"), 0o700); err != nil {
		t.Fatal(err)
	}
	m.begin()
	holder := m.holder()
	for i := range 10 {
		for _, name := range []string{[]string{"v9.0.0", "v9.1.0"}[i%2], "this"} {
			m.upgraded(name)
			if m.holder() != holder {
				t.Fatalf("the holder is %d, was %d", m.holder(), holder)
			}
			if runs := m.runs(holder, name); name == "v9.1.0" && !runs || name == "v9.0.0" && runs {
				t.Errorf("after the upgrade to %s the holder is %v that", name, runs)
			}
		}
		if i == 5 {
			m.refused("v9.2.0", "exit status 3")
			m.refused("v9.3.0", "exit status 3")
			if !m.runs(holder, "this") {
				t.Error("after an upgrade that failed the holder is not the one before")
			}
			m.refused("script", "does not say whether it can take over")
		}
	}
	m.refused("babbler", "does not say whether it can take over")
	m.upgraded("parent") // what it has left behind holds nothing up
	if out, err := m.gaffer("daemon", "upgrade", "fifo"); err == nil || !strings.Contains(out, "not a regular file") {
		t.Errorf("to a FIFO: %v, %s", err, out)
	}
	m.await("fast", "slow", "crasher", "victim", "elastic", "parent")
	m.check()
}

// What a holder that has become another program is asked for, before it is clear whether
// the upgrade succeeds, is done.
func TestAHolderIsStoppedWhileItIsReplaced(t *testing.T) {
	t.Parallel()
	if _, err := exec.LookPath("go"); err != nil {
		t.Skip("other versions are built with go: ", err)
	}
	m := newMatrix(t)
	m.build("v9.1.0", "9", nil)
	m.begin()
	holder := m.holder()
	told := make(chan string, 1)
	go func() {
		out, _ := m.gaffer("daemon", "upgrade", "v9.1.0")
		told <- out
	}()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	// There is nothing to wait for but what /proc shows: it is nobody's child that is here.
	await := func(what string, there func() bool) {
		for !there() {
			if ctx.Err() != nil {
				log, _ := os.ReadFile(m.dir + "/state/gaffer.log")
				t.Fatalf("%s: it does not come to that\n%s", what, log)
			}
			time.Sleep(100 * time.Microsecond)
		}
	}
	await("the next program starts", func() bool { return m.runs(childWith(holder, roleSpawner), "v9.1.0") })
	if err := syscall.Kill(holder, syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	await("the end", func() bool { return syscall.Kill(holder, 0) != nil })
	if out := <-told; !strings.Contains(out, "upgraded from") && !strings.Contains(out, "the daemon has ended") {
		t.Errorf("gaffer daemon upgrade: %s", out)
	}
	for name, pid := range m.pids {
		if syscall.Kill(pid, 0) == nil {
			t.Errorf("%s runs after the daemon", name)
		}
	}
}

// runs tells whether a process is a program of the matrix.
func (m *matrix) runs(pid int, name string) bool {
	exe, _ := os.Readlink(fmt.Sprintf("/proc/%d/exe", pid))
	want, err := filepath.EvalSymlinks(filepath.Join(m.dir, name))
	return err == nil && exe == want
}

// upgraded has a program take over.
func (m *matrix) upgraded(name string) {
	m.t.Helper()
	if out, err := m.gaffer("daemon", "upgrade", name); err != nil {
		log, _ := os.ReadFile(m.dir + "/state/gaffer.log")
		m.t.Fatalf("to %s: %v: %s\n%s", name, err, out, log[max(0, len(log)-4000):])
	}
	v, err := m.client.Version(m.t.Context())
	if err != nil {
		m.t.Fatal(err)
	}
	if name[0] == 'v' && v.Version != name {
		m.t.Errorf("%s is said to run, not %s", v.Version, name)
	}
}

// refused has one not take over, for a reason.
func (m *matrix) refused(name, why string) {
	m.t.Helper()
	out, err := m.gaffer("daemon", "upgrade", name)
	if err == nil || !strings.Contains(out, "goes on") || !strings.Contains(out, why) {
		m.t.Errorf("to %s: %v, %s", name, err, out)
	}
}
