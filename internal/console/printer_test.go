package console

import (
	"bytes"
	"strings"
	"testing"
	"time"

	"github.com/gafferpm/gaffer"
)

func info(name string, n int, labels ...string) gaffer.Info {
	i := gaffer.Info{Template: gaffer.Template{Name: name, RedirectOutput: labels}}
	i.Status.MaxProcesses = n
	return i
}

func out(name string, slot int, label, text string) gaffer.Output {
	return gaffer.Output{Name: name, Slot: slot, Label: label, Data: []byte(text), Time: time.Date(2026, 1, 2, 3, 4, 5, 6e6, time.Local)}
}

func TestPrinterAlignsNames(t *testing.T) {
	var b bytes.Buffer
	p := &printer{out: &b}
	p.learn([]gaffer.Info{
		info("web", 1), info("worker", 12, "out", "err"), info("both", 1, "log", "log"), info(strings.Repeat("x", 60), 1),
	})
	p.line(out("web", 1, "stdout", "a"))
	p.line(out("web", 1, "stderr", "b"))
	p.line(out("worker", 12, "out", "c"))
	p.line(out("worker", 2, "err", "d"))
	p.line(out("both", 1, "log", "e"))
	p.line(out("web", 1, "control", "f"))
	p.line(out(strings.Repeat("x", 60), 1, "stdout", "g"))
	p.say(time.Time{}, sentence{"web.1 started", 0})
	p.flush()
	want := `web.1     | a
web.1     ! b
worker.12 | c
worker.2  ! d
both.1    | e
web.1     | [control] f
` + strings.Repeat("x", 60) + `.1 | g
gaffer    | web.1 started
`
	if b.String() != want {
		t.Errorf("got\n%s\nwant\n%s", b.String(), want)
	}
}

func TestPrinterLeavesBytesAloneInAPipe(t *testing.T) {
	var b bytes.Buffer
	p := &printer{out: &b}
	p.learn([]gaffer.Info{info("web", 1)})
	p.line(out("web", 1, "stdout", "\x1b[2J\x00\xff\r"))
	p.flush()
	if want := "web.1  | \x1b[2J\x00\xff\r\n"; b.String() != want {
		t.Errorf("got %q, want %q", b.String(), want)
	}
}

func TestPrinterColoursOnATerminal(t *testing.T) {
	var b bytes.Buffer
	p := &printer{out: &b, color: true, terminal: true, timestamps: true}
	p.learn([]gaffer.Info{info("web", 1)})
	p.line(out("web", 1, "stderr", "\x1b[32mok\x1b[2J"))
	p.say(out("", 0, "", "").Time, sentence{"web.1 crashed", red})
	p.flush()
	c := sgr(colors([]gaffer.Info{info("web", 1)})["web"])
	want := "\x1b[2m03:04:05.006 \x1b[0m" + c + "web.1 \x1b[31m ! \x1b[0m\x1b[32mok\x1b[0m\n" +
		"\x1b[2m03:04:05.006 \x1b[0m\x1b[1mgaffer | \x1b[0m\x1b[31mweb.1 crashed\x1b[0m\n"
	if b.String() != want {
		t.Errorf("got  %q\nwant %q", b.String(), want)
	}
}

func TestColoursAreStableAndDiffer(t *testing.T) {
	names := []string{"web", "worker", "mail", "clock", "db", "cache", "proxy", "api"}
	var infos []gaffer.Info
	for _, n := range names {
		infos = append(infos, info(n, 1))
	}
	got := colors(infos)
	seen := map[int]string{}
	for _, n := range names {
		if other := seen[got[n]]; other != "" {
			t.Errorf("%s and %s have the same colour", n, other)
		}
		seen[got[n]] = n
	}
	// A template keeps its colour when others are added behind it.
	if c := colors(append(infos, info("new", 1))); c["web"] != got["web"] || c["api"] != got["api"] {
		t.Error("a new template changed the colours of others")
	}
	// More templates than colours: each has one.
	for range 30 {
		infos = append(infos, info(strings.Repeat("y", len(infos)), 1))
	}
	for name, c := range colors(infos) {
		if c == 0 || c == red {
			t.Errorf("%s has colour %d", name, c)
		}
	}
}

func TestColourFollowsTheConventions(t *testing.T) {
	tests := []struct {
		terminal bool
		env      map[string]string
		want     bool
	}{
		{true, nil, true},
		{false, nil, false},
		{true, map[string]string{"NO_COLOR": "1"}, false},
		{true, map[string]string{"NO_COLOR": ""}, true},
		{true, map[string]string{"TERM": "dumb"}, false},
		{false, map[string]string{"CLICOLOR_FORCE": "1"}, true},
		{false, map[string]string{"CLICOLOR_FORCE": "0"}, false},
		{false, map[string]string{"CLICOLOR_FORCE": "1", "NO_COLOR": "1"}, false},
		{true, map[string]string{"TERM": "dumb", "CLICOLOR_FORCE": "1"}, true},
	}
	for _, tt := range tests {
		if got := WantsColor(tt.terminal, func(k string) string { return tt.env[k] }); got != tt.want {
			t.Errorf("terminal %v, %v: got %v, want %v", tt.terminal, tt.env, got, tt.want)
		}
	}
}
