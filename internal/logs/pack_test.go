//go:build linux

package logs

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/klauspost/compress/zstd"
)

func TestCompressedFilesAreReadFromAnywhere(t *testing.T) {
	for _, size := range []int{0, 1, frameSize - 1, frameSize, frameSize + 1, 3*frameSize + 17} {
		path := filepath.Join(t.TempDir(), "x.log")
		text := []byte(strings.Repeat("0123456789abcdef\n", size/17+1))[:size]
		if err := os.WriteFile(path, text, 0o600); err != nil {
			t.Fatal(err)
		}
		if err := pack(path); err != nil {
			t.Fatal(err)
		}
		got, err := unpack(path + zstSuffix)
		if err != nil || !bytes.Equal(got, text) {
			t.Errorf("%d bytes: %d came out, %v", size, len(got), err)
		}
		// Any other tool reads it, too.
		packed, err := os.ReadFile(path + zstSuffix)
		if err != nil {
			t.Fatal(err)
		}
		decoder, err := zstd.NewReader(nil)
		if err != nil {
			t.Fatal(err)
		}
		whole, err := decoder.DecodeAll(packed, nil)
		decoder.Close()
		if err != nil || !bytes.Equal(whole, text) {
			t.Errorf("%d bytes: %d by zstd alone, %v", size, len(whole), err)
		}
		p, err := openPacked(path + zstSuffix)
		if err != nil {
			t.Fatal(err)
		}
		for at := int64(size); at >= 0; at -= 50_000 {
			one := make([]byte, 1)
			if n, err := p.ReadAt(one, at); n == 1 && one[0] != text[at] || n == 0 && at < int64(size) {
				t.Errorf("%d bytes: at %d: %q, %v", size, at, one, err)
			}
		}
		if err := p.Close(); err != nil {
			t.Error(err)
		}
	}
}

// rotated is a store with a stream of which three files are written no more.
func rotated(t *testing.T, l Limits) (s *Store, dir string, lines int) {
	t.Helper()
	root := t.TempDir()
	s = newStore(t, root)
	l.MaxSize, l.MaxFiles = 1<<20, 10
	w := s.Writer("web", 1, "stdout", l)
	p := newPipe(t, w.Process(1, time.Time{}))
	for w.end.Load() < 3<<20+1000 {
		p.write(fmt.Sprintf("line %d %s\n", lines, strings.Repeat("x", 500)))
		lines++
	}
	s.settle()
	return s, filepath.Join(root, "logs", "web.1"), lines
}

// settle waits for what is done aside.
func (s *Store) settle() {
	for waiting := 1; waiting > 0; time.Sleep(time.Millisecond) {
		s.mu.Lock()
		waiting = len(s.packs)
		s.mu.Unlock()
	}
	s.beside.Wait()
}

