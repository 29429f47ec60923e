package webhook

import (
	"bufio"
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"crypto/tls"
	"encoding/hex"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/gafferpm/gaffer"
)

// posted posts one event to a hook, as the app would.
func posted(t *testing.T, h Hook) outcome {
	t.Helper()
	h = h.withDefaults()
	if err := h.check(); err != nil {
		t.Fatal(err)
	}
	tr := newTransport(&h)
	defer tr.CloseIdleConnections()
	e := gaffer.Event{Seq: 7, Time: time.Now(), Kind: gaffer.KindExit, Name: "web", Message: "a & b"}
	return post(t.Context(), &http.Client{Transport: tr, CheckRedirect: sameHost}, &h, "gaffer/1.2", newLetter(&e, time.Now()))
}

func TestPostsAreSignedAndNumbered(t *testing.T) {
	var got *http.Request
	var body []byte
	server := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		got = r
		body, _ = io.ReadAll(r.Body)
	}))
	defer server.Close()
	o := posted(t, Hook{Name: "x", URL: server.URL + "/hook?a=b", Secret: "k3y", Headers: map[string]string{"x-team": "ops"}})
	server.Close()
	if o.err != nil {
		t.Fatal(o.err)
	}
	if got.Method != http.MethodPost || got.URL.RequestURI() != "/hook?a=b" {
		t.Errorf("got %s %s", got.Method, got.URL)
	}
	for name, want := range map[string]string{
		"Content-Type": "application/json", "Gaffer-Event-Id": "7", "User-Agent": "gaffer/1.2", "X-Team": "ops",
	} {
		if v := got.Header.Get(name); v != want {
			t.Errorf("%s is %q, want %q", name, v, want)
		}
	}
	stamp := got.Header.Get("Gaffer-Timestamp")
	if n, err := strconv.ParseInt(stamp, 10, 64); err != nil || time.Since(time.Unix(n, 0)) > time.Minute {
		t.Errorf("the timestamp is %q", stamp)
	}
	mac := hmac.New(sha256.New, []byte("k3y"))
	fmt.Fprintf(mac, "%s.%s", stamp, body)
	if want := "v1=" + hex.EncodeToString(mac.Sum(nil)); got.Header.Get("Gaffer-Signature") != want {
		t.Errorf("the signature is %s, want %s", got.Header.Get("Gaffer-Signature"), want)
	}
	var e gaffer.Event
	if err := json.Unmarshal(body, &e); err != nil || e.Seq != 7 || e.Message != "a & b" {
		t.Errorf("got %s, %v", body, err)
	}
}

func TestWithoutASecretThereIsNoSignature(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Gaffer-Signature") != "" {
			w.WriteHeader(http.StatusBadRequest)
		}
	}))
	defer server.Close()
	if o := posted(t, Hook{Name: "x", URL: server.URL}); o.err != nil {
		t.Error(o.err)
	}
}

func TestAnswersThatAreNotGood(t *testing.T) {
	for code, want := range map[int]string{
		301: "answer 301: the redirect is not followed", 400: "answer 400 Bad Request", 404: "answer 404 Not Found",
		410: "answer 410 Gone", 429: "answer 429 Too Many Requests", 500: "answer 500 Internal Server Error", 599: "answer 599 ",
	} {
		server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(code) }))
		o := posted(t, Hook{Name: "x", URL: server.URL})
		server.Close()
		if o.err == nil || o.err.Error() != strings.TrimSpace(want) && o.err.Error() != want {
			t.Errorf("%d: got %v, want %s", code, o.err, want)
		}
		if o.gone != (code == 410) {
			t.Errorf("%d: gone is %t", code, o.gone)
		}
	}
}

func TestRedirectsStayOnTheHost(t *testing.T) {
	var elsewhere atomic.Int32
	other := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { elsewhere.Add(1) }))
	defer other.Close()
	var bodies sync.Map
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		bodies.Store(r.URL.Path, r.Method+" "+string(body))
		switch r.URL.Path {
		case "/same":
			http.Redirect(w, r, "/end", http.StatusPermanentRedirect)
		case "/get": // would be followed as a GET, without the event
			http.Redirect(w, r, "/end", http.StatusFound)
		case "/other":
			http.Redirect(w, r, other.URL, http.StatusTemporaryRedirect)
		case "/loop":
			http.Redirect(w, r, "/loop", http.StatusTemporaryRedirect)
		}
	}))
	defer server.Close()
	for path, want := range map[string]string{
		"/same": "", "/get": "answer 302: the redirect is not followed", "/other": "answer 307: the redirect is not followed",
		"/loop": "answer 307: the redirect is not followed",
	} {
		o := posted(t, Hook{Name: "x", URL: server.URL + path})
		if got := fmt.Sprint(o.err); got != want && (want != "" || o.err != nil) {
			t.Errorf("%s: got %s, want %s", path, got, want)
		}
	}
	if elsewhere.Load() != 0 {
		t.Error("an event went to another host")
	}
	if v, _ := bodies.Load("/end"); v == nil || !strings.HasPrefix(v.(string), `POST {"seq":7`) {
		t.Errorf("after the redirect came %v", v)
	}
}

