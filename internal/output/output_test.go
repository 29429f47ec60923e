package output_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gafferpm/gaffer/internal/output"
)

const (
	stdout = 1
	stderr = 2
)

type (
	log      = output.Log[string]
	follower = output.Follower[string]
)

func TestLinesAreDeliveredWithoutTheirNewline(t *testing.T) {
	tests := map[string]struct {
		writes []string
		want   string
	}{
		"one":               {[]string{"a\n"}, "a|"},
		"several at once":   {[]string{"a\nb\nc\n"}, "a|b|c|"},
		"in pieces":         {[]string{"a", "b", "c\nd", "\n"}, "abc|d|"},
		"empty lines":       {[]string{"\n\n", "a\n", "\n"}, "||a||"},
		"carriage returns":  {[]string{"a\r\nb\r", "\n\rc\n"}, "a\r|b\r|\rc|"},
		"no final newline":  {[]string{"a\nb"}, "a|b|"},
		"only the newline":  {[]string{"\n"}, "|"},
		"nothing":           {[]string{""}, ""},
		"zeros and not utf": {[]string{"\x00\xff\n\xc3", "\x28\n"}, "\x00\xff|\xc3\x28|"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			l := &log{}
			f := output.FollowLines[string](0)
			l.Attach(f, 0, nil)
			for _, w := range test.writes {
				l.Write(stdout, []byte(w), time.Now())
			}
			l.End()
			f.End()
			var got strings.Builder
			for _, r := range rest(t, f) {
				fmt.Fprintf(&got, "%s|", r.Data)
			}
			if got.String() != test.want {
				t.Errorf("got %q, want %q", got.String(), test.want)
			}
		})
	}
}

func TestStreamsAndProcessesAreAssembledApart(t *testing.T) {
	a, b := &log{Source: "a"}, &log{Source: "b"}
	f := output.FollowLines[string](0)
	a.Attach(f, 0, nil)
	b.Attach(f, 0, nil)
	now := time.Now()
	a.Write(stdout, []byte("out "), now)
	a.Write(stderr, []byte("err "), now)
	b.Write(stdout, []byte("other "), now)
	a.Write(stderr, []byte("1\nerr"), now)
	b.Write(stdout, []byte("1\n"), now)
	a.Write(stdout, []byte("1\n"), now)
	a.End()
	b.Write(stdout, []byte("last"), now)
	b.End()
	f.End()
	wantText(t, f, "a2:err 1", "b1:other 1", "a1:out 1", "a2:err", "b1:last")
}

func TestRecordsCarryTheTimeOfTheirEnd(t *testing.T) {
	l := &log{}
	f := output.FollowLines[string](0)
	l.Attach(f, 0, nil)
	begin, end := time.Unix(1000, 5), time.Unix(1001, 7)
	l.Write(stdout, []byte("be"), begin)
	l.Write(stdout, []byte("gin\nrest"), end)
	l.End()
	f.End()
	for _, r := range rest(t, f) {
		if !r.Time.Equal(end) {
			t.Errorf("%q has time %v, want %v", r.Data, r.Time, end)
		}
	}
}

func TestOnlyWantedStreamsAreDelivered(t *testing.T) {
	for _, f := range []*follower{output.FollowLines[string](0), output.FollowRaw[string](0)} {
		l := &log{}
		now := time.Now()
		l.Write(stdout, []byte("1\n"), now)
		l.Write(stderr, []byte("2\n"), now)
		l.Write(stdout, []byte("3\n"), now)
		l.Attach(f, 2, func(stream int) bool { return stream == stderr })
		l.Write(stdout, []byte("4\n"), now)
		l.Write(stderr, []byte("5\n"), now)
		f.End()
		if got := strings.ReplaceAll(text(t, f), "\n", ""); got != "25" {
			t.Errorf("got %q, want 25", got)
		}
	}
}

