//go:build linux

package main

import (
	"bytes"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/gafferpm/gaffer/internal/proc"
)

// inContainer runs a script as the first process of a pid namespace, with what is
// mounted of its own, too. In it $GAFFER is this program.
func inContainer(t *testing.T, script string, files map[string]string) (output string, status int) {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("only root can make namespaces everywhere")
	}
	if err := exec.Command("unshare", "--pid", "--fork", "--mount-proc", "true").Run(); err != nil {
		t.Skipf("no namespaces can be made here: %v", err)
	}
	dir := t.TempDir()
	gaffer := filepath.Join(dir, "gaffer")
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(self, gaffer); err != nil {
		t.Fatal(err)
	}
	for name, text := range files {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	cmd := exec.Command("unshare", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc", "sh", "-c", script)
	cmd.Dir = dir
	// No HOME, no XDG, no terminal.
	cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "GAFFER=" + gaffer, "WORK=" + dir, "TMPDIR=" + dir}
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	late := time.AfterFunc(60*time.Second, func() { _ = cmd.Process.Kill() })
	defer late.Stop()
	err = cmd.Run()
	var exit *exec.ExitError
	switch {
	case errors.As(err, &exit):
		status = exit.ExitCode()
	case err != nil:
		t.Fatal(err)
	}
	if left := proc.Strays(proc.Search{Mark: func(entry string) bool { return entry == "WORK="+dir }}); len(left) > 0 {
		t.Errorf("processes are left: %v", left)
	}
	return out.String(), status
}

// look prints what has ended and was not waited for, then ends gaffer.
const lookTOML = `
[process.look]
shell = true
cmd = '''
while [ -e /proc/$(cat kid1) ] || [ -e /proc/$(cat kid2) ] || [ -e /proc/$(cat kid3) ]; do sleep 0.05; done
(setsid sh -c 'echo $$ > orphan; exit 3' > /dev/null 2>&1 &)
while [ ! -s orphan ] || [ -e /proc/$(cat orphan) ]; do sleep 0.05; done
echo all are buried
kill -USR1 1; kill -USR2 1; kill -WINCH 1
kill -TERM 1; exec sleep 1000'''
`

// As the first process of a container gaffer buries everybody: what the script that it
// was started from has left, and what services leave.
func TestFirstProcessBuriesStrangers(t *testing.T) {
	const entry = `
sh -c 'echo $$ > kid1; exec sleep 0.3' & sh -c 'echo $$ > kid2; exit 3' & setsid sh -c 'echo $$ > kid3; exec sleep 0.2' &
while [ ! -s kid1 ] || [ ! -s kid2 ] || [ ! -s kid3 ]; do sleep 0.05; done
exec $GAFFER `
	for name, tt := range map[string]struct{ command, file string }{
		"up":     {"up", lookTOML},
		"daemon": {"daemon -v --config gaffer.toml --state-dir state --runtime-dir run", lookTOML},
		"direct": {"daemon -v --config gaffer.toml --state-dir state --runtime-dir run", "[daemon]\nhost = 'direct'\n" + lookTOML},
	} {
		t.Run(name, func(t *testing.T) {
			out, status := inContainer(t, entry+tt.command+" < /dev/null", map[string]string{"gaffer.toml": tt.file})
			if status != 0 || !strings.Contains(out, "all are buried") || !strings.Contains(out, "look.1 stopped") {
				t.Errorf("status %d\n%s", status, out)
			}
		})
	}
}

// The status of a container is that of the service that it is for.
func TestFirstProcessEndsAsItsService(t *testing.T) {
	for script, want := range map[string]int{"exit 7": 7, "kill -KILL $$": 137, "exit 0": 0} {
		out, status := inContainer(t, "exec $GAFFER up < /dev/null", map[string]string{
			"gaffer.toml": "[process.main]\nshell = true\nexit_with = true\ncmd = '" + script + "'\n[process.helper]\ncmd = 'sleep 1000'\n",
		})
		if status != want || !strings.Contains(out, "helper.1 stopped") {
			t.Errorf("%s: status %d\n%s", script, status, out)
		}
	}
}

// A file system that can't be written, no home, no shared memory.
func TestFirstProcessWithoutAnything(t *testing.T) {
	const bare = `
mount --make-rprivate / && mount --rbind "$WORK" "$WORK" && mount -o remount,ro,bind / || { echo cannot be mounted; exit 77; }
cd "$WORK"
mkdir /etc/x 2> /dev/null && { echo can be written; exit 77; }
`
	for name, tt := range map[string]struct {
		command string
		want    []string
		status  int
	}{
		"up":        {"exec $GAFFER up", []string{"main.1 started"}, 7},
		"no state":  {"exec $GAFFER daemon", []string{"/var/lib/gaffer: read-only file system; --state-dir or GAFFER_STATE_DIR names another place"}, 1},
		"elsewhere": {"GAFFER_STATE_DIR=state $GAFFER daemon -v --config gaffer.toml & until $GAFFER ps 2> /dev/null; do kill -0 $! || exit 9; sleep 0.1; done; $GAFFER version -v; $GAFFER daemon stop; wait $!", []string{"can't be written, another one is used", "/gaffer-0"}, 0},
	} {
		t.Run(name, func(t *testing.T) {
			out, status := inContainer(t, bare+tt.command+" < /dev/null", map[string]string{
				"gaffer.toml": "[process.main]\nshell = true\nexit_with = true\ncmd = 'sleep 1; exit 7'\n",
			})
			if status == 77 {
				t.Skipf("the file system can't be made read-only here: %s", out)
			}
			for _, want := range tt.want {
				if !strings.Contains(out, want) {
					t.Errorf("%q is missing", want)
				}
			}
			if status != tt.status || t.Failed() {
				t.Errorf("status %d\n%s", status, out)
			}
		})
	}
}

// Where no more can be watched, files are looked at, and it is said which limit it is.
func TestLimitOfWatchesIsReached(t *testing.T) {
	const script = `
mkdir -p src/a src/b src/c
unshare --user --map-root-user sh -c 'echo 2 > /proc/sys/user/max_inotify_watches && exec "$GAFFER" up' < /dev/null > out 2>&1 &
exec 9<> ready
read a <&9 || { cat out; exit 8; }
echo new > src/c/file
read b <&9 || { cat out; exit 8; }
kill -INT $!
wait $!
cat out
echo restarted $a $b`
	out, status := inContainer(t, "mkfifo ready;"+script, map[string]string{
		"gaffer.toml": "[process.web]\nshell = true\ncmd = 'echo yes > ready; exec sleep 1000'\nwatch = { paths = ['src'] }\n",
	})
	if strings.Contains(out, "unshare: ") || strings.Contains(out, "max_inotify_watches: ") {
		t.Skipf("the limit can't be set here: %s", out)
	}
	for _, want := range []string{"fs.inotify.max_user_watches", "looked at every 2s instead", "changed: src/c/file", "restarted yes yes"} {
		if !strings.Contains(out, want) {
			t.Errorf("%q is missing", want)
		}
	}
	if status != 0 || t.Failed() {
		t.Errorf("status %d\n%s", status, out)
	}
}
