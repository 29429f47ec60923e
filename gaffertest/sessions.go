package gaffertest

import (
	"bytes"
	"context"
	"errors"
	"io"
	"strings"

	"github.com/gafferpm/gaffer"
)

var sessionCases = []aCase{
	{"TerminalsAreTypedOnAndResized", typeAndResize},
	{"CommandsRunInTheEnvironmentOfATemplate", execInEnvironment},
	{"CommandsTakeBytesAsTheyAre", execBytes},
	{"CommandsHaveTerminals", execOnTerminal},
	{"CommandsAreSignalled", execSignal},
	{"CommandsEndWithTheirSession", execEnds},
	{"CommandsThatCantBe", execRefused},
}

// sessions are those of a Controller that has them.
func (b *bench) sessions() gaffer.Sessions {
	b.Helper()
	s, ok := b.c.(gaffer.Sessions)
	if !ok {
		b.Skip("this Controller has no Sessions")
	}
	return s
}

func typeAndResize(b *bench) {
	s := b.sessions()
	b.add("web", `stty -echo; stty size; echo ready; read -r x; echo "got $x"; stty size; `+sleeps, func(t *gaffer.Template) { t.PTY = true })
	out := b.output("web", gaffer.OutputOptions{Tail: -1})
	b.line(out, "24 80\r")
	b.line(out, "ready\r")
	b.ok(s.Resize(b.ctx, "web", gaffer.WindowSize{Cols: 132, Rows: 50}))
	b.ok(b.c.Write(b.ctx, "web", "stdin", []byte("hello\n")))
	if o := b.line(out, "got hello\r"); o.Label != "stdout" {
		b.Errorf("output %+v", o)
	}
	b.line(out, "50 132\r")
	b.is(s.Resize(b.ctx, "web", gaffer.WindowSize{}), gaffer.ErrInvalid)
	b.is(s.Resize(b.ctx, "none", gaffer.WindowSize{Cols: 1, Rows: 1}), gaffer.ErrNotFound)
	b.add("plain", sleeps)
	b.is(s.Resize(b.ctx, "plain", gaffer.WindowSize{Cols: 1, Rows: 1}), gaffer.ErrConflict)
}

// exec runs a script, for as long as the case takes.
func (b *bench) exec(target gaffer.Target, script string, more ...func(*gaffer.ExecOptions)) gaffer.Session {
	b.Helper()
	how := gaffer.ExecOptions{Args: []string{"sh", "-c", script}}
	for _, f := range more {
		f(&how)
	}
	s, err := b.sessions().Exec(b.ctx, target, how)
	b.ok(err)
	b.Cleanup(s.Close)
	return s
}

// ends reads what a command writes, to its end.
func (b *bench) ends(s gaffer.Session) (out, stderr string, exit gaffer.Exit) {
	b.Helper()
	for {
		o, err := s.Next(b.ctx)
		if errors.Is(err, io.EOF) {
			break
		}
		b.ok(err)
		if o.Stderr {
			stderr += string(o.Data)
		} else {
			out += string(o.Data)
		}
	}
	if s.Exit() == nil {
		b.Fatal("it has ended, and nobody knows how")
	}
	return out, stderr, *s.Exit()
}

// writes waits until a command has written a text.
func (b *bench) writes(s gaffer.Session, want string) {
	b.Helper()
	got := ""
	for !strings.Contains(got, want) {
		o, err := s.Next(b.ctx)
		if err != nil {
			b.Fatalf("%v, after %q; want %q", err, got, want)
		}
		got += string(o.Data)
	}
}

func withSessionInput(how *gaffer.ExecOptions) { how.Input = true }

func execInEnvironment(b *bench) {
	b.add("web", sleeps, numprocesses(2), func(t *gaffer.Template) {
		t.Env, t.Cwd, t.Port = map[string]string{"A": "of the template", "B": "too"}, "/", 8000
	})
	const show = `echo "$A $B $PORT $GAFFER_NAME $GAFFER_SLOT"; pwd; echo err >&2; exit 7`
	for target, slot := range map[gaffer.Target]string{"web": "8000 web 1", "web.2": "8001 web 2", "2": "8001 web 2"} {
		s := b.exec(target, show, func(how *gaffer.ExecOptions) { how.Env = map[string]string{"B": "mine"} })
		if s.PID() == 0 || s.Exit() != nil {
			b.Errorf("pid %d, %+v", s.PID(), s.Exit())
		}
		out, stderr, exit := b.ends(s)
		if out != "of the template mine "+slot+"\n/\n" || stderr != "err\n" || exit.Status != 7 || exit.Reason != "exit status 7" || exit.Time.IsZero() {
			b.Errorf("%s: %q, %q, %+v", target, out, stderr, exit)
		}
	}
	if st := b.status("web"); st.Running != 2 || len(st.Processes) != 2 || st.Restarts != 0 {
		b.Errorf("a command counts as a process: %+v", st)
	}
	b.ok(b.c.Add(b.ctx, gaffer.Template{Name: "once", Cmd: "true", Detach: true, Env: map[string]string{"A": "b"}}))
	if out, _, _ := b.ends(b.exec("once", "echo $A")); out != "b\n" {
		b.Errorf("of a detached template: %q", out)
	}
}

