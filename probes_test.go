package gaffer

import (
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"
)

// What is asked is asked for real: in the process's environment and directory.
func TestProbesOfEachSort(t *testing.T) {
	r := newReal(t, Options{})
	dir := t.TempDir()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	r.ok(err)
	defer l.Close()
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			_ = c.Close()
		}
	}()
	server := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	defer server.Close()
	u, err := net.Listen("unix", filepath.Join(dir, "s"))
	r.ok(err)
	defer u.Close()
	r.ok(os.WriteFile(filepath.Join(dir, "there"), nil, 0o600))
	_, port, err := net.SplitHostPort(l.Addr().String())
	r.ok(err)
	for name, ready := range map[string]Ready{
		"tcp":  {TCP: "127.0.0.1:$PROBED"},
		"http": {HTTP: server.URL + "/$GAFFER_SLOT"},
		"unix": {Unix: "$DIR/s"},
		"exec": {Exec: `sh -c 'test -f there && test "$GAFFER_NAME" = exec'`},
	} {
		r.ok(r.Add(r.ctx, script(name, "exec sleep 100", func(t *Template) {
			t.Cwd, t.Ready = dir, &ready
			t.Env = map[string]string{"PROBED": port, "DIR": dir}
		})))
		if st := r.status(name); st.State != Running {
			t.Errorf("%s: %+v", name, st)
		}
	}
}

func TestACommandThatFailsSaysWhy(t *testing.T) {
	t.Parallel()
	r := newReal(t, Options{})
	hour := Duration(time.Hour)
	for name, test := range map[string]struct{ exec, want string }{
		"fails":   {`sh -c 'echo not yet; exit 4'`, "exit status 4: not yet"},
		"hangs":   {"sleep 10.75", "not ready within"},
		"missing": {"/no/such/probe", "/no/such/probe"},
	} {
		begin := time.Now()
		r.ok(r.Load(r.ctx, script(name, "exec sleep 100", func(t *Template) {
			t.Ready = &Ready{Exec: test.exec, Timeout: new(Duration(500 * time.Millisecond))}
			t.Backoff = &Backoff{First: &hour, Max: &hour}
		})))
		var said string
		for said == "" {
			if e := r.next(KindUnready); e.Name == name {
				said = e.Message
			}
		}
		if !strings.Contains(said, test.want) || time.Since(begin) > 20*time.Second {
			t.Errorf("%s: %q after %s", name, said, time.Since(begin))
		}
	}
	// What can be seen before is refused.
	for field, set := range map[string]func(*Template){
		"ready.exec":  func(t *Template) { t.Ready = &Ready{Exec: "/no/such/probe"} },
		"health.exec": func(t *Template) { t.Health = &Health{Exec: "$NO_SUCH_VARIABLE_IS_SET"} },
	} {
		if err := r.Add(r.ctx, script("refused", "exec sleep 100", set)); err == nil || !strings.Contains(err.Error(), field) {
			t.Errorf("%s: got %v", field, err)
		}
	}
	if left := commandRuns(t, "sleep 10.75"); left != "" {
		t.Errorf("a probe is left: %s", left)
	}
}

// commandRuns finds a process with such a command line.
func commandRuns(t *testing.T, command string) string {
	t.Helper()
	entries, err := filepath.Glob("/proc/[0-9]*/cmdline")
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range entries {
		text, _ := os.ReadFile(path)
		if strings.TrimSpace(strings.ReplaceAll(string(text), "\x00", " ")) != command {
			continue
		}
		pid, _ := strconv.Atoi(filepath.Base(filepath.Dir(path)))
		if alive(pid) {
			return path
		}
	}
	return ""
}
