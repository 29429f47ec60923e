//go:build linux

package logs

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

func TestFilesHoldExactlyTheBytes(t *testing.T) {
	dir := t.TempDir()
	s := newStore(t, dir)
	p := newPipe(t, s.Writer("jobs:mail", 2, "stdout", Limits{}).Process(7, time.Time{}))
	want := ""
	for _, text := range []string{"one\n", "x", "y\n", strings.Repeat("long ", 5000) + "\n", "\x00\xff\r\n", "no end"} {
		p.write(text)
		want += text
	}
	if got := content(t, filepath.Join(dir, "logs", "jobs:mail.2"), "stdout"); got != want {
		t.Errorf("the file holds %d bytes, want %d: %q", len(got), len(want), got[max(0, len(got)-40):])
	}
	p.capture.End()
	if got := content(t, filepath.Join(dir, "logs", "jobs:mail.2"), "stdout"); got != want+"\n" {
		t.Errorf("a line that was not finished has no end: %q", got[max(0, len(got)-40):])
	}
	_, marks, err := readIndexFile(currentIndex(filepath.Join(dir, "logs", "jobs:mail.2"), "stdout"))
	if err != nil || !slices.ContainsFunc(marks, func(m mark) bool { return m.kind == markNewline && m.offset == int64(len(want)) }) {
		t.Errorf("the index does not tell of the newline: %+v, %v", marks, err)
	}
}

// A process has ended in the middle of a line, and who was to finish that was killed.
func TestALineIsFinishedByWhoComesNext(t *testing.T) {
	dir := t.TempDir()
	s := newStore(t, dir)
	newPipe(t, s.Writer("web", 1, "stdout", Limits{}).Process(1, time.Time{})).write("no end")
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	s = newStore(t, dir)
	w := s.Writer("web", 1, "stdout", Limits{})
	w.Process(1, time.Time{}).End()
	newPipe(t, w.Process(2, time.Time{})).write("next\n")
	if got := content(t, w.dir, "stdout"); got != "no end\nnext\n" {
		t.Errorf("got %q", got)
	}
	newPipe(t, w.Process(2, time.Time{})).write("half")
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	s = newStore(t, dir)
	w = s.Writer("web", 1, "stdout", Limits{})
	newPipe(t, w.Process(2, time.Time{})).write(" of it\nand ")
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	s = newStore(t, dir)
	w = s.Writer("web", 1, "stdout", Limits{})
	newPipe(t, w.Process(3, time.Time{})).write("another\n") // the end of the one before was seen by nobody
	if got := content(t, w.dir, "stdout"); got != "no end\nnext\nhalf of it\nand \nanother\n" {
		t.Errorf("got %q", got)
	}
	s.Writer("silent", 1, "stdout", Limits{}).Process(3, time.Time{}).End()
	if entries, _ := os.ReadDir(filepath.Join(dir, "logs")); len(entries) != 1 {
		t.Errorf("who has written nothing has files: %v", entries)
	}
}

func TestFilesAreRotatedAtLineEnds(t *testing.T) {
	for _, plain := range []bool{true, false} {
		dir := t.TempDir()
		s := newStore(t, dir)
		w := s.Writer("web", 1, "stdout", Limits{MaxSize: 1000, MaxFiles: 4, Plain: plain})
		p := newPipe(t, w.Process(1, time.Time{}))
		var all strings.Builder
		for i := range 400 {
			line := fmt.Sprintf("line %d %s\n", i, strings.Repeat("x", i%50))
			all.WriteString(line)
			p.write(line)
		}
		s.settle()
		web := filepath.Join(dir, "logs", "web.1")
		list := segments(web, "stdout")
		if len(list) != 3 {
			t.Fatalf("%d files before the current one, want 3", len(list))
		}
		if list[0].packed == plain {
			t.Errorf("plain %v: packed is %v", plain, list[0].packed)
		}
		kept := content(t, web, "stdout")
		if !strings.HasSuffix(all.String(), kept) {
			t.Fatal("what is kept is not the end of what was written")
		}
		if want := int64(all.Len() - len(kept)); list[0].base != want {
			t.Errorf("the first file is named %d, and its first byte was number %d", list[0].base, want)
		}
		for i, line := range strings.SplitAfter(kept, "\n") {
			if i == 0 && !strings.HasPrefix(line, "line ") {
				t.Errorf("rotation has cut %q", line)
			}
		}
		got := read(t, s, Query{Tail: -1})
		if want := strings.Count(kept, "\n"); len(got) != want || got[len(got)-1] != "web.1/stdout: line 399 "+strings.Repeat("x", 399%50) {
			t.Errorf("%d lines are read, want %d; the last is %q", len(got), want, got[len(got)-1])
		}
	}
}

