package api

import (
	"crypto/tls"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"runtime"
	"testing"
	"time"
)

// waitFor waits until something is so, and says whether it came to that.
func waitFor(t testing.TB, so func() bool) bool {
	t.Helper()
	for until := time.Now().Add(20 * time.Second); !so(); runtime.Gosched() {
		if time.Now().After(until) {
			return false
		}
	}
	return true
}

// The answer is larger than what the client takes without reading, and the
// connection itself is not full.
func TestAnswersThatNobodyTakesEndWithHTTP2(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "large"), make([]byte, 1<<20), 0o600); err != nil {
		t.Fatal(err)
	}
	a := newAuthority(t)
	cert, key := a.issue("server")
	s, address := openTCP(t, refusing{}, Options{
		Limits: Limits{Transfer: 300 * time.Millisecond}, Keys: &keysInMemory{}, Plugins: map[string]string{"board": dir},
	}, Endpoint{TLS: TLS{Cert: cert, Key: key}})
	c := client(t, &http.Transport{
		TLSClientConfig: &tls.Config{RootCAs: a.pool(), ServerName: "localhost"}, ForceAttemptHTTP2: true,
		HTTP2: &http.HTTP2Config{MaxReceiveBufferPerStream: 64 << 10},
	})
	req, err := http.NewRequestWithContext(t.Context(), "GET", "https://"+address+"/plugins/board/large", nil)
	if err != nil {
		t.Fatal(err)
	}
	res, err := c.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	if res.ProtoMajor != 2 {
		t.Fatal(res.Proto)
	}
	if !waitFor(t, func() bool { return s.counters.classes[2].Load() > 0 }) {
		t.Fatal("the handler waits for ever")
	}
	if b, err := io.ReadAll(res.Body); err == nil {
		t.Errorf("%d bytes look whole", len(b))
	}
}