func TestTLSIsVerified(t *testing.T) {
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	server.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, slog.LevelError)
	server.StartTLS()
	defer server.Close()
	if o := posted(t, Hook{Name: "x", URL: server.URL}); o.err == nil || !strings.Contains(o.err.Error(), "certificate") {
		t.Errorf("got %v, want an error about the certificate", o.err)
	}
	ca := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw})
	if o := posted(t, Hook{Name: "x", URL: server.URL, CA: ca}); o.err != nil {
		t.Error(o.err)
	}
	server.TLS.MaxVersion = tls.VersionTLS11
	server.TLS.MinVersion = tls.VersionTLS10
	if o := posted(t, Hook{Name: "x", URL: server.URL, CA: ca}); o.err == nil {
		t.Error("TLS 1.1 is good enough")
	}
}

func TestOfAnAnswerLittleIsRead(t *testing.T) {
	var sent atomic.Int64
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		chunk := bytes.Repeat([]byte("x"), 1<<16)
		for r.Context().Err() == nil && sent.Load() < 1<<30 {
			n, err := w.Write(chunk)
			sent.Add(int64(n))
			if err != nil {
				return
			}
		}
	}))
	defer server.Close()
	if o := posted(t, Hook{Name: "x", URL: server.URL}); o.err != nil {
		t.Error(o.err)
	}
	server.Close()
	if n := sent.Load(); n > 64<<20 {
		t.Errorf("%d bytes were sent", n)
	}
}

func TestSecretsAreNotShown(t *testing.T) {
	refused, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	refused.Close()
	echo := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		for name, values := range r.Header {
			w.Header().Set("X-"+name, values[0])
		}
		w.WriteHeader(500)
		fmt.Fprint(w, r.Header, r.URL)
	}))
	defer echo.Close()
	var log lockedBuffer
	j := newJournal()
	var hooks []Hook
	for i, url := range []string{"http://" + refused.Addr().String(), echo.URL, "https://" + echo.Listener.Addr().String()} {
		hooks = append(hooks, Hook{
			Name: fmt.Sprintf("h%d", i), URL: url + "/topsecret1?token=topsecret2", Secret: "topsecret3",
			Headers: map[string]string{"Authorization": "Bearer topsecret4"}, MaxAttempts: 1,
		})
	}
	a, err := New(hooks, &Memory{}, Options{Logger: slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug}))})
	if err != nil {
		t.Fatal(err)
	}
	if err := a.start(t.Context(), j); err != nil {
		t.Fatal(err)
	}
	j.add("web")
	for i := range hooks {
		eventually(t, func() bool { return len(a.List()[i].Dead) == 1 })
	}
	list, err := json.Marshal(a.List())
	if err != nil {
		t.Fatal(err)
	}
	end(t, a)
	for what, text := range map[string]string{"list": string(list), "log": log.String()} {
		if strings.Contains(text, "topsecret") || !strings.Contains(text, "500 Internal Server Error") {
			t.Errorf("the %s is %s", what, text)
		}
	}
	if got, want := a.List()[1].URL, echo.URL+"/…"; got != want {
		t.Errorf("the URL is shown as %s, want %s", got, want)
	}
}

// eventually waits until something that nobody announces is so.
func eventually(t *testing.T, so func() bool) {
	t.Helper()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	for !so() {
		select {
		case <-tick.C:
		case <-ctx.Done():
			t.Fatal("it did not become so within 20s")
		}
	}
}

type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (b *lockedBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.Write(p)
}

func (b *lockedBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.String()
}

func TestHooksAreChecked(t *testing.T) {
	for want, hooks := range map[string][]Hook{
		"webhook \"\": the name is not one":      {{URL: "http://h/"}},
		"webhook \"a/b\": the name is not one":   {{Name: "a/b", URL: "http://h/"}},
		"webhook x: there are two":               {{Name: "x", URL: "http://h/"}, {Name: "x", URL: "http://h/"}},
		"webhook x: url: want one such as":       {{Name: "x", URL: "ftp://secret/"}},
		"webhook x: url: want one such as \"htt": {{Name: "x", URL: "http://%zz secret/"}},
		"webhook x: target \"!\"":                {{Name: "x", URL: "http://h/", Target: "!"}},
		"webhook x: kind \"boom\": unknown":      {{Name: "x", URL: "http://h/", Kinds: []gaffer.Kind{"boom"}}},
		"webhook x: ca: no certificate in PEM":   {{Name: "x", URL: "http://h/", CA: []byte("x")}},
	} {
		_, err := New(hooks, &Memory{}, Options{})
		if err == nil || !strings.HasPrefix(err.Error(), want) || strings.Contains(err.Error(), "secret") {
			t.Errorf("got %v, want %s", err, want)
		}
	}
}