func TestALineLongerThanAFileIsSplit(t *testing.T) {
	dir := t.TempDir()
	s := newStore(t, dir)
	p := newPipe(t, s.Writer("web", 1, "stdout", Limits{MaxSize: 1000, MaxFiles: 100, Plain: true}).Process(1, time.Time{}))
	text := strings.Repeat("0123456789", 1000) + "\nshort\n"
	p.write(text)
	if got := content(t, filepath.Join(dir, "logs", "web.1"), "stdout"); got != text {
		t.Errorf("%d bytes are kept, want %d", len(got), len(text))
	}
	if n := len(segments(filepath.Join(dir, "logs", "web.1"), "stdout")); n < 4 {
		t.Errorf("the line is in %d files", n+1)
	}
	if got := read(t, s, Query{Tail: -1}); len(got) != 2 || got[1] != "web.1/stdout: short" || len(got[0]) != 10000+len("web.1/stdout: ") {
		t.Errorf("it is not read as one line: %d lines", len(got))
	}
}

func TestStreamsAreMergedInTheOrderOfTime(t *testing.T) {
	s := newStore(t, t.TempDir())
	out := newPipe(t, s.Writer("web", 1, "stdout", Limits{}).Process(1, time.Time{}))
	err := newPipe(t, s.Writer("web", 1, "stderr", Limits{}).Process(1, time.Time{}))
	other := newPipe(t, s.Writer("db", 1, "stdout", Limits{}).Process(2, time.Time{}))
	var want []string
	for i := range 30 {
		out.write(fmt.Sprintf("out %d\n", i))
		err.write(fmt.Sprintf("err %d\n", i))
		other.write(fmt.Sprintf("db %d\n", i))
		want = append(want, fmt.Sprintf("web.1/stdout: out %d", i), fmt.Sprintf("web.1/stderr: err %d", i), fmt.Sprintf("db.1/stdout: db %d", i))
	}
	if got := read(t, s, Query{Tail: -1}); !slices.Equal(got, want) {
		t.Errorf("got %q", got)
	}
	if got := read(t, s, Query{Tail: 3, Sources: func(name string, _ int, _ string) bool { return name == "web" }}); !slices.Equal(got, []string{want[len(want)-5], want[len(want)-3], want[len(want)-2]}) && len(got) != 3 {
		t.Errorf("the last 3 lines of web: %q", got)
	}
	if got := read(t, s, Query{Tail: 2, Match: func(b []byte) bool { return strings.HasSuffix(string(b), "7") }}); len(got) != 4 {
		t.Errorf("the last 2 lines of each slot that end in 7: %q", got)
	}
}

func TestFollowersGoOnWhereTheHistoryEnds(t *testing.T) {
	s := newStore(t, t.TempDir())
	w := s.Writer("web", 1, "stdout", Limits{MaxSize: 200, MaxFiles: 1000, Plain: true})
	p := newPipe(t, w.Process(1, time.Time{}))
	p.write("before\nunfinished ")
	r := s.Read(Query{Tail: 10, Follow: true})
	defer r.Close()
	if rec := next(t, r); string(rec.Data) != "before" || rec.ID != 1 {
		t.Errorf("got %+v", rec)
	}
	p.write("line\n")
	if rec := next(t, r); string(rec.Data) != "unfinished line" {
		t.Errorf("got %+v", rec)
	}
	p.capture.End()
	p = newPipe(t, w.Process(2, time.Time{}))
	for i := range 100 { // over many files
		p.write(fmt.Sprintf("line %d\n", i))
		if rec := next(t, r); string(rec.Data) != fmt.Sprintf("line %d", i) || rec.ID != 2 {
			t.Fatalf("got %+v at %d", rec, i)
		}
	}
	late := newPipe(t, s.Writer("late", 1, "stderr", Limits{}).Process(3, time.Time{}))
	late.write("hello\n")
	if rec := next(t, r); string(rec.Data) != "hello" || rec.Name != "late" {
		t.Errorf("got %+v", rec)
	}
}

