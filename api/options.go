package api

import (
	"context"
	"log/slog"
	"net"
	"os"
	"time"

	"github.com/gafferpm/gaffer"
)

// Options of a Server. The zero value serves no endpoint.
type Options struct {
	// Logger is told what callers can't be told. Default: nothing is logged.
	Logger *slog.Logger
	// Descendants is how what services start is known to be theirs, as gaffer.Manager says it.
	Descendants string
	// Version and Node are what /v1/version says.
	Version, Node string
	// Endpoints are where the server listens.
	Endpoints []Endpoint
	// Keys keeps the keys of callers. Default: there are none.
	Keys KeyStore
	// Config answers plan, apply, reload and config. Default: those routes do not
	// exist here, which is what they say (501).
	Config gaffer.Configurator
	// Webhooks answers the routes of webhooks. Default: there are none.
	Webhooks Webhooks
	// Forwards answers the route of forwards. Default: there are none.
	Forwards Forwards
	// Audit is told of every change that was asked for, by whom, of what, and how
	// it ended; of what goes on, as soon as it is begun. Of a caller's requests that
	// are refused, it is told of 10 a minute. Default: nobody.
	Audit func(by, name, message string)
	// PID is the daemon's. Default: this program's.
	PID int
	// Upgrade has another program, an absolute path of the daemon's machine, take over the
	// services, and returns when that has begun. Default: it can't.
	Upgrade func(binary string) error
	// Upgraded is how the latest upgrade went, nil if there was none. Default: none was.
	Upgraded func() *Upgraded
	// Shutdown begins the end of the program and returns at once. Default: the
	// route does not exist here.
	Shutdown func()
	// Plugins are directories whose files are served under /plugins/NAME/, by name.
	// They are served to everybody who reaches the endpoint.
	Plugins map[string]string
	// Limits bound what callers can take.
	Limits Limits
}

// Limits bound what callers can take. Those that are 0 have their default.
type Limits struct {
	// Connections is how many an endpoint holds at a time. Default 2048, and
	// never so many that they could take more than half of the descriptors that
	// the process may open.
	Connections int
	// Body is the size of a request's body in bytes. Default 1 MiB.
	Body int64
	// Header is the time to send a request's header, and to do a TLS handshake.
	// Default 5s.
	Header time.Duration
	// Transfer is the time to send a request's body, and to take each piece of an
	// answer. Default 30s.
	Transfer time.Duration
	// Idle is how long a connection is held that asks nothing. Default 2m.
	Idle time.Duration
	// Drain is how long a stop waits for the requests that are being answered.
	// Default 5s.
	Drain time.Duration
}

func (l Limits) withDefaults() Limits {
	return Limits{
		Connections: or(l.Connections, 2048),
		Body:        or(l.Body, 1<<20),
		Header:      or(l.Header, 5*time.Second),
		Transfer:    or(l.Transfer, 30*time.Second),
		Idle:        or(l.Idle, 2*time.Minute),
		Drain:       or(l.Drain, 5*time.Second),
	}
}

func or[T int | int64 | time.Duration](v, otherwise T) T {
	if v <= 0 {
		return otherwise
	}
	return v
}

// Endpoint is a place to listen at.
type Endpoint struct {
	// Address is "unix:///run/gaffer/gaffer.sock", or HOST:PORT for TCP.
	Address string
	// Listener is used instead of opening the address, if it is not nil.
	Listener net.Listener
	// TLS of a TCP endpoint. Default: none.
	TLS TLS
	// Insecure serves callers of a TCP endpoint without a key as admins. Without
	// it, an endpoint that no caller could use is refused.
	Insecure bool
	// Hosts are the names, beside those of the loopback, by which callers may name
	// a TCP endpoint: others could be a web page's that points its name here.
	Hosts []string
	// Origins are of the web pages of other hosts that may use a TCP endpoint, as
	// "https://example.com".
	Origins []string
	// Users may use the endpoint without a key: by user name or number on a unix
	// socket, by the common name of their certificates on TCP with TLS.ClientCA.
	// On a unix socket root and the user of this program are always admins.
	Users map[string]Role
	// Groups are the groups of users, by name or number, that may use a unix
	// socket. The greatest role that a caller has counts.
	Groups map[string]Role
	// Mode is of a unix socket's file. Default 0600.
	Mode os.FileMode
}

// TLS names the files of an endpoint's certificates, in PEM. They are read again
// when they have changed.
type TLS struct {
	Cert, Key string
	// ClientCA makes callers show a certificate that it has signed.
	ClientCA string
}

// KeyStore keeps keys. It is called by one goroutine at a time.
type KeyStore interface {
	Keys() ([]Key, error)
	PutKey(Key) error
	DeleteKey(id string) error
}

// Webhooks are what posts events to others.
type Webhooks interface {
	// List tells how the webhooks are doing.
	List(ctx context.Context) ([]Webhook, error)
	// Retry takes up again what a webhook has given up. ErrNotFound: there is no
	// such webhook.
	Retry(ctx context.Context, name string) error
}

// Webhook is how one webhook is doing.
type Webhook struct {
	Name      string        `json:"name"`
	URL       string        `json:"url"`
	Target    gaffer.Target `json:"target"`
	Kinds     []gaffer.Kind `json:"kinds"` // none: all
	Pending   int           `json:"pending"`
	Delivered uint64        `json:"delivered"`
	Failed    uint64        `json:"failed"`
	LastError string        `json:"last_error,omitempty"`
	Dead      []DeadLetter  `json:"dead"`
}

// Forwards are what sends lines to others.
type Forwards interface {
	// List tells how they are doing.
	List(ctx context.Context) ([]Forward, error)
}

// Forward is how one destination of lines is doing.
type Forward struct {
	Name    string        `json:"name"`
	Type    string        `json:"type"`
	URL     string        `json:"url"`
	Target  gaffer.Target `json:"target"`
	Streams []string      `json:"streams"` // none: all
	Sent    uint64        `json:"sent"`    // lines
	Lost    uint64        `json:"lost"`    // lines that were refused, or gone from memory before
	// LostBytes is what log files gave up before it was sent.
	LostBytes   int64     `json:"lost_bytes"`
	Behind      time.Time `json:"behind,omitzero"` // when the oldest line was written that waits
	LastError   string    `json:"last_error,omitempty"`
	LastErrorAt time.Time `json:"last_error_at,omitzero"`
}

// DeadLetter is an event that a webhook has given up.
type DeadLetter struct {
	Seq      uint64      `json:"seq"`
	Kind     gaffer.Kind `json:"kind"`
	Name     string      `json:"name"`
	Attempts int         `json:"attempts"`
	Error    string      `json:"error"`
	Time     time.Time   `json:"time"`
}
