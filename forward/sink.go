package forward

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"net"
	"net/url"
	"slices"
	"strconv"
	"time"

	"github.com/gafferpm/gaffer"
)

func newSink(d *Destination, o *Options) sink {
	switch d.Type {
	case Syslog:
		return newSyslog(d, o)
	case Journald:
		return newJournal(d, o)
	case Loki:
		return newHTTP(d, o, lokiFormat{})
	default:
		return newHTTP(d, o, otlpFormat{})
	}
}

// Severities of RFC 5424: what is written to stderr is worth more attention.
const (
	severityError = 3
	severityInfo  = 6
)

func severity(label string) int {
	if label == "stderr" {
		return severityError
	}
	return severityInfo
}

func facility(name string) int { return max(slices.Index(facilities, name), 0) }

// dial connects to a destination that is no web server.
func dial(ctx context.Context, d *Destination) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, d.Timeout)
	defer cancel()
	u, err := url.Parse(d.URL)
	if err != nil {
		return nil, err
	}
	var plain net.Dialer
	switch u.Scheme {
	case "unix":
		conn, err := plain.DialContext(ctx, "unixgram", u.Path)
		if err != nil && d.Type == Syslog {
			if stream, e := plain.DialContext(ctx, "unix", u.Path); e == nil {
				return stream, nil
			}
		}
		return conn, err
	case "tls":
		dialer := tls.Dialer{Config: tlsConfig(d)}
		return dialer.DialContext(ctx, "tcp", u.Host)
	}
	return plain.DialContext(ctx, u.Scheme, u.Host)
}

func tlsConfig(d *Destination) *tls.Config {
	c := &tls.Config{MinVersion: tls.VersionTLS12}
	if len(d.CA) > 0 {
		c.RootCAs = x509.NewCertPool()
		c.RootCAs.AppendCertsFromPEM(d.CA)
	}
	return c
}

// bounded runs a write that ends with ctx, or after so long.
func bounded(ctx context.Context, conn net.Conn, timeout time.Duration, write func() error) error {
	if err := conn.SetWriteDeadline(time.Now().Add(timeout)); err != nil {
		return err
	}
	stop := context.AfterFunc(ctx, func() { _ = conn.SetWriteDeadline(time.Unix(1, 0)) })
	defer stop()
	return write()
}

// processName is NAME.SLOT.
func processName(o *gaffer.Output) string { return o.Name + "." + strconv.Itoa(o.Slot) }