func TestReadersResumeAtACursor(t *testing.T) {
	s := newStore(t, t.TempDir())
	var pipes []*pipe
	for i := range 3 {
		pipes = append(pipes, newPipe(t, s.Writer("web", i+1, "stdout", Limits{MaxSize: 300, MaxFiles: 1000}).Process(uint64(i), time.Time{})))
	}
	for i := range 120 {
		pipes[i%3].write(fmt.Sprintf("line %d\n", i))
	}
	var cursors []Cursor
	var lines []string
	r := s.Read(Query{Tail: -1, Follow: true})
	for range 120 {
		rec := next(t, r)
		cursors, lines = append(cursors, rec.Cursor), append(lines, string(rec.Data))
	}
	r.Close()
	for i, c := range cursors {
		c, err := ParseCursor(c.String())
		if err != nil {
			t.Fatal(err)
		}
		got := read(t, s, Query{After: Cursors{c}})
		if len(got) != len(lines)-i-1 || len(got) > 0 && !strings.HasSuffix(got[0], lines[i+1]) {
			t.Fatalf("after %q come %d lines, want %d: %q", lines[i], len(got), len(lines)-i-1, got[:min(2, len(got))])
		}
	}
}

func TestTwoProcessesDoNotShareALine(t *testing.T) {
	s := newStore(t, t.TempDir())
	w := s.Writer("web", 1, "stdout", Limits{})
	old, young := newPipe(t, w.Process(1, time.Time{})), newPipe(t, w.Process(2, time.Time{}))
	old.write("half of a ")
	young.write("whole line\n")
	old.write("line\n")
	want := []string{"web.1/stdout: half of a ", "web.1/stdout: whole line", "web.1/stdout: line"}
	if got := read(t, s, Query{Tail: -1}); !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
	if got := read(t, s, Query{Tail: -1, IDs: func(id uint64) bool { return id == 1 }}); !slices.Equal(got, []string{want[0], want[2]}) {
		t.Errorf("of the first: %q", got)
	}
}

// disk is a disk that can be full.
type disk struct{ full atomic.Bool }

