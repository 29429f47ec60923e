// Package client asks a gaffer daemon over its HTTP API. A Client is a
// gaffer.Controller, a gaffer.Configurator and gaffer.Sessions: the same verbs, the
// same answers and the same errors as those of a gaffer.Manager in this program, with
// errors.Is and errors.As.
//
// A context bounds the waiting, not the doing, as it does there: a Stop whose
// context ends has still asked everything to stop. The time that a context leaves
// is told to the daemon, which answers when it is so, or when that time is over. A
// context that has ended before the call waits for nothing: the daemon refuses
// what can't be done, or begins with it, and the error is the context's.
//
// Streams connect again when the connection breaks. Events go on after the last
// one that was delivered, with none missing and none twice. Readings of a monitor
// just go on. Output goes on with what the daemon still has of it; as that may not
// be all, a gaffer.Missed of 0 comes first, for a number that nobody knows.
package client

import (
	"context"
	"crypto/tls"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"

	"github.com/gafferpm/gaffer"
)

// Options of a Client. The zero value is good.
type Options struct {
	// Key is an API key, as the daemon showed it when it was made. A unix socket
	// needs none: there the daemon sees who calls. Default: none.
	Key string
	// TLS is how an https host is spoken to: whom to trust, and a certificate of
	// one's own. Default: what the system trusts.
	TLS *tls.Config
	// Patience is how long a stream whose connection broke tries to have another.
	// Default: as long as the stream is wanted.
	Patience time.Duration
	// Logger is told of connections that broke and were made again. Default:
	// nothing is logged.
	Logger *slog.Logger
}

// Client asks a daemon. It may be used from any goroutine.
type Client struct {
	host   string // as it was given, for people
	base   string // of all addresses: "http://gaffer", "https://example.org:7777"
	key    string
	http   *http.Client
	idle   func()
	logger *slog.Logger

	patience time.Duration // of broken streams; 0: no end
	silence  time.Duration // that a stream's connection is believed in

	life    context.Context // ends with Close
	end     context.CancelFunc
	mu      sync.Mutex     // makes running grow no more once life has ended
	running sync.WaitGroup // the goroutines of streams
}

var (
	_ gaffer.Controller   = (*Client)(nil)
	_ gaffer.Configurator = (*Client)(nil)
	_ gaffer.Sessions     = (*Client)(nil)
)

const (
	dialPatience = 5 * time.Second
	idleKept     = 16 // connections that wait for the next request
)

// New makes a client of the daemon at host: "unix:///path/of/gaffer.sock",
// "http://127.0.0.1:7777" or "https://example.org:7777". It does not connect yet.
// ErrInvalid: the host is none of those.
func New(host string, opts Options) (*Client, error) {
	c := &Client{host: host, key: opts.Key, logger: opts.Logger, patience: opts.Patience, silence: longestSilence}
	if c.logger == nil {
		c.logger = slog.New(slog.DiscardHandler)
	}
	transport := &http.Transport{
		MaxIdleConnsPerHost: idleKept,
		IdleConnTimeout:     90 * time.Second,
		TLSHandshakeTimeout: dialPatience,
		TLSClientConfig:     opts.TLS,
		DisableCompression:  true,
		// A stream has a connection of its own, so that one that is not read
		// holds up nothing else.
		Protocols: new(http.Protocols),
	}
	transport.Protocols.SetHTTP1(true)
	dialer := &net.Dialer{Timeout: dialPatience}
	transport.DialContext = dialer.DialContext

	u, err := url.Parse(host)
	switch {
	case err != nil:
		return nil, badHost(host)
	case u.Scheme == "unix" && u.Host == "" && strings.HasPrefix(u.Path, "/"):
		path := u.Path
		c.base = "http://gaffer"
		transport.DialContext = func(ctx context.Context, _, _ string) (net.Conn, error) {
			return dialer.DialContext(ctx, "unix", path)
		}
	case (u.Scheme == "http" || u.Scheme == "https") && u.Host != "" && strings.Trim(u.Path, "/") == "" && u.User == nil:
		c.base = u.Scheme + "://" + u.Host
		if u.Scheme == "https" {
			transport.Proxy = http.ProxyFromEnvironment
		}
	default:
		return nil, badHost(host)
	}
	c.idle = transport.CloseIdleConnections
	c.http = &http.Client{
		Transport: transport,
		// An API that moves is not the daemon's; a key must not follow.
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	c.life, c.end = context.WithCancel(context.Background())
	return c, nil
}

func badHost(host string) error {
	return fmt.Errorf("host %q: %w; want unix:///path, http://address:port or https://address:port", host, gaffer.ErrInvalid)
}

// Host is where the daemon is, as it was given to New.
func (c *Client) Host() string { return c.host }

// Close ends the streams and closes the connections. Nothing can be asked after
// it. It never fails.
func (c *Client) Close() error {
	c.mu.Lock()
	c.end()
	c.mu.Unlock()
	c.running.Wait()
	c.idle()
	return nil
}

// begin counts a goroutine, which calls c.running.Done at its end. It is false when
// the client is closed.
func (c *Client) begin() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.life.Err() != nil {
		return false
	}
	c.running.Add(1)
	return true
}
