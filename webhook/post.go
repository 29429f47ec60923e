package webhook

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"time"
)

// What of an answer is read: the status says all that matters; of the body as much
// as lets the connection be used again.
const (
	maxAnswerHeader = 64 << 10
	maxAnswerBody   = 64 << 10
	maxRedirects    = 3
)

// outcome is what became of a post.
type outcome struct {
	err        error         // nil: it was taken
	gone       bool          // the receiver wants no more of them
	retryAfter time.Duration // the receiver asks for a pause; 0: it does not
}

// newTransport is what posts of a hook go through.
func newTransport(h *Hook) *http.Transport {
	t := &http.Transport{
		Proxy:                  http.ProxyFromEnvironment,
		TLSClientConfig:        &tls.Config{MinVersion: tls.VersionTLS12},
		ForceAttemptHTTP2:      true,
		MaxIdleConnsPerHost:    parallel,
		IdleConnTimeout:        time.Minute,
		MaxResponseHeaderBytes: maxAnswerHeader,
	}
	if len(h.CA) > 0 {
		t.TLSClientConfig.RootCAs = x509.NewCertPool()
		t.TLSClientConfig.RootCAs.AppendCertsFromPEM(h.CA)
	}
	return t
}

// sameHost follows a redirect that is the same post to the same host, and no
// other: whoever answers must not be able to send events, their signature and the
// headers somewhere else.
func sameHost(req *http.Request, via []*http.Request) error {
	first := via[0].URL
	status := req.Response.StatusCode
	again := status == http.StatusTemporaryRedirect || status == http.StatusPermanentRedirect
	if !again || len(via) > maxRedirects || req.URL.Scheme != first.Scheme || req.URL.Host != first.Host {
		return http.ErrUseLastResponse
	}
	return nil
}

// post posts a letter once.
func post(ctx context.Context, client *http.Client, h *Hook, agent string, l *letter) outcome {
	ctx, cancel := context.WithTimeout(ctx, h.Timeout)
	defer cancel()
	req, err := newRequest(ctx, h, agent, l)
	if err != nil {
		return outcome{err: bare(err)}
	}
	resp, err := client.Do(req)
	if err != nil {
		if errors.Is(ctx.Err(), context.DeadlineExceeded) {
			return outcome{err: fmt.Errorf("no answer within %s", h.Timeout)}
		}
		return outcome{err: bare(err)}
	}
	defer resp.Body.Close()
	// The status has been read: what becomes of the rest is of no interest.
	_, _ = io.CopyN(io.Discard, resp.Body, maxAnswerBody)
	return answered(resp, time.Now())
}

func newRequest(ctx context.Context, h *Hook, agent string, l *letter) (*http.Request, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, h.URL, bytes.NewReader(l.Event))
	if err != nil {
		return nil, err
	}
	req.Header.Set("User-Agent", agent)
	for name, value := range h.Headers {
		req.Header.Set(name, value)
	}
	stamp := strconv.FormatInt(time.Now().Unix(), 10)
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("Gaffer-Event-Id", strconv.FormatUint(l.seq, 10))
	req.Header.Set("Gaffer-Timestamp", stamp)
	if h.Secret != "" {
		req.Header.Set("Gaffer-Signature", Sign(h.Secret, stamp, l.Event))
	}
	return req, nil
}

// Sign is the signature of a post: "v1=" and the HMAC-SHA256, in hexadecimal, over
// the header Gaffer-Timestamp, a dot, and the body. A receiver compares it, with
// hmac.Equal, with the header Gaffer-Signature.
func Sign(secret, timestamp string, body []byte) string {
	mac := hmac.New(sha256.New, []byte(secret))
	mac.Write([]byte(timestamp + "."))
	mac.Write(body)
	return "v1=" + hex.EncodeToString(mac.Sum(nil))
}

// answered says what an answer means. None of its text is taken over: a receiver
// could send back what is secret.
func answered(resp *http.Response, now time.Time) outcome {
	code := resp.StatusCode
	if code >= 200 && code < 300 {
		return outcome{}
	}
	o := outcome{gone: code == http.StatusGone, retryAfter: retryAfter(resp.Header.Get("Retry-After"), now)}
	o.err = fmt.Errorf("answer %d %s", code, http.StatusText(code))
	if code >= 300 && code < 400 {
		o.err = fmt.Errorf("answer %d: the redirect is not followed", code)
	}
	return o
}

// bare is an error without the URL, which may hold a secret.
func bare(err error) error {
	var e *url.Error
	if errors.As(err, &e) {
		return e.Err
	}
	return err
}