func (d *disk) open(t *testing.T, dir string) *Store {
	t.Helper()
	s, err := Open(filepath.Join(dir, "logs"), Options{Staging: filepath.Join(dir, "staging"), pwrite: func(fd int, b []byte, off int64) (int, error) {
		if d.full.Load() {
			n, _ := unix.Pwrite(fd, b[:len(b)/2], off)
			return n, unix.ENOSPC
		}
		return unix.Pwrite(fd, b, off)
	}})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// What waits is written when there is room again, whether or not the service writes more.
func TestWhatWaitsIsWrittenWhenThereIsRoom(t *testing.T) {
	dir := t.TempDir()
	d := new(disk)
	s := d.open(t, dir)
	defer s.Close()
	w := s.Writer("web", 1, "stdout", Limits{})
	p := newPipe(t, w.Process(1, time.Time{}))
	text := strings.Repeat("a line that is written while the disk is full\n", 100)
	d.full.Store(true)
	p.write(text)
	d.full.Store(false)
	r := s.Read(Query{Tail: -1, Follow: true})
	defer r.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	for i := range 100 {
		if rec, err := r.Next(ctx); err != nil || string(rec.Data)+"\n" != text[:len(text)/100] {
			t.Fatalf("line %d: %q, %v", i, rec.Data, err)
		}
	}
	if lost, failing := s.Lost(); lost != 0 || failing != 0 {
		t.Errorf("%d bytes are lost and %d streams failing", lost, failing)
	}
}

func TestWhatCantBeWrittenAtTheEndIsCounted(t *testing.T) {
	d := new(disk)
	s := d.open(t, t.TempDir())
	w := s.Writer("web", 1, "stdout", Limits{})
	p := newPipe(t, w.Process(1, time.Time{}))
	d.full.Store(true)
	p.write(strings.Repeat("x", 1000))
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	kept := len(content(t, w.dir, "stdout"))
	if lost := w.lost.Load(); lost == 0 || int(lost)+kept != 1000 {
		t.Errorf("%d bytes are lost, %d kept, of 1000", lost, kept)
	}
}

func TestAFullDiskLosesOnlyWhatIsCounted(t *testing.T) {
	dir := t.TempDir()
	d := new(disk)
	d.full.Store(true)
	s := d.open(t, dir)
	defer s.Close()
	w := s.Writer("web", 1, "stdout", Limits{})
	p := newPipe(t, w.Process(1, time.Time{}))
	first := strings.Repeat("a line that is written while the disk is full\n", 100)
	p.write(first)
	flood := strings.Repeat("x", 99) + "\n"
	for range 10_000 {
		p.write(flood)
	}
	lost, failing := s.Lost()
	if failing != 1 || lost == 0 {
		t.Errorf("%d bytes are lost and %d streams failing", lost, failing)
	}
	d.full.Store(false)
	w.mu.Lock()
	w.retry = time.Time{}
	w.mu.Unlock()
	p.write("the end\n")
	got := content(t, filepath.Join(dir, "logs", "web.1"), "stdout")
	if !strings.HasPrefix(got, first) || !strings.HasSuffix(got, "the end\n") {
		t.Errorf("what waited is not kept in order: %q … %q", got[:50], got[len(got)-20:])
	}
	if want := int64(len(first) + 10_000*100 + len("the end\n")); int64(len(got))+lost != want {
		t.Errorf("%d bytes are kept and %d lost, of %d", len(got), lost, want)
	}
	if now, failing := s.Lost(); now != lost || failing != 0 {
		t.Errorf("after that %d bytes are lost and %d streams failing", now, failing)
	}
}

func TestIndexesThatDisagreeAreRepaired(t *testing.T) {
	for name, damage := range map[string]func(index string) error{
		"missing":   os.Remove,
		"no index":  func(p string) error { return os.WriteFile(p, []byte("what is this"), 0o600) },
		"torn":      func(p string) error { return os.Truncate(p, headSize+12) },
		"no header": func(p string) error { return os.Truncate(p, 3) },
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
			if err := errors.Join(s.Close(), damage(currentIndex(w.dir, "stdout"))); err != nil {
				t.Fatal(err)
			}
			s = newStore(t, dir)
			w = s.Writer("web", 1, "stdout", Limits{MaxSize: 100, MaxFiles: 1000, Plain: true})
			p = newPipe(t, w.Process(2, time.Time{}))
			p.write("line 20\n")
			got := read(t, s, Query{Tail: -1})
			if len(got) != 21 || got[20] != "web.1/stdout: line 20" || got[0] != "web.1/stdout: line 0" {
				t.Errorf("got %q", got)
			}
			if want := int64(len(content(t, w.dir, "stdout"))); w.end.Load() != want {
				t.Errorf("the stream ends at %d, want %d", w.end.Load(), want)
			}
		})
	}
}

func FuzzParseCursor(f *testing.F) {
	f.Add("17@web.1/stdout@99")
	f.Add("17@jobs:mail.22/x@0")
	f.Add("@@")
	f.Fuzz(func(t *testing.T, text string) {
		c, err := ParseCursor(text)
		if err != nil || text == "" {
			return
		}
		again, err := ParseCursor(c.String())
		if err != nil || again != c {
			t.Errorf("%q: %+v, then %+v, %v", text, c, again, err)
		}
	})
}

func TestHowLongAFullPipeWasLeftIsCounted(t *testing.T) {
	s := newStore(t, t.TempDir())
	w := s.Writer("web", 1, "stdout", Limits{})
	hour := time.Now().Add(-time.Hour)
	p := newPipe(t, w.Process(1, hour))
	p.write("not much\n")
	if _, blocked := s.Trouble("web"); blocked != 0 {
		t.Errorf("blocked for %s by a pipe that was nearly empty", blocked)
	}
	p = newPipe(t, w.Process(2, hour))
	for {
		if _, err := unix.Write(p.w, []byte(strings.Repeat("x", 1000))); err != nil {
			break // it is full
		}
	}
	p.take()
	if _, blocked := s.Trouble("web"); blocked < time.Hour || blocked > 2*time.Hour {
		t.Errorf("blocked for %s, want an hour", blocked)
	}
	if lost, blocked := s.Trouble("other"); lost != 0 || blocked != 0 {
		t.Errorf("another template: lost %d, blocked for %s", lost, blocked)
	}
}

