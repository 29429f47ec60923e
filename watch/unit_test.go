package watch

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/fsnotify/fsnotify"

	"github.com/gafferpm/gaffer"
)

func TestChangesOfFiles(t *testing.T) {
	for _, how := range []struct {
		name string
		poll gaffer.Duration
	}{{"told", 0}, {"polled", gaffer.Duration(100 * time.Millisecond)}} {
		t.Run(how.name, func(t *testing.T) {
			b := newBench(t)
			b.write("src/app.py")
			b.write("src/.git/HEAD")
			b.write("README")
			b.begin(gaffer.Watch{Paths: []string{"src/**/*.py", "etc/conf"}, Ignore: []string{"src/gen"}, Debounce: quick, Poll: how.poll})
			b.write("src/app.py")
			b.want("restart web: changed: src/app.py")
			// What is ignored, or is not looked for, is nothing.
			b.write("src/.git/index.py")
			b.write("src/node_modules/x.py")
			b.write("src/gen/x.py")
			b.write("src/app.pyc")
			b.write("README")
			// A new directory, with what is in it.
			b.write("src/a/b/c.py")
			b.want("restart web: changed: src/a/b/c.py")
			b.write("src/a/b/c.py")
			b.want("restart web: changed: src/a/b/c.py")
			// An editor that replaces the file.
			b.write("src/app.py~")
			b.ok(os.Rename(b.path("src/app.py~"), b.path("src/app.py")))
			b.want("restart web: changed: src/app.py")
			// A file that comes later, with its directory.
			b.write("etc/conf")
			b.want("restart web: changed: etc/conf")
			b.ok(os.Remove(b.path("src/app.py")))
			b.want("restart web: removed: src/app.py")
			// A directory that goes and comes again.
			b.ok(os.RemoveAll(b.path("src")))
			b.want("restart web: removed: src/a/b/c.py")
			b.write("src/app.py")
			b.want("restart web: changed: src/app.py")
			b.write("src/app.py")
			b.want("restart web: changed: src/app.py")
			// Another one in its place.
			b.write("next/app.py")
			b.ok(os.Rename(b.path("src"), b.path("old")))
			b.ok(os.Rename(b.path("next"), b.path("src")))
			b.want("restart web: changed: src/app.py")
			b.write("src/app.py")
			b.want("restart web: changed: src/app.py")
			// That the same was only looked at is nothing, touching it is something.
			_, err := os.ReadFile(b.path("src/app.py"))
			b.ok(err)
			b.ok(os.Chmod(b.path("src/app.py"), 0o600))
			later := time.Now().Add(time.Hour)
			b.ok(os.Chtimes(b.path("src/app.py"), later, later))
			b.want("restart web: changed: src/app.py")
			if told := b.m.told(); len(told) > 0 {
				t.Errorf("told %q", told)
			}
		})
	}
}

// A checkout that touches thousands of files is one change.
func TestManyChangesAreOne(t *testing.T) {
	b := newBench(t)
	for i := range 40 {
		b.write(fmt.Sprintf("d%d/f0", i))
	}
	b.begin(gaffer.Watch{Debounce: new(gaffer.Duration(time.Second))})
	for i := range 2000 {
		b.write(fmt.Sprintf("d%d/f%d", i%60, i/60))
	}
	got := <-b.m.asked
	if !strings.HasPrefix(got, "restart web: changed: d0/f0, d0/f1, d0/f10 and 1997 more") {
		t.Errorf("got %s", got)
	}
	b.write("d0/f0")
	b.want("restart web: changed: d0/f0")
}

func TestSymbolicLinks(t *testing.T) {
	b := newBench(t)
	elsewhere, err := filepath.EvalSymlinks(t.TempDir())
	b.ok(err)
	put := func(name, text string) {
		t.Helper()
		b.ok(os.MkdirAll(filepath.Dir(filepath.Join(elsewhere, name)), 0o755))
		b.ok(os.WriteFile(filepath.Join(elsewhere, name), []byte(text), 0o644))
	}
	put("one/conf", "1")
	put("two/conf", "22")
	put("lib/x/y.py", "1")
	put("single", "1")
	b.ok(os.Symlink(filepath.Join(elsewhere, "one"), b.path("current")))
	b.ok(os.MkdirAll(b.path("src"), 0o755))
	b.ok(os.Symlink(filepath.Join(elsewhere, "lib"), b.path("src/lib")))
	b.ok(os.Symlink(".", b.path("src/loop")))
	b.ok(os.Symlink("self", b.path("src/self")))
	b.ok(os.Symlink(filepath.Join(elsewhere, "single"), b.path("src/single")))
	// As a volume of Kubernetes has its files.
	b.ok(os.MkdirAll(b.path("vol/..v1"), 0o755))
	b.ok(os.WriteFile(b.path("vol/..v1/key"), []byte("1"), 0o644))
	b.ok(os.Symlink("..v1", b.path("vol/..data")))
	b.ok(os.Symlink("..data/key", b.path("vol/key")))

	b.begin(gaffer.Watch{Paths: []string{"current/conf", "src", "vol/key"}, Debounce: quick})
	put("one/conf", "changed")
	b.want("restart web: changed: current/conf")
	b.ok(os.Symlink(filepath.Join(elsewhere, "two"), b.path("new")))
	b.ok(os.Rename(b.path("new"), b.path("current")))
	b.want("restart web: changed: current/conf")
	put("two/conf", "changed too")
	b.want("restart web: changed: current/conf")
	put("lib/x/y.py", "changed")
	b.want("restart web: changed: src/lib/x/y.py")
	put("lib/z", "new")
	b.want("restart web: changed: src/lib/z")
	put("single", "changed")
	b.want("restart web: changed: src/single")

	b.ok(os.MkdirAll(b.path("vol/..v2"), 0o755))
	b.ok(os.WriteFile(b.path("vol/..v2/key"), []byte("22"), 0o644))
	b.ok(os.Symlink("..v2", b.path("vol/..tmp")))
	b.ok(os.Rename(b.path("vol/..tmp"), b.path("vol/..data")))
	b.ok(os.RemoveAll(b.path("vol/..v1")))
	if got := <-b.m.asked; !strings.Contains(got, "vol/key") {
		t.Errorf("got %s", got)
	}
}

