package main

import (
	"bufio"
	"bytes"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/gafferpm/gaffer"
)

// paper is a screen that is written to b.
func paper(b *bytes.Buffer, width int) *screen {
	return &screen{Writer: bufio.NewWriter(b), width: width, now: time.Date(2026, 11, 22, 10, 0, 0, 0, time.Local)}
}

func TestTablesAreCutAndNeverWrap(t *testing.T) {
	for width := range 60 {
		var b bytes.Buffer
		s := paper(&b, width)
		tab := &table{columns: []column{{head: "NAME"}, {head: "PID", right: true}, {head: "DETAIL"}}}
		tab.add(text("web.1"), text("4711"), text("a detail that is longer than the line, with 日本 in it"))
		tab.add(text("worker.12"), text("1"), text(""))
		tab.print(s)
		if err := s.Flush(); err != nil {
			t.Fatal(err)
		}
		lines := strings.Split(strings.TrimSuffix(b.String(), "\n"), "\n")
		if len(lines) != 3 {
			t.Fatalf("width %d: %d lines", width, len(lines))
		}
		for _, line := range lines {
			if width > 0 && cellsOf(line) > width {
				t.Errorf("width %d: %q is %d wide", width, line, cellsOf(line))
			}
		}
	}
}

func TestTablesAlign(t *testing.T) {
	var b bytes.Buffer
	s := paper(&b, 0)
	tab := &table{indent: 2, columns: []column{{head: "NAME"}, {head: "PID", right: true}, {head: "DETAIL"}}}
	tab.add(text("web.1"), text("4711"), text("x\x1b[2Jy\nz"))
	tab.add(text("é"), text("1"), text(""))
	tab.print(s)
	if err := s.Flush(); err != nil {
		t.Fatal(err)
	}
	want := "  NAME    PID  DETAIL\n  web.1  4711  xy^Jz\n  é         1\n"
	if b.String() != want {
		t.Errorf("got\n%s\nwant\n%s", b.String(), want)
	}
}

func TestColorsAreForScreensThatWantThem(t *testing.T) {
	var b bytes.Buffer
	s := paper(&b, 0)
	s.paint("a", red)
	s.color = true
	s.paint("b", red)
	s.paint("c", plain)
	s.paint("", red)
	if err := s.Flush(); err != nil {
		t.Fatal(err)
	}
	if got, want := b.String(), "a\x1b[31mb\x1b[0mc"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

func FuzzCut(f *testing.F) {
	f.Add("some text", 4)
	f.Add("日本語", 3)
	f.Add("e\u0301", 1)
	f.Fuzz(func(t *testing.T, s string, room int) {
		if !utf8.ValidString(s) || room < 0 || room > 1000 {
			t.Skip()
		}
		got := cut(s, room)
		if cellsOf(got) > room {
			t.Errorf("%q in %d: %q is %d wide", s, room, got, cellsOf(got))
		}
		if cellsOf(s) <= room && got != s {
			t.Errorf("%q in %d: %q", s, room, got)
		}
		if !utf8.ValidString(got) {
			t.Errorf("%q in %d: %q", s, room, got)
		}
	})
}

func TestNamesAreSortedAsPeopleDo(t *testing.T) {
	want := []string{"", "a", "a1", "a2", "a10", "a10b", "jobs:m2", "jobs:m10", "web", "web-2", "web-10", "web1", "web01x"}
	got := slices.Clone(want)
	slices.Reverse(got)
	slices.SortFunc(got, naturally)
	if !slices.Equal(got, want) {
		t.Errorf("got %q", got)
	}
}

func FuzzNaturally(f *testing.F) {
	f.Add("web2", "web10", "web010")
	f.Fuzz(func(t *testing.T, a, b, c string) {
		if naturally(a, b) > 0 != (naturally(b, a) < 0) {
			t.Errorf("%q and %q: %d, %d", a, b, naturally(a, b), naturally(b, a))
		}
		if naturally(a, b) <= 0 && naturally(b, c) <= 0 && naturally(a, c) > 0 {
			t.Errorf("%q, %q and %q have no order", a, b, c)
		}
	})
}

func TestNumbersAreShort(t *testing.T) {
	for n, want := range map[uint64]string{
		0: "0", 999: "999", 1000: "1.0K", 1024: "1.0K", 10 << 10: "10K", 1023 << 10: "1.0M", 1 << 20: "1.0M", 1536 << 20: "1.5G", 1 << 62: "4.0E",
	} {
		if got := size(n); got != want {
			t.Errorf("size %d: got %s, want %s", n, got, want)
		}
	}
	for f, want := range map[float64]string{0: "0.0%", 0.04: "0.0%", 9.94: "9.9%", 9.96: "10%", 250.4: "250%"} {
		if got := percent(f); got != want {
			t.Errorf("percent %v: got %s, want %s", f, got, want)
		}
	}
	for d, want := range map[time.Duration]string{7 * time.Second: "0:07", 125 * time.Second: "2:05", 3723 * time.Second: "1:02:03"} {
		if got := cpuTime(d); got != want {
			t.Errorf("cpu time %s: got %s, want %s", d, got, want)
		}
	}
	now := time.Now()
	for d, want := range map[time.Duration]string{-time.Second: "0s", 1500 * time.Millisecond: "1s", 200 * time.Second: "3m20s"} {
		if got := uptime(now, now.Add(-d)); got != want {
			t.Errorf("uptime %s: got %s, want %s", d, got, want)
		}
	}
	if got := uptime(now, time.Time{}); got != "-" {
		t.Errorf("no uptime: got %s", got)
	}
}

func TestUseCountsWholeFamilies(t *testing.T) {
	p := gaffer.ProcessStats{CPU: 1, RSS: 10, FDs: 3, Read: 5, Written: 1, Threads: 1, Children: []gaffer.ProcessStats{
		{CPU: 2, RSS: 20, FDs: -1, Read: 6, Written: 2, Threads: 2, Children: []gaffer.ProcessStats{{CPU: 4, RSS: 40, Threads: 4}}},
	}}
	got := withFamily(p)
	if got.CPU != 7 || got.RSS != 70 || got.FDs != -1 || got.Read != 11 || got.Written != 3 || got.Threads != 7 {
		t.Errorf("got %+v", got)
	}
}
