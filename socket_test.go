package gaffer

import (
	"encoding/json"
	"errors"
	"os"
	"strings"
	"testing"
)

func TestAddressesOfSockets(t *testing.T) {
	for text, want := range map[string]string{
		"127.0.0.1:8080":            "tcp4://127.0.0.1:8080",
		"tcp://127.0.0.1:8080":      "tcp4://127.0.0.1:8080",
		"localhost:08080":           "tcp4://127.0.0.1:8080",
		"[::ffff:127.0.0.1]:80":     "tcp4://127.0.0.1:80",
		":80":                       "tcp://:80",
		"0.0.0.0:80":                "tcp4://0.0.0.0:80",
		"[::]:80":                   "tcp6://[::]:80",
		"[0:0::1]:80":               "tcp6://[::1]:80",
		"[fe80::1%lo]:80":           "tcp6://[fe80::1%lo]:80",
		"udp://:53":                 "udp://:53",
		"udp://127.0.0.1:53":        "udp4://127.0.0.1:53",
		"unix:///run//web/../a":     "unix:///run/a",
		"unix:/run/a":               "unix:///run/a",
		"unixgram:///run/log":       "unixgram:///run/log",
		"unixpacket:/run/p":         "unixpacket:///run/p",
		"unix:@abstract":            "unix://@abstract",
		"unix://" + long(103):       "unix://" + long(103),
		"":                          "is required",
		"8080":                      "address and a port",
		"web:80":                    "not a name",
		"tcp4://127.0.0.1:80":       "unknown network tcp4",
		"http://127.0.0.1:80":       "unknown network http",
		"127.0.0.1:0":               "want 1 to 65535",
		"127.0.0.1:65536":           "want 1 to 65535",
		"127.0.0.1:http":            "want 1 to 65535",
		"[::1]":                     "address and a port",
		"/run/a":                    "want unix:///run/a",
		"unix:run/a":                "absolute path",
		"unix:///run/":              "a directory",
		"unix:@":                    "the name is empty",
		"unix://" + long(104):       "no more than 103",
		"unix:///a\x00b":            "NUL",
		"unix://":                   "absolute path",
		"udp://[::1%nonsense/]:1:1": "address and a port",
	} {
		s := Socket{Name: "web", Listen: text}
		err := s.Validate()
		if got := s.address(); err == nil && got != want {
			t.Errorf("%q: %s, want %s", text, got, want)
		} else if err != nil && !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, want %q", text, err, want)
		}
	}
}

func long(n int) string { return "/" + strings.Repeat("x", n-1) }

func FuzzParseListen(f *testing.F) {
	for _, s := range []string{":80", "[::1%lo]:80", "unix:///a/../b", "unix:@x", "udp://localhost:1", "unix:/."} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		network, address, err := parseListen(s)
		if err != nil {
			return
		}
		// What names an address in one way is an address itself, and the same one; but that the
		// family is not said in it.
		plain := strings.TrimRight(network, "46") + "://" + address
		again := Socket{Name: "a", Listen: plain}
		if got := again.address(); got != network+"://"+address {
			t.Errorf("%q is %s://%s, which is %q", s, network, address, got)
		}
	})
}

func TestBadSocketsAreRefused(t *testing.T) {
	web := Socket{Name: "web", Listen: ":80"}
	for _, c := range []struct {
		want string
		t    Template
	}{
		{`sockets.0.name: "a b"`, Template{Sockets: []Socket{{Name: "a b", Listen: ":80"}}}},
		{"sockets.1.listen: is required", Template{Sockets: []Socket{web, {Name: "b"}}}},
		{`sockets: name "web" is used twice`, Template{Sockets: []Socket{web, {Name: "web", Listen: ":81"}}}},
		{"sockets: tcp://:80 is there twice", Template{Sockets: []Socket{web, {Name: "b", Listen: "tcp://:80"}}}},
		{"sockets.0.listen: :80: has no file", Template{Sockets: []Socket{{Name: "web", Listen: ":80", Mode: 0o600}}}},
		{"sockets.0.backlog: -1", Template{Sockets: []Socket{{Name: "web", Listen: ":80", Backlog: -1}}}},
		{"sockets.0.backlog: udp://:80: knows no", Template{Sockets: []Socket{{Name: "web", Listen: "udp://:80", Backlog: 1}}}},
		{"sockets.0.listen: it is open already", Template{Sockets: []Socket{{Name: "web", Listen: ":80", File: os.Stdin}}}},
		{"detach: a detached program is not watched", Template{Sockets: []Socket{web}, Detach: true}},
		{"env.LISTEN_FDS: is set by sockets", Template{Sockets: []Socket{web}, Env: map[string]string{"LISTEN_FDS": "1"}}},
		{"want at most 64", Template{Sockets: make([]Socket, 65)}},
	} {
		c.t.Name, c.t.Cmd = "web", "x"
		err := c.t.Validate()
		if !errors.Is(err, ErrInvalid) || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%v, want %q", err, c.want)
		}
	}
}

func TestSocketsAreTheSameInJSON(t *testing.T) {
	text := `{"name":"web","cmd":"x","sockets":[{"name":"web","listen":"unix:///run/web.sock","mode":"0660","uid":"www-data","gid":"33","backlog":7}]}`
	var tmpl Template
	if err := json.Unmarshal([]byte(text), &tmpl); err != nil {
		t.Fatal(err)
	}
	if again, err := json.Marshal(tmpl); err != nil || string(again) != strings.Replace(text, `"cmd":"x",`, `"cmd":"x","redirect_output":null,`, 1) && string(again) != text {
		t.Errorf("%s becomes %s, %v", text, again, err)
	}
	if err := json.Unmarshal([]byte(`{"sockets":[{"mode":660}]}`), &tmpl); err == nil {
		t.Error("a mode that is no text was taken")
	}
}

func TestProcessesDependOnTheirSockets(t *testing.T) {
	base := Socket{Name: "web", Listen: "127.0.0.1:80"}
	for _, c := range []struct {
		next Socket
		same bool
	}{
		{Socket{Name: "web", Listen: "tcp://localhost:80"}, true},
		{Socket{Name: "web", Listen: "127.0.0.1:80", Backlog: 7}, true},
		{Socket{Name: "other", Listen: "127.0.0.1:80"}, false},
		{Socket{Name: "web", Listen: "127.0.0.1:81"}, false},
	} {
		a := recipe{Template: Template{Sockets: []Socket{base}}}
		b := recipe{Template: Template{Sockets: []Socket{c.next}}}
		if got := a.sameProcess(&b); got != c.same {
			t.Errorf("%+v: same %v, want %v", c.next, got, c.same)
		}
	}
}
