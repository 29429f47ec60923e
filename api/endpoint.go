package api

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"sync"

	"github.com/gafferpm/gaffer"
)

// endpoint is an open place to listen at.
type endpoint struct {
	s        *Server
	opts     *Endpoint
	address  string // as it is told
	unix     bool
	listener *limitedListener
	certs    *certificates // nil: no TLS
	http     *http.Server
	done     chan struct{} // closed when it serves no more; nil before it does
}

// conn is what is known of a connection. It does not change.
type conn struct {
	ep     *endpoint
	caller func() *Caller // known by the connection alone; nil: not known
	remote string
}

type connKey struct{}

// listen opens an endpoint.
func (s *Server) listen(opts *Endpoint) (*endpoint, error) {
	_, unix := strings.CutPrefix(opts.Address, "unix://")
	e := &endpoint{s: s, opts: opts, address: opts.Address, unix: unix}
	if opts.Listener != nil {
		_, e.unix = opts.Listener.(*net.UnixListener)
		if opts.Address == "" {
			e.address = opts.Listener.Addr().String()
		}
	}
	if err := e.check(); err != nil {
		return nil, fmt.Errorf("endpoint %s: %w", e.address, err)
	}
	l, err := opts.Listener, error(nil)
	if l == nil {
		l, err = opts.Listen()
	}
	if err != nil {
		return nil, err
	}
	e.listener = &limitedListener{Listener: l, limit: s.connections(), stall: s.limits.Transfer, logger: s.logger}
	e.http = e.server()
	return e, nil
}

// Listen opens the endpoint's address, as a Server does for one without a Listener.
func (e *Endpoint) Listen() (net.Listener, error) {
	var l net.Listener
	var err error
	if path, unix := strings.CutPrefix(e.Address, "unix://"); unix {
		l, err = listenUnix(path, e.Mode)
	} else {
		l, err = net.Listen("tcp", e.Address)
	}
	if err != nil {
		return nil, fmt.Errorf("endpoint %s: %w", e.Address, err)
	}
	return l, nil
}

func (e *endpoint) server() *http.Server {
	srv := &http.Server{
		Handler:           e,
		ReadHeaderTimeout: e.s.limits.Header,
		IdleTimeout:       e.s.limits.Idle,
		MaxHeaderBytes:    maxHeader,
		ConnContext:       e.connected,
		HTTP2:             &http.HTTP2Config{MaxConcurrentStreams: maxStreams},
		ErrorLog:          slog.NewLogLogger(e.s.logger.Handler(), slog.LevelDebug),
	}
	if e.certs != nil {
		srv.TLSConfig = e.certs.config()
	}
	return srv
}

const (
	maxHeader  = 64 << 10 // of a request, in bytes
	maxStreams = 32       // requests at a time on one connection of HTTP/2
)

func (e *endpoint) serve() {
	e.done = make(chan struct{})
	go func() {
		defer close(e.done)
		var err error
		if e.certs != nil {
			err = e.http.ServeTLS(e.listener, "", "")
		} else {
			err = e.http.Serve(e.listener)
		}
		if !errors.Is(err, http.ErrServerClosed) && !errors.Is(err, net.ErrClosed) {
			e.s.logger.Error("endpoint", "address", e.address, "error", err)
		}
	}()
}

// check refuses an endpoint that nobody could use, or everybody by mistake.
func (e *endpoint) check() error {
	if e.unix {
		return nil
	}
	if (e.opts.TLS.Cert == "") != (e.opts.TLS.Key == "") {
		return fmt.Errorf("TLS needs a certificate and its key: %w", gaffer.ErrInvalid)
	}
	if e.opts.TLS.ClientCA != "" && e.opts.TLS.Cert == "" {
		return fmt.Errorf("certificates of clients need TLS: %w", gaffer.ErrInvalid)
	}
	if !e.opts.Insecure && !e.named() && e.s.keys.store == nil {
		return fmt.Errorf("nobody could use it, for there are neither keys nor certificates of clients; "+
			"insecure = true would allow everybody: %w", gaffer.ErrInvalid)
	}
	if e.opts.TLS.Cert != "" {
		certs, err := loadCertificates(e.opts.TLS, e.s.logger)
		if err != nil {
			return err
		}
		e.certs = certs
	}
	e.warn()
	return nil
}

// named says whether certificates name callers.
func (e *endpoint) named() bool { return e.opts.TLS.ClientCA != "" && len(e.opts.Users) > 0 }

func (e *endpoint) warn() {
	if e.opts.Insecure {
		e.s.logger.Warn("endpoint: everybody who reaches it may do everything, for it is insecure", "address", e.address)
	}
	if !e.opts.Insecure && !e.named() && e.s.keys.empty() {
		e.s.logger.Warn("endpoint: nobody can use it before there is a key", "address", e.address)
	}
	if e.certs == nil && !isLoopback(hostOf(e.address)) {
		e.s.logger.Warn("endpoint: keys and answers cross the network in the clear, for it has no TLS", "address", e.address)
	}
}

// connected remembers of a connection what its requests ask for.
func (e *endpoint) connected(ctx context.Context, c net.Conn) context.Context {
	info := &conn{ep: e, remote: hostOf(c.RemoteAddr().String())}
	if e.unix {
		// The credentials are taken now. Names are looked up when somebody asks: that
		// may take long, and others wait to be accepted.
		cred, err := credentials(c)
		info.caller = sync.OnceValue(func() *Caller { return e.peer(cred, err) })
	}
	return context.WithValue(ctx, connKey{}, info)
}

// ServeHTTP checks what only TCP needs, and hands the request on.
func (e *endpoint) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	w = paced(w, r, e.s.limits.Transfer)
	if !e.unix {
		if err := e.checkHost(r); err != nil {
			e.s.refuse(w, r, err)
			return
		}
		h := w.Header()
		h["X-Content-Type-Options"] = noSniff
		h["Cache-Control"] = noStore // a file says otherwise
		if done, err := e.checkOrigin(w, r); err != nil {
			e.s.refuse(w, r, err)
			return
		} else if done {
			e.s.counters.count(http.StatusNoContent)
			return
		}
	}
	e.s.mux.ServeHTTP(w, r)
}

// The values of headers that all answers on TCP have, made once.
var (
	noSniff = []string{"nosniff"}
	noStore = []string{"no-store"}
)

// plain takes what TLS wraps away.
func plain(c net.Conn) net.Conn {
	if t, ok := c.(*tls.Conn); ok {
		c = t.NetConn()
	}
	if l, ok := c.(*limitedConn); ok {
		c = l.Conn
	}
	return c
}
