package feed_test

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/coder/websocket"

	"github.com/gafferpm/gaffer"
	"github.com/gafferpm/gaffer/api/internal/feed"
)

// socket is a WebSocket's other end.
type socket struct {
	*world
	conn *websocket.Conn
}

func (w *world) attach(path string, opts websocket.DialOptions) *socket {
	w.Helper()
	opts.HTTPClient = w.client
	conn, _, err := websocket.Dial(w.ctx, "http://gaffer/v1/processes/"+path, &opts)
	w.ok(err)
	conn.SetReadLimit(1 << 20)
	w.Cleanup(func() { _ = conn.CloseNow() })
	return &socket{w, conn}
}

// frame is what the server sends.
type frame struct {
	gaffer.Output
	Error  string `json:"error"`
	Missed int    `json:"missed"`
	End    bool   `json:"end"`
}

func (s *socket) next() frame {
	s.Helper()
	kind, data, err := s.conn.Read(s.ctx)
	s.ok(err)
	if kind != websocket.MessageText {
		s.Errorf("a message is %v", kind)
	}
	var f frame
	s.ok(json.Unmarshal(data, &f.Output))
	var rest struct {
		Error  string `json:"error"`
		Missed int    `json:"missed"`
		End    bool   `json:"end"`
	}
	s.ok(json.Unmarshal(data, &rest))
	f.Error, f.Missed, f.End = rest.Error, rest.Missed, rest.End
	return f
}

func (s *socket) send(kind websocket.MessageType, text string) {
	s.Helper()
	s.ok(s.conn.Write(s.ctx, kind, []byte(text)))
}

// reads reads output until it is all that is wanted.
func (s *socket) reads(label, want string) {
	s.Helper()
	got := ""
	for len(got) < len(want) {
		f := s.next()
		if f.Label != label || f.Name == "" || f.ID == 0 || f.Slot != 1 {
			s.Fatalf("frame %+v after %q", f, got)
		}
		got += string(f.Data)
	}
	if got != want {
		s.Fatalf("got %q, want %q", got, want)
	}
}

func TestAttachEchoes(t *testing.T) {
	w := newWorld(t, worldOptions{})
	w.add("web", "exec cat", withInput)
	s := w.attach("web/attach", websocket.DialOptions{})
	s.send(websocket.MessageBinary, "bytes\x00\xff")
	s.reads("stdout", "bytes\x00\xff")
	s.send(websocket.MessageText, `{"data":"no newline"}`)
	s.reads("stdout", "no newline")
	s.send(websocket.MessageText, `{"label":"stdin","base64":"`+base64.StdEncoding.EncodeToString([]byte{0, 1, 2})+`"}`)
	s.reads("stdout", "\x00\x01\x02")
	large := strings.Repeat("0123456789abcde\n", 40000)
	s.send(websocket.MessageBinary, large)
	s.reads("stdout", large)
	w.ok(s.conn.Close(websocket.StatusNormalClosure, ""))
}

func TestAttachShowsWhatWasBeforeAndTheStreamsWanted(t *testing.T) {
	w := newWorld(t, worldOptions{})
	w.add("web", "echo out; echo err >&2; echo done; exec sleep 100")
	w.written("web", "done")
	w.attach("web.1/attach?tail=-1&stream=stderr", websocket.DialOptions{}).reads("stderr", "err\n")
}

func TestAttachWritesToCustomStreams(t *testing.T) {
	w := newWorld(t, worldOptions{})
	w.add("web", "exec cat <&3", func(t *gaffer.Template) { t.CustomStreams = []string{"ctl"} })
	s := w.attach("web/attach", websocket.DialOptions{})
	s.send(websocket.MessageText, `{"label":"ctl","data":"hello"}`)
	s.reads("stdout", "hello")
}

func TestAttachTellsWhatCannotBeWritten(t *testing.T) {
	w := newWorld(t, worldOptions{})
	w.add("web", "exec cat <&3", func(t *gaffer.Template) { t.CustomStreams = []string{"ctl"} })
	s := w.attach("web/attach", websocket.DialOptions{})
	s.send(websocket.MessageBinary, strings.Repeat("x", 100000))
	if f := s.next(); !strings.Contains(f.Error, "redirect_input") {
		t.Errorf("frame %+v", f)
	}
	for _, text := range []string{
		`{"label":"none","data":"x"}`, `{"label":"ctl"}`, `{"label":"ctl","data":"a","base64":"YQ=="}`, `{"label":"ctl","base64":"!"}`,
		`{"labl":"ctl","data":"x"}`, `hello`, ``, `{"data":"x"}{}`, `[]`, "\xff",
	} {
		s.send(websocket.MessageText, text)
		if f := s.next(); f.Error == "" {
			t.Errorf("%s: frame %+v", text, f)
		}
	}
	s.send(websocket.MessageText, `{"label":"ctl","data":"still here"}`)
	s.reads("stdout", "still here")
}

func TestAttachEndsWithTheProcess(t *testing.T) {
	w := newWorld(t, worldOptions{})
	w.add("web", "read line; echo bye; exit 3", withInput, noRestart)
	s := w.attach("web/attach", websocket.DialOptions{})
	s.send(websocket.MessageBinary, "x\n")
	s.reads("stdout", "bye\n")
	if f := s.next(); !f.End {
		t.Errorf("frame %+v", f)
	}
	if _, _, err := s.conn.Read(w.ctx); websocket.CloseStatus(err) != websocket.StatusNormalClosure {
		t.Errorf("it is closed with %v", err)
	}
}

