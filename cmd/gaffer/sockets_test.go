//go:build linux

package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/gafferpm/gaffer"
	"github.com/gafferpm/gaffer/client"
)

// Who connects while one manager follows another waits for the answer: nobody is told
// that there is no daemon.
func TestTheAPIAnswersWhileManagersChange(t *testing.T) {
	t.Parallel()
	m := newMatrix(t)
	m.begin()
	defer m.check()
	host := "unix://" + filepath.Join(m.dir, socketName)
	for i := range 4 {
		m.awaitReady(i + 1)
		manager := childWith(m.holder(), roleManager)
		sig := syscall.SIGKILL
		if i%3 == 2 {
			sig = syscall.SIGTERM // it leaves in order
		}
		if err := syscall.Kill(manager, sig); err != nil {
			t.Fatal(err)
		}
		for syscall.Kill(manager, 0) == nil { // buried by the holder: the socket is nobody else's
			time.Sleep(100 * time.Microsecond)
		}
		c, err := client.New(host, client.Options{})
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
		infos, err := c.List(ctx, gaffer.All)
		cancel()
		if err != nil || len(infos) != 6 {
			t.Fatalf("%d: %d templates, %v", i, len(infos), err)
		}
		_ = c.Close()
	}
	m.awaitReady(5)
	events, err := m.client.Subscribe(t.Context(), gaffer.All, gaffer.EventOptions{Kinds: []gaffer.Kind{gaffer.KindCreate}, Tail: -1, NoFollow: true})
	if err != nil {
		t.Fatal(err)
	}
	created := 0
	for _, err = events.Next(t.Context()); err == nil; _, err = events.Next(t.Context()) {
		created++
	}
	events.Close()
	if created != 6 {
		t.Errorf("%d templates are said to have been created, want 6", created)
	}
	// One whose file is gone is opened anew.
	if err := os.Remove(filepath.Join(m.dir, socketName)); err != nil {
		t.Fatal(err)
	}
	_ = syscall.Kill(childWith(m.holder(), roleManager), syscall.SIGKILL)
	m.await("fast", "slow")
	if log, err := os.ReadFile(m.dir + "/state/gaffer.log"); err != nil || strings.Contains(string(log), "panic") {
		t.Errorf("%v\n%s", err, log)
	}
}

// awaitReady waits until so many managers have said that they do all that they have to.
func (m *matrix) awaitReady(managers int) {
	m.t.Helper()
	for end := time.Now().Add(30 * time.Second); ; time.Sleep(time.Millisecond) { // the log is a file
		log, err := os.ReadFile(m.dir + "/state/gaffer.log")
		if err == nil && strings.Count(string(log), " ready ") >= managers {
			return
		}
		if time.Now().After(end) {
			m.t.Fatalf("no %d managers become ready: %v\n%s", managers, err, log)
		}
	}
}

// While no manager can be had there is a daemon all the same: no other one gets its
// directory, and what it stops stays so.
func TestThereIsOneDaemonWhileManagersChange(t *testing.T) {
	t.Parallel()
	m := newMatrix(t)
	m.begin()
	holder := m.holder()
	for i := range 3 {
		m.awaitReady(i + 1)
		_ = syscall.Kill(childWith(holder, roleManager), syscall.SIGKILL)
		out, err := m.gaffer("daemon", "--background", "--config", "gaffer.toml")
		if err == nil || !strings.Contains(out, fmt.Sprintf("a daemon has it, pid %d", holder)) {
			t.Fatalf("%v: %s", err, out)
		}
	}
	m.await("fast", "slow", "crasher", "victim", "elastic", "parent")
	_ = syscall.Kill(childWith(holder, roleManager), syscall.SIGKILL)
	if out, err := m.gaffer("daemon", "stop"); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	for name, pid := range m.pids {
		if syscall.Kill(pid, 0) == nil {
			t.Errorf("%s runs after the daemon", name)
		}
	}
	m.start() // whatever had it, it is free now
	if out, err := m.gaffer("daemon", "stop"); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
}
