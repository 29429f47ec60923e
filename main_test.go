package gaffer

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"os/signal"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"
)

// helperVariable makes the test binary be one of the programs below.
const helperVariable = "GAFFER_TEST_PROGRAM"

// programs are what real processes of the tests do.
var programs = map[string]func(args []string) int{
	"dummy":    dummyProgram,
	"crash":    func([]string) int { time.Sleep(100 * time.Millisecond); return 1 },
	"exit":     func([]string) int { return 3 },
	"echo":     echoProgram,
	"stream":   streamProgram,
	"sleep":    func([]string) int { waitFor(syscall.SIGTERM); return 0 },
	"args":     func(args []string) int { fmt.Println(strings.Join(args, "|")); waitFor(syscall.SIGTERM); return 0 },
	"hungry":   hungryProgram,
	"listener": listenerProgram,
	"server":   serverProgram,
	"stubborn": func([]string) int {
		signal.Ignore(syscall.SIGTERM)
		fmt.Println("ready")
		waitFor(syscall.SIGUSR1)
		return 0
	},
}

func TestMain(m *testing.M) {
	if name := os.Getenv(helperVariable); name != "" {
		os.Exit(programs[name](os.Args[1:]))
	}
	goleak.VerifyTestMain(m)
}

// dummyProgram writes what happens to it into a file: START; HUP for each; QUIT
// when it is told to end, and STOP at its end, with status 1.
func dummyProgram(args []string) int {
	f, err := os.OpenFile(args[0], os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return 99
	}
	signals := make(chan os.Signal, 10)
	signal.Notify(signals, syscall.SIGHUP, syscall.SIGQUIT, syscall.SIGTERM)
	fmt.Fprint(f, "START ")
	fmt.Print("hello out")
	fmt.Fprint(os.Stderr, "hello err")
	for s := range signals {
		if s == syscall.SIGHUP {
			fmt.Fprint(f, "HUP ")
			fmt.Print("hup seen")
			continue
		}
		fmt.Fprint(f, "QUIT STOP")
		break
	}
	return 1
}

func echoProgram([]string) int {
	line, _ := bufio.NewReader(os.Stdin).ReadString('\n')
	fmt.Println(strings.TrimSpace(line))
	waitFor(syscall.SIGTERM)
	return 0
}

func streamProgram([]string) int {
	stream := os.NewFile(3, "stream")
	line, _ := bufio.NewReader(stream).ReadString('\n')
	fmt.Fprint(stream, line)
	waitFor(syscall.SIGTERM)
	return 0
}

// hungryProgram has a child that uses so many MiB.
func hungryProgram(args []string) int {
	mib, err := strconv.Atoi(args[0])
	if err != nil {
		return 99
	}
	if len(args) == 1 {
		child := exec.Command(os.Args[0], args[0], "yourself")
		if err := child.Start(); err != nil {
			return 98
		}
		waitFor(syscall.SIGTERM)
		return 0
	}
	memory := make([]byte, mib<<20)
	for i := 0; i < len(memory); i += 4096 {
		memory[i] = 1
	}
	waitFor(syscall.SIGTERM)
	return int(memory[0]) - 1
}

// listenerProgram answers who connects to a socket that it was passed with the socket's
// name and its own number, and ends when it is asked to.
func listenerProgram([]string) int {
	n, _ := strconv.Atoi(os.Getenv("LISTEN_FDS"))
	names := strings.Split(os.Getenv("LISTEN_FDNAMES"), ":")
	if os.Getenv("LISTEN_PID") != strconv.Itoa(os.Getpid()) || n == 0 || len(names) != n {
		fmt.Printf("LISTEN_PID=%s LISTEN_FDS=%d LISTEN_FDNAMES=%s, pid %d\n", os.Getenv("LISTEN_PID"), n, names, os.Getpid())
		return 99
	}
	for i, name := range names {
		l, err := net.FileListener(os.NewFile(uintptr(3+i), name))
		if err != nil {
			fmt.Println(name, err)
			return 98
		}
		go func() {
			for {
				c, err := l.Accept()
				if err != nil {
					return
				}
				go func() {
					fmt.Fprintln(c, name, os.Getpid())
					_, _ = io.Copy(io.Discard, c) // until the other side has had enough
					c.Close()
				}()
			}
		}()
	}
	fmt.Println("listening")
	waitFor(syscall.SIGTERM)
	return 0
}

func waitFor(sig os.Signal) {
	c := make(chan os.Signal, 1)
	signal.Notify(c, sig)
	<-c
}

// real is a running manager of real processes.
type real struct {
	*testing.T
	*Manager
	ctx    context.Context // ends with the test's patience
	events Stream[Event]
}

func newReal(t *testing.T, opts Options) *real {
	t.Helper()
	return newRealFor(t, opts, 30*time.Second)
}

// newRealFor is newReal for a test that takes longer than others.
func newRealFor(t *testing.T, opts Options, patience time.Duration) *real {
	t.Helper()
	m, err := New(opts)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	r := &real{T: t, Manager: m, ctx: ctx}
	r.events, err = m.Subscribe(ctx, All, EventOptions{})
	if err != nil {
		t.Fatal(err)
	}
	running, end := context.WithCancel(ctx)
	done := make(chan error)
	begun, once := make(chan struct{}), sync.Once{}
	go func() {
		done <- m.Run(running, AppFunc(func(ctx context.Context, _ *Manager) error {
			once.Do(func() { close(begun) })
			<-ctx.Done()
			return nil
		}))
	}()
	<-begun
	t.Cleanup(func() {
		end()
		if err := <-done; err != nil {
			t.Errorf("Run: %v", err)
		}
		cancel()
	})
	return r
}

func (r *real) ok(err error) {
	r.Helper()
	if err != nil {
		r.Fatal(err)
	}
}

// program is a template of one of the programs.
func program(name, what string, more ...func(*Template)) Template {
	self, err := os.Executable()
	if err != nil {
		panic(err)
	}
	t := Template{Name: name, Cmd: self, Args: Args{}, Env: map[string]string{
		helperVariable: what,
		"GORACE":       "atexit_sleep_ms=0", // with the race detector each end took a second
	}}
	for _, f := range more {
		f(&t)
	}
	return t
}

func args(list ...string) func(*Template) { return func(t *Template) { t.Args = list } }

// next waits for the next event of one of the kinds.
func (r *real) next(kinds ...Kind) Event {
	r.Helper()
	for {
		e, err := r.events.Next(r.ctx)
		r.ok(err)
		for _, k := range kinds {
			if e.Kind == k {
				return e
			}
		}
	}
}

// reads waits until a stream of output has delivered a text.
func (r *real) reads(out Stream[Output], want string) Output {
	r.Helper()
	var seen strings.Builder
	for {
		o, err := out.Next(r.ctx)
		if err != nil {
			r.Fatalf("%v, after %q, want %q", err, seen.String(), want)
		}
		seen.Write(o.Data)
		if strings.Contains(seen.String(), want) {
			return o
		}
	}
}

func (r *real) output(target Target, how OutputOptions) Stream[Output] {
	r.Helper()
	out, err := r.Output(r.ctx, target, how)
	r.ok(err)
	return out
}

func (r *real) status(name string) Status {
	r.Helper()
	list, err := r.List(r.ctx, Target(name))
	r.ok(err)
	return list[0].Status
}