func TestRetryAfterIsReadWithCare(t *testing.T) {
	now := time.Date(2026, 11, 22, 10, 0, 0, 0, time.UTC)
	for text, want := range map[string]time.Duration{
		"": 0, "0": 0, "7": 7 * time.Second, "-1": 0, "1e3": 0, "99999999999999999999": 0, "7200": time.Hour, " 5": 0, "soon": 0,
		"Sun, 22 Nov 2026 10:00:30 GMT": 30 * time.Second, "Sun, 22 Nov 2020 10:00:30 GMT": 0, "Sun, 22 Nov 2099 10:00:30 GMT": time.Hour,
	} {
		if got := retryAfter(text, now); got != want {
			t.Errorf("%q: got %s, want %s", text, got, want)
		}
	}
}

func TestDelaysNeverOverflow(t *testing.T) {
	for n := 1; n < 200; n++ {
		if d := delay(n); d < 800*time.Millisecond || d > maxDelay*12/10 {
			t.Errorf("after %d attempts: %s", n, d)
		}
	}
}

func TestWhatWasKeptAndIsBrokenIsPassedOver(t *testing.T) {
	q := &Memory{}
	good := newLetter(&gaffer.Event{Seq: 2, Name: "web", Kind: gaffer.KindExit}, time.Now())
	changes := map[string][]byte{
		"cursor/all": []byte("nonsense"), good.key("all"): encode(good), "letter/all/1": []byte("{"), "letter/all/3": []byte(`{"event":"x"}`),
		"letter/all/4": []byte(`{"event":{"seq":"x"}}`), "other": []byte("x"), "letter/all": nil,
	}
	if err := q.Update(changes); err != nil {
		t.Fatal(err)
	}
	a, err := New([]Hook{hook}, q, Options{})
	if err != nil {
		t.Fatal(err)
	}
	if st := only(t, a); st.Pending != 1 {
		t.Errorf("got %+v, want the good one", st)
	}
}

// A receiver may answer anything: the post is taken, or it is not, in time.
func FuzzAnswers(f *testing.F) {
	for _, s := range []string{
		"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", "HTTP/1.1 204\r\n\r\n", "HTTP/1.0 500 x\r\n\r\nbody", "", "\x00", "HTTP/1.1 410 Gone\r\n\r\n",
		"HTTP/1.1 503 x\r\nRetry-After: 99999\r\n\r\n", "HTTP/1.1 307 x\r\nLocation: http://other/\r\n\r\n", "HTTP/1.1 308 x\r\nLocation: \x7f\r\n\r\n",
		"HTTP/1.1 200 OK\r\nContent-Length: 99999999\r\n\r\nx", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nffffffffff\r\n",
		"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\n\r\n", "HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\n\r\nxx",
		"HTTP/1.1 200 \x1b[31m\r\nX: " + strings.Repeat("x", 100000) + "\r\n\r\n",
	} {
		f.Add([]byte(s))
	}
	h := Hook{Name: "x", URL: "http://h/secret-path", Timeout: 5 * time.Second}.withDefaults()
	e := gaffer.Event{Seq: 7, Name: "web", Kind: gaffer.KindExit}
	f.Fuzz(func(t *testing.T, answer []byte) {
		tr := newTransport(&h)
		tr.Proxy = nil
		tr.DialContext = func(context.Context, string, string) (net.Conn, error) {
			ours, theirs := net.Pipe()
			go func() {
				defer theirs.Close()
				if _, err := http.ReadRequest(bufio.NewReader(theirs)); err == nil {
					_, _ = theirs.Write(answer)
				}
			}()
			return ours, nil
		}
		start := time.Now()
		o := post(t.Context(), &http.Client{Transport: tr, CheckRedirect: sameHost}, &h, "gaffer", newLetter(&e, start))
		tr.CloseIdleConnections()
		if took := time.Since(start); took > 4*time.Second {
			t.Errorf("took %s", took)
		}
		if o.retryAfter < 0 || o.retryAfter > maxRetryAfter {
			t.Errorf("a pause of %s", o.retryAfter)
		}
		if o.err != nil && strings.Contains(o.err.Error(), "secret-path") {
			t.Errorf("the URL is in %v", o.err)
		}
	})
}

// What a queue gives back may be anything, too.
func FuzzKept(f *testing.F) {
	f.Add("letter/all/1", []byte(`{"event":{"seq":1,"name":"web","kind":"exit"},"since":"2026-11-22T10:00:00Z"}`))
	f.Add("cursor/all", []byte(`{"seq":9}`))
	f.Add("letter/all/", []byte(`{"event":null,"dead":"2026-11-22T10:00:00Z","attempts":-1}`))
	f.Fuzz(func(t *testing.T, key string, value []byte) {
		q := &Memory{values: map[string][]byte{key: value}}
		a, err := New([]Hook{hook}, q, Options{})
		if err != nil {
			t.Fatal(err)
		}
		st := only(t, a)
		if st.Pending+len(st.Dead) > 1 {
			t.Errorf("got %+v", st)
		}
		if _, err := a.Retry("all"); err != nil {
			t.Error(err)
		}
		before, after := len(st.Dead)+st.Pending, only(t, a).Pending
		if diff := cmp.Diff(before, after); diff != "" {
			t.Error(diff)
		}
	})
}
