package client

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"time"

	"github.com/gafferpm/gaffer"
)

const (
	// largestAnswer is how much of an answer is read, in bytes: the list of 100,000
	// templates has half of it.
	largestAnswer = 256 << 20
	// firstRead is how much room an answer has from the start, whatever length it
	// claims to have.
	firstRead = 1 << 20
)

// call is a request that has not been sent.
type call struct {
	method string
	path   string // with its segments escaped
	query  url.Values
	accept string
	body   any    // sent as JSON, unless nil
	raw    []byte // sent as it is, unless nil
	again  bool   // of an order: to give it twice is to give it once
}

// of is the path of something below a target. What is no target is told here,
// for it may not even fit into a path.
func of(target gaffer.Target, what string) (string, error) {
	if err := target.Check(); err != nil {
		return "", err
	}
	return "/v1/processes/" + url.PathEscape(string(target)) + what, nil
}

// request makes the HTTP request of a call.
func (c *Client) request(ctx context.Context, r call) (*http.Request, error) {
	var body io.Reader
	kind := ""
	switch {
	case r.raw != nil:
		body, kind = bytes.NewReader(r.raw), "application/octet-stream"
	case r.body != nil:
		text, err := json.Marshal(r.body)
		if err != nil {
			return nil, &refusal{text: err.Error(), causes: []error{gaffer.ErrInvalid, err}}
		}
		body, kind = bytes.NewReader(text), "application/json"
	}
	address := c.base + r.path
	if len(r.query) > 0 {
		address += "?" + r.query.Encode()
	}
	req, err := http.NewRequestWithContext(ctx, r.method, address, body)
	if err != nil {
		return nil, err
	}
	if kind != "" {
		req.Header.Set("Content-Type", kind)
	}
	if r.accept == "" {
		r.accept = "application/json"
	}
	req.Header.Set("Accept", r.accept)
	if r.again {
		// An entry without a value is not sent. It tells net/http that the request
		// may be made again where a connection turns out to be gone.
		req.Header["Idempotency-Key"] = nil
	}
	if c.key != "" {
		req.Header.Set("Authorization", "Bearer "+c.key)
	}
	return req, nil
}

// send sends a call and returns an answer that is none of an error. The body is
// the caller's to close.
func (c *Client) send(ctx context.Context, r call) (*http.Response, error) {
	if c.life.Err() != nil {
		return nil, c.unreached(ctx, net.ErrClosed)
	}
	req, err := c.request(ctx, r)
	if err != nil {
		return nil, err
	}
	resp, err := c.http.Do(req)
	if err != nil {
		return nil, c.unreached(ctx, err)
	}
	if resp.StatusCode < 200 || resp.StatusCode > 299 {
		defer resp.Body.Close()
		return nil, c.refused(resp)
	}
	return resp, nil
}

// exchange sends a call and reads the whole answer.
func (c *Client) exchange(ctx context.Context, r call) (status int, body []byte, err error) {
	resp, err := c.send(ctx, r)
	if err != nil {
		return 0, nil, err
	}
	defer resp.Body.Close()
	var b bytes.Buffer
	if n := resp.ContentLength; n > 0 {
		b.Grow(int(min(n, firstRead)) + bytes.MinRead)
	}
	n, err := b.ReadFrom(io.LimitReader(resp.Body, largestAnswer+1))
	if err != nil {
		return 0, nil, c.unreached(ctx, err)
	}
	if n > largestAnswer {
		return 0, nil, fmt.Errorf("%s: the answer is longer than %d MiB", c.host, largestAnswer>>20)
	}
	return resp.StatusCode, b.Bytes(), nil
}

// look asks for something that need not be waited for. A daemon that does not
// answer at all is given up.
func (c *Client) look(ctx context.Context, r call) ([]byte, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	asked, hangUp := context.WithCancel(ctx)
	defer hangUp()
	patience := time.AfterFunc(c.silence, hangUp)
	_, body, err := c.exchange(asked, r)
	if !patience.Stop() && ctx.Err() == nil {
		return nil, fmt.Errorf("%s: no answer within %s", c.host, c.silence)
	}
	return body, err
}

// read is look, for an answer in JSON.
func (c *Client) read(ctx context.Context, r call, into any) error {
	body, err := c.look(ctx, r)
	if err != nil {
		return err
	}
	return c.decode(body, into)
}

func (c *Client) decode(body []byte, into any) error {
	if into == nil {
		return nil
	}
	if err := json.Unmarshal(body, into); err != nil {
		return fmt.Errorf("%s: answer: %w", c.host, err)
	}
	return nil
}
