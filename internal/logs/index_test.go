//go:build linux

package logs

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"
)

func TestAnIndexIsReadAsItWasWritten(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		base := rapid.Int64().Draw(t, "base")
		marks := rapid.SliceOf(rapid.Custom(func(t *rapid.T) mark {
			return mark{
				time: rapid.Int64().Draw(t, "time"), offset: rapid.Int64().Draw(t, "offset"),
				id: rapid.Uint64Range(0, 3).Draw(t, "id"), kind: uint8(rapid.IntRange(0, markRotated).Draw(t, "kind")),
			}
		})).Draw(t, "marks")
		text, last := indexText(base, marks)
		gotBase, got, next, err := readIndex(bytes.NewReader(text))
		if err != nil || gotBase != base || !slices.Equal(got, marks) || next != int64(len(text)) {
			t.Fatalf("%d %v %d %v", gotBase, got, next, err)
		}
		more := mark{time: 1, offset: 2, id: 9, kind: markEnd}
		text = appendMark(text, &last, &more)
		for cut := next + 1; cut < int64(len(text)); cut++ { // being written
			if got, at, err := readMarks(bytes.NewReader(text[:cut]), next, last); err != nil || len(got) > 0 || at != next {
				t.Fatalf("of a part: %v %d %v", got, at, err)
			}
		}
		if got, at, err := readMarks(bytes.NewReader(text), next, last); err != nil || !slices.Equal(got, []mark{more}) || at != int64(len(text)) {
			t.Fatalf("%v %d %v", got, at, err)
		}
	})
}

// A service that writes now and then needs a mark for each line.
func TestMarksAreSmall(t *testing.T) {
	var marks []mark
	for i := range int64(1000) {
		marks = append(marks, mark{time: 1e18 + i*1e7 + i%977, offset: i * 80, id: 7})
	}
	if text, _ := indexText(0, marks); len(text) > 9*len(marks) {
		t.Errorf("%d bytes for %d marks", len(text), len(marks))
	}
}

func FuzzIndex(f *testing.F) {
	text, _ := indexText(7, []mark{{time: 1, offset: 7, id: 3}, {time: 2, offset: 9, id: 4, kind: markEnd}})
	f.Add(text)
	f.Fuzz(func(t *testing.T, text []byte) {
		base, marks, next, err := readIndex(bytes.NewReader(text))
		if err != nil {
			return
		}
		again, _ := indexText(base, marks)
		base2, marks2, _, err := readIndex(bytes.NewReader(again))
		if err != nil || base2 != base || !slices.Equal(marks, marks2) || next > int64(len(text)) {
			t.Errorf("%d %v becomes %d %v, %v", base, marks, base2, marks2, err)
		}
	})
}

// What nobody writes to any more is read although its index is gone or damaged.
func TestFilesAreReadWithoutTheirIndex(t *testing.T) {
	for name, damage := range map[string]func(index string) error{
		"missing": os.Remove,
		"garbage": func(p string) error { return os.WriteFile(p, []byte(strings.Repeat("what is this", 10)), 0o600) },
		"empty":   func(p string) error { return os.Truncate(p, 0) },
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			s := newStore(t, dir)
			w := s.Writer("web", 1, "stdout", Limits{MaxSize: 100, MaxFiles: 1000, Plain: true})
			p := newPipe(t, w.Process(1, time.Time{}))
			for i := range 20 {
				p.write(fmt.Sprintf("line %d\n", i))
			}
			p.capture.End()
			if err := s.Close(); err != nil {
				t.Fatal(err)
			}
			if err := damage(currentIndex(w.dir, "stdout")); err != nil {
				t.Fatal(err)
			}
			s = newStore(t, dir)
			if got := read(t, s, Query{Tail: -1}); len(got) != 20 || got[19] != "web.1/stdout: line 19" {
				t.Errorf("got %q", got)
			}
			if got := read(t, s, Query{Tail: 2}); len(got) != 2 || got[1] != "web.1/stdout: line 19" {
				t.Errorf("the latest two: %q", got)
			}
		})
	}
}

func TestWhatCantBeReadIsSaid(t *testing.T) {
	dir := t.TempDir()
	s := newStore(t, dir)
	w := s.Writer("web", 1, "stdout", Limits{})
	p := newPipe(t, w.Process(1, time.Time{}))
	p.write("line\n")
	p.capture.End()
	current := currentPath(w.dir, "stdout")
	if err := os.Remove(current); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(current, 0o700); err != nil {
		t.Fatal(err)
	}
	r := s.Read(Query{Tail: -1})
	defer r.Close()
	_, err := r.Next(context.Background())
	if err == nil || err == io.EOF || !strings.Contains(err.Error(), "web.1/stdout") {
		t.Errorf("got %v", err)
	}
}

// A reader that is closed keeps no file open, whoever closes it.
func TestReadersCloseTheirFiles(t *testing.T) {
	dir := t.TempDir()
	s := newStore(t, dir)
	w := s.Writer("web", 1, "stdout", Limits{})
	p := newPipe(t, w.Process(1, time.Time{}))
	p.write("one\ntwo\n")
	open := func() (n int) {
		fds, _ := filepath.Glob("/proc/self/fd/*")
		for _, fd := range fds {
			if path, err := os.Readlink(fd); err == nil && strings.HasPrefix(path, dir) {
				n++
			}
		}
		return n
	}
	before := open()
	for _, follow := range []bool{false, true} {
		r := s.Read(Query{Tail: -1, Follow: follow})
		if _, err := r.Next(t.Context()); err != nil || open() == before {
			t.Fatalf("%v, %d files are open, %d before", err, open(), before)
		}
		if follow { // another goroutine closes it while this one waits
			_, err := r.Next(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			time.AfterFunc(time.Millisecond, r.Close)
			if _, err := r.Next(t.Context()); err != io.EOF {
				t.Fatal(err)
			}
		} else {
			r.Close()
		}
		if open() != before {
			t.Errorf("follow %v: %d files are open, %d before", follow, open(), before)
		}
	}
	p.capture.End()
}
