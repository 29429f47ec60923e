package api

import (
	"net/http"
	"testing"

	"github.com/gafferpm/gaffer"
)

// A browser can't set headers on a WebSocket, so its key comes as a subprotocol.
func TestAWebSocketBringsItsKeyAsASubprotocol(t *testing.T) {
	m := runningManager(t)
	if err := m.Add(t.Context(), gaffer.Template{Name: "echo", Cmd: "cat", RedirectInput: true}); err != nil {
		t.Fatal(err)
	}
	keys := &keysInMemory{}
	operator, viewer := keys.with(t, Operator, ""), keys.with(t, Viewer, "")
	narrowed := keys.with(t, Operator, "web")
	_, address := openTCP(t, m, Options{Keys: keys}, Endpoint{})
	for name, c := range map[string]struct {
		protocols, origin string
		want              int
	}{
		"an operator's key":        {"gaffer.v1, gaffer.key." + operator, "", http.StatusSwitchingProtocols},
		"from the own page":        {"gaffer.v1, gaffer.key." + operator, "http://" + address, http.StatusSwitchingProtocols},
		"from a page elsewhere":    {"gaffer.v1, gaffer.key." + operator, "http://elsewhere.example", http.StatusForbidden},
		"a viewer's key":           {"gaffer.v1, gaffer.key." + viewer, "", http.StatusForbidden},
		"a key for something else": {"gaffer.key." + narrowed, "", http.StatusForbidden},
		"a wrong key":              {"gaffer.v1, gaffer.key." + operator + "x", "", http.StatusUnauthorized},
		"no key":                   {"gaffer.v1", "", http.StatusUnauthorized},
	} {
		text := "GET /v1/processes/echo/attach HTTP/1.1\r\nHost: " + address + "\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n" +
			"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\nSec-WebSocket-Protocol: " + c.protocols + "\r\n"
		if c.origin != "" {
			text += "Origin: " + c.origin + "\r\n"
		}
		res := raw(t, address, text+"\r\n")
		if res.StatusCode != c.want {
			t.Errorf("%s: %d, want %d", name, res.StatusCode, c.want)
		}
		if got := res.Header.Get("Sec-WebSocket-Protocol"); got != "" && got != "gaffer.v1" || c.want == 101 && got == "" {
			t.Errorf("%s: the answer has the subprotocol %q", name, got)
		}
	}
	// Elsewhere a subprotocol is none of our business.
	res := raw(t, address, "GET /v1/ping HTTP/1.1\r\nHost: "+address+"\r\nSec-WebSocket-Protocol: gaffer.key."+operator+"\r\n\r\n")
	if res.StatusCode != http.StatusUnauthorized {
		t.Errorf("a key as a subprotocol of what is no stream: %d", res.StatusCode)
	}
}
