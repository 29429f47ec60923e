package feed_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/gafferpm/gaffer"
	"github.com/gafferpm/gaffer/api/internal/feed"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// deadline is how long a test waits for what must happen.
const deadline = 20 * time.Second

// world is a manager, and a feed of it on a unix socket.
type world struct {
	*testing.T
	ctx    context.Context
	m      *gaffer.Manager
	feed   *feed.Feed
	server *http.Server
	socket string
	client *http.Client
}

type worldOptions struct {
	feed    feed.Options
	manager gaffer.Options
	wrap    func(gaffer.Controller) gaffer.Controller
}

func newWorld(t *testing.T, opts worldOptions) *world {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), deadline)
	t.Cleanup(cancel)
	opts.manager.NoCgroup = true
	m, err := gaffer.New(opts.manager)
	if err != nil {
		t.Fatal(err)
	}
	running, stop := context.WithCancel(context.Background())
	over := make(chan error, 1)
	go func() { over <- m.Run(running) }()
	t.Cleanup(func() {
		stop()
		if err := <-over; err != nil {
			t.Error(err)
		}
	})
	<-m.Begun()
	w := &world{T: t, ctx: ctx, m: m, feed: feed.New(opts.feed)}
	var c gaffer.Controller = m
	if opts.wrap != nil {
		c = opts.wrap(m)
	}
	w.serve(c)
	return w
}

// serve listens until the test ends; then nothing may be left of any stream.
func (w *world) serve(c gaffer.Controller) {
	w.Helper()
	w.socket = filepath.Join(w.TempDir(), "s")
	l, err := net.Listen("unix", w.socket)
	if err != nil {
		w.Fatal(err)
	}
	// Limits as a server of short answers has them: streams must lift them.
	w.server = &http.Server{
		Handler: routes(w.feed, c), ReadTimeout: 500 * time.Millisecond, WriteTimeout: 500 * time.Millisecond,
	}
	served := make(chan struct{})
	go func() { defer close(served); _ = w.server.Serve(l) }()
	w.client = &http.Client{Transport: &http.Transport{
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return (&net.Dialer{}).DialContext(ctx, "unix", w.socket)
		},
		MaxIdleConnsPerHost: 10,
	}}
	w.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), deadline)
		defer cancel()
		if err := w.feed.Drain(ctx); err != nil {
			w.Errorf("a stream does not end: %v", err)
		}
		w.client.CloseIdleConnections()
		if err := w.server.Shutdown(ctx); err != nil {
			w.Errorf("a connection does not end: %v", err)
			_ = w.server.Close()
		}
		<-served
	})
}

// routes are those of the API, whose problem documents are plain text here.
func routes(f *feed.Feed, c gaffer.Controller) http.Handler {
	mux := http.NewServeMux()
	handle := func(pattern string, h func(http.ResponseWriter, *http.Request) error) {
		mux.HandleFunc(pattern, func(w http.ResponseWriter, r *http.Request) {
			if err := h(w, r); err != nil {
				http.Error(w, err.Error(), status(err))
			}
		})
	}
	target := func(r *http.Request) gaffer.Target { return gaffer.Target(r.PathValue("target")) }
	handle("GET /v1/events", func(w http.ResponseWriter, r *http.Request) error { return f.Events(w, r, c) })
	handle("GET /v1/stats", func(w http.ResponseWriter, r *http.Request) error { return f.Stats(w, r, c) })
	handle("GET /v1/logs", func(w http.ResponseWriter, r *http.Request) error { return f.Logs(w, r, c) })
	handle("GET /v1/processes/{target}/streams/{label}", func(w http.ResponseWriter, r *http.Request) error {
		return f.Raw(w, r, c, target(r), r.PathValue("label"))
	})
	handle("POST /v1/processes/{target}/streams/{label}", func(w http.ResponseWriter, r *http.Request) error {
		return f.Write(w, r, c, target(r), r.PathValue("label"))
	})
	handle("GET /v1/processes/{target}/attach", func(w http.ResponseWriter, r *http.Request) error {
		return f.Attach(w, r, c, target(r))
	})
	handle("GET /v1/processes/{target}/exec", func(w http.ResponseWriter, r *http.Request) error {
		return f.Exec(w, r, feed.Execution{
			Target: target(r), Sessions: c.(gaffer.Sessions), Begun: func(string) {},
			Refused: func(_ string, err error) any { return map[string]string{"detail": err.Error()} },
		})
	})
	return mux
}

