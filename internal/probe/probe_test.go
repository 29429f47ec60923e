package probe

import (
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

func TestNonsenseIsAnError(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			_, _ = c.Write([]byte("what do you want?\r\n\r\n"))
			_ = c.Close()
		}
	}()
	if err := HTTP(t.Context(), "http://"+l.Addr().String()); err == nil || !strings.Contains(err.Error(), "malformed") {
		t.Errorf("got %v", err)
	}
}

func TestAddressesAreChecked(t *testing.T) {
	for _, good := range []string{"http://127.0.0.1:80/x", "https://[::1]/"} {
		if err := CheckURL(good); err != nil {
			t.Errorf("%s: %v", good, err)
		}
	}
	for _, bad := range []string{"", "127.0.0.1:80", "ftp://x/", "http://", "http://a b/", "http:/x"} {
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