func execBytes(b *bench) {
	b.add("web", sleeps)
	_, data := b.allBytes()
	data = bytes.Repeat(data, 3_000_000/len(data))
	s := b.exec("web", "exec cat", withSessionInput)
	written := make(chan error, 1)
	go func() { written <- errors.Join(s.Write(b.ctx, data), s.CloseInput(b.ctx)) }()
	out, _, exit := b.ends(s)
	b.ok(<-written)
	if out != string(data) || exit.Status != 0 {
		b.Errorf("%d bytes came back of %d, %+v", len(out), len(data), exit)
	}
	b.is(s.Write(b.ctx, data), gaffer.ErrConflict)
	out, _, exit = b.ends(b.exec("web", "head -c 5000000 /dev/zero"))
	if len(out) != 5_000_000 || strings.Trim(out, "\x00") != "" {
		b.Errorf("%d bytes, %+v", len(out), exit)
	}
}

func execOnTerminal(b *bench) {
	b.add("web", sleeps)
	s := b.exec("web", `tty -s && stty size; echo "$TERM"; echo ready >&2; read x; stty size; exit 3`, func(how *gaffer.ExecOptions) {
		how.Terminal = &gaffer.WindowSize{Cols: 100, Rows: 30}
	})
	b.writes(s, "30 100\r\nxterm-256color\r\nready\r\n")
	b.ok(s.Resize(b.ctx, gaffer.WindowSize{Cols: 50, Rows: 20}))
	b.is(s.Resize(b.ctx, gaffer.WindowSize{}), gaffer.ErrInvalid)
	b.ok(s.Write(b.ctx, []byte("\n")))
	out, stderr, exit := b.ends(s)
	if out != "\r\n20 50\r\n" || stderr != "" || exit.Status != 3 {
		b.Errorf("%q, %q, %+v", out, stderr, exit)
	}
}

func execSignal(b *bench) {
	b.add("web", sleeps)
	s := b.exec("web", "echo ready; "+sleeps)
	b.writes(s, "ready")
	b.is(s.Signal(b.ctx, 99), gaffer.ErrInvalid)
	b.ok(s.Signal(b.ctx, 15))
	if _, _, exit := b.ends(s); exit.Signal != 15 || exit.Status != -1 {
		b.Errorf("exit %+v", exit)
	}
}

func execEnds(b *bench) {
	b.add("web", sleeps)
	dir := b.TempDir()
	for name, end := range map[string]func(gaffer.Session, context.CancelFunc){
		"closed":  func(s gaffer.Session, _ context.CancelFunc) { s.Close() },
		"context": func(_ gaffer.Session, cancel context.CancelFunc) { cancel() },
	} {
		// Who has a FIFO open for writing is known to have ended by who reads it.
		fifo := dir + "/" + name
		ctx, cancel := context.WithCancel(b.ctx)
		defer cancel()
		s, err := b.sessions().Exec(ctx, "web", gaffer.ExecOptions{Args: []string{"sh", "-c", `mkfifo "$1"; echo made; setsid sleep 1000 >"$1" & echo open >"$1"; wait`, "-", fifo}})
		b.ok(err)
		defer s.Close()
		b.writes(s, "made")
		read := b.exec("web", "cat "+fifo)
		b.writes(read, "open")
		end(s, cancel)
		if _, _, exit := b.ends(read); exit.Status != 0 {
			b.Errorf("%s: %+v", name, exit)
		}
	}
	b.wantRunning("web", 1)
}

func execRefused(b *bench) {
	s := b.sessions()
	b.add("web", sleeps)
	b.add("web2", sleeps)
	for _, c := range []struct {
		target gaffer.Target
		how    gaffer.ExecOptions
		want   error
	}{
		{"web", gaffer.ExecOptions{}, gaffer.ErrInvalid},
		{"web", gaffer.ExecOptions{Args: []string{"nowhere-to-be-found"}}, gaffer.ErrInvalid},
		{"web", gaffer.ExecOptions{Args: []string{"true"}, Env: map[string]string{"GAFFER_ID": "1"}}, gaffer.ErrInvalid},
		{"web", gaffer.ExecOptions{Args: []string{"true"}, Terminal: &gaffer.WindowSize{}}, gaffer.ErrInvalid},
		{"none", gaffer.ExecOptions{Args: []string{"true"}}, gaffer.ErrNotFound},
		{"web.2", gaffer.ExecOptions{Args: []string{"true"}}, gaffer.ErrNotFound},
		{"99", gaffer.ExecOptions{Args: []string{"true"}}, gaffer.ErrNotFound},
		{"web*", gaffer.ExecOptions{Args: []string{"true"}}, gaffer.ErrInvalid},
		{"a b", gaffer.ExecOptions{Args: []string{"true"}}, gaffer.ErrInvalid},
	} {
		_, err := s.Exec(b.ctx, c.target, c.how)
		b.is(err, c.want)
	}
	without := b.exec("web", "exec cat")
	b.is(without.Write(b.ctx, []byte("x")), gaffer.ErrConflict)
	b.is(without.Resize(b.ctx, gaffer.WindowSize{Cols: 1, Rows: 1}), gaffer.ErrConflict)
	if _, _, exit := b.ends(without); exit.Status != 0 { // its input is the null device
		b.Errorf("exit %+v", exit)
	}
}
