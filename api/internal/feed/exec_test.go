package feed_test

import (
	"context"
	"encoding/json"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/coder/websocket"

	"github.com/gafferpm/gaffer"
	"github.com/gafferpm/gaffer/api/internal/feed"
)

// told is what the server says to who runs a command.
type told struct {
	Started *struct{ PID, Window int }
	Taken   int
	Error   string
	Problem *struct{ Detail string }
	Exit    *gaffer.Exit
	End     bool
}

// hears reads what comes, until it says that it is over or what is wanted; out is what
// the command wrote before.
func (s *socket) hears(until func(*told, string) bool) (last told, out string) {
	s.Helper()
	for {
		kind, data, err := s.conn.Read(s.ctx)
		s.ok(err)
		if kind == websocket.MessageBinary {
			if data[0] != 1 && data[0] != 2 {
				s.Fatalf("binary message %q", data)
			}
			out += string(data[1:])
			if until(&told{}, out) {
				return last, out
			}
			continue
		}
		last = told{}
		s.ok(json.Unmarshal(data, &last))
		if last.Exit != nil || last.Problem != nil || last.End || until(&last, out) {
			return last, out
		}
	}
}

func never(*told, string) bool { return false }

func (w *world) exec(order string) *socket {
	w.Helper()
	s := w.attach("web/exec", websocket.DialOptions{})
	s.send(websocket.MessageText, order)
	return s
}

func TestExecWithoutAWindow(t *testing.T) {
	w := newWorld(t, worldOptions{})
	w.add("web", "exec sleep 100")
	s := w.exec(`{"args":["sh","-c","echo $A; exec cat"],"env":{"A":"b"},"input":true}`)
	if got, _ := s.hears(func(m *told, _ string) bool { return m.Started != nil }); got.Started == nil || got.Started.PID == 0 || got.Started.Window == 0 {
		t.Errorf("%+v", got)
	}
	large := strings.Repeat("0123456789abcde\n", 40000) // more than one window
	s.send(websocket.MessageBinary, large)
	s.send(websocket.MessageText, `{"end_input":true}`)
	got, out := s.hears(never)
	if got.Exit == nil || got.Exit.Status != 0 || out != "b\n"+large {
		t.Errorf("%d bytes, %+v", len(out), got)
	}
	if _, _, err := s.conn.Read(w.ctx); websocket.CloseStatus(err) != websocket.StatusNormalClosure {
		t.Errorf("it is closed with %v", err)
	}
}

func TestExecSendsNoMoreThanTheWindow(t *testing.T) {
	w := newWorld(t, worldOptions{feed: feed.Options{Heartbeat: 10 * time.Millisecond, Stall: 100 * time.Millisecond}})
	w.add("web", "exec sleep 100")
	s := w.exec(`{"args":["sh","-c","head -c 100000 /dev/zero | tr '\\0' x"],"window":1000}`)
	enough := func(_ *told, out string) bool { return len(out) == 1000 }
	if _, out := s.hears(enough); len(out) != 1000 {
		t.Fatalf("%d bytes", len(out))
	}
	s.send(websocket.MessageText, `{"taken":1001}`)
	if got, _ := s.hears(func(m *told, _ string) bool { return m.Error != "" }); !strings.Contains(got.Error, "taken") {
		t.Errorf("%+v", got)
	}
	all := 1000
	for got := (told{}); got.Exit == nil; {
		s.send(websocket.MessageText, `{"taken":1000}`)
		var out string
		got, out = s.hears(enough)
		all += len(out)
	}
	if all != 100000 {
		t.Errorf("%d bytes", all)
	}
}

func TestASignalIsHeardThoughInputWaits(t *testing.T) {
	w := newWorld(t, worldOptions{})
	w.add("web", "exec sleep 100")
	s := w.exec(`{"args":["sh","-c","echo ready; exec sleep 1000"],"input":true}`)
	s.hears(func(_ *told, out string) bool { return out == "ready\n" })
	s.send(websocket.MessageBinary, strings.Repeat("x", 200_000)) // more than its pipe holds
	s.send(websocket.MessageText, `{"signal":"TERM"}`)
	if got, _ := s.hears(never); got.Exit == nil || got.Exit.Signal != 15 {
		t.Errorf("%+v", got)
	}
}

