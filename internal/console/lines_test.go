package console

import (
	"bytes"
	"errors"
	"testing"

	"github.com/gafferpm/gaffer"
)

func TestLinesPrintAsTheConsoleDoes(t *testing.T) {
	var b bytes.Buffer
	l := NewLines(Options{Out: &b}, []gaffer.Info{info("web", 1), info("worker", 12)}, false)
	l.Line(out("web", 1, "stdout", "a"))
	l.Line(out("worker", 12, "stderr", "b\x1b[2J"))
	l.Say("%d events are missing", 3)
	if err := l.Flush(); err != nil {
		t.Fatal(err)
	}
	want := "web.1     | a\nworker.12 ! b\x1b[2J\ngaffer    | 3 events are missing\n"
	if got := b.String(); got != want {
		t.Errorf("got\n%q\nwant\n%q", got, want)
	}
}

func TestBareLinesHaveNoNames(t *testing.T) {
	var b bytes.Buffer
	l := NewLines(Options{Out: &b, Terminal: true}, nil, true)
	l.Line(out("web", 1, "stdout", "a\x1b[2J"))
	if err := l.Flush(); err != nil {
		t.Fatal(err)
	}
	if got := b.String(); got != "a\n" {
		t.Errorf("got %q", got)
	}
}

func TestNamesAreCleanWhereverTheyGo(t *testing.T) {
	var b bytes.Buffer
	l := NewLines(Options{Out: &b}, nil, false)
	l.Line(out("w\x1b]0;evil\a", 1, "x\n", "a"))
	if err := l.Flush(); err != nil {
		t.Fatal(err)
	}
	if got, want := b.String(), "w.1    | [x^J] a\n"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestFlushTellsOfTheWriteThatFailed(t *testing.T) {
	bad := errors.New("disk full")
	l := NewLines(Options{Out: &screen{wrote: make(chan struct{}, 1), err: bad}}, nil, false)
	l.Line(out("web", 1, "stdout", "a"))
	if err := l.Flush(); !errors.Is(err, bad) {
		t.Errorf("got %v", err)
	}
}

func TestCleanLeavesPlainTextAlone(t *testing.T) {
	for in, want := range map[string]string{
		"": "", "plain": "plain", "wörld": "wörld", "a\nb": "a^Jb", "\x1b[31mred": "red", "\x9b": "�",
	} {
		if got := Clean(in); got != want {
			t.Errorf("%q: got %q, want %q", in, got, want)
		}
	}
	if got := CleanLine([]byte("\x1b[31mred"), true); got != "\x1b[31mred\x1b[0m" {
		t.Errorf("got %q", got)
	}
}
