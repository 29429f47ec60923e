// Package probe asks once whether something answers.
package probe

import (
	"bufio"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"strings"
	"syscall"
)

// mostQuoted is how much of a body is quoted.
const mostQuoted = 200

// HTTP says whether a GET of a URL is answered with a status from 200 to 399. Redirects
// are not followed, and certificates not looked at: it is asked who is alive, not who it
// is.
func HTTP(ctx context.Context, address string) error {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		return err
	}
	request.Header.Set("User-Agent", "gaffer")
	request.Close = true
	transport := &http.Transport{
		DisableKeepAlives: true,
		TLSClientConfig:   &tls.Config{InsecureSkipVerify: true}, //nolint:gosec // see above
	}
	answer, err := transport.RoundTrip(request)
	if err != nil {
		return short(ctx, err)
	}
	defer answer.Body.Close()
	if answer.StatusCode >= 200 && answer.StatusCode < 400 {
		return nil
	}
	text := "answered " + answer.Status
	if line, _ := bufio.NewReader(io.LimitReader(answer.Body, mostQuoted)).ReadString('\n'); strings.TrimSpace(line) != "" {
		text += ": " + strings.TrimSpace(line)
	}
	return errors.New(text)
}

// Dial says whether somebody listens at an address of a network, "tcp" or "unix".
func Dial(ctx context.Context, network, address string) error {
	var d net.Dialer
	conn, err := d.DialContext(ctx, network, address)
	if err != nil {
		return short(ctx, err)
	}
	return conn.Close()
}

// CheckURL says what is wrong with the URL of a probe.
func CheckURL(address string) error {
	u, err := url.Parse(address)
	switch {
	case err != nil:
		return fmt.Errorf("%q: want a URL such as http://127.0.0.1:8080/health", address)
	case u.Scheme != "http" && u.Scheme != "https":
		return fmt.Errorf("%q: want http:// or https:// in front", address)
	case u.Host == "":
		return fmt.Errorf("%q: has no host", address)
	}
	return nil
}

// CheckTCP says what is wrong with the address of a probe.
func CheckTCP(address string) error {
	_, port, err := net.SplitHostPort(address)
	if err != nil || port == "" {
		return fmt.Errorf("%q: want HOST:PORT such as 127.0.0.1:5432", address)
	}
	return nil
}

// short is an error without what its reader knows: what was asked for.
func short(ctx context.Context, err error) error {
	switch {
	case errors.Is(ctx.Err(), context.DeadlineExceeded), errors.Is(err, os.ErrDeadlineExceeded):
		return errors.New("no answer in time")
	case ctx.Err() != nil:
		return ctx.Err()
	}
	var errno syscall.Errno
	if errors.As(err, &errno) {
		return errno
	}
	var op *net.OpError
	if errors.As(err, &op) {
		return op.Err
	}
	return err
}
