package api

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"runtime/debug"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/gafferpm/gaffer"
	"github.com/gafferpm/gaffer/api/internal/feed"
)

// Server serves a Controller. It is an App; its endpoints open when it starts.
type Server struct {
	opts    Options
	limits  Limits
	control gaffer.Controller
	logger  *slog.Logger
	mux     *http.ServeMux
	feed    *feed.Feed
	schemas schemas
	// document is made when it is asked for first.
	document func() (*document, error)
	keys     keyring
	wrong    failures
	refused  refusals
	started  time.Time

	counters counters

	mu   sync.Mutex // guards open
	open []*endpoint
}

var _ gaffer.App = (*Server)(nil)

// New makes a server. Its endpoints are checked, and not opened yet.
func New(c gaffer.Controller, opts Options) (*Server, error) {
	s := &Server{
		opts: opts, limits: opts.Limits.withDefaults(), control: c, logger: opts.Logger,
		started: time.Now().UTC(), keys: keyring{store: opts.Keys},
	}
	if s.logger == nil {
		s.logger = slog.New(slog.DiscardHandler)
	}
	if err := s.keys.load(); err != nil {
		return nil, err
	}
	var origins []string
	for i := range opts.Endpoints {
		origins = append(origins, opts.Endpoints[i].Origins...)
	}
	s.feed = feed.New(feed.Options{Origins: origins})
	s.document = sync.OnceValues(s.makeDocument)
	s.mux = s.newMux()
	return s, nil
}

// newMux makes the server's routes of the table.
func (s *Server) newMux() *http.ServeMux {
	mux := http.NewServeMux()
	table := routes()
	methods := map[string][]string{}
	for i := range table {
		r := &table[i]
		mux.Handle(r.method+" "+r.path, &served{s, r})
		methods[r.path] = append(methods[r.path], r.method)
		if r.method == http.MethodGet {
			methods[r.path] = append(methods[r.path], http.MethodHead)
		}
	}
	for path, list := range methods {
		slices.Sort(list)
		mux.Handle(path, &otherMethods{s, strings.Join(append(list, http.MethodOptions), ", ")})
	}
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		s.refuse(w, r, &faults{gaffer.ErrNotFound, []Fault{{"path", "nothing is there"}}})
	})
	return mux
}

// otherMethods answers the methods that a path does not have.
type otherMethods struct {
	s     *Server
	allow string
}

func (o *otherMethods) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Allow", o.allow)
	if r.Method == http.MethodOptions {
		w.WriteHeader(http.StatusNoContent)
		o.s.counters.count(http.StatusNoContent)
		return
	}
	o.s.refuse(w, r, errMethod)
}

// refuse answers a request that no route answers.
func (s *Server) refuse(w http.ResponseWriter, r *http.Request, err error) {
	p := problemOf(err)
	s.counters.count(p.Status)
	writeProblem(w, r, p, err)
}

// Handler serves every request as if the caller had made it, without a look at
// keys. It is for tests, and for programs that know their callers otherwise.
func (s *Server) Handler(as Caller) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		ctx := context.WithValue(r.Context(), connKey{}, &conn{caller: func() *Caller { return &as }})
		s.mux.ServeHTTP(w, r.WithContext(ctx))
	})
}

// Start implements gaffer.App: it opens the endpoints. Whoever starts it holds the
// daemon's lock, so that a unix socket that nobody answers is nobody's.
func (s *Server) Start(context.Context, *gaffer.Manager) error {
	for i := range s.opts.Endpoints {
		e, err := s.listen(&s.opts.Endpoints[i])
		if err != nil {
			s.close()
			return err
		}
		s.mu.Lock()
		s.open = append(s.open, e)
		s.mu.Unlock()
	}
	for _, e := range s.endpoints() {
		e.serve()
	}
	return nil
}

// endpoints are those that are open.
func (s *Server) endpoints() []*endpoint {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.open)
}

// Restart implements gaffer.App: it reads the keys again. Endpoints stay open, for
// whoever asked for the restart waits at one.
func (s *Server) Restart(context.Context) error { return s.keys.load() }

// Stop implements gaffer.App: it takes no more requests, ends the streams, each
// with its end marker, and waits for requests that are being answered, no longer
// than Limits.Drain.
func (s *Server) Stop(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, s.limits.Drain)
	defer cancel()
	for _, e := range s.endpoints() {
		e.http.SetKeepAlivesEnabled(false)
		_ = e.listener.Close() // no more connections; the server's own Close says it again
	}
	_ = s.feed.Drain(ctx) // what has not ended by then is cut
	var errs []error
	for _, e := range s.endpoints() {
		e.listener.closeSilent()
		if err := e.http.Shutdown(ctx); err != nil && !errors.Is(err, context.DeadlineExceeded) && !errors.Is(err, net.ErrClosed) {
			errs = append(errs, err)
		}
	}
	s.close()
	return errors.Join(errs...)
}

// close cuts what is open.
func (s *Server) close() {
	for _, e := range s.endpoints() {
		_ = e.http.Close()
		_ = e.listener.Close()
		if e.done != nil {
			<-e.done
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.open = nil
}

func stack() string { return string(debug.Stack()) }
