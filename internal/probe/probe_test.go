package probe

import (
	"bufio"
	"context"
	"net"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func TestHTTPTakesTwoAndThreeHundreds(t *testing.T) {
	for status, want := range map[int]string{
		200: "", 204: "", 302: "", 399: "",
		404: "answered 404 Not Found: it hurts", 503: "answered 503 Service Unavailable: it hurts",
	} {
		handler := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.Header.Get("User-Agent") != "gaffer" {
				t.Errorf("user agent %q", r.Header.Get("User-Agent"))
			}
			w.Header().Set("Location", "/elsewhere")
			w.WriteHeader(status)
			if status != 204 {
				_, _ = w.Write([]byte(" it hurts \nvery much\n"))
			}
		})
		plain, secure := httptest.NewServer(handler), httptest.NewTLSServer(handler)
		for _, url := range []string{plain.URL, secure.URL + "/health?x=1"} {
			got := ""
			if err := HTTP(t.Context(), url); err != nil {
				got = err.Error()
			}
			if got != want {
				t.Errorf("%d: %q, want %q", status, got, want)
			}
		}
		plain.Close()
		secure.Close()
	}
}

func TestSilenceIsNoAnswer(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if err := HTTP(ctx, "http://"+l.Addr().String()); err == nil || err.Error() != "no answer in time" {
		t.Errorf("got %v", err)
	}
	if err := Dial(t.Context(), "tcp", l.Addr().String()); err != nil {
		t.Errorf("got %v", err)
	}
}

func TestNobodyListens(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := l.Addr().String()
	_ = l.Close()
	for _, err := range []error{HTTP(t.Context(), "http://"+address), Dial(t.Context(), "tcp", address)} {
		if err == nil || err.Error() != "connection refused" {
			t.Errorf("got %v", err)
		}
	}
	path := filepath.Join(t.TempDir(), "s")
	if err := Dial(t.Context(), "unix", path); err == nil || err.Error() != "no such file or directory" {
		t.Errorf("got %v", err)
	}
	u, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	defer u.Close()
	if err := Dial(t.Context(), "unix", path); err != nil {
		t.Errorf("got %v", err)
	}
}

// serve answers each connection with a text, after a look at what was asked, or without.
func serve(t *testing.T, listens bool, text string) (url string) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			if listens {
				_, _ = http.ReadRequest(bufio.NewReader(c))
			}
			_, _ = c.Write([]byte(text))
			_ = c.Close()
		}
	}()
	return "http://" + l.Addr().String()
}

func TestNonsenseIsAnError(t *testing.T) {
	for text, want := range map[string]string{
		"what do you want?\r\n\r\n":              `no HTTP answer, but "what do you want?": malformed HTTP status code "do"`,
		"HTTP/1.1 200 OK\r\nContent-Len":         `no HTTP answer, but "HTTP/1.1 200 OK": malformed MIME header: missing colon: "Content-Len"`,
		"":                                       "closed without an answer",
		"HTTP/1.1 103 Early Hints\r\n\r\n":       "closed without an answer",
		"HTTP/1.1 103 Early Hints\r\n\r\nHTTP/1": `no HTTP answer, but "HTTP/1": malformed HTTP response "HTTP/1"`,
		"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 503 Busy\r\n\r\nhot\n": "answered 503 Busy: hot",
		"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.0 200 OK\r\n\r\n":        "",
	} {
		got := ""
		if err := HTTP(t.Context(), serve(t, true, text)); err != nil {
			got = err.Error()
		}
		if got != want {
			t.Errorf("%q: %q, want %q", text, got, want)
		}
	}
}

// What goes on for ever is alive as soon as it has said so.
func TestAnEndlessAnswerCounts(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_ = http.NewResponseController(w).Flush()
		<-r.Context().Done()
	}))
	defer server.Close()
	if err := HTTP(t.Context(), server.URL); err != nil {
		t.Error(err)
	}
}

// A server of another kind speaks first, and may be gone when it is asked.
func TestSpeakingFirstIsAnError(t *testing.T) {
	url := serve(t, false, "220 mail.example.org ESMTP\r\n\r\n")
	for range 100 {
		err := HTTP(t.Context(), url)
		if err == nil || strings.Contains(err.Error(), "%!") {
			t.Fatalf("got %v", err)
		}
	}
}

func TestAddressesAreChecked(t *testing.T) {
	for _, good := range []string{"http://127.0.0.1:80/x", "https://[::1]/"} {
		if err := CheckURL(good); err != nil {
			t.Errorf("%s: %v", good, err)
		}
	}
	for _, bad := range []string{"", "127.0.0.1:80", "ftp://x/", "http://", "http://a b/", "http:/x", "http://bücher.example/"} {
		if CheckURL(bad) == nil {
			t.Errorf("%q is taken", bad)
		}
	}
	for _, bad := range []string{"", "80", "a:b:c", "host:"} {
		if CheckTCP(bad) == nil {
			t.Errorf("%q is taken", bad)
		}
	}
	if err := CheckTCP("localhost:postgresql"); err != nil {
		t.Error(err)
	}
}
