package feed_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/gafferpm/gaffer"
	"github.com/gafferpm/gaffer/api/internal/feed"
)

func TestRawStreamIsTheBytesToTheEndOfTheProcess(t *testing.T) {
	w := newWorld(t, worldOptions{})
	w.add("web", `printf 'a\000\377'; read line; printf "$$line"; head -c 100000 /dev/zero; exit 3`, withInput, noRestart)
	w.add("mail", "exec sleep 100")
	in := w.follow("/v1/processes/web/streams/stdout?tail=-1")
	if got := in.resp.Header.Get("Content-Type"); got != "application/octet-stream" {
		t.Errorf("content type %q", got)
	}
	w.ok(w.m.Write(w.ctx, "web", "stdin", []byte("prompt\n")))
	rest, err := in.ends()
	if want := "a\x00\xffprompt" + strings.Repeat("\x00", 100000); rest != want || err != nil {
		t.Errorf("%d bytes %.20q, want %d; %v", len(rest), rest, len(want), err)
	}
}

// noRestart leaves a template alone for long once it has crashed.
func noRestart(t *gaffer.Template) {
	t.Flapping = &gaffer.Flapping{Attempts: 1, Window: gaffer.Duration(time.Hour), RetryIn: new(gaffer.Duration(time.Hour))}
}

func TestRawStreamOfBefore(t *testing.T) {
	w := newWorld(t, worldOptions{})
	w.add("web", `echo hello; exec sleep 100`)
	w.written("web", "hello")
	for query, want := range map[string]string{"follow=false&tail=-1": "hello\n", "follow=false": "", "follow=false&tail=3": "lo\n"} {
		if _, body := w.whole("/v1/processes/1/streams/stdout?" + query); body != want {
			t.Errorf("%s: %q, want %q", query, body, want)
		}
	}
}

func TestRawStreamIsOfOneProcess(t *testing.T) {
	w := newWorld(t, worldOptions{})
	w.add("web", "exec sleep 100", func(t *gaffer.Template) { t.NumProcesses = new(2) })
	w.add("off", "exec sleep 100", func(t *gaffer.Template) { t.Start = new(false) })
	for path, want := range map[string]int{
		"web/streams/stdout": 422, "*/streams/stdout": 422, "web.2/streams/stdout?follow=false": 200, "web.2/streams/log": 404,
		"web.2/streams/stdin": 404, "mail/streams/stdout": 404, "off/streams/stdout": 404, "99/streams/stdout": 404, "web.9/streams/stdout": 404,
	} {
		if code, body := w.whole("/v1/processes/" + path); code != want {
			t.Errorf("%s: %d %s, want %d", path, code, body, want)
		}
	}
}

func TestRawStreamThatLosesBytesIsCut(t *testing.T) {
	w := newWorld(t, worldOptions{wrap: func(c gaffer.Controller) gaffer.Controller { return lossy{c} }})
	w.add("web", "exec sleep 100")
	rest, err := w.follow("/v1/processes/web/streams/stdout").ends()
	if rest != "before" || !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("%q, %v", rest, err)
	}
	// Text says it where it happens.
	if got := w.follow("/v1/logs?follow&tail=0"); got.line() != "before" || !strings.Contains(got.line(), "7 lines are missing") || got.line() != "after" {
		t.Error("logs do not tell the loss")
	}
	// What goes wrong after that must not look like the end.
	rest, err = w.follow("/v1/logs?follow&tail=0").ends()
	if !strings.HasSuffix(rest, "after\n") || !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("%q, %v", rest, err)
	}
	rest, err = w.follow("/v1/logs?follow&tail=0", "Accept: application/x-ndjson").ends()
	if strings.Contains(rest, "end") || !strings.Contains(rest, "\n{\"missed\":7}\n") || err != nil {
		t.Errorf("%q, %v", rest, err)
	}
}

// lossy is a controller that loses some output, and then its mind.
type lossy struct{ gaffer.Controller }

func (c lossy) Output(context.Context, gaffer.Target, gaffer.OutputOptions) (gaffer.Stream[gaffer.Output], error) {
	return &script{steps: []any{gaffer.Output{Data: []byte("before")}, gaffer.Missed(7), gaffer.Output{Data: []byte("after")}, errors.New("out of its mind")}}, nil
}

// script is a stream of what is prescribed.
type script struct{ steps []any }

func (s *script) Next(context.Context) (gaffer.Output, error) {
	if len(s.steps) == 0 {
		return gaffer.Output{}, io.EOF
	}
	step := s.steps[0]
	s.steps = s.steps[1:]
	if err, ok := step.(error); ok {
		return gaffer.Output{}, err
	}
	return step.(gaffer.Output), nil
}

func (s *script) Len() int { return 0 }
func (s *script) Close()   {}

// post writes to a process.
func (w *world) post(path string, body io.Reader) (int, string) {
	w.Helper()
	resp := w.request(w.ctx, "POST", "/v1/processes/"+path, body)
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	w.ok(err)
	return resp.StatusCode, string(b)
}

