package gaffer

import (
	"encoding/json"
	"fmt"
	"net"
	"os"
	"runtime"
	"strings"
	"testing"
	"time"
)

func TestWhoHoldsThePortIsSaid(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("who listens is told by Linux only")
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	port := l.Addr().(*net.TCPAddr).Port
	want := fmt.Sprintf("port %d is held by pid %d (", port, os.Getpid())
	backoff := &Backoff{First: new(Duration(time.Minute)), Max: new(Duration(time.Minute))}
	for what, tpl := range map[string]Template{
		"its PORT":                  {Name: "web", Cmd: "exit 1", Port: port},
		"the port it spoke of":      {Name: "web", Cmd: fmt.Sprintf("echo 'listen tcp :%d: bind: address already in use' >&2; exit 1", port)},
		"its PORT, not the error's": {Name: "web", Cmd: "echo 'OSError: [Errno 98] Address already in use' >&2; exit 1", Port: port},
		"the port of another way":   {Name: "web", Cmd: fmt.Sprintf("echo 'Error: listen EADDRINUSE: address already in use 127.0.0.1:%d'; exit 1", port), Port: 1},
	} {
		t.Run(what, func(t *testing.T) {
			r := newReal(t, Options{})
			tpl.Shell, tpl.Backoff = true, backoff
			r.ok(r.Add(r.ctx, tpl))
			for {
				if e := r.next(KindBackoff); strings.HasPrefix(e.Message, want) {
					break
				}
			}
			if p := r.status("web").Processes[0]; !strings.Contains(p.LastExit.Reason, want) || !strings.Contains(p.Reason, want) {
				t.Errorf("%+v, want in the reasons: %s", p, want)
			}
		})
	}
}

func TestOutputInJSONIsTextWhereItIsText(t *testing.T) {
	for _, c := range []struct{ data, want string }{
		{"plain", `"data":"plain"`},
		{"", `"data":""`},
		{"\x1b[1m é \"", `"data":"\u001b[1m é \""`},
		{"\xff\x00", `"base64":"/wA="`},
	} {
		o := Output{Name: "web", ID: 3, Slot: 1, Label: "stdout", Time: time.Unix(1, 0).UTC(), Data: []byte(c.data)}
		text, err := json.Marshal(o)
		if err != nil {
			t.Fatal(err)
		}
		if !strings.Contains(string(text), c.want) || !strings.Contains(string(text), `"name":"web"`) {
			t.Errorf("%q: %s, want %s in it", c.data, text, c.want)
		}
		var back Output
		if err := json.Unmarshal(text, &back); err != nil || fmt.Sprint(back) != fmt.Sprint(o) {
			t.Errorf("%q: read back as %+v, %v", c.data, back, err)
		}
	}
}