func TestBacklogIsTheLastLines(t *testing.T) {
	// The unfinished line is not counted.
	for n, want := range map[int]string{-1: "1234", 9: "1234", 3: "1234", 2: "234", 0: "4"} {
		l := &log{}
		l.Write(stdout, []byte("1\n2\n3\n4"), time.Now())
		f := output.FollowLines[string](0)
		l.Attach(f, n, nil)
		l.Write(stdout, []byte("\n"), time.Now())
		f.End()
		if got := text(t, f); got != want {
			t.Errorf("backlog %d: got %q, want %q", n, got, want)
		}
	}
}

func TestRawBacklogIsTheLastBytes(t *testing.T) {
	for n, want := range map[int]string{-1: "abcdefg", 99: "abcdefg", 3: "efg", 0: ""} {
		l := &log{}
		l.Write(stdout, []byte("abc"), time.Now())
		l.Write(stderr, []byte("defg"), time.Now())
		f := output.FollowRaw[string](0)
		l.Attach(f, n, nil)
		l.Write(stderr, []byte("|live"), time.Now())
		f.End()
		if got := text(t, f); got != want+"|live" {
			t.Errorf("backlog %d: got %q, want %q", n, got, want+"|live")
		}
	}
}

func TestLineWithoutItsBeginningIsNotInTheBacklog(t *testing.T) {
	l := &log{Limit: 64}
	l.Write(stdout, bytes.Repeat([]byte("x"), 100), time.Now())
	l.Write(stdout, []byte("end\nwhole\n"), time.Now())
	f := output.FollowLines[string](0)
	l.Attach(f, -1, nil)
	f.End()
	wantText(t, f, "1:whole")
}

func TestLineThatGoesOnIsInTheBacklogWithoutItsBeginning(t *testing.T) {
	l := &log{Limit: 32}
	l.Write(stdout, bytes.Repeat([]byte("x"), 100), time.Now())
	f := output.FollowLines[string](0)
	l.Attach(f, 0, nil)
	l.Write(stdout, []byte("end\n"), time.Now())
	f.End()
	wantText(t, f, "1:"+strings.Repeat("x", 16)+"end")
}

func TestBacklogOfAnEndedProcessIsAllThereIs(t *testing.T) {
	l := &log{}
	l.Write(stdout, []byte("a\nb"), time.Now())
	l.End()
	l.Write(stdout, []byte("late\n"), time.Now())
	f := output.FollowLines[string](0)
	l.Attach(f, -1, nil)
	f.End()
	wantText(t, f, "1:a", "1:b")
}

func TestBacklogMayBeLargerThanTheLimit(t *testing.T) {
	f := output.FollowLines[string](1) // the least: 128 KiB
	want := 0
	for range 10 {
		l := &log{}
		for range 500 {
			l.Write(stdout, []byte(strings.Repeat("x", 99)+"\n"), time.Now())
			want++
		}
		l.Attach(f, -1, nil)
	}
	f.End()
	if got := len(rest(t, f)); got != want {
		t.Errorf("got %d lines, want %d", got, want)
	}
}

func TestNegativeLimitKeepsNothing(t *testing.T) {
	l := &log{Limit: -1}
	f, late := output.FollowLines[string](0), output.FollowLines[string](0)
	l.Attach(f, -1, nil)
	l.Write(stdout, []byte("a\n"), time.Now())
	l.Attach(late, -1, nil)
	f.End()
	late.End()
	wantText(t, f, "1:a")
	wantText(t, late)
}

func TestAttachingTwiceDeliversOnce(t *testing.T) {
	l := &log{}
	f := output.FollowLines[string](0)
	l.Write(stdout, []byte("a\n"), time.Now())
	l.Attach(f, -1, nil)
	l.Attach(f, -1, nil)
	l.Write(stdout, []byte("b\n"), time.Now())
	f.End()
	wantText(t, f, "1:a", "1:b")
}

