package feed_test

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/gafferpm/gaffer"
)

func TestLogsAreText(t *testing.T) {
	w := newWorld(t, worldOptions{})
	w.add("web", `printf 'a\tb\033[31mred\033[0m \302\233 \342\200\256x \377\r\n'; echo "é end"; exec sleep 100`)
	w.written("web", "é end")
	for query, want := range map[string]string{
		"":                             "a\tb\\x1b[31mred\\x1b[0m \\u009b \\u202ex \\xff\né end\n",
		"&raw=true":                    "a\tb\x1b[31mred\x1b[0m \u009b \u202ex \xff\r\né end\n",
		"&prefix":                      "web.1 | a\tb\\x1b[31mred\\x1b[0m \\u009b \\u202ex \\xff\nweb.1 | é end\n",
		"&tail=1":                      "é end\n",
		"&tail=0":                      "",
		"&stream=stderr":               "",
		"&stream=stdout,stderr&tail=1": "é end\n",
		"&grep=%5Cted":                 "a\tb\\x1b[31mred\\x1b[0m \\u009b \\u202ex \\xff\n",
	} {
		if query == "&grep=%5Cted" {
			query = "&grep=" + url.QueryEscape(`\x1b\[31mr.d`)
		}
		code, body := w.whole("/v1/logs?target=web" + query)
		if code != 200 || body != want {
			t.Errorf("%s: %d %q, want %q", query, code, body, want)
		}
	}
	if code, _ := w.whole("/v1/logs?target=mail"); code != 404 {
		t.Errorf("unknown target: status %d", code)
	}
}

func TestLogsAreRecords(t *testing.T) {
	w := newWorld(t, worldOptions{})
	w.add("web", `echo one; sleep 0.02; printf 'two\377' >&2; echo >&2; sleep 0.02; echo end; exec sleep 100`)
	w.written("web", "end")
	_, body := w.whole("/v1/logs?target=web", "Accept: application/x-ndjson")
	var got []string
	for line := range strings.Lines(body) {
		if line == "{\"end\":true}\n" {
			got = append(got, "the end")
			continue
		}
		var o gaffer.Output
		w.ok(json.Unmarshal([]byte(line), &o))
		got = append(got, fmt.Sprintf("%s.%d %s %q", o.Name, o.Slot, o.Label, o.Data))
	}
	want := `web.1 stdout "one"; web.1 stderr "two\xff"; web.1 stdout "end"; the end`
	if s := strings.Join(got, "; "); s != want {
		t.Errorf("got %s, want %s", s, want)
	}
	in := w.follow("/v1/logs?target=web&tail=1", eventStream)
	if m := in.message(); !strings.HasPrefix(m, `event: output`+"\n"+`data: {"name":"web","id":1,"slot":1,"label":"stdout",`) {
		t.Errorf("message %q", m)
	}
	if m := in.message(); m != "event: end\ndata: {\"end\":true}" {
		t.Errorf("message %q", m)
	}
}

func TestLogsOfBeforeComeInTheOrderOfTime(t *testing.T) {
	w := newWorld(t, worldOptions{})
	for i := range 6 {
		name := []string{"a", "b", "c"}[i%3]
		if i < 3 {
			w.add(name, `echo first; while read line; do sleep 0.03; echo "$$line"; done`, withInput)
			w.written(gaffer.Target(name), "first")
			continue
		}
		w.ok(w.m.Write(w.ctx, gaffer.Target(name), "stdin", []byte("second\n")))
		w.written(gaffer.Target(name), "second")
	}
	want := "a.1 | first\nb.1 | first\nc.1 | first\na.1 | second\nb.1 | second\nc.1 | second\n"
	if _, body := w.whole("/v1/logs?prefix"); body != want {
		t.Errorf("logs %q", body)
	}
	in := w.follow("/v1/logs?prefix&follow")
	for line := range strings.Lines(want) {
		if got := in.line() + "\n"; got != line {
			t.Errorf("line %q, want %q", got, line)
		}
	}
	w.ok(w.m.Write(w.ctx, "b", "stdin", []byte("third\n")))
	if got := in.line(); got != "b.1 | third" {
		t.Errorf("line %q", got)
	}
}

