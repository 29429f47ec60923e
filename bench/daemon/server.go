//go:build linux

package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/gafferpm/gaffer/bench/internal/machine"
)

const (
	upLimit   = 2 * time.Minute // for a server to answer and its children to be up
	stopLimit = time.Minute     // for it to be gone after SIGTERM
	lookEvery = 5 * time.Millisecond
)

// server is a daemon, or the bare server, from its start to its end. It is used
// by one goroutine; gone is closed by another when it has ended.
type server struct {
	name   string
	child  string // program of its children
	dir    string
	socket string
	cmd    *exec.Cmd
	gone   chan struct{}
}

// daemon starts a daemon with n templates of one child each, and waits until it
// answers and they run.
func (b *bench) daemon(ctx context.Context, n int) (*server, error) {
	b.board.Clear()
	var config strings.Builder
	for i := range n {
		fmt.Fprintf(&config, "[process.p%d]\ncmd='%s'\nargs=['sleep','%[1]d','%[3]s']\n", i+1, b.programs.child, b.board.Path)
	}
	s, err := b.start(daemon, func(dir, _ string) ([]string, error) {
		path := filepath.Join(dir, "gaffer.toml")
		return []string{b.programs.gaffer, "daemon", "--config", path, "--runtime-dir", dir, "--state-dir", filepath.Join(dir, "state")},
			os.WriteFile(path, []byte(config.String()), 0o600)
	})
	if err != nil {
		return nil, err
	}
	return s, s.await(ctx, func() bool { return b.board.Started() >= n && s.answers(ctx, "/v1/ping") })
}

// bareServer starts the bare server and waits until it answers.
func (b *bench) bareServer(ctx context.Context) (*server, error) {
	s, err := b.start(bare, func(_, socket string) ([]string, error) {
		return []string{b.programs.bare, socket, b.bare}, nil
	})
	if err != nil {
		return nil, err
	}
	return s, s.await(ctx, func() bool { return s.answers(ctx, statusPath) })
}

// one starts the server of a contestant that has one child.
func (b *bench) one(ctx context.Context, contestant string) (*server, error) {
	if contestant == bare {
		return b.bareServer(ctx)
	}
	return b.daemon(ctx, 1)
}

// start starts a server. Nothing is left in its directory from before.
func (b *bench) start(name string, prepare func(dir, socket string) ([]string, error)) (*server, error) {
	s := &server{name: name, child: b.programs.child, dir: filepath.Join(b.dir, strings.Fields(name)[0]), gone: make(chan struct{})}
	s.socket = filepath.Join(s.dir, "gaffer.sock")
	if err := errors.Join(os.RemoveAll(s.dir), os.Mkdir(s.dir, 0o700)); err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	argv, err := prepare(s.dir, s.socket)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	output, err := os.Create(s.output())
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	defer output.Close()
	s.cmd = exec.Command(argv[0], argv[1:]...) // ended by end, not by a context
	s.cmd.Dir, s.cmd.Env = s.dir, environment(s.dir)
	s.cmd.Stdout, s.cmd.Stderr = output, output
	s.cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true} // a Ctrl-C is for the harness alone
	if err := s.cmd.Start(); err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	go func() {
		defer close(s.gone)
		_ = s.cmd.Wait() // how it ended says nothing: we end it
	}()
	return s, nil
}

// environment is ours without what means something to gaffer.
func environment(home string) []string {
	env := []string{"HOME=" + home}
	for _, v := range os.Environ() {
		if !strings.HasPrefix(v, "GAFFER_") && !strings.HasPrefix(v, "HOME=") && !strings.HasPrefix(v, "XDG_") {
			env = append(env, v)
		}
	}
	return env
}

func (s *server) output() string { return filepath.Join(s.dir, "output") }

// await waits until the server is ready; one that is not is ended.
func (s *server) await(ctx context.Context, ready func() bool) error {
	deadline := time.Now().Add(upLimit)
	for !ready() {
		select {
		case <-s.gone:
			return errors.Join(fmt.Errorf("%s: gone before it was ready%s", s.name, s.lastWords()), s.end())
		case <-ctx.Done():
			return errors.Join(ctx.Err(), s.end())
		case <-time.After(lookEvery):
		}
		if time.Now().After(deadline) {
			return errors.Join(fmt.Errorf("%s: not ready after %v%s", s.name, upLimit, s.lastWords()), s.end())
		}
	}
	return nil
}

// lastWords is what the server printed, for an error.
func (s *server) lastWords() string {
	text, err := os.ReadFile(s.output())
	if err != nil || len(text) == 0 {
		return ""
	}
	const most = 2000
	return "; its last words:\n" + string(text[max(len(text)-most, 0):])
}

// end asks the server to stop, kills what is left of it and its children, and
// removes its files.
func (s *server) end() error {
	_ = s.cmd.Process.Signal(syscall.SIGTERM) // it may have gone by itself
	select {
	case <-s.gone:
	case <-time.After(stopLimit):
	}
	if err := machine.EndFamily(s.child); err != nil {
		return fmt.Errorf("%s: %w", s.name, err)
	}
	<-s.gone
	machine.ReapAll()
	return os.RemoveAll(s.dir)
}

// self are the server's processes: of a daemon its holder, its manager and its spawner.
func (s *server) self() []machine.Relative { return machine.Same(s.cmd.Process.Pid) }

// cpu is the processor time of the server so far in nanoseconds.
func (s *server) cpu() int64 { return machine.CPUTime(s.self()) }

// client asks over the server's socket.
func (s *server) client() *http.Client {
	return &http.Client{Transport: &http.Transport{
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, "unix", s.socket)
		},
	}}
}

// get asks once.
func (s *server) get(ctx context.Context, path string) (http.Header, []byte, error) {
	c := s.client()
	defer c.CloseIdleConnections()
	return get(ctx, c, path)
}

func get(ctx context.Context, c *http.Client, path string) (http.Header, []byte, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://daemon"+path, nil)
	if err != nil {
		return nil, nil, err
	}
	answer, err := c.Do(req)
	if err != nil {
		return nil, nil, err
	}
	defer answer.Body.Close()
	body, err := io.ReadAll(answer.Body)
	if err == nil && answer.StatusCode != http.StatusOK {
		err = fmt.Errorf("GET %s: %s: %s", path, answer.Status, body)
	}
	return answer.Header, body, err
}

func (s *server) answers(ctx context.Context, path string) bool {
	_, _, err := s.get(ctx, path)
	return err == nil
}
