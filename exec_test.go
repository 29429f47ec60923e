package gaffer

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// ran is what came of a command.
type ran struct {
	out, err string
	exit     *Exit
}

// finish reads all that a session has.
func finish(t *testing.T, ctx context.Context, s Session) ran {
	t.Helper()
	defer s.Close()
	var out, stderr bytes.Buffer
	for {
		o, err := s.Next(ctx)
		if errors.Is(err, io.EOF) {
			return ran{out.String(), stderr.String(), s.Exit()}
		}
		if err != nil {
			t.Fatalf("%v, after %q and %q", err, out.String(), stderr.String())
		}
		if o.Stderr {
			stderr.Write(o.Data)
		} else {
			out.Write(o.Data)
		}
	}
}

func (r *real) exec(target Target, how ExecOptions) Session {
	r.Helper()
	s, err := r.Exec(r.ctx, target, how)
	r.ok(err)
	r.Cleanup(s.Close)
	return s
}

func sh(text string) []string { return []string{"sh", "-c", text} }

func TestExecRunsInTheEnvironmentOfATemplate(t *testing.T) {
	r := newReal(t, Options{})
	dir := r.TempDir()
	file := filepath.Join(dir, "env")
	r.ok(os.WriteFile(file, []byte("FROM_FILE=yes\n"), 0o600))
	r.ok(r.Add(r.ctx, script("web", "exec sleep 1000", func(t *Template) {
		t.Env, t.EnvFiles, t.Cwd, t.Port, t.NumProcesses = map[string]string{"A": "port $PORT"}, []string{file}, dir, 8000, new(2)
	})))
	const show = `echo "$A $FROM_FILE $GAFFER_NAME $GAFFER_SLOT ${GAFFER_ID-none} $B"; pwd; echo err >&2; exit 7`
	real, err := filepath.EvalSymlinks(dir)
	r.ok(err)
	for target, want := range map[Target]string{"web": "8000 yes web 1", "web.2": "8001 yes web 2", "2": "8001 yes web 2"} {
		got := finish(t, r.ctx, r.exec(target, ExecOptions{Args: sh(show), Env: map[string]string{"B": "more"}}))
		if got.out != "port "+want+" none more\n"+real+"\n" || got.err != "err\n" || got.exit == nil || got.exit.Status != 7 || got.exit.Reason != "exit status 7" {
			t.Errorf("%s: %+v", target, got)
		}
	}
	r.ok(r.Stop(r.ctx, "web")) // it need not run
	if got := finish(t, r.ctx, r.exec("web", ExecOptions{Args: []string{"echo", "$A", "a b"}})); got.out != "$A a b\n" {
		t.Errorf("words are changed: %+v", got)
	}
}

// What tells a process of its sockets and its watchdog is not for a command, which has none.
func TestExecHasNoSockets(t *testing.T) {
	r := newReal(t, Options{})
	r.ok(r.Add(r.ctx, script("web", "exec sleep 1000", func(t *Template) {
		t.Sockets = []Socket{{Name: "http", Listen: "unix:" + r.TempDir() + "/s"}}
	})))
	if got := finish(t, r.ctx, r.exec("web", ExecOptions{Args: sh("env | grep -E '^(LISTEN|WATCHDOG|NOTIFY)' || echo none")})); got.out != "none\n" {
		t.Errorf("%+v", got)
	}
}

func TestExecOfADetachedTemplate(t *testing.T) {
	r := newReal(t, Options{})
	r.ok(r.Add(r.ctx, script("once", "true", func(t *Template) { t.Detach, t.Env = true, map[string]string{"A": "b"} })))
	if got := finish(t, r.ctx, r.exec("once", ExecOptions{Args: sh("echo $A")})); got.out != "b\n" {
		t.Errorf("%+v", got)
	}
}