// What is written into a stream, not read from a pipe, comes from other goroutines, while
// pipes are read.
func TestWhatIsWrittenIsKeptAsWhatIsRead(t *testing.T) {
	dir := t.TempDir()
	s := newStore(t, dir)
	p := newPipe(t, s.Writer("web", 1, "stdout", Limits{}).Process(7, time.Time{}))
	done := make(chan struct{})
	const lines = 500
	for slot := 1; slot <= 2; slot++ {
		c := s.Writer("web", slot, "pre_start", Limits{MaxSize: 4096, MaxFiles: 100}).Process(7, time.Time{})
		go func() {
			defer func() { done <- struct{}{} }()
			for i := range lines {
				if n, err := fmt.Fprintf(c, "line %d\n", i); err != nil || n < 7 {
					t.Errorf("%d, %v", n, err)
				}
			}
			_, _ = c.Write([]byte("no end"))
			_ = c.Close()
			_ = c.Close()
		}()
	}
	want := ""
	for i := range lines {
		text := fmt.Sprintf("%d %s\n", i, strings.Repeat("x", i))
		p.write(text)
		want += text
	}
	<-done
	<-done
	if got := content(t, filepath.Join(dir, "logs", "web.1"), "stdout"); got != want {
		t.Errorf("stdout has %d bytes, want %d", len(got), len(want))
	}
	want = ""
	for i := range lines {
		want += fmt.Sprintf("line %d\n", i)
	}
	for slot := 1; slot <= 2; slot++ {
		if got := content(t, filepath.Join(dir, "logs", fmt.Sprintf("web.%d", slot)), "pre_start"); got != want+"no end\n" {
			t.Errorf("pre_start has %d bytes, want %d", len(got), len(want)+7)
		}
	}
	if lost, _ := s.Trouble("web"); lost != 0 {
		t.Errorf("%d bytes are lost", lost)
	}
}

// A terminal is no pipe: nothing can be moved out of it, and it says how much it holds only
// when it is looked at.
func TestATerminalIsTaken(t *testing.T) {
	dir := t.TempDir()
	s := newStore(t, dir)
	w := s.Writer("web", 1, "stdout", Limits{})
	master, err := unix.Open("/dev/ptmx", unix.O_RDWR|unix.O_NOCTTY|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(master)
	if err := unix.IoctlSetPointerInt(master, unix.TIOCSPTLCK, 0); err != nil {
		t.Fatal(err)
	}
	slave, _, errno := unix.Syscall(unix.SYS_IOCTL, uintptr(master), unix.TIOCGPTPEER, unix.O_RDWR|unix.O_NOCTTY|unix.O_NONBLOCK|unix.O_CLOEXEC)
	if errno != 0 {
		t.Fatal(errno)
	}
	p := &pipe{t, master, int(slave), w.Process(1, time.Time{})}
	want := ""
	for _, text := range []string{"x", "short\n", strings.Repeat("0123456789abcdef", 1000) + "\n", "end"} {
		p.write(text)
		p.take()
		want += strings.ReplaceAll(text, "\n", "\r\n")
		if got := content(t, w.dir, "stdout"); got != want {
			t.Fatalf("after %d bytes %d are kept, want %d", len(text), len(got), len(want))
		}
	}
	p.write("last words")
	_ = unix.Close(int(slave))
	for {
		if _, err := p.capture.Take(master, 1<<16); err != nil {
			break
		}
	}
	if got := content(t, w.dir, "stdout"); got != want+"last words" {
		t.Errorf("what was written last is not kept: %q", got[max(0, len(got)-20):])
	}
}

// Len does not forget what was written after all before had been read.
func TestLenKnowsWhatHasJustBeenWritten(t *testing.T) {
	s := newStore(t, t.TempDir())
	p := newPipe(t, s.Writer("web", 1, "stdout", Limits{}).Process(1, time.Time{}))
	r := s.Read(Query{Follow: true})
	defer r.Close()
	for range 3 {
		ctx, cancel := context.WithCancel(t.Context())
		time.AfterFunc(time.Millisecond, cancel)
		if _, err := r.Next(ctx); !errors.Is(err, context.Canceled) {
			t.Fatal(err)
		}
		p.write("line\n")
		if n := r.Len(); n != 1 {
			t.Errorf("%d lines wait, want 1", n)
		}
		if _, err := r.Next(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
}
