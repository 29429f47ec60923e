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
	limit  int
	stall  time.Duration // how long a write may last
	logger *slog.Logger

	active atomic.Bool // something was read or written since the last sweep

	mu    sync.Mutex // guards the rest
	held  map[*limitedConn]struct{}
	told  time.Time   // when it was last logged
	timer *time.Timer // calls sweep; nil without a connection
}

// sweepEvery is how exact deadlines are while something happens. While nothing
// does, the next sweep is when the next deadline passes.
const sweepEvery = 500 * time.Millisecond

// refusal is what a connection over the limit is told.
const refusal = "HTTP/1.1 503 Service Unavailable\r\nContent-Type: application/problem+json\r\nRetry-After: 1\r\n" +
	"Connection: close\r\nContent-Length: 117\r\n\r\n" +
	`{"type":"about:blank","title":"Service Unavailable","status":503,"detail":"too many connections","code":"too_many"}` + "\r\n"

// Accept implements net.Listener.
func (l *limitedListener) Accept() (net.Conn, error) {
	for {
		c, err := l.Listener.Accept()
		if err != nil {
			return nil, err
		}
		if held := l.hold(c); held != nil {
			return held, nil
		}
		_ = c.SetWriteDeadline(time.Now().Add(10 * time.Millisecond))
		_, _ = c.Write([]byte(refusal)) // it fits, or nobody reads it
		c.Close()
	}
}

// hold takes a connection in, or returns nil when there are too many.
func (l *limitedListener) hold(c net.Conn) *limitedConn {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.held) >= l.limit {
		if time.Since(l.told) >= time.Minute {
			l.told = time.Now()
			l.logger.Warn("endpoint: connections are refused", "address", l.Addr().String(), "limit", l.limit)
		}
		return nil
	}
	if l.held == nil {
		l.held = map[*limitedConn]struct{}{}
	}
	held := &limitedConn{Conn: c, from: l}
	l.held[held] = struct{}{}
	l.soon()
	return held
}

// stir says that something happens, so that deadlines are looked at soon.
func (l *limitedListener) stir() {
	if l.active.Load() || l.active.Swap(true) {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.soon()
}

// soon has the next sweep done soon. The lock is held.
func (l *limitedListener) soon() {
	if l.timer == nil {
		l.timer = time.AfterFunc(sweepEvery, l.sweep)
		return
	}
	l.timer.Reset(sweepEvery)
}

// sweep ends the reads and writes that have taken too long.
func (l *limitedListener) sweep() {
	busy := l.active.Swap(false)
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.held) == 0 {
		l.timer = nil
		return
	}
	now := time.Now()
	var next time.Time // zero: nothing is to come
	for c := range l.held {
		due := c.expire(now, l.stall)
		if !due.IsZero() && (next.IsZero() || due.Before(next)) {
			next = due
		}
	}
	switch {
	case busy:
		l.timer.Reset(sweepEvery)
	case !next.IsZero():
		l.timer.Reset(max(next.Sub(now), sweepEvery))
	}
}

func (l *limitedListener) release(c *limitedConn) {
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.held, c)
}

// count is how many connections are held.
func (l *limitedListener) count() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.held)
}

// closeSilent closes the connections on which nothing was ever said, for which a
// server that shuts down would wait.
func (l *limitedListener) closeSilent() {
	l.mu.Lock()
	silent := make([]*limitedConn, 0, len(l.held))
	for c := range l.held {
		if !c.spoke.Load() {
			silent = append(silent, c)
		}
	}
	l.mu.Unlock()
	for _, c := range silent {
		c.Close()
	}
}