func TestWhatIsGivenUpSoonIsNotCompressed(t *testing.T) {
	root := t.TempDir()
	s, err := Open(filepath.Join(root, "logs"), Options{Staging: filepath.Join(root, "staging"), packAfter: time.Hour})
	if err != nil {
		t.Fatal(err)
	}
	p := newPipe(t, s.Writer("web", 1, "stdout", Limits{MaxSize: 4096, MaxFiles: 3}).Process(1, time.Time{}))
	for range 500 {
		p.write(strings.Repeat("x", 100) + "\n")
	}
	s.beside.Wait()
	for _, f := range segments(filepath.Join(root, "logs", "web.1"), "stdout") {
		if f.packed {
			t.Errorf("%s is compressed already", f.path)
		}
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	// What was not compressed when the daemon ended is by the next one.
	s = newStore(t, root)
	newPipe(t, s.Writer("web", 1, "stdout", Limits{MaxSize: 4096, MaxFiles: 3}).Process(2, time.Time{})).write("more\n")
	s.settle()
	for _, f := range segments(filepath.Join(root, "logs", "web.1"), "stdout") {
		if !f.packed {
			t.Errorf("%s is not compressed", f.path)
		}
	}
}

func TestWhatIsDamagedHidesNothingElse(t *testing.T) {
	for name, harm := range map[string]func(path string) error{
		"a frame": func(path string) error {
			f, err := os.OpenFile(path, os.O_RDWR, 0)
			if err != nil {
				return err
			}
			defer f.Close()
			_, err = f.WriteAt([]byte("damaged"), 0)
			return err
		},
		"the table": func(path string) error {
			info, err := os.Stat(path)
			if err != nil {
				return err
			}
			return os.Truncate(path, info.Size()/2)
		},
		"all": func(path string) error {
			return os.WriteFile(path, []byte("no zstd at all, but longer than a table"), 0o600)
		},
		"nothing": func(path string) error { return os.Truncate(path, 0) },
	} {
		t.Run(name, func(t *testing.T) {
			s, dir, lines := rotated(t, Limits{})
			list := segments(dir, "stdout")
			if len(list) != 3 || !list[1].packed {
				t.Fatalf("segments %+v", list)
			}
			if err := harm(list[1].path); err != nil {
				t.Fatal(err)
			}
			got := readThrough(t, s, Query{Tail: -1})
			if len(got) < lines/2 || len(got) >= lines {
				t.Errorf("%d of %d lines were read", len(got), lines)
			}
			for _, want := range []string{"line 0 ", fmt.Sprintf("line %d ", lines-1)} {
				if !slices.ContainsFunc(got, func(l string) bool { return strings.Contains(l, want) }) {
					t.Errorf("%q is missing", want)
				}
			}
		})
	}
}

func TestAFileThatSomebodyElseHasCompressedIsRead(t *testing.T) {
	s, dir, lines := rotated(t, Limits{})
	path := segments(dir, "stdout")[1].path
	text, err := unpack(path)
	if err != nil {
		t.Fatal(err)
	}
	encoder, err := zstd.NewWriter(nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, encoder.EncodeAll(text, nil), 0o600); err != nil {
		t.Fatal(err)
	}
	if got := read(t, s, Query{Tail: -1}); len(got) != lines {
		t.Errorf("%d of %d lines were read", len(got), lines)
	}
}

func TestFilesThatAreTooOldGoWithoutAnythingWritten(t *testing.T) {
	s, dir, _ := rotated(t, Limits{MaxAge: time.Hour})
	list := segments(dir, "stdout")
	if len(list) != 3 {
		t.Fatalf("segments %+v", list)
	}
	soon := time.Now().Add(200*time.Millisecond - time.Hour)
	for _, old := range list[:2] {
		if err := os.Chtimes(old.path, soon, soon); err != nil {
			t.Fatal(err)
		}
	}
	s.Bound("web", Limits{MaxSize: 1 << 20, MaxFiles: 10, MaxAge: time.Hour}) // it looks again
	for left := segments(dir, "stdout"); len(left) != 1; left = segments(dir, "stdout") {
		if t.Context().Err() != nil {
			t.Fatal("they are still there")
		}
		if len(left) == 2 && left[0].base == list[0].base {
			t.Fatalf("not the oldest one was removed first: %+v", left)
		}
		time.Sleep(10 * time.Millisecond)
	}
}

func TestNewLimitsHoldAtOnce(t *testing.T) {
	for name, l := range map[string]Limits{
		"files": {MaxSize: 1 << 20, MaxFiles: 2},
		"total": {MaxSize: 1 << 20, MaxFiles: 10, MaxTotal: 1<<20 + 6<<10},
		"age":   {MaxSize: 1 << 20, MaxFiles: 10, MaxAge: time.Nanosecond},
	} {
		t.Run(name, func(t *testing.T) {
			s, dir, _ := rotated(t, Limits{})
			s.Bound("other", Limits{MaxFiles: 2, MaxAge: time.Nanosecond})
			s.settle()
			before := segments(dir, "stdout")
			if len(before) != 3 {
				t.Fatalf("segments %+v", before)
			}
			s.Bound("web", l)
			s.settle()
			after := segments(dir, "stdout")
			if name == "age" {
				if len(after) != 0 {
					t.Errorf("segments %+v", after)
				}
				return
			}
			if len(after) == 0 || len(after) == 3 || after[len(after)-1].base != before[2].base {
				t.Errorf("segments %+v, were %+v", after, before)
			}
		})
	}
}

// A compressed file whose end is gone still has all frames that are whole, and what is
// missing is told.
func TestACutFileIsReadAsFarAsItGoes(t *testing.T) {
	s, dir, lines := rotated(t, Limits{})
	one := segments(dir, "stdout")[0]
	p, err := openPacked(one.path)
	if err != nil {
		t.Fatal(err)
	}
	frames, size := p.frames, p.size
	_ = p.Close()
	if len(frames) < 3 {
		t.Fatalf("%d frames", len(frames))
	}
	last := frames[len(frames)-1]
	if err := os.Truncate(one.path, last.at+int64(last.length)-1); err != nil { // all but that one are whole
		t.Fatal(err)
	}
	p, err = openPacked(one.path)
	if err != nil || len(p.frames) != len(frames)-1 || !slices.Equal(p.frames, frames[:len(frames)-1]) {
		t.Fatalf("%v: %v, want %v", err, p.frames, frames)
	}
	_ = p.Close()
	r := s.Read(Query{Tail: -1})
	defer r.Close()
	got, missing := 0, int64(0)
	for {
		_, err := r.Next(t.Context())
		var gap *Gap
		if errors.As(err, &gap) {
			missing += gap.Bytes
			continue
		}
		if err != nil {
			break
		}
		got++
	}
	if missing < size-last.from || missing > size-last.from+200 {
		t.Errorf("%d bytes are said to be missing, and %d are", missing, size-last.from)
	}
	if got < lines/2 || got >= lines {
		t.Errorf("%d of %d lines", got, lines)
	}
	// One that can't be read at all is told of, too, although it is the first.
	if err := os.WriteFile(one.path, []byte("no zstd at all, but longer than a table"), 0o600); err != nil {
		t.Fatal(err)
	}
	r = s.Read(Query{Tail: -1})
	defer r.Close()
	var gap *Gap
	if _, err := r.Next(t.Context()); !errors.As(err, &gap) || gap.Bytes != size {
		t.Errorf("%v, want a gap of %d bytes", err, size)
	}
}

// A frame that is too large for the memory is refused, whoever has made it.
func TestOneLargeFrameIsRefused(t *testing.T) {
	path := filepath.Join(t.TempDir(), "large.zst")
	var text bytes.Buffer
	encoder, err := zstd.NewWriter(&text)
	if err != nil {
		t.Fatal(err)
	}
	encoder.ResetContentSize(&text, largestFrame+1)
	if _, err := encoder.Write(make([]byte, largestFrame+1)); err != nil {
		t.Fatal(err)
	}
	if err := encoder.Close(); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, text.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
	if p, err := openPacked(path); err == nil {
		t.Errorf("%d bytes", p.size)
	}
}

// What is too old goes also where nothing has run since the store was opened.
func TestFilesOfWhatDoesNotRunGrowOld(t *testing.T) {
	s, dir, _ := rotated(t, Limits{})
	root := filepath.Dir(dir)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	old := time.Now().Add(-2 * time.Hour)
	for _, one := range segments(dir, "stdout") {
		if err := os.Chtimes(one.path, old, old); err != nil {
			t.Fatal(err)
		}
	}
	s, err := Open(root, Options{Staging: filepath.Join(t.TempDir(), "staging")})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	s.Bound("other", Limits{MaxAge: time.Hour})
	s.settle()
	if n := len(segments(dir, "stdout")); n != 3 {
		t.Fatalf("%d segments", n)
	}
	s.Bound("web", Limits{MaxAge: time.Hour})
	s.settle()
	if left := segments(dir, "stdout"); len(left) != 0 {
		t.Errorf("segments %+v", left)
	}
}

// Where no other file can be begun the one that there is grows; that is said once, and
// tried again.
func TestAFileThatCantBeRotatedGrows(t *testing.T) {
	dir := t.TempDir()
	var log bytes.Buffer
	s, err := Open(filepath.Join(dir, "logs"), Options{Staging: filepath.Join(dir, "staging"), Logger: slog.New(slog.NewTextHandler(&log, nil))})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	w := s.Writer("web", 1, "stdout", Limits{MaxSize: 100, MaxFiles: 1000, Plain: true})
	p := newPipe(t, w.Process(1, time.Time{}))
	block := filepath.Join(w.dir, rotatedIndex("stdout", 0)) // in the way
	if err := os.MkdirAll(filepath.Join(block, "x"), 0o700); err != nil {
		t.Fatal(err)
	}
	var want strings.Builder
	write := func(from, to int) {
		for i := from; i < to; i++ {
			line := fmt.Sprintf("line %d of a file that is full\n", i)
			want.WriteString(line)
			p.write(line)
		}
	}
	write(0, 100)
	if n := strings.Count(log.String(), "\n"); n != 1 || !strings.Contains(log.String(), "it grows") {
		t.Errorf("said: %s", &log)
	}
	if err := os.RemoveAll(block); err != nil {
		t.Fatal(err)
	}
	w.mu.Lock()
	w.turnRetry = time.Unix(1, 0)
	w.mu.Unlock()
	write(100, 200)
	if got := content(t, w.dir, "stdout"); got != want.String() {
		t.Errorf("%d bytes, want %d", len(got), want.Len())
	}
	if len(segments(w.dir, "stdout")) < 10 {
		t.Errorf("segments %+v", segments(w.dir, "stdout"))
	}
	if lost, failing := s.Lost(); lost != 0 || failing != 0 {
		t.Errorf("%d lost, %d failing", lost, failing)
	}
}

// A cursor of a stream that was begun anew hides nothing.
func TestACursorBeyondTheEndBeginsAnew(t *testing.T) {
	s := newStore(t, t.TempDir())
	p := newPipe(t, s.Writer("web", 1, "stdout", Limits{}).Process(1, time.Time{}))
	p.write("one\ntwo\n")
	after, err := ParseCursors(Cursor{1, source{"web", 1, "stdout"}, 1 << 30}.String())
	if err != nil {
		t.Fatal(err)
	}
	if got := read(t, s, Query{After: after}); !slices.Equal(got, []string{"web.1/stdout: one", "web.1/stdout: two"}) {
		t.Errorf("got %q", got)
	}
}

// A search that finds nothing ends when nobody waits for it any more.
func TestASearchEndsWithWhoWantsIt(t *testing.T) {
	s, _, lines := rotated(t, Limits{})
	ctx, cancel := context.WithCancel(t.Context())
	seen := 0
	r := s.Read(Query{Tail: 10, Match: func([]byte) bool {
		if seen++; seen == 10 {
			cancel()
		}
		return false
	}})
	defer r.Close()
	if _, err := r.Next(ctx); !errors.Is(err, context.Canceled) || seen > 10+lookUp || lines < 10*lookUp {
		t.Errorf("%v after %d of %d lines", err, seen, lines)
	}
}
