package state

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gafferpm/gaffer"
)

// kept is a change as the manager tells it; without a command, a removal.
func kept(version uint64, name, cmd string, n int, active bool) gaffer.Kept {
	k := gaffer.Kept{Name: name, Version: version}
	if cmd != "" {
		k.Wanted = &gaffer.Wanted{Template: template(name, command(cmd)), Active: active, Count: n}
	}
	return k
}

// program is this test binary as one of the programs.
func program(t testing.TB, name string, args ...string) *exec.Cmd {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(context.Background(), self, args...)
	cmd.Env = append(os.Environ(), helperVariable+"="+name)
	cmd.Stderr = os.Stderr
	return cmd
}

func TestWhatWasKeptIsThereAgain(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "state")
	s, err := Open(dir, Options{})
	if err != nil {
		t.Fatal(err)
	}
	ctx := context.Background()
	for _, k := range []gaffer.Kept{
		kept(1, "b", "one", 1, true), kept(2, "a", "two", 2, true), kept(3, "c", "three", 3, true),
		kept(4, "b", "four", 4, false), kept(5, "a", "", 0, false), kept(6, "a", "six", 6, true),
		kept(5, "b", "old", 9, true), // came late
	} {
		if k.Name == "b" && k.Version == 5 {
			k.Version = 3
		}
		if err := s.Keep(ctx, []gaffer.Kept{k}); err != nil {
			t.Fatal(err)
		}
	}
	before := recordsText(s)
	abandon(t, s)
	s = open(t, dir, Options{})
	if after := recordsText(s); after != before {
		t.Errorf("read back:\n%s\nwant\n%s", after, before)
	}
	m := newFake(s)
	if err := s.restore(ctx, m, nil, nil); err != nil {
		t.Fatal(err)
	}
	if m.String() != "b(stopped)=4 c=3 a=6" {
		t.Errorf("restored %s", m)
	}
}

