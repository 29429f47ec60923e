package gaffer

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// serverProgram is a web server: it answers with its version, ends what it has begun when
// it is asked to stop, and says when it is ready. With "reuseport" it opens its socket
// itself. Version "broken" is never ready, "crash" ends at once.
func serverProgram(args []string) int {
	version := os.Getenv("VERSION")
	if version == "crash" {
		return 7
	}
	asked := make(chan os.Signal, 1)
	signal.Notify(asked, syscall.SIGTERM) // before it is ready, or it could be too late
	l, err := serverListener(args)
	if err != nil {
		fmt.Println(err)
		return 1
	}
	server := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		time.Sleep(time.Millisecond) // which other requests may come in
		_, _ = io.WriteString(w, version)
	})}
	var open sync.WaitGroup // connections
	server.ConnState = func(_ net.Conn, state http.ConnState) {
		switch state {
		case http.StateNew:
			open.Add(1)
		case http.StateClosed, http.StateHijacked:
			open.Done()
		}
	}
	if version == "broken" {
		<-asked
		return 0
	}
	go func() {
		<-asked
		_ = l.Close()
	}()
	go func() {
		if err := sayReady(); err != nil {
			fmt.Println(err)
			os.Exit(2)
		}
	}()
	// Once it accepts no more, all that was accepted is served. (Shutdown does not do that:
	// it closes connections whose first request is just being read.)
	if err := server.Serve(l); !errors.Is(err, net.ErrClosed) {
		fmt.Println(err)
		return 1
	}
	server.SetKeepAlivesEnabled(false)
	open.Wait()
	return 0
}

func serverListener(args []string) (net.Listener, error) {
	if len(args) < 2 || args[0] != "reuseport" {
		return net.FileListener(os.NewFile(3, "socket"))
	}
	config := net.ListenConfig{Control: func(_, _ string, c syscall.RawConn) (err error) {
		e := c.Control(func(fd uintptr) { err = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_REUSEPORT, 1) })
		return errors.Join(err, e)
	}}
	return config.Listen(context.Background(), "tcp", args[1])
}

func sayReady() error {
	conn, err := net.Dial("unixgram", os.Getenv("NOTIFY_SOCKET"))
	if err != nil {
		return err
	}
	defer conn.Close()
	_, err = io.WriteString(conn, "READY=1")
	return err
}

// load asks a server all the time, on connections that are kept and on new ones.
type load struct {
	url      string
	stop     chan struct{}
	clients  sync.WaitGroup
	requests atomic.Int64
	failed   atomic.Int64

	mu      sync.Mutex
	first   error
	answers map[string]int
}

func startLoad(url string, clients int) *load {
	l := &load{url: url, stop: make(chan struct{}), answers: map[string]int{}}
	for i := range clients {
		l.clients.Go(func() { l.ask(i%2 == 0) })
	}
	return l
}

func (l *load) ask(anew bool) {
	transport := &http.Transport{DisableKeepAlives: anew}
	defer transport.CloseIdleConnections()
	client := &http.Client{Transport: transport, Timeout: 30 * time.Second}
	for {
		select {
		case <-l.stop:
			return
		default:
		}
		l.requests.Add(1)
		body, err := get(client, l.url)
		l.mu.Lock()
		if err != nil {
			l.failed.Add(1)
			if l.first == nil {
				l.first = err
			}
		} else {
			l.answers[body]++
		}
		l.mu.Unlock()
	}
}

func get(client *http.Client, url string) (string, error) {
	answer, err := client.Get(url)
	if err != nil {
		return "", err
	}
	defer answer.Body.Close()
	body, err := io.ReadAll(answer.Body)
	if err == nil && answer.StatusCode != http.StatusOK {
		err = errors.New(answer.Status)
	}
	return string(body), err
}

// end ends the load and says how it went.
func (l *load) end() (requests, failed int64) {
	close(l.stop)
	l.clients.Wait()
	return l.requests.Load(), l.failed.Load()
}

// seen is how often a version has answered.
func (l *load) seen(version string) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.answers[version]
}

func serves(version string) func(*Template) {
	return func(t *Template) {
		t.Env["VERSION"] = version
		t.NumProcesses = new(4)
		t.Ready = &Ready{Notify: true, Timeout: new(Duration(10 * time.Second))}
		t.Rollout = &Rollout{}
	}
}

