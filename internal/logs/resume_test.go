//go:build linux

package logs

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"
)

// Each stream goes on after its own cursor, wherever the others are and whatever the
// times say.
func TestEachStreamResumesAfterItsOwnCursor(t *testing.T) {
	s := newStore(t, t.TempDir())
	var pipes []*pipe
	for i := range 3 {
		pipes = append(pipes, newPipe(t, s.Writer("web", i+1, "stdout", Limits{MaxSize: 300, MaxFiles: 1000}).Process(uint64(i+1), time.Time{})))
	}
	for i := range 90 {
		pipes[i%3].write(fmt.Sprintf("line %d\n", i))
	}
	all := map[int][]Record{}
	r := s.Read(Query{Tail: -1, Follow: true})
	for range 90 {
		rec := next(t, r)
		all[rec.Slot] = append(all[rec.Slot], rec)
	}
	r.Close()
	for range 50 {
		var at Cursors
		want := 0
		for _, lines := range all {
			i := rand.IntN(len(lines))
			at = append(at, lines[i].Cursor)
			want += len(lines) - i - 1
		}
		if got := read(t, s, Query{After: at}); len(got) != want {
			t.Fatalf("after %v come %d lines, want %d", at, len(got), want)
		}
	}
	// One that no cursor is in goes on where Since says.
	last := Cursors{all[1][29].Cursor, all[2][29].Cursor}
	if got := read(t, s, Query{After: last, Since: all[3][10].Time.Add(-time.Hour)}); len(got) != 30 {
		t.Errorf("%d lines of the third, want all 30", len(got))
	}
	if got := read(t, s, Query{After: last, Since: time.Now().Add(time.Hour)}); len(got) != 0 {
		t.Errorf("%d lines, want none", len(got))
	}
	if got := read(t, s, Query{After: Cursors{all[1][0].Cursor}, Since: time.Now().Add(time.Hour)}); len(got) != 29 {
		t.Errorf("%d lines, want those of the first alone", len(got))
	}
}

// What was given up before it was read is told in bytes, once, and no line is cut.
func TestAGapSaysHowMuchItWas(t *testing.T) {
	s := newStore(t, t.TempDir())
	p := newPipe(t, s.Writer("web", 1, "stdout", Limits{MaxSize: 1000, MaxFiles: 2}).Process(1, time.Time{}))
	p.write("the first line\n")
	r := s.Read(Query{Tail: -1, Follow: true})
	first := next(t, r)
	const lines = 2000
	for i := range lines {
		p.write(fmt.Sprintf("line %04d of those that come fast\n", i))
	}
	lost, got := int64(0), int64(0)
	for last := ""; last != fmt.Sprintf("line %04d of those that come fast", lines-1); {
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		rec, err := r.Next(ctx)
		cancel()
		var gap *Gap
		if errors.As(err, &gap) {
			lost += gap.Bytes
			continue
		}
		if err != nil {
			t.Fatal(err)
		}
		if last = string(rec.Data); !strings.HasPrefix(last, "line ") {
			t.Fatalf("cut: %q", last)
		}
		got += int64(len(rec.Data)) + 1
	}
	r.Close()
	if want := int64(lines * 34); lost == 0 || lost+got != want {
		t.Errorf("%d bytes lost and %d delivered, want %d together", lost, got, want)
	}
	// Who resumes is told, too.
	r = s.Read(Query{After: Cursors{first.Cursor}, Follow: true})
	defer r.Close()
	_, err := r.Next(t.Context())
	var gap *Gap
	if !errors.As(err, &gap) || gap.Bytes == 0 || gap.Name != "web" || gap.Slot != 1 || gap.Label != "stdout" {
		t.Errorf("got %v, want a gap", err)
	}
}