func TestExecThatCantBe(t *testing.T) {
	r := newReal(t, Options{})
	r.ok(r.Add(r.ctx, script("web", "exec sleep 1000")))
	r.ok(r.Add(r.ctx, script("web2", "exec sleep 1000", func(t *Template) { t.Start = new(false) })))
	for _, c := range []struct {
		target Target
		how    ExecOptions
		want   error
	}{
		{"web", ExecOptions{}, ErrInvalid},
		{"web", ExecOptions{Args: []string{""}}, ErrInvalid},
		{"web", ExecOptions{Args: []string{"echo", "\x00"}}, ErrInvalid},
		{"web", ExecOptions{Args: []string{"no-such-program"}}, ErrInvalid},
		{"web", ExecOptions{Args: []string{"/no/such/program"}}, ErrInvalid},
		{"web", ExecOptions{Args: []string{"/dev/null"}}, ErrInvalid},
		{"web", ExecOptions{Args: sh("true"), Env: map[string]string{"": "x"}}, ErrInvalid},
		{"web", ExecOptions{Args: sh("true"), Env: map[string]string{"A=": "x"}}, ErrInvalid},
		{"web", ExecOptions{Args: sh("true"), Env: map[string]string{"A": "\x00"}}, ErrInvalid},
		{"web", ExecOptions{Args: sh("true"), Env: map[string]string{"GAFFER_INSTANCE": "x"}}, ErrInvalid},
		{"web", ExecOptions{Args: sh("true"), Terminal: &WindowSize{}}, ErrInvalid},
		{"none", ExecOptions{Args: sh("true")}, ErrNotFound},
		{"web.2", ExecOptions{Args: sh("true")}, ErrNotFound},
		{"99", ExecOptions{Args: sh("true")}, ErrNotFound},
		{"web*", ExecOptions{Args: sh("true")}, ErrInvalid},
		{"?", ExecOptions{Args: sh("true")}, ErrInvalid},
	} {
		if _, err := r.Exec(r.ctx, c.target, c.how); !errors.Is(err, c.want) {
			t.Errorf("%s %+v: %v, want %v", c.target, c.how, err, c.want)
		}
	}
	ended, cancel := context.WithCancel(r.ctx)
	cancel()
	if _, err := r.Exec(ended, "web", ExecOptions{Args: sh("true")}); !errors.Is(err, context.Canceled) {
		t.Errorf("nobody waits for it: %v", err)
	}
}

func TestExecHasInputAndSignals(t *testing.T) {
	r := newReal(t, Options{})
	r.ok(r.Add(r.ctx, script("web", "exec sleep 1000")))
	s := r.exec("web", ExecOptions{Args: []string{"cat"}, Input: true})
	data := bytes.Repeat([]byte{0, 1, 2, '\n', 0xff, '\r'}, 300_000)
	go func() {
		if s.Write(r.ctx, data) != nil || s.CloseInput(r.ctx) != nil {
			t.Error("it could not be written")
		}
	}()
	if got := finish(t, r.ctx, s); sha256.Sum256([]byte(got.out)) != sha256.Sum256(data) || got.exit.Status != 0 {
		t.Errorf("%d bytes came back of %d, %+v", len(got.out), len(data), got.exit)
	}
	if err := s.Write(r.ctx, data); !errors.Is(err, ErrConflict) {
		t.Errorf("write to what has ended: %v", err)
	}

	s = r.exec("web", ExecOptions{Args: sh("exec cat")})
	if got := finish(t, r.ctx, s); got.out != "" || got.exit.Status != 0 {
		t.Errorf("without input: %+v", got)
	}
	if err := s.Write(r.ctx, data); !errors.Is(err, ErrConflict) {
		t.Errorf("write without input: %v", err)
	}
	if err := s.Resize(r.ctx, WindowSize{Cols: 1, Rows: 1}); !errors.Is(err, ErrConflict) {
		t.Errorf("resize without a terminal: %v", err)
	}

	s = r.exec("web", ExecOptions{Args: sh("trap 'echo term; exit 4' TERM; echo ready; while :; do sleep 0.01; done")})
	if o, err := s.Next(r.ctx); err != nil || string(o.Data) != "ready\n" {
		t.Fatal(o, err)
	}
	if err := s.Signal(r.ctx, 99); !errors.Is(err, ErrInvalid) {
		t.Errorf("no signal: %v", err)
	}
	r.ok(s.Signal(r.ctx, Signal(syscall.SIGTERM)))
	if got := finish(t, r.ctx, s); got.out != "term\n" || got.exit.Status != 4 {
		t.Errorf("%+v", got)
	}
	r.ok(s.Signal(r.ctx, Signal(syscall.SIGTERM)))

	s = r.exec("web", ExecOptions{Args: sh("kill -9 $$")})
	if got := finish(t, r.ctx, s); got.exit.Status != -1 || got.exit.Signal != Signal(syscall.SIGKILL) {
		t.Errorf("%+v", got.exit)
	}
}

func TestExecOnATerminal(t *testing.T) {
	r := newReal(t, Options{})
	r.ok(r.Add(r.ctx, script("web", "exec sleep 1000")))
	s := r.exec("web", ExecOptions{Args: sh("tty -s && stty size; echo $TERM >&2; read x; echo got $x; stty size; exec cat"), Terminal: &WindowSize{Cols: 100, Rows: 30}})
	got := ""
	for !strings.HasSuffix(got, defaultTerm+"\r\n") {
		o, err := s.Next(r.ctx)
		r.ok(err)
		if o.Stderr {
			t.Error("a terminal is one stream")
		}
		got += string(o.Data)
	}
	if got != "30 100\r\n"+defaultTerm+"\r\n" {
		t.Errorf("it wrote %q", got)
	}
	r.ok(s.Resize(r.ctx, WindowSize{Cols: 50, Rows: 20}))
	r.ok(s.Write(r.ctx, []byte("hello\n")))
	r.ok(s.CloseInput(r.ctx))
	if got := finish(t, r.ctx, s); got.out != "hello\r\ngot hello\r\n20 50\r\n" || got.exit.Status != 0 {
		t.Errorf("%+v", got)
	}
}

