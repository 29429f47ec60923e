//go:build linux

package logs

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// pipe is a stream of a service: what is written to it is taken by a capture.
type pipe struct {
	t       testing.TB
	r, w    int
	capture *Capture
}

func newPipe(t testing.TB, c *Capture) *pipe {
	t.Helper()
	var p [2]int
	if err := unix.Pipe2(p[:], unix.O_CLOEXEC|unix.O_NONBLOCK); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = unix.Close(p[0])
		_ = unix.Close(p[1])
	})
	return &pipe{t, p[0], p[1], c}
}

// write has something written and taken.
func (p *pipe) write(text string) {
	p.t.Helper()
	for len(text) > 0 {
		n, err := unix.Write(p.w, []byte(text))
		if err != nil && err != unix.EAGAIN {
			p.t.Fatal(err)
		}
		text = text[max(n, 0):]
		p.take()
	}
}

func (p *pipe) take() {
	p.t.Helper()
	for {
		n, err := p.capture.Take(p.r, 64<<10)
		if err != nil {
			p.t.Fatal(err)
		}
		if n == 0 {
			return
		}
	}
}

func newStore(t testing.TB, dir string) *Store {
	t.Helper()
	s, err := Open(filepath.Join(dir, "logs"), Options{Staging: filepath.Join(dir, "staging"), packAfter: 1})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

// content is all that is kept of a stream.
func content(t testing.TB, dir, label string) string {
	t.Helper()
	var all strings.Builder
	for _, s := range segments(dir, label) {
		text, err := os.ReadFile(s.path)
		if s.packed {
			text, err = unpack(s.path)
		}
		if err != nil {
			t.Fatal(err)
		}
		all.Write(text)
	}
	text, err := os.ReadFile(currentPath(dir, label))
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		t.Fatal(err)
	}
	all.Write(text)
	return all.String()
}

// unpack is all that was compressed.
func unpack(path string) ([]byte, error) {
	p, err := openPacked(path)
	if err != nil {
		return nil, err
	}
	defer p.Close()
	text := make([]byte, p.size)
	for at := int64(0); at < p.size; {
		n, err := p.ReadAt(text[at:], at)
		if err != nil {
			return nil, err
		}
		at += int64(n)
	}
	return text, nil
}

// read is what a query that does not follow delivers, each as NAME.SLOT/LABEL: line.
func read(t testing.TB, s *Store, q Query) []string {
	t.Helper()
	r := s.Read(q)
	defer r.Close()
	var all []string
	for {
		rec, err := r.Next(t.Context())
		if errors.Is(err, io.EOF) {
			return all
		}
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, fmt.Sprintf("%s.%d/%s: %s", rec.Name, rec.Slot, rec.Label, rec.Data))
	}
}

func next(t testing.TB, r *Reader) Record {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	rec, err := r.Next(ctx)
	if err != nil {
		t.Fatal(err)
	}
	return rec
}

// readThrough is read for a stream of which something may be missing.
func readThrough(t testing.TB, s *Store, q Query) []string {
	t.Helper()
	r := s.Read(q)
	defer r.Close()
	var all []string
	for {
		rec, err := r.Next(t.Context())
		var gap *Gap
		switch {
		case errors.Is(err, io.EOF):
			return all
		case errors.As(err, &gap):
			continue
		case err != nil:
			t.Fatal(err)
		}
		all = append(all, fmt.Sprintf("%s.%d/%s: %s", rec.Name, rec.Slot, rec.Label, rec.Data))
	}
}

// Lost is, for tests, how many bytes could not be kept, of all streams, and how many streams can't
// be written just now.
func (s *Store) Lost() (bytes int64, failing int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, w := range s.writers {
		bytes += w.lost.Load()
		if w.failing.Load() {
			failing++
		}
	}
	return bytes, failing
}
