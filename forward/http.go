package forward

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/gafferpm/gaffer"
)

// web sends lines with HTTP requests.
type web struct {
	d      *Destination
	o      *Options
	format format
	client *http.Client
	body   bytes.Buffer
	zip    *gzip.Writer
	most   int // lines in a request: fewer, once one was too large
}

// format is what a request and its answer look like.
type format interface {
	request(d *Destination, o *Options, lines []gaffer.Output) any
	// refused reads the answer of a request that was taken: how many of its lines were not.
	refused(answer []byte) int
}

// maxAnswer is how much of an answer is read.
const maxAnswer = 64 << 10

// maxPause is the longest pause that a receiver can ask for.
const maxPause = 10 * time.Minute

func newHTTP(d *Destination, o *Options, f format) *web {
	t := &http.Transport{
		Proxy: http.ProxyFromEnvironment, TLSClientConfig: tlsConfig(d), ForceAttemptHTTP2: true,
		MaxIdleConnsPerHost: 1, IdleConnTimeout: time.Minute, MaxResponseHeaderBytes: maxAnswer,
	}
	return &web{
		d: d, o: o, format: f, most: batchLines, zip: gzip.NewWriter(io.Discard),
		// A redirect could send the lines and the headers somewhere else.
		client: &http.Client{Transport: t, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }},
	}
}

func (w *web) close() { w.client.CloseIdleConnections() }

func (w *web) send(ctx context.Context, lines []gaffer.Output) (done, lost int, err error) {
	lines = lines[:min(len(lines), w.most)]
	status, pause, answer, err := w.post(ctx, lines)
	if err != nil {
		return 0, 0, err
	}
	switch {
	case status >= 200 && status < 300:
		w.most = min(2*w.most, batchLines)
		return len(lines), min(w.format.refused(answer), len(lines)), nil
	case status == http.StatusRequestEntityTooLarge && len(lines) > 1:
		w.most = len(lines) / 2
		return 0, 0, nil
	case status == http.StatusBadRequest, status == http.StatusRequestEntityTooLarge, status == http.StatusUnprocessableEntity:
		// It would be answered in the same way the next time. Which of the lines is to
		// blame nobody says.
		if len(lines) > 1 {
			w.most = len(lines) / 2
			return 0, 0, nil
		}
		w.most = batchLines
		// It may refuse all, as where the URL is wrong: then that is slow.
		return 1, 1, refusal(status, answer)
	}
	return 0, 0, &pausing{fmt.Errorf("answer %d %s", status, http.StatusText(status)), pause}
}

func (w *web) post(ctx context.Context, lines []gaffer.Output) (status int, pause time.Duration, answer []byte, err error) {
	w.body.Reset()
	w.zip.Reset(&w.body)
	if err := json.NewEncoder(w.zip).Encode(w.format.request(w.d, w.o, lines)); err != nil {
		return 0, 0, nil, err
	}
	if err := w.zip.Close(); err != nil {
		return 0, 0, nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, w.d.Timeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, w.d.URL, bytes.NewReader(w.body.Bytes()))
	if err != nil {
		return 0, 0, nil, withoutURL(err)
	}
	for name, value := range w.d.Headers {
		req.Header.Set(name, value)
	}
	req.Header.Set("User-Agent", strings.TrimSuffix("gaffer/"+w.o.Version, "/"))
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("Content-Encoding", "gzip")
	resp, err := w.client.Do(req)
	if err != nil {
		if errors.Is(ctx.Err(), context.DeadlineExceeded) {
			return 0, 0, nil, fmt.Errorf("no answer within %s", w.d.Timeout)
		}
		return 0, 0, nil, withoutURL(err)
	}
	defer resp.Body.Close()
	answer, _ = io.ReadAll(io.LimitReader(resp.Body, maxAnswer)) // the status says what matters
	return resp.StatusCode, retryAfter(resp.Header.Get("Retry-After"), time.Now()), answer, nil
}

// refusal is an error of a receiver that says why it takes a line for wrong.
func refusal(status int, answer []byte) error {
	const excerpt = 200
	text := strings.ToValidUTF8(strings.TrimSpace(string(answer[:min(len(answer), excerpt)])), "")
	if text == "" {
		return fmt.Errorf("answer %d %s", status, http.StatusText(status))
	}
	return fmt.Errorf("answer %d %s: %q", status, http.StatusText(status), text)
}

// withoutURL is an error without the URL, which may hold a secret.
func withoutURL(err error) error {
	var e *url.Error
	if errors.As(err, &e) {
		return bare(e.Err)
	}
	return err
}

// retryAfter reads the header of that name: seconds, or a time.
func retryAfter(text string, now time.Time) time.Duration {
	if n, err := strconv.ParseUint(text, 10, 31); err == nil {
		return min(time.Duration(n)*time.Second, maxPause)
	}
	at, err := http.ParseTime(text)
	if err != nil {
		return 0
	}
	return min(max(at.Sub(now), 0), maxPause)
}
