package api_test

import (
	"bufio"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/gafferpm/gaffer"
	"github.com/gafferpm/gaffer/api"
)

const statusRequest = "GET /v1/processes/web/status HTTP/1.1\r\nHost: gaffer\r\n\r\n"

// BenchmarkStatus asks over 16 connections how one process is, and compares with a
// handler that only writes the same bytes.
func BenchmarkStatus(b *testing.B) {
	m := running(b)
	if err := m.Add(b.Context(), gaffer.Template{Name: "web", Cmd: "sleep 1000"}); err != nil {
		b.Fatal(err)
	}
	dir := b.TempDir()
	socket := filepath.Join(dir, "gaffer")
	s := serve(b, m, api.Options{Endpoints: []api.Endpoint{{Address: "unix://" + socket}}})
	if err := s.Start(b.Context(), m); err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = s.Stop(context.Background()) })
	body := firstAnswer(b, socket)
	bare := serveBare(b, filepath.Join(dir, "bare"), body)
	b.Run("gaffer", func(b *testing.B) { hammer(b, socket, len(body)) })
	b.Run("bare", func(b *testing.B) { hammer(b, bare, len(body)) })
}

func firstAnswer(b *testing.B, socket string) []byte {
	c := dial(b, socket)
	defer c.Close()
	if _, err := io.WriteString(c, statusRequest); err != nil {
		b.Fatal(err)
	}
	res, err := http.ReadResponse(bufio.NewReader(c), nil)
	if err != nil {
		b.Fatal(err)
	}
	body, err := io.ReadAll(res.Body)
	if err != nil || res.StatusCode != 200 {
		b.Fatalf("%d %s %v", res.StatusCode, body, err)
	}
	return body
}

func serveBare(b *testing.B, path string, body []byte) string {
	l, err := net.Listen("unix", path)
	if err != nil {
		b.Fatal(err)
	}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /v1/processes/{target}/status", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		_, _ = w.Write(body)
	})
	srv := &http.Server{Handler: mux}
	go func() {
		if err := srv.Serve(l); !errors.Is(err, http.ErrServerClosed) {
			b.Error(err)
		}
	}()
	b.Cleanup(func() { srv.Close() })
	return path
}

func dial(b testing.TB, socket string) net.Conn {
	c, err := net.Dial("unix", socket)
	if err != nil {
		b.Fatal(err)
	}
	return c
}

// hammer asks as fast as it goes over 16 connections.
func hammer(b *testing.B, socket string, length int) {
	const connections = 16
	b.ReportAllocs()
	before := cpuTime(b)
	defer func() { b.ReportMetric(float64(cpuTime(b)-before)/float64(b.N), "cpu-ns/op") }()
	var wait sync.WaitGroup
	for i := range connections {
		n := b.N / connections
		if i < b.N%connections {
			n++
		}
		c := dial(b, socket)
		wait.Go(func() {
			defer c.Close()
			in := bufio.NewReader(c)
			for range n {
				if err := exchange(c, in, length); err != nil {
					b.Error(err)
					return
				}
			}
		})
	}
	wait.Wait()
}

// cpuTime is what the process has used, the asking side included.
func cpuTime(b *testing.B) time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// exchange asks once. It costs little, so that what is measured is the server.
func exchange(c net.Conn, in *bufio.Reader, length int) error {
	if _, err := io.WriteString(c, statusRequest); err != nil {
		return err
	}
	got := -1
	for {
		line, err := in.ReadSlice('\n')
		if err != nil {
			return err
		}
		if text, ok := strings.CutPrefix(string(line), "Content-Length: "); ok {
			if got, err = strconv.Atoi(strings.TrimSpace(text)); err != nil {
				return err
			}
		}
		if len(line) == 2 {
			break
		}
	}
	if got != length {
		return errors.New("the answer has " + strconv.Itoa(got) + " bytes")
	}
	_, err := in.Discard(length)
	return err
}