func status(err error) int {
	for sort, code := range map[error]int{
		gaffer.ErrNotFound: 404, gaffer.ErrConflict: 409, gaffer.ErrInvalid: 422, gaffer.ErrClosed: 503,
		context.DeadlineExceeded: 504, feed.ErrNotAcceptable: 406, feed.ErrUpgrade: 426, feed.ErrOrigin: 403, feed.ErrBody: 400, feed.ErrTooMany: 429,
	} {
		if errors.Is(err, sort) {
			return code
		}
	}
	return 500
}

func (w *world) ok(err error) {
	w.Helper()
	if err != nil {
		w.Fatal(err)
	}
}

// request makes a request with headers given as "Name: value".
func (w *world) request(ctx context.Context, method, path string, body io.Reader, headers ...string) *http.Response {
	w.Helper()
	r, err := http.NewRequestWithContext(ctx, method, "http://gaffer"+path, body)
	w.ok(err)
	for _, h := range headers {
		name, value, _ := strings.Cut(h, ": ")
		r.Header.Add(name, value)
	}
	resp, err := w.client.Do(r)
	w.ok(err)
	return resp
}

// whole is the answer to a GET that ends by itself.
func (w *world) whole(path string, headers ...string) (int, string) {
	w.Helper()
	resp := w.request(w.ctx, "GET", path, nil, headers...)
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	w.ok(err)
	return resp.StatusCode, string(b)
}

// lines is an answer that is read line by line.
type lines struct {
	*world
	resp   *http.Response
	in     *bufio.Reader
	cancel context.CancelFunc
}

func (w *world) follow(path string, headers ...string) *lines {
	w.Helper()
	ctx, cancel := context.WithCancel(w.ctx)
	resp := w.request(ctx, "GET", path, nil, headers...)
	l := &lines{w, resp, bufio.NewReader(resp.Body), cancel}
	w.Cleanup(l.hangUp)
	if resp.StatusCode != http.StatusOK {
		b, _ := io.ReadAll(resp.Body)
		w.Fatalf("%s: status %d: %s", path, resp.StatusCode, b)
	}
	return l
}

func (l *lines) hangUp() {
	l.cancel()
	_ = l.resp.Body.Close()
}

// line is the next line, without its newline.
func (l *lines) line() string {
	l.Helper()
	s, err := l.in.ReadString('\n')
	if err != nil {
		l.Fatalf("after %q: %v", s, err)
	}
	return s[:len(s)-1]
}

// message is the next SSE message: its lines without the empty one.
func (l *lines) message() string {
	l.Helper()
	var all []string
	for {
		s := l.line()
		if s == "" {
			return strings.Join(all, "\n")
		}
		all = append(all, s)
	}
}

// ends reads to the end, and says whether the answer was whole.
func (l *lines) ends() (rest string, err error) {
	b, err := io.ReadAll(l.in)
	return string(b), err
}

// shell is a template that runs a script, which its processes are replaced by.
func shell(name, script string, change ...func(*gaffer.Template)) gaffer.Template {
	t := gaffer.Template{Name: name, Cmd: "sh", Args: []string{"-c", script}, GracefulTimeout: new(gaffer.Duration(5 * time.Second))}
	for _, f := range change {
		f(&t)
	}
	return t
}

func (w *world) add(name, script string, change ...func(*gaffer.Template)) {
	w.Helper()
	w.ok(w.m.Add(w.ctx, shell(name, script, change...)))
}

func withInput(t *gaffer.Template) { t.RedirectInput = true }

// written waits until a process has written a line.
func (w *world) written(target gaffer.Target, want string) {
	w.Helper()
	out, err := w.m.Output(w.ctx, target, gaffer.OutputOptions{Tail: -1})
	w.ok(err)
	defer out.Close()
	for {
		o, err := out.Next(w.ctx)
		w.ok(err)
		if string(o.Data) == want {
			return
		}
	}
}

// audits publishes so many events, numbered in their messages.
func (w *world) audits(from, to int) {
	for i := from; i <= to; i++ {
		w.m.Audit("test", "web", fmt.Sprint("number ", i))
	}
}
