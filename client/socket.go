package client

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"sync"
	"time"

	"github.com/coder/websocket"

	"github.com/gafferpm/gaffer"
)

const (
	// socketHeartbeat is how often a daemon is asked over a WebSocket whether it is there.
	socketHeartbeat = 15 * time.Second
	// largestMessage is how long a message of a daemon may be, in bytes.
	largestMessage = 64 << 20
	// largestPiece is how much input is sent with one message.
	largestPiece = 32 << 10
	// takenAtOnce is how much output is read before the daemon is told of it.
	takenAtOnce = 64 << 10
	// outputWindow is how much may be on its way.
	outputWindow = 4 * takenAtOnce
)

// socket is a WebSocket to a daemon. One goroutine of its user receives.
type socket struct {
	c      *Client
	conn   *websocket.Conn
	ctx    context.Context // ends with the socket
	cancel context.CancelFunc
	unbind func() bool // from the client's life
	done   sync.WaitGroup
	once   sync.Once
}

// dial opens a WebSocket, which ends with the context.
func (c *Client) dial(ctx context.Context, target gaffer.Target, what string, query url.Values) (*socket, error) {
	path, err := of(target, what)
	if err != nil {
		return nil, err
	}
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	address := c.base + path
	if len(query) > 0 {
		address += "?" + query.Encode()
	}
	header := http.Header{}
	if c.key != "" {
		header.Set("Authorization", "Bearer "+c.key)
	}
	s := &socket{c: c}
	s.ctx, s.cancel = context.WithCancel(ctx)
	s.unbind = context.AfterFunc(c.life, s.cancel)
	patience := time.AfterFunc(c.silence, s.cancel)
	conn, resp, err := websocket.Dial(s.ctx, address, &websocket.DialOptions{
		HTTPClient: c.http, HTTPHeader: header, Subprotocols: []string{"gaffer.v1"},
	})
	late := !patience.Stop()
	switch {
	case err == nil && !late && c.begin():
	case err == nil:
		_ = conn.CloseNow()
		err = c.unreached(ctx, errors.New("closed"))
	case resp != nil && resp.StatusCode != http.StatusSwitchingProtocols:
		err = c.refused(resp)
	default:
		err = c.unreached(ctx, err)
	}
	if err != nil {
		s.unbind()
		s.cancel()
		if late && ctx.Err() == nil {
			err = fmt.Errorf("%s: no answer within %s", c.host, c.silence)
		}
		return nil, err
	}
	conn.SetReadLimit(largestMessage)
	s.conn = conn
	s.done.Go(s.watch)
	return s, nil
}

// watch gives up a daemon that does not answer.
func (s *socket) watch() {
	ticker := time.NewTicker(socketHeartbeat)
	defer ticker.Stop()
	for {
		select {
		case <-ticker.C:
		case <-s.ctx.Done():
			return
		}
		ctx, cancel := context.WithTimeout(s.ctx, s.c.silence)
		err := s.conn.Ping(ctx)
		cancel()
		if err != nil {
			s.cancel()
			return
		}
	}
}

// say sends a message of text.
func (s *socket) say(v any) error {
	text, err := json.Marshal(v)
	if err != nil {
		return err
	}
	return s.send(websocket.MessageText, text)
}

// send sends a message. It is not bound by the caller's context, the end of which would
// end the connection.
func (s *socket) send(kind websocket.MessageType, data []byte) error {
	ctx, cancel := context.WithTimeout(s.ctx, s.c.silence)
	defer cancel()
	if err := s.conn.Write(ctx, kind, data); err != nil {
		return s.lost(err)
	}
	return nil
}

// lost is the error of a connection that broke.
func (s *socket) lost(err error) error {
	if s.c.life.Err() != nil {
		return s.c.unreached(s.ctx, err)
	}
	return &refusal{text: fmt.Sprintf("%s: %v: %v", s.c.host, ErrLost, bare(err)), causes: []error{ErrLost}}
}

// close ends the connection, and what is bound to it. The one that receives has ended, or
// ends now.
func (s *socket) close() {
	s.once.Do(func() {
		s.unbind()
		_ = s.conn.CloseNow()
		s.cancel()
		s.done.Wait()
		s.c.running.Done()
	})
}

// credit is how much may be sent before the daemon has said that it has taken some.
type credit struct {
	mu    sync.Mutex // guards the rest
	left  int
	grown chan struct{}
}

// take waits until something may be sent, and takes up to so many bytes of that.
func (w *credit) take(ctx, life context.Context, most int) (int, error) {
	for {
		w.mu.Lock()
		if n := min(w.left, most); n > 0 {
			w.left -= n
			w.mu.Unlock()
			return n, nil
		}
		if w.grown == nil {
			w.grown = make(chan struct{})
		}
		grown := w.grown
		w.mu.Unlock()
		select {
		case <-grown:
		case <-ctx.Done():
			return 0, ctx.Err()
		case <-life.Done():
			return 0, life.Err()
		}
	}
}

func (w *credit) give(n int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.left += n
	if w.grown != nil {
		close(w.grown)
		w.grown = nil
	}
}
