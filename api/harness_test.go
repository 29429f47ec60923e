package api

import (
	"context"
	"errors"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gafferpm/gaffer"
)

// keysInMemory is a KeyStore.
type keysInMemory struct {
	mu   sync.Mutex // guards the rest
	list []Key
	err  error
}

func (k *keysInMemory) Keys() ([]Key, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	return slices.Clone(k.list), k.err
}

func (k *keysInMemory) PutKey(key Key) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.list = append(k.list, key)
	return k.err
}

func (k *keysInMemory) DeleteKey(id string) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.list = slices.DeleteFunc(k.list, func(have Key) bool { return have.ID == id })
	return k.err
}

// with makes a key and returns it as its user has it.
func (k *keysInMemory) with(t testing.TB, role Role, target gaffer.Target) string {
	t.Helper()
	key, text := makeKey("of a test", role, target)
	if err := k.PutKey(key); err != nil {
		t.Fatal(err)
	}
	return text
}

// audits is what was told of changes.
type audits struct {
	mu   sync.Mutex // guards list
	list []string
}

func (a *audits) add(by, name, message string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.list = append(a.list, by+" | "+name+" | "+message)
}

func (a *audits) take() []string {
	a.mu.Lock()
	defer a.mu.Unlock()
	list := a.list
	a.list = nil
	return list
}

// errAsked is what a refusing Controller says: the request came through to it.
var errAsked = errors.New("asked")

// refusing is a Controller that refuses everything.
type refusing struct{}

func (refusing) Add(context.Context, gaffer.Template) error                       { return errAsked }
func (refusing) Update(context.Context, gaffer.Template) error                    { return errAsked }
func (refusing) Remove(context.Context, gaffer.Target) error                      { return errAsked }
func (refusing) Start(context.Context, gaffer.Target) error                       { return errAsked }
func (refusing) Stop(context.Context, gaffer.Target) error                        { return errAsked }
func (refusing) Undo(context.Context, gaffer.Target) error                        { return errAsked }
func (refusing) Restart(context.Context, gaffer.Target, gaffer.RestartMode) error { return errAsked }
func (refusing) RunNow(context.Context, gaffer.Target) error                      { return errAsked }
func (refusing) Signal(context.Context, gaffer.Target, gaffer.Signal) error       { return errAsked }
func (refusing) Write(context.Context, gaffer.Target, string, []byte) error       { return errAsked }
func (refusing) List(context.Context, gaffer.Target) ([]gaffer.Info, error)       { return nil, errAsked }
func (refusing) Groups(context.Context) ([]gaffer.Group, error)                   { return nil, errAsked }
func (refusing) History(context.Context, gaffer.Target) ([]gaffer.Event, error)   { return nil, errAsked }
func (refusing) Stats(context.Context, gaffer.Target) ([]gaffer.Stats, error)     { return nil, errAsked }
func (refusing) Plan(context.Context, gaffer.Desired) (gaffer.Plan, error) {
	return gaffer.Plan{}, errAsked
}
func (refusing) Apply(context.Context, gaffer.Desired) (gaffer.Plan, error) {
	return gaffer.Plan{}, errAsked
}
func (refusing) Reload(context.Context) (gaffer.Plan, error) { return gaffer.Plan{}, errAsked }
func (refusing) Origins(context.Context, gaffer.Target) ([]gaffer.Origin, error) {
	return nil, errAsked
}
func (refusing) Scale(context.Context, gaffer.Target, gaffer.Change) (map[string]int, error) {
	return nil, errAsked
}

func (refusing) Resize(context.Context, gaffer.Target, gaffer.WindowSize) error { return errAsked }

func (refusing) Exec(context.Context, gaffer.Target, gaffer.ExecOptions) (gaffer.Session, error) {
	return nil, errAsked
}

func (refusing) Monitor(context.Context, gaffer.Target, time.Duration) (gaffer.Stream[[]gaffer.Stats], error) {
	return nil, errAsked
}

func (refusing) Subscribe(context.Context, gaffer.Target, gaffer.EventOptions) (gaffer.Stream[gaffer.Event], error) {
	return nil, errAsked
}

func (refusing) Output(context.Context, gaffer.Target, gaffer.OutputOptions) (gaffer.Stream[gaffer.Output], error) {
	return nil, errAsked
}

// openTCP starts a server with an endpoint on a free port of the loopback, and
// returns its address.
func openTCP(t testing.TB, c gaffer.Controller, opts Options, e Endpoint) (*Server, string) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	e.Listener = l
	return open(t, c, opts, e), l.Addr().String()
}

// open starts a server that is stopped when the test ends.
func open(t testing.TB, c gaffer.Controller, opts Options, e Endpoint) *Server {
	t.Helper()
	opts.Endpoints = append(opts.Endpoints, e)
	s, err := New(c, opts)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Start(t.Context(), nil); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Stop(context.Background()); err != nil {
			t.Error(err)
		}
	})
	return s
}

// client is an HTTP client that keeps no connection after the test.
func client(t testing.TB, transport *http.Transport) *http.Client {
	t.Helper()
	t.Cleanup(transport.CloseIdleConnections)
	return &http.Client{Transport: transport, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
}

func overUnix(t testing.TB, socket string) *http.Client {
	return client(t, &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "unix", socket)
	}})
}

// request asks for a route with something in each of its places.
func request(t testing.TB, r *route, base string) *http.Request {
	t.Helper()
	path := strings.NewReplacer("{target}", "web", "{group}", "jobs", "{label}", "stdin", "{id}", "X", "{name}", "hook",
		"{file...}", "index.html", "{file}", "page.js", "{$}", "").Replace(r.path)
	body := map[string]string{
		"add-process": `{"name":"web","cmd":"true"}`, "update-process": `{"cmd":"true"}`,
		"signal": `{"signal":"HUP"}`, "scale": `{"count":1}`, "resize": `{"cols":80,"rows":24}`, "add-key": `{"name":"x","role":"viewer"}`,
		"plan": `{"source":"app:x","templates":[]}`, "apply": `{"source":"app:x","templates":[]}`,
	}[r.id]
	req, err := http.NewRequestWithContext(t.Context(), r.method, base+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	if r.id == "attach" || r.id == "exec" {
		for name, value := range map[string]string{
			"Connection": "Upgrade", "Upgrade": "websocket", "Sec-WebSocket-Version": "13", "Sec-WebSocket-Key": "AAAAAAAAAAAAAAAAAAAAAA==",
		} {
			req.Header.Set(name, value)
		}
	}
	return req
}