func TestAttachEndsWithTheServer(t *testing.T) {
	w := newWorld(t, worldOptions{})
	w.add("web", "exec sleep 100", withInput)
	s := w.attach("web/attach", websocket.DialOptions{})
	drained := make(chan error, 1)
	go func() { drained <- w.feed.Drain(w.ctx) }()
	if f := s.next(); !f.End {
		t.Errorf("frame %+v", f)
	}
	if _, _, err := s.conn.Read(w.ctx); websocket.CloseStatus(err) != websocket.StatusGoingAway {
		t.Errorf("it is closed with %v", err)
	}
	w.ok(<-drained)
}

func TestAttachCutsTooLargeMessages(t *testing.T) {
	w := newWorld(t, worldOptions{})
	w.add("web", "exec cat >/dev/null", withInput)
	s := w.attach("web/attach", websocket.DialOptions{})
	_ = s.conn.Write(w.ctx, websocket.MessageText, []byte(`{"data":"`+strings.Repeat("x", 1<<20)+`"}`))
	if _, _, err := s.conn.Read(w.ctx); websocket.CloseStatus(err) != websocket.StatusMessageTooBig {
		t.Errorf("it is closed with %v", err)
	}
}

func TestAttachRefusesWhatIsNoWebSocketOrOfAStrangePage(t *testing.T) {
	w := newWorld(t, worldOptions{feed: feed.Options{Origins: []string{"*.example.com", "https://other.org"}}})
	w.add("web", "exec sleep 100", func(t *gaffer.Template) { t.NumProcesses = new(2) })
	if code, body := w.whole("/v1/processes/web.1/attach"); code != http.StatusUpgradeRequired {
		t.Errorf("%d %s", code, body)
	}
	upgrade := []string{"Connection: keep-alive, Upgrade", "Upgrade: websocket", "Sec-WebSocket-Version: 13", "Sec-WebSocket-Key: MDEyMzQ1Njc4OWFiY2RlZg=="}
	for path, want := range map[string]int{"web": 422, "none": 404, "99": 404} {
		if code, body := w.whole("/v1/processes/"+path+"/attach", upgrade...); code != want {
			t.Errorf("%s: %d %s", path, code, body)
		}
	}
	if code, body := w.whole("/v1/processes/web.1/attach", upgrade[:2]...); code != http.StatusBadRequest {
		t.Errorf("without a key: %d %s", code, body)
	}
	for origin, want := range map[string]bool{
		"http://gaffer": true, "https://a.example.com": true, "https://A.EXAMPLE.com": true, "https://other.org": true,
		"http://other.org": false, "http://example.com": false, "http://gaffer.evil.org": false, "null": false, "http://a.example.com.evil.org": false,
		"://": false, "https://other.org:8443": false,
	} {
		conn, resp, err := websocket.Dial(w.ctx, "http://gaffer/v1/processes/web.1/attach", &websocket.DialOptions{
			HTTPClient: w.client, HTTPHeader: http.Header{"Origin": {origin}}, Subprotocols: []string{"gaffer.v1", "gaffer.key.x"},
		})
		if want != (err == nil) {
			t.Errorf("origin %s: %v", origin, err)
		}
		if err == nil {
			if got := conn.Subprotocol(); got != "gaffer.v1" {
				t.Errorf("subprotocol %q", got)
			}
			_ = conn.CloseNow()
		} else if resp.StatusCode != http.StatusForbidden {
			t.Errorf("origin %s: %s", origin, resp.Status)
		}
	}
}

func TestSilentAttachedClientIsPinged(t *testing.T) {
	w := newWorld(t, worldOptions{feed: feed.Options{Heartbeat: 10 * time.Millisecond, Stall: time.Second}})
	w.add("web", "exec cat", withInput)
	pings := make(chan struct{}, 100)
	s := w.attach("web/attach", websocket.DialOptions{OnPingReceived: func(context.Context, []byte) bool {
		pings <- struct{}{}
		return true
	}})
	done := make(chan struct{})
	go func() {
		defer close(done)
		s.reads("stdout", "x")
	}()
	for range 3 {
		<-pings
	}
	s.send(websocket.MessageBinary, "x")
	<-done
}

func TestAttachedClientThatAnswersNoPingIsCut(t *testing.T) {
	w := newWorld(t, worldOptions{feed: feed.Options{Heartbeat: 10 * time.Millisecond, Stall: 50 * time.Millisecond}})
	w.add("web", "exec cat", withInput)
	s := w.attach("web/attach", websocket.DialOptions{OnPingReceived: func(context.Context, []byte) bool { return false }})
	if _, _, err := s.conn.Read(w.ctx); err == nil || errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("read: %v", err)
	}
}

// While a process takes no input, the client's answers are not read: that is no
// reason to cut it.
func TestAttachedClientWhoseInputWaitsIsNotCut(t *testing.T) {
	w := newWorld(t, worldOptions{feed: feed.Options{Heartbeat: 10 * time.Millisecond, Stall: 300 * time.Millisecond}})
	w.add("web", "trap 'exec cat' HUP; echo ready; while :; do sleep 0.05; done", withInput)
	w.written("web", "ready")
	pings := make(chan struct{}, 100)
	s := w.attach("web/attach", websocket.DialOptions{OnPingReceived: func(context.Context, []byte) bool {
		pings <- struct{}{}
		return true
	}})
	const size = 130000 // more than the pipe holds, not more than the socket does besides
	done := make(chan struct{})
	go func() {
		defer close(done)
		s.reads("stdout", strings.Repeat("x", size))
	}()
	s.send(websocket.MessageBinary, strings.Repeat("x", size))
	for range 3 { // the next is not sent before the answer has been waited for
		<-pings
	}
	w.ok(w.m.Signal(w.ctx, "web", 1))
	<-done
}
