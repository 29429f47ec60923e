package client

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"sync"
	"time"

	"github.com/gafferpm/gaffer"
)

const (
	// waiting is how many values are read ahead of the reader. When they wait, the
	// daemon is not read from, and what it can't send it counts as missed.
	waiting = 64
	// firstPause and longestPause bound the time between a broken connection and
	// the next try; it doubles from one to the other.
	firstPause   = 100 * time.Millisecond
	longestPause = 5 * time.Second
	// longestSilence is how long a connection may bring nothing, where the daemon
	// says something every 15s.
	longestSilence = 50 * time.Second
)

// source is where a stream's values come from, connection after connection. It
// belongs to the stream's goroutine.
type source[T any] interface {
	// call is what to ask for: again says that a connection broke before.
	call(again bool) call
	// opened sees the head of the answer.
	opened(http.Header)
	// keep sees each value before it is delivered, and may refuse it.
	keep(T) bool
	// lost is what is told after a break, if that has cost something.
	lost() error
}

// stream delivers what a source has. A goroutine reads the connection, and makes
// another when it breaks.
type stream[T any] struct {
	c      *Client
	src    source[T]
	items  chan item[T] // closed at the end
	ctx    context.Context
	cancel context.CancelFunc
	unbind func() bool   // from the client's life
	closed chan struct{} // closed by Close
	once   sync.Once

	final error // why items was closed; set before
}

// item is a value, or the error in its place.
type item[T any] struct {
	value T
	err   error
}

// open asks for a stream. What is wrong with that shows at once.
func open[T any](ctx context.Context, c *Client, target gaffer.Target, src source[T]) (gaffer.Stream[T], error) {
	if err := target.Check(); err != nil {
		return nil, err
	}
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	s := &stream[T]{c: c, src: src, items: make(chan item[T], waiting), closed: make(chan struct{})}
	s.ctx, s.cancel = context.WithCancel(ctx)
	s.unbind = context.AfterFunc(c.life, s.cancel)
	conn, err := s.connect(false)
	if err == nil && !c.begin() {
		conn.close()
		err = c.unreached(ctx, net.ErrClosed)
	}
	if err != nil {
		s.end()
		return nil, err
	}
	go s.run(conn)
	return s, nil
}

// Next implements gaffer.Stream.
func (s *stream[T]) Next(ctx context.Context) (T, error) {
	var none T
	select {
	case <-s.closed:
		return none, io.EOF
	default:
	}
	if err := ctx.Err(); err != nil {
		return none, err
	}
	select {
	case <-s.closed:
		return none, io.EOF
	case <-ctx.Done():
		return none, ctx.Err()
	case it, more := <-s.items:
		if !more {
			return none, s.final
		}
		return it.value, it.err
	}
}

// Len implements gaffer.Stream.
func (s *stream[T]) Len() int { return len(s.items) }

// Close implements gaffer.Stream. Nothing is left of the stream when it returns.
func (s *stream[T]) Close() {
	s.once.Do(func() { close(s.closed) })
	s.cancel()
	for range s.items { // until the goroutine has ended
	}
}

// end frees what is bound to the stream's context.
func (s *stream[T]) end() {
	s.unbind()
	s.cancel()
}

// run reads connections until the stream ends.
func (s *stream[T]) run(conn *connection) {
	defer s.c.running.Done()
	defer close(s.items)
	defer s.end()
	for {
		err := s.deliver(conn)
		conn.close()
		if errors.Is(err, errBroken) && s.ctx.Err() == nil {
			s.c.logger.Info("stream: the connection broke", "host", s.c.host, "error", err)
			conn, err = s.reconnect()
		}
		switch {
		case s.ctx.Err() != nil:
			s.final = io.EOF
			return
		case err != nil:
			s.final = err
			return
		}
	}
}

// errBroken is the error of a connection that ended without saying so.
var errBroken = errors.New("broken")

// deliver hands on what a connection brings. It returns io.EOF at the end of the
// stream.
func (s *stream[T]) deliver(conn *connection) error {
	for {
		line, err := conn.line()
		switch {
		case err != nil:
			return err
		case len(line) == 0:
			continue // a heartbeat
		}
		it, skip, err := s.read(line)
		switch {
		case err != nil:
			return err
		case skip:
			continue
		}
		if !s.put(it) {
			return s.ctx.Err()
		}
	}
}

// read reads a line. It returns io.EOF for the one that ends the stream.
func (s *stream[T]) read(line []byte) (it item[T], skip bool, err error) {
	sign, err := signOf(line)
	switch {
	case err == nil && sign == nil:
		err = json.Unmarshal(line, &it.value)
		skip = err == nil && !s.src.keep(it.value)
	case err != nil:
	case sign.End:
		return it, false, io.EOF
	case sign.Missed != nil:
		it.err = gaffer.Missed(max(*sign.Missed, 0))
	default:
		skip = true
	}
	if err != nil {
		err = fmt.Errorf("%s: stream: %w", s.c.host, err)
	}
	return it, skip, err
}

// put hands an item to the reader, unless the stream ends before.
func (s *stream[T]) put(it item[T]) bool {
	select {
	case s.items <- it:
		return true
	case <-s.ctx.Done():
		return false
	}
}

func (s *stream[T]) connect(again bool) (*connection, error) {
	ctx, cancel := context.WithCancel(s.ctx)
	patience := time.AfterFunc(s.c.silence, cancel)
	resp, err := s.c.send(ctx, s.src.call(again))
	if !patience.Stop() && s.ctx.Err() == nil {
		err = fmt.Errorf("%s: no answer within %s", s.c.host, s.c.silence)
	}
	if err != nil {
		cancel() // which also closes an answer that came too late
		return nil, err
	}
	s.src.opened(resp.Header)
	return newConnection(resp.Body, cancel, s.c.silence), nil
}

// reconnect tries until there is a connection, a refusal that will not change, or
// no patience left.
func (s *stream[T]) reconnect() (*connection, error) {
	begun := time.Now()
	for pause := firstPause; ; pause = min(2*pause, longestPause) {
		if err := s.rest(pause); err != nil {
			return nil, err
		}
		conn, err := s.connect(true)
		var no *refusal
		switch {
		case err == nil:
			if lost := s.src.lost(); lost != nil && !s.put(item[T]{err: lost}) {
				conn.close()
				return nil, s.ctx.Err()
			}
			return conn, nil
		case errors.As(err, &no) && no.final():
			return nil, err
		case s.c.patience > 0 && time.Since(begun) > s.c.patience:
			return nil, err
		}
		s.c.logger.Debug("stream: no connection yet", "host", s.c.host, "error", err)
	}
}

// rest waits for a while, half of it or up to half more, so that many clients
// of one daemon don't come back at the same moment.
func (s *stream[T]) rest(pause time.Duration) error {
	timer := time.NewTimer(pause/2 + rand.N(pause))
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-s.ctx.Done():
		return s.ctx.Err()
	}
}
