package api

import (
	"bufio"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

func TestABodyOfAGigabyteIsRefusedAndNotRead(t *testing.T) {
	socket := filepath.Join(shortDir(t), "s")
	open(t, refusing{}, Options{}, Endpoint{Address: "unix://" + socket})
	const header = "POST /v1/processes HTTP/1.1\r\nHost: gaffer\r\n"
	block := strings.Repeat(" ", 1<<20)
	for name, parts := range map[string][2]string{
		"announced": {header + "Content-Length: 1073741824\r\n\r\n", block},
		"in chunks": {header + "Transfer-Encoding: chunked\r\n\r\n", "100000\r\n" + block + "\r\n"},
	} {
		c, err := net.Dial("unix", socket)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		sent := make(chan int)
		go func() {
			blocks := 0
			_, err := io.WriteString(c, parts[0])
			for ; err == nil && blocks < 1<<10; blocks++ {
				_, err = io.WriteString(c, parts[1])
			}
			sent <- blocks
		}()
		res, err := http.ReadResponse(bufio.NewReader(c), nil)
		if err != nil || res.StatusCode != http.StatusRequestEntityTooLarge {
			t.Errorf("%s: %v %v", name, res, err)
		}
		if n := <-sent; n > 16 {
			t.Errorf("%s: the server took %d MiB", name, n)
		}
	}
}

// cut reads until the other side ends the connection.
func cut(t testing.TB, c net.Conn, within time.Duration) {
	t.Helper()
	if err := c.SetReadDeadline(time.Now().Add(within)); err != nil {
		t.Fatal(err)
	}
	if _, err := io.Copy(io.Discard, c); errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("the connection is held for more than %s", within)
	}
}

func TestSlowHeadersAndBodiesAreCut(t *testing.T) {
	limits := Limits{Header: 200 * time.Millisecond, Transfer: 200 * time.Millisecond, Idle: 200 * time.Millisecond}
	_, address := openTCP(t, refusing{}, Options{Limits: limits}, Endpoint{Insecure: true})
	a := newAuthority(t)
	cert, key := a.issue("server")
	_, withTLS := openTCP(t, refusing{}, Options{Limits: limits, Keys: &keysInMemory{}}, Endpoint{TLS: TLS{Cert: cert, Key: key}})
	for name, c := range map[string]struct{ address, text string }{
		"half a header":      {address, "GET /v1/ping HTTP/1.1\r\nHost: loc"},
		"half a body":        {address, "POST /v1/processes HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100\r\n\r\n{"},
		"a body of a verb":   {address, "POST /v1/processes/web/stop HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100\r\n\r\n{"},
		"nothing":            {address, ""},
		"nothing more":       {address, "GET /v1/ping HTTP/1.1\r\nHost: localhost\r\n\r\n"},
		"a slow handshake":   {withTLS, "\x16\x03\x01"},
		"no handshake":       {withTLS, "GET / HTTP/1.1\r\n\r\n"},
		"header without end": {address, "GET / HTTP/1.1\r\nX: " + strings.Repeat("x", 100<<10)},
	} {
		conn, err := net.Dial("tcp", c.address)
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		if _, err := io.WriteString(conn, c.text); err != nil && name != "header without end" {
			t.Errorf("%s: %v", name, err)
		}
		cut(t, conn, 5*time.Second)
	}
}

// Whoever asks and asks, and never takes an answer, is cut as well.
func TestAnswersThatNobodyTakesEndTheConnection(t *testing.T) {
	s, address := openTCP(t, refusing{}, Options{Limits: Limits{Transfer: 500 * time.Millisecond}, Keys: &keysInMemory{}}, Endpoint{})
	c, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	request := strings.Repeat("GET /v1/ping HTTP/1.1\r\nHost: localhost\r\n\r\n", 1000)
	for err == nil {
		_, err = io.WriteString(c, request)
	}
	for s.endpoints()[0].listener.count() > 0 {
		if t.Context().Err() != nil {
			t.Fatal("it is still held")
		}
		runtime.Gosched()
	}
}