// What is closed is killed with all it has started, whatever that has done to hide.
func TestExecEndsWithItsSession(t *testing.T) {
	r := newReal(t, Options{Subreaper: true})
	r.ok(r.Add(r.ctx, script("web", "exec sleep 1000")))
	for _, end := range []func(Session, context.CancelFunc){
		func(s Session, _ context.CancelFunc) { s.Close() },
		func(s Session, cancel context.CancelFunc) { cancel(); finish(t, r.ctx, s) },
	} {
		ctx, cancel := context.WithCancel(r.ctx)
		s, err := r.Exec(ctx, "web", ExecOptions{Args: sh("trap '' TERM HUP; setsid sh -c 'trap \"\" TERM HUP; echo $$; exec sleep 1000' & wait")})
		r.ok(err)
		o, err := s.Next(r.ctx)
		r.ok(err)
		hidden, err := strconv.Atoi(strings.TrimSpace(string(o.Data)))
		r.ok(err)
		end(s, cancel)
		cancel()
		for _, pid := range []int{hidden, s.PID()} {
			if !hasEnded(pid) {
				t.Errorf("process %d still runs", pid)
			}
		}
	}
	st := r.status("web")
	if st.Running != 1 || len(st.Processes) != 1 || st.Restarts != 0 {
		t.Errorf("it is none of the template: %+v", st)
	}
}

// hasEnded says whether nothing of a process is left but perhaps its entry.
func hasEnded(pid int) bool {
	if syscall.Kill(pid, 0) != nil {
		return true
	}
	stat, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
	_, after, _ := strings.Cut(string(stat), ") ")
	return err != nil || strings.HasPrefix(after, "Z")
}

func TestStoppingATemplateLeavesItsCommandsAlone(t *testing.T) {
	r := newReal(t, Options{Subreaper: true})
	r.ok(r.Add(r.ctx, script("web", "exec sleep 1000")))
	s := r.exec("web", ExecOptions{Args: []string{"cat"}, Input: true})
	other := r.exec("web", ExecOptions{Args: []string{"cat"}, Input: true})
	r.ok(r.Stop(r.ctx, "web"))
	other.Close()
	r.ok(s.Write(r.ctx, []byte("still here")))
	r.ok(s.CloseInput(r.ctx))
	if got := finish(t, r.ctx, s); got.out != "still here" || got.exit.Status != 0 {
		t.Errorf("%+v", got)
	}
}

func TestNobodyWaitsForWhoHoldsTheStreamsOfACommand(t *testing.T) {
	r := newReal(t, Options{})
	r.ok(r.Add(r.ctx, script("web", "exec sleep 1000")))
	s := r.exec("web", ExecOptions{Args: sh("echo $$; read x"), Input: true})
	o, err := s.Next(r.ctx)
	r.ok(err)
	held, err := os.OpenFile("/proc/"+strings.TrimSpace(string(o.Data))+"/fd/1", os.O_WRONLY, 0)
	if err != nil {
		t.Skipf("the pipe can't be held open here: %v", err)
	}
	defer held.Close()
	begun := time.Now()
	r.ok(s.CloseInput(r.ctx))
	if got := finish(t, r.ctx, s); got.exit == nil || time.Since(begun) > 20*time.Second {
		t.Errorf("%+v after %s", got, time.Since(begun))
	}
}

func TestCommandsEndWithTheManager(t *testing.T) {
	m, err := New(Options{})
	if err != nil {
		t.Fatal(err)
	}
	ctx, end := context.WithCancel(t.Context())
	done := make(chan error)
	go func() { done <- m.Run(ctx) }()
	<-m.Begun()
	if err := m.Add(t.Context(), script("web", "exec sleep 1000")); err != nil {
		t.Fatal(err)
	}
	s, err := m.Exec(t.Context(), "web", ExecOptions{Args: []string{"sleep", "1000"}})
	if err != nil {
		t.Fatal(err)
	}
	end()
	if err := <-done; err != nil {
		t.Error(err)
	}
	if got := finish(t, t.Context(), s); got.exit == nil || got.exit.Signal != Signal(syscall.SIGKILL) {
		t.Errorf("%+v", got)
	}
	if _, err := m.Exec(t.Context(), "web", ExecOptions{Args: []string{"true"}}); !errors.Is(err, ErrClosed) {
		t.Errorf("after the end: %v", err)
	}
}