func TestLogsAreChosenByTimeAndExpression(t *testing.T) {
	w := newWorld(t, worldOptions{})
	w.add("web", `for i in 1 2 3 4 5; do echo "old $$i"; done; while read line; do sleep 0.03; echo "$$line"; done`, withInput)
	w.written("web", "old 5")
	between := time.Now().UTC()
	// What is written within 10ms may be kept with one time.
	w.ok(w.m.Write(w.ctx, "web", "stdin", []byte("new 1\nnew 2\nnew 3\n")))
	w.written("web", "new 3")
	at := url.QueryEscape(between.Format(time.RFC3339Nano))
	for query, want := range map[string]string{
		"since=" + at:                    "new 1,new 2,new 3",
		"until=" + at:                    "old 1,old 2,old 3,old 4,old 5",
		"until=" + at + "&tail=2":        "old 4,old 5",
		"until=" + at + "&tail=2&follow": "old 4,old 5",
		"grep=[24]$":                     "old 2,old 4,new 2",
		"grep=[24]$&tail=2":              "old 4,new 2",
		"grep=[24]$&tail=0":              "",
		"grep=^old&since=" + at:          "",
		"since=1h&grep=1":                "old 1,new 1",
		fmt.Sprintf("since=%d&tail=1", between.Unix()-5): "new 3",
	} {
		_, body := w.whole("/v1/logs?target=web&" + query)
		if got := strings.ReplaceAll(strings.TrimSuffix(body, "\n"), "\n", ","); got != want {
			t.Errorf("%s: %s, want %s", query, got, want)
		}
	}
	in := w.follow("/v1/logs?target=web&follow&grep=4&tail=1")
	if got := in.line(); got != "old 4" {
		t.Errorf("line %q", got)
	}
	w.ok(w.m.Write(w.ctx, "web", "stdin", []byte("new 5\nnew 4\n")))
	if got := in.line(); got != "new 4" {
		t.Errorf("line %q", got)
	}
}

func TestFollowedLogsEndAtTheirTime(t *testing.T) {
	w := newWorld(t, worldOptions{})
	w.add("web", `echo here; exec sleep 100`)
	w.written("web", "here")
	until := url.QueryEscape(time.Now().Add(200 * time.Millisecond).Format(time.RFC3339Nano))
	begun := time.Now()
	if _, body := w.whole("/v1/logs?follow&until=" + until); body != "here\n" {
		t.Errorf("logs %q", body)
	}
	if took := time.Since(begun); took < 150*time.Millisecond {
		t.Errorf("they ended after %s", took)
	}
}

func TestLineInPiecesStaysALine(t *testing.T) {
	w := newWorld(t, worldOptions{manager: gaffer.Options{TailBytes: 1 << 20}})
	w.add("web", `head -c 200000 /dev/zero | tr '\0' x; echo; echo end; exec sleep 100`)
	w.written("web", "end")
	_, body := w.whole("/v1/logs?prefix&target=web")
	if !regexp.MustCompile(`^web\.1 \| x+\nweb\.1 \| end\n$`).MatchString(body) || strings.Count(body, "x") != 200000 {
		t.Errorf("%d bytes with %d x, from %.20q to %q", len(body), strings.Count(body, "x"), body, body[max(0, len(body)-20):])
	}
}

func TestLogsWithRawRecordsAreBytesAsTheyCome(t *testing.T) {
	w := newWorld(t, worldOptions{})
	w.add("web", `echo line; printf 'prompt> '; exec sleep 100`)
	in := w.follow("/v1/logs?target=web&raw&tail=-1&follow", "Accept: application/x-ndjson")
	var got string
	for got != "line\nprompt> " {
		var o gaffer.Output
		w.ok(json.Unmarshal([]byte(in.line()), &o))
		got += string(o.Data)
	}
}

// A chatty process must not cost a write for each line, and what comes after a
// pause must not wait.
func TestManyLinesAreFewWrites(t *testing.T) {
	w := newWorld(t, worldOptions{})
	w.add("web", `echo ready; read go; i=0; while [ $$i -lt 20000 ]; do echo "line $$i"; i=$$((i+1)); done; echo end; exec cat`, withInput)
	out := &writes{world: w, header: http.Header{}, wrote: make(chan []byte)}
	ctx, cancel := context.WithCancel(w.ctx)
	r, err := http.NewRequestWithContext(ctx, "GET", "/v1/logs?target=web&follow&tail=-1", nil)
	w.ok(err)
	done := make(chan error, 1)
	go func() { done <- w.feed.Logs(out, r, w.m) }()
	if got := string(<-out.wrote); got != "ready\n" { // it follows
		t.Fatalf("wrote %q", got)
	}
	w.ok(w.m.Write(w.ctx, "web", "stdin", []byte("go\n")))
	lines, count := 0, 0
	for last := ""; !strings.HasSuffix(last, "end\n"); count++ {
		last = string(<-out.wrote)
		lines += strings.Count(last, "\n")
	}
	if lines != 20001 || count > lines/20 {
		t.Errorf("%d lines in %d writes", lines, count)
	}
	t.Logf("%d lines in %d writes", lines, count)
	w.ok(w.m.Write(w.ctx, "web", "stdin", []byte("one more\n")))
	if got := string(<-out.wrote); got != "one more\n" {
		t.Errorf("wrote %q", got)
	}
	cancel()
	w.ok(<-done)
}

// writes is a response of which each write is seen. It knows no deadlines, and no
// flushing.
type writes struct {
	*world
	header http.Header
	wrote  chan []byte
}

func (o *writes) Header() http.Header { return o.header }
func (o *writes) WriteHeader(int)     {}

func (o *writes) Write(b []byte) (int, error) {
	select {
	case o.wrote <- slices.Clone(b):
		return len(b), nil
	case <-o.ctx.Done():
		return 0, o.ctx.Err()
	}
}
