//go:build linux

package logs

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// Streams appear and grow while somebody follows: neither waits for the other for good.
func TestWhoFollowsAndWhoTakesDoNotHoldEachOther(t *testing.T) {
	s := newStore(t, t.TempDir())
	r := s.Read(Query{Follow: true})
	defer r.Close()
	const streams = 400
	done := make(chan struct{})
	go func() {
		defer close(done)
		for i := range streams {
			p := newPipe(t, s.Writer("web", i+1, "stdout", Limits{}).Process(uint64(i), time.Time{}))
			p.write(fmt.Sprintf("line %d\n", i))
			p.capture.End()
		}
	}()
	for range streams {
		next(t, r)
	}
	<-done
}

func TestSmallWritesWithoutALineEndFillFilesToo(t *testing.T) {
	s := newStore(t, t.TempDir())
	w := s.Writer("web", 1, "stdout", Limits{MaxSize: 100, MaxFiles: 1000, Plain: true})
	p := newPipe(t, w.Process(1, time.Time{}))
	for range 200 {
		p.write("0123456789")
	}
	if n := len(segments(w.dir, "stdout")); n < 5 {
		t.Errorf("2,000 bytes are in %d files of 100", n+1)
	}
	if got := content(t, w.dir, "stdout"); got != strings.Repeat("0123456789", 200) {
		t.Errorf("%d bytes are kept", len(got))
	}
}

// What waits is written once, although it is tried in vain again and again and each try
// writes some of it, and a process that ends meanwhile gets its newline behind it.
func TestWhatWaitsForAFullDiskIsWrittenOnce(t *testing.T) {
	dir := t.TempDir()
	full := true
	s, err := Open(filepath.Join(dir, "logs"), Options{Staging: filepath.Join(dir, "staging"), pwrite: func(fd int, b []byte, off int64) (int, error) {
		if full && len(b) > 1 {
			n, _ := unix.Pwrite(fd, b[:len(b)/2], off)
			return n, unix.ENOSPC
		}
		return unix.Pwrite(fd, b, off)
	}})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	w := s.Writer("web", 1, "stdout", Limits{})
	p := newPipe(t, w.Process(1, time.Time{}))
	want := ""
	for i := range 20 {
		line := fmt.Sprintf("line %d, which is not short\n", i)
		p.write(line)
		want += line
		w.retry = time.Time{}
	}
	p.write("the end, which is in the middle of a line")
	p.capture.End()
	full, w.retry = false, time.Time{}
	q := newPipe(t, w.Process(2, time.Time{}))
	q.write("the next process writes this\n")
	want += "the end, which is in the middle of a line\nthe next process writes this\n"
	if got := content(t, w.dir, "stdout"); got != want {
		t.Errorf("got  %q\nwant %q", got, want)
	}
}

// Somebody removes, or empties, the file that is written, or a file before it.
func TestFilesThatAreTakenAwayHoldUpNothing(t *testing.T) {
	for name, damage := range map[string]func(w *Writer) error{
		"removed":       func(w *Writer) error { return os.Remove(currentPath(w.dir, "stdout")) },
		"emptied":       func(w *Writer) error { return os.Truncate(currentPath(w.dir, "stdout"), 0) },
		"index removed": func(w *Writer) error { return os.Remove(currentIndex(w.dir, "stdout")) },
		"all removed":   func(w *Writer) error { return os.RemoveAll(w.dir) },
		"one before removed": func(w *Writer) error {
			list := segments(w.dir, "stdout")
			return os.Remove(list[len(list)-1].path)
		},
	} {
		for _, between := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s/between processes=%v", name, between), func(t *testing.T) {
				s := newStore(t, t.TempDir())
				w := s.Writer("web", 1, "stdout", Limits{MaxSize: 300, MaxFiles: 1000, Plain: true})
				p := newPipe(t, w.Process(1, time.Time{}))
				for i := range 50 {
					p.write(fmt.Sprintf("before %d\n", i))
				}
				end := w.end.Load()
				if between {
					p.capture.End()
				}
				if err := damage(w); err != nil {
					t.Fatal(err)
				}
				w.marked = 0 // a moment has passed
				if between {
					p = newPipe(t, w.Process(2, time.Time{}))
				}
				p.write("after, and long enough to be staged\n")
				p.write("last\n")
				if lost, failing := s.Lost(); lost != 0 || failing != 0 {
					t.Errorf("%d bytes are lost, %d streams failing", lost, failing)
				}
				text, err := os.ReadFile(currentPath(w.dir, "stdout"))
				if err != nil || strings.Contains(string(text), "\x00") || !strings.HasSuffix(string(text), "last\n") {
					t.Errorf("the file holds %q, %v", text, err)
				}
				if now := w.end.Load(); now <= end {
					t.Errorf("the stream ends at %d, and ended at %d before", now, end)
				}
				got := readThrough(t, s, Query{Tail: -1})
				if len(got) < 2 || got[len(got)-1] != "web.1/stdout: last" || !strings.HasSuffix(got[len(got)-2], "after, and long enough to be staged") {
					t.Errorf("what came after is not read: %q", got[max(0, len(got)-3):])
				}
			})
		}
	}
}