func TestDetachedFollowerKeepsWhatItHas(t *testing.T) {
	a, b := &log{Source: "a"}, &log{Source: "b"}
	f := output.FollowLines[string](0)
	a.Attach(f, 0, nil)
	b.Attach(f, 0, nil)
	a.Write(stdout, []byte("1\n2"), time.Now())
	a.Detach(f)
	a.Detach(f)
	a.Write(stdout, []byte("3\n"), time.Now())
	b.Write(stdout, []byte("4\n"), time.Now())
	f.End()
	wantText(t, f, "a1:1", "a1:2", "b1:4")
}

func TestClosedFollowerEndsAtOnce(t *testing.T) {
	l := &log{}
	f := output.FollowLines[string](0)
	l.Attach(f, 0, nil)
	l.Write(stdout, []byte("1\n"), time.Now())
	f.Close()
	f.Close()
	f.End()
	l.Write(stdout, []byte("2\n"), time.Now())
	l.Attach(f, -1, nil)
	if n := f.Len(); n != 0 {
		t.Errorf("%d records wait in a closed follower", n)
	}
	wantText(t, f)
}

func TestFollowerClosedAfterItsEndLosesTheRest(t *testing.T) {
	l := &log{}
	f := output.FollowLines[string](0)
	l.Attach(f, 0, nil)
	l.Write(stdout, []byte("1\n2\n"), time.Now())
	f.End()
	if r, err := f.Next(t.Context()); err != nil || string(r.Data) != "1" {
		t.Errorf("got %q, %v", r.Data, err)
	}
	f.Close()
	wantText(t, f)
}

func TestWaitingFollowerWakes(t *testing.T) {
	ends := map[string]struct {
		act  func(*log, *follower)
		want string
	}{
		"write": {func(l *log, _ *follower) { l.Write(stdout, []byte("a\n"), time.Now()) }, "a"},
		"attach": {func(_ *log, f *follower) {
			full := &log{}
			full.Write(stdout, []byte("a\n"), time.Now())
			full.Attach(f, 1, nil)
		}, "a"},
		"end":   {func(_ *log, f *follower) { f.End() }, "EOF"},
		"close": {func(_ *log, f *follower) { f.Close() }, "EOF"},
		"held":  {func(l *log, _ *follower) { l.Write(stdout, []byte("a"), time.Now()); l.End() }, "a"},
	}
	for name, end := range ends {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				l := &log{}
				f := output.FollowLines[string](0)
				l.Attach(f, 0, nil)
				got := make(chan string)
				go func() {
					r, err := f.Next(t.Context())
					if err != nil {
						got <- err.Error()
						return
					}
					got <- string(r.Data)
				}()
				synctest.Wait() // it waits in Next
				end.act(l, f)
				if got := <-got; got != end.want {
					t.Errorf("got %q, want %q", got, end.want)
				}
			})
		})
	}
}

func TestNextEndsWithItsContextAndLosesNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := &log{}
		f := output.FollowLines[string](0)
		l.Attach(f, 0, nil)
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		for range 2 {
			if _, err := f.Next(ctx); !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("Next: %v, want the context's error", err)
			}
			l.Write(stdout, []byte("a\n"), time.Now())
		}
		f.End()
		wantText(t, f, "1:a", "1:a")
	})
}

// rest reads to the end. It fails the test if anything was missed.
func rest(t *testing.T, f *follower) []output.Record[string] {
	t.Helper()
	var all []output.Record[string]
	for {
		r, err := f.Next(t.Context())
		if errors.Is(err, io.EOF) {
			return all
		}
		if err != nil {
			t.Fatalf("after %d records: %v", len(all), err)
		}
		r.Data = bytes.Clone(r.Data)
		all = append(all, r)
	}
}

// text reads raw output to the end.
func text(t *testing.T, f *follower) string {
	t.Helper()
	var s strings.Builder
	for _, r := range rest(t, f) {
		s.Write(r.Data)
	}
	return s.String()
}

func wantText(t *testing.T, f *follower, want ...string) {
	t.Helper()
	var got []string
	for _, r := range rest(t, f) {
		got = append(got, fmt.Sprintf("%s%d:%s", r.Source, r.Stream, r.Data))
	}
	if fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("got %q, want %q", got, want)
	}
}