func TestSignalInPlaceOfARestart(t *testing.T) {
	b := newBench(t)
	b.write("conf")
	b.begin(gaffer.Watch{Paths: []string{"conf"}, Action: "hup", Debounce: quick})
	b.write("conf")
	b.want("SIGHUP web")
	b.write("conf")
	b.want("SIGHUP web")
	if told := b.m.told(); told[0] != "web: SIGHUP, changed: conf" {
		t.Errorf("told %q", told)
	}
}

// What the system does not watch is looked at, and that is said.
func TestWatchesThatAreUsedUp(t *testing.T) {
	for err, want := range map[error]string{
		syscall.ENOSPC: "fs.inotify.max_user_watches",
		syscall.EMFILE: "fs.inotify.max_user_instances",
		syscall.EIO:    "input/output error",
	} {
		t.Run(want, func(t *testing.T) {
			t.Parallel()
			b := newBench(t)
			added := 0
			b.app.hub.add = func(w *fsnotify.Watcher, path string) error {
				if added++; added > 2 {
					return err
				}
				return w.Add(path)
			}
			for _, f := range []string{"a/f", "b/f", "c/f"} {
				b.write(f)
			}
			u := b.begin(gaffer.Watch{Debounce: quick})
			if told := b.m.told(); len(told) != 1 || !strings.Contains(told[0], want) || !strings.Contains(told[0], "looked at every 2s instead") {
				t.Errorf("told %q", told)
			}
			if b.app.hub.watcher != nil {
				t.Error("what is not used is not given back")
			}
			b.write("c/f")
			b.want("restart web: changed: c/f")
			u.End()
		})
	}
}

func TestTooMuchToWatch(t *testing.T) {
	b := newBench(t)
	b.write("a/f")
	tt := gaffer.Template{Name: "web", Cmd: "x", Watch: &gaffer.Watch{Debounce: quick}}
	u := newUnit(b.app, b.m, &tt, b.dir)
	u.set.most = 10
	u.Begin(t.Context())
	defer u.End()
	b.write("a/f")
	b.want("restart web: changed: a/f")
	for i := range 10 {
		b.write(fmt.Sprintf("a/g%d", i))
	}
	<-u.done
	if told := b.m.told(); len(told) != 1 || !strings.Contains(told[0], "not watched any more: more than 10 files") {
		t.Errorf("told %q", told)
	}
}

// A service that writes what is watched is not restarted for ever.
func TestLoopIsHeldBack(t *testing.T) {
	dir, err := filepath.EvalSymlinks(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	synctest.Test(t, func(t *testing.T) {
		b := &bench{T: t, dir: dir, m: newFake(), app: New(Options{})}
		b.write("run/db")
		b.m.on = func(string) { b.write("run/db") }
		b.begin(gaffer.Watch{Poll: gaffer.Duration(100 * time.Millisecond)})
		b.write("run/db")
		time.Sleep(time.Hour)
		synctest.Wait()
		n := len(b.m.asked)
		if n < 60 || n > 75 {
			t.Errorf("restarted %d times in an hour", n)
		}
		told := b.m.told()
		if len(told) != 1 || !strings.Contains(told[0], `restarted 5 times in a row because of run/db, which it seems to write itself: ignore = ["run/db"]`) {
			t.Errorf("told %q", told)
		}
		// Once it has ended, a change is acted on at once again.
		b.m.mu.Lock()
		b.m.on = nil
		b.m.mu.Unlock()
		time.Sleep(2 * time.Minute)
		for len(b.m.asked) > 0 {
			<-b.m.asked
		}
		before := time.Now()
		b.write("run/db")
		b.want("restart web: changed: run/db")
		if took := time.Since(before); took > time.Second {
			t.Errorf("it took %s", took)
		}
	})
}

// Somebody who saves often is no loop, if it is not the same each time.
func TestGuard(t *testing.T) {
	var g guard
	now := time.Now()
	for i := range 30 {
		if pause, _ := g.changed(now, &difference{changed: []string{fmt.Sprint(i)}}); pause != 0 {
			t.Fatal(i, pause)
		}
		g.acted(now)
		now = now.Add(time.Second)
	}
	for i := range 30 {
		if pause, _ := g.changed(now, &difference{changed: []string{"a"}}); pause != 0 {
			t.Fatal(i, pause)
		}
		g.acted(now)
		now = now.Add(loopWithin + time.Second)
	}
	var pauses []time.Duration
	for i := range 14 {
		pause, fresh := g.changed(now, &difference{changed: []string{"a", fmt.Sprint(i)}, removed: []string{"b"}})
		if fresh != (i == loopCount) {
			t.Error(i, fresh)
		}
		pauses = append(pauses, pause/time.Second)
		now = now.Add(pause)
		g.acted(now)
	}
	if got := fmt.Sprint(pauses, g.suspects()); got != "[0s 0s 0s 0s 0s 1ns 2ns 4ns 8ns 16ns 32ns 60ns 60ns 60ns] [a b]" {
		t.Error(got)
	}
}