func TestChangesOfSeveralAreKeptTogether(t *testing.T) {
	s := open(t, t.TempDir(), Options{})
	var wg sync.WaitGroup
	for i := range 100 {
		wg.Go(func() {
			name := fmt.Sprintf("t%d", i)
			for v := range uint64(5) {
				if err := s.Keep(context.Background(), []gaffer.Kept{kept(v+1, name, "x", int(v), true)}); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	before := recordsText(s)
	if err := s.readRecords(); err != nil {
		t.Fatal(err)
	}
	if after := recordsText(s); after != before || len(s.records) != 100 {
		t.Errorf("%d in the database:\n%s", len(s.records), after)
	}
}

func TestVersionsOfWhatIsGoneAreForgottenInTheEnd(t *testing.T) {
	s := open(t, memoryDir(t), Options{})
	var version uint64
	keep := func(list ...gaffer.Kept) {
		t.Helper()
		if err := s.Keep(context.Background(), list); err != nil {
			t.Fatal(err)
		}
	}
	var list []gaffer.Kept
	for i := range 3 * maxGone {
		name := fmt.Sprintf("t%d", i)
		list = append(list, kept(version+1, name, "x", 1, true), kept(version+2, name, "", 0, false))
		version += 2
	}
	// It is added again, so that it is not gone, whatever is forgotten.
	keep(kept(1, "stays", "x", 1, true), kept(2, "stays", "", 0, false), kept(version+2, "stays", "x", 3, true))
	keep(list...)
	if n := len(s.versions); n > maxGone+1 {
		t.Errorf("%d versions, want those of %d that are gone and one that is there", n, maxGone)
	}
	last := list[len(list)-1].Name
	keep(kept(version-1, last, "late", 1, true), kept(version+1, "stays", "late", 9, true))
	if s.records[last] != nil || s.records["stays"].Count != 3 {
		t.Errorf("changes that came late are in force:\n%s", recordsText(s))
	}
}

func TestASecondOneIsToldWhoHasTheDirectory(t *testing.T) {
	dir := t.TempDir()
	cmd := program(t, "hold", dir)
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	if line, err := bufio.NewReader(out).ReadString('\n'); err != nil {
		t.Fatalf("%q: %v", line, err)
	}
	_, err = Open(dir, Options{})
	var held *HeldError
	if !errors.As(err, &held) || held.PID != cmd.Process.Pid || time.Since(held.Start) > time.Hour {
		t.Errorf("error %v, want one that names pid %d", err, cmd.Process.Pid)
	}
	in.Close()
	if err := cmd.Wait(); err != nil {
		t.Error(err)
	}
	open(t, dir, Options{})
	if _, err = Open(dir, Options{}); !errors.As(err, &held) || held.PID != os.Getpid() {
		t.Errorf("error %v, want one that names us", err)
	}
}

// holdProgram has a directory until its input ends.
func holdProgram(args []string) int {
	s, err := Open(args[0], Options{})
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	fmt.Println("held")
	_, _ = bufio.NewReader(os.Stdin).ReadString('\n')
	if err := s.Close(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return 0
}

func TestTheDirectoryIsOursAlone(t *testing.T) {
	base := t.TempDir()
	mode := func(dir string, m os.FileMode) string {
		path := filepath.Join(base, dir)
		if err := errors.Join(os.Mkdir(path, 0o700), os.Chmod(path, m)); err != nil {
			t.Fatal(err)
		}
		return path
	}
	for _, dir := range []string{mode("group", 0o770), mode("all", 0o707), mode("sticky", 0o777|os.ModeSticky)} {
		if _, err := Open(dir, Options{}); err == nil || !strings.Contains(err.Error(), "others can write it") {
			t.Errorf("%s: error %v", dir, err)
		}
	}
	file := filepath.Join(base, "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(file, Options{}); err == nil {
		t.Error("a file: no error")
	}
	for _, dir := range []string{mode("readable", 0o755), filepath.Join(base, "new", "one")} {
		open(t, dir, Options{})
		if info, err := os.Stat(dir); err != nil || info.Mode().Perm() != 0o700 {
			t.Errorf("%s: mode %v (%v)", dir, info.Mode(), err)
		}
		err := filepath.WalkDir(dir, func(path string, d os.DirEntry, err error) error {
			if err != nil {
				return err
			}
			info, err := d.Info()
			if err == nil && info.Mode().Perm()&0o077 != 0 {
				t.Errorf("%s: mode %v", path, info.Mode())
			}
			return err
		})
		if err != nil {
			t.Error(err)
		}
	}
	if os.Geteuid() != 0 {
		t.Log("not root: no directory of somebody else can be made")
		return
	}
	others := mode("others", 0o700)
	if err := os.Chown(others, 65534, 65534); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(others, Options{}); err == nil || !strings.Contains(err.Error(), "belongs to user 65534") {
		t.Errorf("error %v", err)
	}
}

func TestAFileThatMustNotGrow(t *testing.T) {
	dir := t.TempDir()
	cmd := program(t, "small", dir)
	out, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	var acknowledged int
	if _, err := fmt.Sscanf(string(out), "acknowledged %d\n", &acknowledged); err != nil || acknowledged == 0 {
		t.Fatalf("%q: %v", out, err)
	}
	s := open(t, dir, Options{})
	if len(s.records) != acknowledged {
		t.Errorf("%d records, want %d", len(s.records), acknowledged)
	}
}

func TestBucket(t *testing.T) {
	dir := t.TempDir()
	s, err := Open(dir, Options{})
	if err != nil {
		t.Fatal(err)
	}
	b := s.Bucket("keys")
	if _, err := b.Get("a"); !errors.Is(err, gaffer.ErrNotFound) {
		t.Errorf("error %v", err)
	}
	list := func(b *Bucket, prefix string) string {
		text := ""
		err := b.Range(prefix, func(key string, value []byte) error { text += key + "=" + string(value) + " "; return nil })
		if err != nil {
			t.Error(err)
		}
		return text
	}
	if got := list(b, ""); got != "" {
		t.Errorf("at the beginning: %s", got)
	}
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	must(b.Put("b", []byte("2")))
	must(b.Put("a", nil))
	must(b.Update(func(tx *Tx) error {
		old, err := tx.Get("b")
		return errors.Join(err, tx.Put("c1", append(old, '2')), tx.Put("c2", []byte("x")), tx.Put("d", []byte("y")))
	}))
	must(s.Bucket("other").Put("a", []byte("other")))
	must(b.Delete("d", "never there"))
	stop := errors.New("no")
	if err := b.Update(func(tx *Tx) error { return errors.Join(tx.Delete("a"), stop) }); !errors.Is(err, stop) {
		t.Errorf("error %v", err)
	}
	abandon(t, s)
	s = open(t, dir, Options{})
	b = s.Bucket("keys")
	if got := list(b, ""); got != "a= b=2 c1=22 c2=x " {
		t.Errorf("read back: %s", got)
	}
	if got := list(b, "c"); got != "c1=22 c2=x " {
		t.Errorf("with c: %s", got)
	}
	if err := b.Range("", func(string, []byte) error { return stop }); !errors.Is(err, stop) {
		t.Errorf("error %v", err)
	}
	if v, err := s.Bucket("other").Get("a"); err != nil || string(v) != "other" {
		t.Errorf("%q (%v)", v, err)
	}
}
