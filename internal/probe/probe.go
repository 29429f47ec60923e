// Package probe asks once whether something answers.
package probe

import (
	"bufio"
	"bytes"
	"cmp"
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
	"unicode"
)

const (
	mostQuoted = 200     // of a body
	mostRead   = 1 << 20 // of an answer, head and body
)

// HTTP says whether a GET of a URL is answered with a status from 200 to 399. Redirects
// are not followed, proxies not used, and certificates not looked at: it is asked who is
// alive, not who it is. Each question has a connection of its own; an http.Transport,
// which keeps connections for later, tells a server that speaks without being asked as
// an error of its own insides.
func HTTP(ctx context.Context, address string) error {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		return err
	}
	request.Header.Set("User-Agent", "gaffer")
	request.Close = true
	conn, err := dialURL(ctx, request.URL)
	if err != nil {
		return short(ctx, err)
	}
	defer conn.Close()
	defer context.AfterFunc(ctx, func() { _ = conn.Close() })()
	// Who answers without having read the question may close the connection before all
	// of it is written; what was answered counts.
	unasked := request.Write(conn)
	answer, err := readAnswer(conn, request) //nolint:bodyclose // it would read an endless body to its end
	if err != nil {
		return short(ctx, cmp.Or(unasked, err))
	}
	if answer.StatusCode >= 200 && answer.StatusCode < 400 {
		return nil
	}
	text := "answered " + answer.Status
	if line, _ := bufio.NewReader(io.LimitReader(answer.Body, mostQuoted)).ReadString('\n'); strings.TrimSpace(line) != "" {
		text += ": " + strings.TrimSpace(line)
	}
	return errors.New(text)
}

// dialURL connects to the server of a URL.
func dialURL(ctx context.Context, u *url.URL) (net.Conn, error) {
	if u.Scheme != "https" {
		var d net.Dialer
		return d.DialContext(ctx, "tcp", net.JoinHostPort(u.Hostname(), cmp.Or(u.Port(), "80")))
	}
	d := tls.Dialer{Config: &tls.Config{InsecureSkipVerify: true}} //nolint:gosec // see HTTP
	return d.DialContext(ctx, "tcp", net.JoinHostPort(u.Hostname(), cmp.Or(u.Port(), "443")))
}

// readAnswer reads the head of an answer, and passes over what comes before it: 100
// Continue, 103 Early Hints.
func readAnswer(conn net.Conn, request *http.Request) (*http.Response, error) {
	r := bufio.NewReader(io.LimitReader(conn, mostRead))
	for {
		if _, err := r.Peek(1); errors.Is(err, io.EOF) {
			return nil, errors.New("closed without an answer")
		} else if err != nil {
			return nil, err
		}
		line, _ := r.Peek(min(r.Buffered(), mostQuoted))
		line, _, _ = bytes.Cut(bytes.Clone(line), []byte("\r\n"))
		answer, err := http.ReadResponse(r, request)
		if err != nil {
			return nil, fmt.Errorf("no HTTP answer, but %q: %w", line, err)
		}
		if answer.StatusCode >= 200 || answer.StatusCode == http.StatusSwitchingProtocols {
			return answer, nil
		}
	}
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
	case strings.ContainsFunc(u.Host, func(r rune) bool { return r > unicode.MaxASCII }):
		return fmt.Errorf("%q: want the host in ASCII, as xn--…", address)
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
