package client

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptrace"
	"net/url"
	"sync"
	"time"
)

const (
	// longest is how long the daemon is asked to wait when nothing else limits it.
	longest = 24 * time.Hour
	// slack is how long an answer may take that is due.
	slack = time.Second
	// promptness is how long an answer may take for which nothing need be waited.
	promptness = 30 * time.Second
	// respite is the time before the same is asked again.
	respite = time.Second
)

// answer is how a call was answered.
type answer struct {
	status int
	body   []byte
	err    error
}

// order asks for something to be done and waits for it as long as ctx does. It is
// asked for whether or not anybody waits for it.
func (c *Client) order(ctx context.Context, r call) ([]byte, error) {
	for {
		body, err := c.ask(ctx, r)
		if !r.again || ctx.Err() != nil || !errors.Is(err, context.DeadlineExceeded) {
			return body, err
		}
		// The daemon, or what is before it, waits no longer than this.
		select {
		case <-time.After(respite):
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

// ask is order, for one request.
func (c *Client) ask(ctx context.Context, r call) ([]byte, error) {
	limit, ended := slack, ctx.Err() != nil
	switch deadline, bounded := ctx.Deadline(); {
	case ended:
		limit = promptness
	case bounded:
		r.query = withWait(r.query, time.Until(deadline))
	default:
		r.query = withWait(r.query, longest)
	}
	// The request is not ended by ctx, so that it is made even when that ends at
	// this moment.
	asked, hangUp := context.WithCancel(context.WithoutCancel(ctx))
	defer hangUp()
	answered, written := c.begun(asked, r)
	if !ended {
		select {
		case a := <-answered:
			return a.body, verdict(ctx, a)
		case <-ctx.Done():
		}
	}
	if ended || errors.Is(ctx.Err(), context.DeadlineExceeded) {
		written = nil // an answer is due, which says whether it is done, or refused
	}
	timer := time.NewTimer(limit)
	defer timer.Stop()
	select {
	case a := <-answered:
		return a.body, verdict(ctx, a)
	case <-written: // and the answer wanted by nobody
		return nil, ctx.Err()
	case <-timer.C:
	}
	return nil, fmt.Errorf("%s: %w: %w", c.host, ErrNoAnswer, ctx.Err())
}

// begun begins a call. written is closed when the request has left.
func (c *Client) begun(ctx context.Context, r call) (answered chan answer, written chan struct{}) {
	answered, written = make(chan answer, 1), make(chan struct{})
	var once sync.Once
	ctx = httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{
		WroteRequest: func(httptrace.WroteRequestInfo) { once.Do(func() { close(written) }) },
	})
	go func() {
		var a answer
		a.status, a.body, a.err = c.exchange(ctx, r)
		answered <- a
	}()
	return answered, written
}

// withWait is a query that also says how long to wait.
func withWait(query url.Values, wait time.Duration) url.Values {
	q := url.Values{"wait": {max(wait.Round(time.Millisecond), time.Millisecond).String()}}
	for k, v := range query {
		q[k] = v
	}
	return q
}

// verdict is what an answer says of an order: nothing when it is done, the
// context's error when it is only being done.
func verdict(ctx context.Context, a answer) error {
	switch {
	case a.err == nil && a.status == http.StatusAccepted:
		return ctx.Err()
	case errors.Is(a.err, context.DeadlineExceeded) && ctx.Err() != nil:
		return ctx.Err()
	}
	return a.err
}
