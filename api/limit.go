package api

import (
	"log/slog"
	"net"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

// connections is how many an endpoint may hold.
func (s *Server) connections() int {
	n := s.limits.Connections
	var files syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &files); err == nil {
		half := int(min(files.Cur, 1<<30)) / 2
		n = min(n, max(half/max(len(s.opts.Endpoints), 1), 1))
	}
	return n
}

// limitedListener refuses connections over a limit, so that others, and what the
// program opens besides, always find a descriptor.
type limitedListener struct {
	net.Listener
	limit  int64
	held   atomic.Int64
	told   atomic.Int64 // when it was last logged, in seconds since 1970
	logger *slog.Logger
}

// refusal is what a connection over the limit is told.
const refusal = "HTTP/1.1 503 Service Unavailable\r\nContent-Type: application/problem+json\r\nRetry-After: 1\r\nConnection: close\r\n" +
	"Content-Length: 129\r\n\r\n" +
	`{"type":"about:blank","title":"Service Unavailable","status":503,"detail":"too many connections","code":"too_many","errors":[]}` + "\r\n"

// Accept implements net.Listener.
func (l *limitedListener) Accept() (net.Conn, error) {
	for {
		c, err := l.Listener.Accept()
		if err != nil {
			return nil, err
		}
		if l.held.Add(1) <= l.limit {
			return &limitedConn{Conn: c, release: func() { l.held.Add(-1) }}, nil
		}
		l.held.Add(-1)
		l.refuse(c)
	}
}

func (l *limitedListener) refuse(c net.Conn) {
	if now, was := time.Now().Unix(), l.told.Load(); now-was >= 60 && l.told.CompareAndSwap(was, now) {
		l.logger.Warn("endpoint: connections are refused", "address", l.Addr().String(), "limit", l.limit)
	}
	_ = c.SetWriteDeadline(time.Now().Add(10 * time.Millisecond))
	_, _ = c.Write([]byte(refusal)) // it fits, or nobody reads it
	c.Close()
}

// limitedConn gives its place free when it is closed.
type limitedConn struct {
	net.Conn
	once    sync.Once
	release func()
}

func (c *limitedConn) Close() error {
	c.once.Do(c.release)
	return c.Conn.Close()
}