func TestExecThatIsNotUnderstood(t *testing.T) {
	w := newWorld(t, worldOptions{})
	w.add("web", "exec sleep 100")
	for _, order := range []string{`{}`, `hello`, `{"args":["nowhere-to-be-found"]}`, `{"args":["sh"],"terminal":{"cols":0,"rows":1}}`, `{"args":["sh"],"x":1}`, `{"args":["sh"],"window":-1}`} {
		s := w.exec(order)
		if got, _ := s.hears(never); got.Problem == nil || got.Problem.Detail == "" {
			t.Errorf("%s: %+v", order, got)
		}
		if _, _, err := s.conn.Read(w.ctx); websocket.CloseStatus(err) != websocket.StatusNormalClosure {
			t.Errorf("%s: it is closed with %v", order, err)
		}
	}
	s := w.exec(`{"args":["sh","-c","read x"],"input":true}`)
	for _, text := range []string{`{}`, `x`, `{"taken":-1}`, `{"taken":1}`, `{"signal":"INT","taken":1}`, `{"resize":{"cols":1,"rows":1}}`, `{"signal":"NOPE"}`} {
		s.send(websocket.MessageText, text)
		if got, _ := s.hears(func(m *told, _ string) bool { return m.Error != "" }); got.Error == "" {
			t.Errorf("%s: %+v", text, got)
		}
	}
	s.send(websocket.MessageBinary, "\n")
	if got, _ := s.hears(never); got.Exit == nil || got.Exit.Status != 0 {
		t.Errorf("%+v", got)
	}
	if code, body := w.whole("/v1/processes/web/exec"); code != http.StatusUpgradeRequired {
		t.Errorf("%d %s", code, body)
	}
}

func TestExecEndsWithItsClientAndWithTheServer(t *testing.T) {
	for name, end := range map[string]func(*world, *socket){
		"closed": func(w *world, s *socket) { _ = s.conn.Close(websocket.StatusNormalClosure, "") },
		"gone":   func(w *world, s *socket) { _ = s.conn.CloseNow() },
		"drained": func(w *world, s *socket) {
			drained := make(chan error, 1)
			go func() { drained <- w.feed.Drain(w.ctx) }()
			if got, _ := s.hears(never); !got.End {
				w.Errorf("%+v", got)
			}
			_, _, _ = s.conn.Read(w.ctx)
			w.ok(<-drained)
		},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, worldOptions{})
			w.add("web", "exec cat", withInput)
			// Who has a FIFO open for writing is known to have ended by who reads it.
			fifo := w.TempDir() + "/fifo"
			s := w.exec(`{"args":["sh","-c","mkfifo ` + fifo + `; echo made; exec > ` + fifo + `; echo open; exec sleep 1000"]}`)
			s.hears(func(_ *told, out string) bool { return out == "made\n" })
			read := w.exec(`{"args":["cat","` + fifo + `"]}`)
			read.hears(func(_ *told, out string) bool { return out == "open\n" })
			if name == "drained" { // the other one ends with it, and answers, too
				go func() {
					for _, _, err := read.conn.Read(w.ctx); err == nil; _, _, err = read.conn.Read(w.ctx) {
					}
				}()
				end(w, s)
				return
			}
			end(w, s)
			if got, _ := read.hears(never); got.Exit == nil {
				t.Errorf("%+v", got)
			}
		})
	}
}

