package api

import (
	"errors"
	"io"
	"log/slog"
	"net"
	"os"
	"testing"
	"time"
)

// pair is a connection that a listener holds, and its other end.
func pair(t *testing.T) (held, other net.Conn) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	limited := &limitedListener{Listener: l, limit: 1, stall: time.Second, logger: slog.New(slog.DiscardHandler)}
	other, err = net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	held, err = limited.Accept()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { held.Close(); other.Close(); l.Close() })
	return held, other
}

func TestAReadEndsAtItsDeadline(t *testing.T) {
	held, other := pair(t)
	set := func(at time.Time) {
		t.Helper()
		if err := held.SetReadDeadline(at); err != nil {
			t.Fatal(err)
		}
	}
	b := make([]byte, 1)
	for name, wait := range map[string]time.Duration{"soon": 10 * time.Millisecond, "now": 0, "past": -time.Hour} {
		began := time.Now()
		set(began.Add(wait))
		if _, err := held.Read(b); !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("%s: %v", name, err)
		}
		if took := time.Since(began); took < wait || took > max(wait, 0)+20*sweepEvery {
			t.Errorf("%s: took %s", name, took)
		}
	}
	set(time.Unix(1, 0))
	if _, err := held.Read(b); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("at once: %v", err)
	}
	// A new deadline, or none, is the end of the one that has passed.
	for _, at := range []time.Time{{}, time.Now().Add(time.Hour)} {
		set(time.Unix(1, 0))
		set(at)
		if _, err := io.WriteString(other, "x"); err != nil {
			t.Fatal(err)
		}
		if _, err := held.Read(b); err != nil || b[0] != 'x' {
			t.Errorf("with the deadline %v: %v", at, err)
		}
	}
	if err := held.SetDeadline(time.Now().Add(-time.Second)); err != nil {
		t.Fatal(err)
	}
	if _, err := held.Write(b); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("a write: %v", err)
	}
}

// A read that waits already ends as well.
func TestAWaitingReadEndsAtItsDeadline(t *testing.T) {
	held, _ := pair(t)
	ended := make(chan error)
	go func() {
		_, err := held.Read(make([]byte, 1))
		ended <- err
	}()
	if err := held.SetReadDeadline(time.Now().Add(time.Millisecond)); err != nil {
		t.Fatal(err)
	}
	if err := <-ended; !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Error(err)
	}
}

func TestAWriteThatNobodyTakesEnds(t *testing.T) {
	held, _ := pair(t)
	began := time.Now()
	var err error
	for err == nil {
		_, err = held.Write(make([]byte, 1<<20))
	}
	if took := time.Since(began); !errors.Is(err, os.ErrDeadlineExceeded) || took < time.Second {
		t.Errorf("after %s: %v", took, err)
	}
}