func TestConnectionsAreBounded(t *testing.T) {
	const limit, wanted = 100, 10_000
	attempts := wanted
	var files syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &files); err != nil {
		t.Fatal(err)
	}
	if files.Cur < wanted+500 {
		attempts = int(files.Cur) / 2
		t.Logf("%d descriptors: %d connections have to do", files.Cur, attempts)
	}
	s, address := openTCP(t, refusing{}, Options{Limits: Limits{Connections: limit}}, Endpoint{Insecure: true})
	socket := filepath.Join(shortDir(t), "s")
	open(t, refusing{}, Options{}, Endpoint{Address: "unix://" + socket})
	before := runtime.NumGoroutine()
	conns := make([]net.Conn, 0, attempts)
	defer func() {
		for _, c := range conns {
			c.Close()
		}
	}()
	for range attempts {
		c, err := net.Dial("tcp", address)
		if err != nil {
			break // the backlog is full, which bounds as well
		}
		conns = append(conns, c)
	}
	if n := runtime.NumGoroutine() - before; n > limit*3 {
		t.Errorf("%d goroutines for %d connections", n, len(conns))
	}
	if n := s.endpoints()[0].listener.count(); n > limit {
		t.Errorf("%d connections are held", n)
	}
	// One too many is told so, others are served meanwhile.
	last := conns[len(conns)-1]
	if err := last.SetDeadline(time.Now().Add(20 * time.Second)); err != nil {
		t.Fatal(err)
	}
	res, err := http.ReadResponse(bufio.NewReader(last), nil)
	if err != nil {
		t.Fatal(err)
	}
	b, err := io.ReadAll(res.Body)
	if res.StatusCode != 503 || err != nil || !strings.Contains(string(b), "too_many") || res.Header.Get("Retry-After") == "" {
		t.Errorf("%d %s %v", res.StatusCode, b, err)
	}
	ping := func(c *http.Client, url string) error {
		req, err := http.NewRequestWithContext(t.Context(), "GET", url, nil)
		if err != nil {
			return err
		}
		res, err := c.Do(req)
		if err != nil {
			return err
		}
		defer res.Body.Close()
		if res.StatusCode != 200 {
			return errors.New(res.Status)
		}
		return nil
	}
	if err := ping(overUnix(t, socket), "http://gaffer/v1/ping"); err != nil {
		t.Errorf("another endpoint: %v", err)
	}
	for _, c := range conns {
		c.Close()
	}
	for err := errors.New("not asked yet"); err != nil; {
		err = ping(client(t, &http.Transport{DisableKeepAlives: true}), "http://"+address+"/v1/ping")
		if t.Context().Err() != nil {
			t.Fatal(err)
		}
	}
}

func TestAStopEndsStreamsAndIsNotHeldUp(t *testing.T) {
	m := runningManager(t)
	socket := filepath.Join(shortDir(t), "s")
	s, err := New(m, Options{Endpoints: []Endpoint{{Address: "unix://" + socket}}})
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Start(t.Context(), m); err != nil {
		t.Fatal(err)
	}
	silent, err := net.Dial("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	defer silent.Close()
	c := overUnix(t, socket)
	var streams []*http.Response
	for _, accept := range []string{"application/x-ndjson", "text/event-stream"} {
		req, err := http.NewRequestWithContext(t.Context(), "GET", "http://gaffer/v1/events", nil)
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Accept", accept)
		res, err := c.Do(req)
		if err != nil || res.StatusCode != 200 {
			t.Fatal(res, err)
		}
		defer res.Body.Close()
		streams = append(streams, res)
	}
	began := time.Now()
	var wait sync.WaitGroup
	for _, res := range streams {
		wait.Go(func() {
			b, err := io.ReadAll(res.Body)
			if err != nil || !strings.Contains(string(b), `{"end":true}`) {
				t.Errorf("%q %v", b, err)
			}
		})
	}
	if err := s.Stop(context.Background()); err != nil {
		t.Error(err)
	}
	wait.Wait()
	if took := time.Since(began); took > 4500*time.Millisecond { // less than what it would be held up for
		t.Errorf("the stop took %s", took)
	}
	if _, err := os.Stat(socket); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the socket is left: %v", err)
	}
}

func TestAPanicIsAnswered(t *testing.T) {
	s, err := New(nil, Options{})
	if err != nil {
		t.Fatal(err)
	}
	w := get(t, s.Handler(Caller{By: "test", Role: Viewer}), "/v1/processes")
	if w.Code != 500 || !strings.Contains(w.Body.String(), `"code":"internal"`) || strings.Contains(w.Body.String(), "goroutine") {
		t.Errorf("%d %s", w.Code, w.Body)
	}
}