func TestExecIsPinged(t *testing.T) {
	w := newWorld(t, worldOptions{feed: feed.Options{Heartbeat: 10 * time.Millisecond, Stall: 50 * time.Millisecond}})
	w.add("web", "exec sleep 100")
	s := w.attach("web/exec", websocket.DialOptions{OnPingReceived: func(context.Context, []byte) bool { return false }})
	s.send(websocket.MessageText, `{"args":["sleep","1000"]}`)
	for {
		if _, _, err := s.conn.Read(w.ctx); err != nil {
			if w.ctx.Err() != nil {
				t.Error("it is not cut")
			}
			return
		}
	}
}

func onTerminal(t *gaffer.Template) { t.PTY = true }

func TestAttachToATerminal(t *testing.T) {
	w := newWorld(t, worldOptions{})
	w.add("web", "stty -echo; echo ready; read x; stty size; read x; exit 3", onTerminal, noRestart)
	w.written("web", "ready\r")
	s := w.attach("web/attach?bytes=true&tail=-1", websocket.DialOptions{})
	other := w.attach("web/attach?lines=true&tail=1", websocket.DialOptions{})
	read := func(want string) {
		t.Helper()
		got := ""
		for len(got) < len(want) {
			kind, data, err := s.conn.Read(w.ctx)
			w.ok(err)
			if kind != websocket.MessageBinary {
				t.Fatalf("after %q: %s", got, data)
			}
			got += string(data)
		}
		if got != want {
			t.Fatalf("got %q, want %q", got, want)
		}
	}
	read("ready\r\n")
	for _, text := range []string{`{"resize":{"cols":0,"rows":1}}`, `{"resize":{"cols":1,"rows":1},"data":"x"}`, `{"resize":{"cols":1,"rows":1},"label":"stdin"}`} {
		s.send(websocket.MessageText, text)
		if f := s.next(); f.Error == "" {
			t.Errorf("%s: %+v", text, f)
		}
	}
	other.send(websocket.MessageText, `{"resize":{"cols":30,"rows":20}}`)
	s.send(websocket.MessageText, `{"resize":{"cols":132,"rows":50}}`)
	s.send(websocket.MessageBinary, "\n")
	for _, want := range []string{"ready\r"} {
		if f := other.next(); string(f.Data) != want {
			t.Errorf("%+v, want %q", f, want)
		}
	}
	if f := other.next(); string(f.Data) != "50 132\r" && string(f.Data) != "20 30\r" { // whoever came last
		t.Errorf("%+v", f)
	}
	_, _, err := s.conn.Read(w.ctx)
	w.ok(err)
	other.send(websocket.MessageBinary, "\n")
	for _, each := range []*socket{s, other} {
		kind, data, err := each.conn.Read(w.ctx)
		w.ok(err)
		var end struct {
			End  bool
			Exit *gaffer.Exit
		}
		if kind != websocket.MessageText || json.Unmarshal(data, &end) != nil || !end.End || end.Exit == nil || end.Exit.Status != 3 {
			t.Errorf("the end is %s", data)
		}
	}
}

func TestAttachOfWhatHasNoTerminalOrNoStreams(t *testing.T) {
	w := newWorld(t, worldOptions{})
	w.add("web", "exec cat", withInput)
	w.ok(w.m.Add(w.ctx, gaffer.Template{Name: "once", Cmd: "true", Detach: true}))
	s := w.attach("web/attach", websocket.DialOptions{})
	s.send(websocket.MessageText, `{"resize":{"cols":80,"rows":24}}`)
	if f := s.next(); !strings.Contains(f.Error, "pty") {
		t.Errorf("%+v", f)
	}
	upgrade := []string{"Connection: Upgrade", "Upgrade: websocket", "Sec-WebSocket-Version: 13", "Sec-WebSocket-Key: MDEyMzQ1Njc4OWFiY2RlZg=="}
	for path, want := range map[string]int{"once/attach": 409, "web/attach?bytes=true": 422, "web/attach?bytes=true&lines=true": 422, "web/attach?after=x": 422} {
		if code, body := w.whole("/v1/processes/"+path, upgrade...); code != want {
			t.Errorf("%s: %d %s", path, code, body)
		}
	}
}