// freeAddress is an address of this machine at which nobody listens.
func freeAddress(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

// A service on a socket of gaffer's is replaced under load again and again: no request
// fails. A broken version changes nothing.
func TestRolloutsUnderLoadFailNoRequest(t *testing.T) {
	r := newRealFor(t, Options{}, 4*time.Minute)
	address := freeAddress(t)
	onSocket := func(tmpl *Template) { tmpl.Sockets = []Socket{{Name: "web", Listen: address}} }
	r.ok(r.Add(r.ctx, program("web", "server", serves("0"), onSocket)))
	l := startLoad("http://"+address, 8)
	const rollouts = 20
	for i := range rollouts {
		if i%2 == 0 {
			r.ok(r.Update(r.ctx, program("web", "server", serves(strconv.Itoa(i+1)), onSocket)))
			continue
		}
		r.ok(r.Restart(r.ctx, "web", StopFirst))
	}
	for _, version := range []string{"crash", "broken"} {
		err := r.Update(r.ctx, program("web", "server", serves(version), onSocket, func(t *Template) {
			t.Ready.Timeout = new(Duration(time.Second))
		}))
		if err == nil || !strings.Contains(err.Error(), "rolled back") {
			t.Errorf("version %s: %v", version, err)
		}
		st := r.status("web")
		if st.State != Running || st.Running != 4 || st.Rollout.State != RolloutRolledBack || st.Rollout.Reason == "" {
			t.Errorf("after version %s: %+v", version, st)
		}
	}
	last := strconv.Itoa(rollouts - 1)
	before := l.seen(last)
	for l.seen(last) < before+10 { // the old version serves
		if body, err := get(http.DefaultClient, "http://"+address); err != nil || body != last {
			t.Fatalf("version %q answers: %v", body, err)
		}
	}
	http.DefaultClient.CloseIdleConnections()
	requests, failed := l.end()
	t.Logf("%d rollouts and 2 broken versions: %d requests, %d failed", rollouts, requests, failed)
	if failed > 0 || requests < 1000 || l.seen("crash") > 0 || l.seen("broken") > 0 {
		t.Errorf("%d of %d requests failed, the first with: %v", failed, requests, l.first)
	}
}

// namespaceVariable says that the test runs in a network of its own.
const namespaceVariable = "GAFFER_TEST_NAMESPACE"

// Services that open their own sockets with SO_REUSEPORT lose the connections that wait
// in the queue of one that ends, unless the kernel moves them.
func TestRolloutsWithReusePort(t *testing.T) {
	if os.Getenv(namespaceVariable) != "" {
		rolloutsWithReusePort(t)
		return
	}
	if os.Getuid() != 0 {
		t.Skip("a network of its own needs root")
	}
	cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestRolloutsWithReusePort$", "-test.v")
	cmd.Env = append(os.Environ(), namespaceVariable+"=1")
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNET}
	out, err := cmd.CombinedOutput()
	if errors.Is(err, syscall.EPERM) || errors.Is(err, syscall.ENOSPC) {
		t.Skip("a network of its own can't be made here:", err)
	}
	if err != nil {
		t.Errorf("%v\n%s", err, out)
	}
	for line := range strings.Lines(string(out)) {
		if strings.Contains(line, "requests") {
			t.Log(strings.TrimSpace(line))
		}
	}
}

func rolloutsWithReusePort(t *testing.T) {
	if err := loopbackUp(); err != nil {
		t.Fatal(err)
	}
	const address, rollouts = "127.0.0.1:8080", 20
	migrates := filepath.Join("/proc/sys/net/ipv4", "tcp_migrate_req")
	for _, moves := range []string{"1", "0"} {
		if err := os.WriteFile(migrates, []byte(moves), 0); errors.Is(err, os.ErrNotExist) {
			t.Skip("tcp_migrate_req needs Linux 5.14")
		} else if err != nil {
			t.Fatal(err)
		}
		r := newRealFor(t, Options{}, 4*time.Minute)
		more := []func(*Template){serves("1"), args("reuseport", address)}
		r.ok(r.Add(r.ctx, program("web", "server", more...)))
		l := startLoad("http://"+address, 8)
		for range rollouts {
			r.ok(r.Restart(r.ctx, "web", StopFirst))
		}
		requests, failed := l.end()
		t.Logf("tcp_migrate_req=%s: %d rollouts, %d requests, %d failed", moves, rollouts, requests, failed)
		if moves == "1" && failed > 0 {
			t.Errorf("%d of %d requests failed, the first with: %v", failed, requests, l.first)
		}
		r.ok(r.Stop(r.ctx, All))
	}
}

// loopbackUp makes a new network usable.
func loopbackUp() error {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM, 0)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	ifr, err := unix.NewIfreq("lo")
	if err != nil {
		return err
	}
	ifr.SetUint16(unix.IFF_UP | unix.IFF_RUNNING)
	return unix.IoctlIfreq(fd, unix.SIOCSIFFLAGS, ifr)
}