func TestInputIsWritten(t *testing.T) {
	w := newWorld(t, worldOptions{})
	w.add("web", "exec cat", withInput)
	w.add("deaf", "exec sleep 100")
	w.add("link", "cat <&3 & exec sleep 100", func(t *gaffer.Template) { t.CustomStreams = []string{"link"} })
	out := w.follow("/v1/processes/web/streams/stdout")
	// More than a pipe holds, so that the body has to wait for the process.
	body := bytes.Repeat([]byte("0123456789abcde\n"), 1<<16)
	read := make(chan string, 1)
	go func() {
		b := make([]byte, len(body)+len("hello\n"))
		_, _ = io.ReadFull(out.in, b)
		read <- string(b)
	}()
	if code, answer := w.post("web/streams/stdin", bytes.NewReader(body)); code != 200 || answer != fmt.Sprintf("{\"written\":%d}\n", len(body)) {
		t.Errorf("%d %s", code, answer)
	}
	if code, answer := w.post("web.1/streams/stdin", strings.NewReader("hello\n")); code != 200 || answer != "{\"written\":6}\n" {
		t.Errorf("%d %s", code, answer)
	}
	if got := <-read; got != string(body)+"hello\n" {
		t.Errorf("%d bytes came back of %d", len(got), len(body)+6)
	}
	if code, answer := w.post("link/streams/link", strings.NewReader("hello\n")); code != 200 {
		t.Errorf("%d %s", code, answer)
	}
	w.written("link", "hello")
	for path, want := range map[string]int{
		"deaf/streams/stdin": 409, "web/streams/stdout": 404, "web/streams/stdin?x=1": 422, "*/streams/stdin": 422, "none/streams/stdin": 404,
	} {
		for _, text := range []string{"x", ""} {
			if code, answer := w.post(path, strings.NewReader(text)); code != want {
				t.Errorf("%s: %d %s, want %d", path, code, answer, want)
			}
		}
	}
}

func TestInputOfAProcessThatEndsTellsHowMuchItTook(t *testing.T) {
	w := newWorld(t, worldOptions{})
	w.add("web", "read line; exit 3", withInput, noRestart)
	exits, err := w.m.Subscribe(w.ctx, "web", gaffer.EventOptions{Kinds: []gaffer.Kind{gaffer.KindExit}})
	w.ok(err)
	defer exits.Close()
	body, send := io.Pipe()
	go func() {
		_, _ = send.Write([]byte("line\n"))
		_, _ = exits.Next(w.ctx)
		_, _ = send.Write([]byte("more\n"))
		_ = send.Close()
	}()
	code, answer := w.post("web/streams/stdin", body)
	if code != http.StatusNotFound || !strings.Contains(answer, "after 5 bytes") {
		t.Errorf("%d %s", code, answer)
	}
}

func TestInputThatIsNotTakenIsGivenUp(t *testing.T) {
	w := newWorld(t, worldOptions{feed: feed.Options{Stall: 50 * time.Millisecond}})
	w.add("web", "exec sleep 100", withInput)
	code, answer := w.post("web/streams/stdin", bytes.NewReader(make([]byte, 200000)))
	if code != http.StatusGatewayTimeout || !strings.Contains(answer, "(after ") {
		t.Errorf("%d %s", code, answer)
	}
}

func TestDrainEndsABodyThatDoesNotCome(t *testing.T) {
	w := newWorld(t, worldOptions{})
	w.add("web", "exec cat", withInput)
	out := w.follow("/v1/processes/web/streams/stdout")
	body, send := io.Pipe()
	go func() {
		_, _ = send.Write([]byte("line\n"))
		out.line()
		_ = w.feed.Drain(w.ctx)
	}()
	defer send.Close()
	if code, answer := w.post("web/streams/stdin", body); code != http.StatusServiceUnavailable || !strings.Contains(answer, "after 5 bytes") {
		t.Errorf("%d %s", code, answer)
	}
}

func TestStatsComeAgainAndAgain(t *testing.T) {
	w := newWorld(t, worldOptions{})
	w.add("web", "exec sleep 100")
	in := w.follow("/v1/stats?interval=100ms&target=web")
	for range 2 {
		var stats []gaffer.Stats
		w.ok(json.Unmarshal([]byte(in.line()), &stats))
		if len(stats) != 1 || stats[0].Name != "web" || len(stats[0].Processes) != 1 {
			t.Errorf("stats %+v", stats)
		}
	}
	m := w.follow("/v1/stats?interval=0.1", eventStream).message()
	if !strings.HasPrefix(m, "event: stats\ndata: [{\"name\":\"web\",") {
		t.Errorf("message %q", m)
	}
	if line := w.follow("/v1/stats?target=none").line(); line != "[]" {
		t.Errorf("of what does not exist yet: %q", line)
	}
	if _, body := w.whole("/v1/stats?follow=false"); !strings.HasPrefix(body, "[{\"name\":\"web\"") || !strings.HasSuffix(body, "\n{\"end\":true}\n") {
		t.Errorf("once: %q", body)
	}
	if code, _ := w.whole("/v1/stats?follow=false&target=none"); code != http.StatusNotFound {
		t.Errorf("once, of what does not exist: %d", code)
	}
}

func TestStreamsOfStatsAreBounded(t *testing.T) {
	w := newWorld(t, worldOptions{})
	w.add("web", "exec sleep 100")
	var open []*lines
	for range 16 {
		open = append(open, w.follow("/v1/stats?interval=1m"))
	}
	if code, text := w.whole("/v1/stats"); code != 429 {
		t.Errorf("one too many: %d %s", code, text)
	}
	if code, text := w.whole("/v1/stats?follow=false"); code != 200 {
		t.Errorf("a single reading: %d %s", code, text)
	}
	open[0].hangUp()
	for { // until the server has seen it
		resp := w.request(w.ctx, "GET", "/v1/stats", nil)
		w.ok(resp.Body.Close())
		if resp.StatusCode == 200 {
			return
		}
	}
}
