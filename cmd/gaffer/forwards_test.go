//go:build linux

package main

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// collector is a syslog server that notes the numbers that come, by stream.
type collector struct {
	net.Listener
	conns sync.WaitGroup
	mu    sync.Mutex
	next  map[string]int // the first number that has not come
	begun map[string]int
	holes []string
	again int
	came  chan struct{} // holds a token when something has come
}

func newCollector(t *testing.T) *collector {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	c := &collector{Listener: l, next: map[string]int{}, begun: map[string]int{}, came: make(chan struct{}, 1)}
	c.conns.Go(func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			c.conns.Go(func() {
				defer conn.Close()
				c.read(bufio.NewReader(conn))
			})
		}
	})
	return c
}

func (c *collector) read(r *bufio.Reader) {
	for {
		size, err := r.ReadString(' ')
		if err != nil {
			return
		}
		n, _ := strconv.Atoi(strings.TrimSpace(size))
		message := make([]byte, n)
		if _, err := io.ReadFull(r, message); err != nil {
			return
		}
		c.note(string(message))
	}
}

func (c *collector) note(message string) {
	fields := strings.Fields(message)
	_, text, _ := strings.Cut(message, "\xef\xbb\xbf")
	number, _, _ := strings.Cut(text, " ")
	n, err := strconv.Atoi(number)
	if err != nil || len(fields) < 6 {
		return
	}
	stream := fields[3] + "/" + fields[5]
	c.mu.Lock()
	defer c.mu.Unlock()
	next, known := c.next[stream]
	switch {
	case !known:
		c.begun[stream] = n
	case n > next:
		c.holes = append(c.holes, fmt.Sprintf("%s: %d after %d", stream, n, next-1))
	case n < next:
		c.again++
		return
	}
	c.next[stream] = n + 1
	select {
	case c.came <- struct{}{}:
	default:
	}
}

// awaitMore waits for some lines of a stream that were not there before.
func (c *collector) awaitMore(t *testing.T, stream string) {
	t.Helper()
	limit := time.After(30 * time.Second)
	for from := -1; ; {
		c.mu.Lock()
		n := c.next[stream]
		c.mu.Unlock()
		if from < 0 {
			from = n
		}
		if n >= from+10 {
			return
		}
		select {
		case <-c.came:
		case <-limit:
			t.Fatalf("%s: nothing comes after %d", stream, n)
		}
	}
}

// latest is the number of the last line that a stream's file has.
func latest(t *testing.T, dir, stream string) int {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(dir, "state", "logs", stream+".log"))
	if err != nil {
		t.Fatal(err)
	}
	lines := bytes.Fields(bytes.TrimSuffix(text, []byte(" to stderr\n")))
	n, _ := strconv.Atoi(string(lines[len(lines)-1]))
	return n
}

// The manager is killed again and again: each line comes to where it is forwarded, in
// order; some come again.
func TestForwardedLinesOutliveTheManager(t *testing.T) {
	t.Parallel()
	c := newCollector(t)
	t.Cleanup(func() { // after the daemon has ended
		_ = c.Close()
		c.conns.Wait()
	})
	m := newMatrix(t)
	f, err := os.OpenFile(filepath.Join(m.dir, "gaffer.toml"), os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	fmt.Fprintf(f, "[forward.central]\ntype = 'syslog'\nurl = 'tcp://%s'\ntarget = 'slow'\n", c.Addr())
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	m.begin()
	for i := range 4 {
		was := childWith(m.holder(), roleManager)
		if i == 2 {
			if out, err := m.gaffer("daemon", "upgrade"); err != nil {
				t.Fatalf("%v: %s", err, out)
			}
		} else {
			_ = syscall.Kill(was, syscall.SIGKILL)
		}
		m.await("slow")
		c.awaitMore(t, "slow.1/stdout")
	}
	if out, err := m.gaffer("forwards"); err != nil || !strings.Contains(out, "central") || !strings.Contains(out, "syslog") {
		t.Errorf("%v: %s", err, out)
	}
	if out, err := m.gaffer("daemon", "stop"); err != nil {
		t.Errorf("stop: %v: %s", err, out)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, hole := range c.holes {
		t.Error(hole)
	}
	for _, stream := range []string{"slow.1/stdout", "slow.2/stdout", "slow.3/stdout", "slow.1/stderr", "slow.3/stderr"} {
		if c.begun[stream] != 1 || c.next[stream] != latest(t, m.dir, stream)+1 {
			t.Errorf("%s: from %d to %d, want 1 to %d", stream, c.begun[stream], c.next[stream]-1, latest(t, m.dir, stream))
		}
	}
	if len(c.next) != 6 {
		t.Errorf("came: %v", c.next)
	}
	t.Logf("%d lines came again", c.again)
}
