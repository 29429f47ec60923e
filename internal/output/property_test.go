package output_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/gafferpm/gaffer/internal/output"
	"github.com/gafferpm/gaffer/internal/pubsub"
)

// written is one byte that a process wrote.
type written struct {
	stream int
	b      byte
}

// A follower that is attached at any moment, with any backlog, gets exactly the
// lines or bytes that this test finds in the whole history; and what is kept is
// the end of that history.
func TestBacklogAndLiveFitTogether(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		l := &log{Limit: rapid.SampledFrom([]int{17, 40, 150, 400}).Draw(t, "limit")}
		wanted := rapid.SampledFrom([]int{stdout, stderr, stdout | stderr}).Draw(t, "wanted")
		want := func(stream int) bool { return stream&wanted != 0 }
		var history []written
		now := time.Now()
		write := func() {
			stream := rapid.IntRange(stdout, stderr).Draw(t, "stream")
			data := rapid.SliceOfN(rapid.SampledFrom([]byte("ab\n")), 0, 20).Draw(t, "data")
			data = bytes.Repeat(data, rapid.SampledFrom([]int{1, 7, 30}).Draw(t, "times"))
			now = now.Add(rapid.SampledFrom([]time.Duration{0, time.Millisecond, time.Second}).Draw(t, "pause"))
			l.Write(stream, data, now)
			for _, b := range data {
				history = append(history, written{stream, b})
			}
		}
		for range rapid.IntRange(0, 10).Draw(t, "before") {
			write()
		}
		seam := len(history)
		all, raw, lines := output.FollowRaw[string](0), output.FollowRaw[string](0), output.FollowLines[string](0)
		n := rapid.IntRange(-1, 30).Draw(t, "backlog")
		l.Attach(all, -1, nil)
		all.End()
		l.Attach(raw, n, want)
		l.Attach(lines, n, want)
		for range rapid.IntRange(0, 5).Draw(t, "after") {
			write()
		}
		l.End()
		raw.End()
		lines.End()

		kept := seam - len(drain(t, all, ""))
		if seam-kept > l.Limit || kept > 0 && seam-kept < l.Limit/18-2 {
			t.Fatalf("%d bytes kept of %d, limit %d", seam-kept, seam, l.Limit)
		}
		if got, want := drain(t, raw, ""), wantRaw(history, kept, seam, n, want); got != want {
			t.Errorf("raw: got %q, want %q", got, want)
		}
		if got, want := drain(t, lines, "\n"), wantLines(history, kept, seam, n, want); got != want {
			t.Errorf("lines: got %q, want %q", got, want)
		}
	})
}

func wantRaw(history []written, kept, seam, n int, want func(int) bool) string {
	var s []byte
	before := 0
	for i, w := range history[kept:] {
		if !want(w.stream) {
			continue
		}
		s = append(s, w.b)
		if kept+i < seam {
			before++
		}
	}
	if n >= 0 && n < before {
		s = s[before-n:]
	}
	return string(s)
}

func wantLines(history []written, kept, seam, n int, want func(int) bool) string {
	var before, after []string
	for stream := range 3 { // whether a stream begins with a fragment that ends before the seam
		cut, ends := false, false
		for i, w := range history[:seam] {
			if w.stream == stream {
				cut = cut && i >= kept || i < kept && w.b != '\n'
				ends = ends || i >= kept && w.b == '\n'
			}
		}
		if cut && ends && want(stream) {
			before = append(before, fmt.Sprint("fragment of ", stream))
		}
	}
	fragments := len(before)
	begun := map[int]string{}
	for i, w := range history {
		if i < kept || !want(w.stream) {
			continue
		}
		if w.b != '\n' {
			begun[w.stream] += string(w.b)
			continue
		}
		line := begun[w.stream] + "\n"
		delete(begun, w.stream)
		switch j := fragment(before[:fragments], w.stream); {
		case j >= 0:
			before[j] = ""
		case i < seam:
			before = append(before, line)
		default:
			after = append(after, line)
		}
	}
	before = before[fragments:]
	if n >= 0 && n < len(before) {
		before = before[len(before)-n:]
	}
	s := strings.Join(before, "") + strings.Join(after, "")
	// At the end come the unfinished lines, in the order of the streams.
	for stream := range 3 {
		if begun[stream] != "" {
			s += begun[stream] + "\n"
		}
	}
	return s
}

func fragment(of []string, stream int) int {
	for i, s := range of {
		if s == fmt.Sprint("fragment of ", stream) {
			return i
		}
	}
	return -1
}

// drain reads to the end and puts end after each record.
func drain(t *rapid.T, f *follower, end string) string {
	var s strings.Builder
	for {
		r, err := f.Next(t.Context())
		if errors.Is(err, io.EOF) {
			return s.String()
		}
		if err != nil {
			t.Fatalf("Next: %v", err)
		}
		s.Write(r.Data)
		s.WriteString(end)
	}
}

