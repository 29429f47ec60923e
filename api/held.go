package api

import (
	"net"
	"sync"
	"sync/atomic"
	"time"
)

// limitedConn is a connection that a limitedListener holds. It gives its place
// free when it is closed.
//
// A server moves the deadline of reading several times for each request, which for
// short ones is a tenth of the work. So here it is only noted, and the listener
// looks from time to time whose has passed. So it does with writes that nobody
// takes.
type limitedConn struct {
	net.Conn
	from  *limitedListener
	spoke atomic.Bool // something was read

	mu       sync.Mutex // guards the rest
	deadline time.Time  // of reading; zero: none
	expired  bool       // the connection itself has a deadline, which has passed
	writing  bool
	sweeps   int // how many a write has lasted
}

// longAgo is the deadline of a read that is to end now.
var longAgo = time.Unix(1, 0)

// SetReadDeadline notes when a read is to end. A time that is long ago ends it at
// once.
func (c *limitedConn) SetReadDeadline(t time.Time) error {
	c.from.stir()
	c.mu.Lock()
	defer c.mu.Unlock()
	c.deadline = t
	if !t.IsZero() && t.Unix() <= longAgo.Unix() {
		c.expired = true
		return c.Conn.SetReadDeadline(t)
	}
	if !c.expired {
		return nil
	}
	c.expired = false
	return c.Conn.SetReadDeadline(time.Time{})
}

// SetDeadline is for reading and writing.
func (c *limitedConn) SetDeadline(t time.Time) error {
	if err := c.SetReadDeadline(t); err != nil {
		return err
	}
	return c.Conn.SetWriteDeadline(t)
}

// expire ends a read whose deadline has passed, and a write that lasts too long. It
// returns when there will be something to end, zero if nothing is to come.
func (c *limitedConn) expire(now time.Time, stall time.Duration) (next time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.writing {
		next = now // it is counted how many sweeps it lasts
		c.sweeps++
		if time.Duration(c.sweeps)*sweepEvery > stall {
			_ = c.Conn.SetWriteDeadline(longAgo) // it fails on what is closed
		}
	}
	switch {
	case c.expired || c.deadline.IsZero():
		return next
	case now.Before(c.deadline):
		if next.IsZero() {
			next = c.deadline
		}
		return next
	}
	c.expired = true
	_ = c.Conn.SetReadDeadline(longAgo) // it fails on what is closed
	return next
}

func (c *limitedConn) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	if n > 0 && !c.spoke.Load() {
		c.spoke.Store(true)
	}
	return n, err
}

func (c *limitedConn) Write(b []byte) (int, error) {
	c.writes(true)
	defer c.writes(false)
	return c.Conn.Write(b)
}

func (c *limitedConn) writes(begun bool) {
	c.mu.Lock()
	c.writing, c.sweeps = begun, 0
	c.mu.Unlock()
	if begun {
		c.from.stir()
	}
}

// CloseWrite lets a server that has refused a body say so before it closes.
func (c *limitedConn) CloseWrite() error {
	if half, ok := c.Conn.(interface{ CloseWrite() error }); ok {
		return half.CloseWrite()
	}
	return nil
}

func (c *limitedConn) Close() error {
	c.from.release(c)
	return c.Conn.Close()
}