// Lines depend on what was written, not on how it came in chunks.
func FuzzLines(f *testing.F) {
	f.Add([]byte("a\nb\r\n\n\x00c"), []byte{1, 2}, uint16(1))
	f.Add([]byte("0123456789abcdef"), []byte{255, 7, 1}, uint16(5000))
	f.Add([]byte("0123456789abcde\n"), []byte{250}, uint16(4096))
	f.Fuzz(func(t *testing.T, data, sizes []byte, times uint16) {
		if (len(data)+40*bytes.Count(data, []byte("\n")))*int(times) > 300_000 { // 40 is what each record counts beside its own
			t.Skip("larger than a few records")
		}
		data = bytes.Repeat(data, int(times))
		l := &log{}
		lines, raw := output.FollowLines[string](0), output.FollowRaw[string](0)
		l.Attach(lines, 0, nil)
		l.Attach(raw, 0, nil)
		for rest, i := data, 0; len(rest) > 0; i++ {
			n := len(rest)
			if len(sizes) > 0 {
				n = min(n, 1+int(sizes[i%len(sizes)])*int(sizes[i%len(sizes)]))
			}
			chunk := bytes.Clone(rest[:n])
			l.Write(stdout, chunk, time.Now())
			clear(chunk) // it is only valid during the call
			rest = rest[n:]
		}
		l.End()
		lines.End()
		raw.End()
		if got := text(t, raw); got != string(data) {
			t.Errorf("raw output of %d bytes differs from the %d written", len(got), len(data))
		}
		checkLines(t, lines, data)
	})
}

func checkLines(t *testing.T, f *follower, data []byte) {
	t.Helper()
	for _, r := range rest(t, f) {
		line, after, ended := bytes.Cut(data, []byte{'\n'})
		if len(line) > output.MaxRecord {
			if !r.Partial || !bytes.Equal(r.Data, line[:output.MaxRecord]) {
				t.Fatalf("piece of %d bytes, partial %v, of a line of %d", len(r.Data), r.Partial, len(line))
			}
			data = data[output.MaxRecord:]
			continue
		}
		if r.Partial || !bytes.Equal(r.Data, line) {
			t.Fatalf("got line %.80q, partial %v, want %.80q", r.Data, r.Partial, line)
		}
		if !ended && len(line) == 0 {
			t.Fatal("a line more than was written")
		}
		data = after
	}
	if len(data) > 0 {
		t.Fatalf("%d bytes were not delivered", len(data))
	}
}

// Processes write, followers come, read slowly or fast, and go, all at once.
// Whoever stays sees every process's numbers in order, and gaps are accounted for.
func TestConcurrentWritersAndFollowers(t *testing.T) {
	const logs, lines = 4, 4000
	all := make([]*log, logs)
	for i := range all {
		all[i] = &log{Source: fmt.Sprint(i)}
	}
	var writing, reading sync.WaitGroup
	var staying []*follower
	for _, limit := range []int{1, 16 << 20} {
		f := output.FollowLines[string](limit)
		staying = append(staying, f)
		for _, l := range all {
			l.Attach(f, -1, nil)
		}
		reading.Go(func() { countLines(t, f, logs*lines, limit > 1) })
	}
	for _, l := range all {
		writing.Go(func() {
			for n := range lines {
				text := fmt.Appendf(nil, "%d %d\n", stdout, n+1)
				l.Write(stdout, text[:3], time.Now())
				l.Write(stdout, text[3:], time.Now())
			}
			l.End()
		})
		reading.Go(func() {
			for range 50 {
				f := output.FollowLines[string](0)
				for _, l := range all {
					l.Attach(f, 3, nil)
				}
				l.Detach(f)
				go f.Close()
				for {
					if _, err := f.Next(t.Context()); err != nil {
						break
					}
				}
			}
		})
	}
	writing.Wait()
	for _, f := range staying {
		f.End()
	}
	reading.Wait()
}

func countLines(t *testing.T, f *follower, want int, wantAll bool) {
	last := map[string]int{}
	delivered, missed := 0, 0
	for {
		r, err := f.Next(t.Context())
		var m pubsub.Missed
		if errors.As(err, &m) {
			missed += int(m)
			continue
		}
		if err != nil {
			break
		}
		delivered++
		var stream, n int
		if _, err := fmt.Sscanf(string(r.Data), "%d %d", &stream, &n); err != nil || stream != r.Stream || n <= last[r.Source] {
			t.Errorf("%s wrote %q after %d: %v", r.Source, r.Data, last[r.Source], err)
		}
		last[r.Source] = n
	}
	if delivered+missed != want || wantAll && missed > 0 {
		t.Errorf("%d delivered + %d missed, want %d", delivered, missed, want)
	}
}

// A follower attached while the process writes has no gap and no repetition
// between the backlog and what is live.
func TestAttachWhileWriting(t *testing.T) {
	l := &log{}
	stop := make(chan struct{})
	var writing sync.WaitGroup
	writing.Go(func() {
		for n := 0; ; n++ {
			select {
			case <-stop:
				return
			default:
				l.Write(stdout, fmt.Appendf(nil, "%d\n", n), time.Now())
			}
		}
	})
	for range 200 {
		f := output.FollowLines[string](8 << 20)
		l.Attach(f, 5, nil)
		first := -1
		for i := range 100 {
			r, err := f.Next(t.Context())
			if err != nil {
				t.Error(err)
				break
			}
			var n int
			if _, err := fmt.Sscan(string(r.Data), &n); err != nil {
				t.Error(err)
			}
			if first < 0 {
				first = n
			}
			if n != first+i {
				t.Errorf("line %d after %d lines from %d", n, i, first)
				break
			}
		}
		f.Close()
	}
	close(stop)
	writing.Wait()
}
