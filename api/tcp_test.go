package api

import (
	"bufio"
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/big"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/gafferpm/gaffer"
)

// raw sends a request as it is written, and returns the answer.
func raw(t testing.TB, address, request string) *http.Response {
	t.Helper()
	c, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	if _, err := io.WriteString(c, request); err != nil {
		t.Fatal(err)
	}
	res, err := http.ReadResponse(bufio.NewReader(c), nil)
	if err != nil {
		t.Fatal(err)
	}
	return res
}

func TestPagesOfOtherNamesAreRefused(t *testing.T) {
	_, address := openTCP(t, refusing{}, Options{Keys: &keysInMemory{}},
		Endpoint{Hosts: []string{"gaffer.example"}, Origins: []string{"https://board.example"}})
	_, port, _ := net.SplitHostPort(address)
	for _, c := range []struct {
		host, origin string
		want         int
	}{
		{"localhost:" + port, "", 200},
		{"localhost", "", 200},
		{"LOCALHOST.", "", 200},
		{"127.0.0.1:" + port, "", 200},
		{"127.9.9.9", "", 200},
		{"[::1]:" + port, "", 200},
		{"gaffer.example:1", "", 200},
		{"Gaffer.Example", "", 200},
		{"rebound.example:" + port, "", 403},
		{"localhost.rebound.example", "", 403},
		{"127.0.0.1.rebound.example", "", 403},
		{"", "", 403},
		{"10.1.2.3", "", 403},
		{"localhost:" + port, "http://localhost:" + port, 200},
		{"localhost:" + port, "http://localhost:1", 403},
		{"localhost:" + port, "http://rebound.example", 403},
		{"localhost:" + port, "null", 403},
		{"localhost:" + port, "file://", 403},
		{"localhost:" + port, "https://board.example", 200},
		{"localhost:" + port, "http://board.example", 403},
		{"localhost:" + port, "https://board.example.rebound.example", 403},
	} {
		text := "GET /healthz HTTP/1.1\r\nHost: " + c.host + "\r\n"
		if c.origin != "" {
			text += "Origin: " + c.origin + "\r\n"
		}
		res := raw(t, address, text+"\r\n")
		if res.StatusCode != c.want {
			t.Errorf("host %q, origin %q: %d, want %d", c.host, c.origin, res.StatusCode, c.want)
		}
		allowed := res.Header.Get("Access-Control-Allow-Origin")
		if want := c.origin; c.want == 200 && allowed != want || c.want != 200 && allowed != "" {
			t.Errorf("host %q, origin %q: allows %q", c.host, c.origin, allowed)
		}
	}
}

func TestCORSIsOffUnlessOriginsAreConfigured(t *testing.T) {
	preflight := func(address string) *http.Response {
		return raw(t, address, "OPTIONS /v1/processes HTTP/1.1\r\nHost: "+address+"\r\nOrigin: https://board.example\r\n"+
			"Access-Control-Request-Method: POST\r\n\r\n")
	}
	_, closed := openTCP(t, refusing{}, Options{Keys: &keysInMemory{}}, Endpoint{})
	if res := preflight(closed); res.StatusCode != 403 || res.Header.Get("Access-Control-Allow-Origin") != "" {
		t.Errorf("%d %v", res.StatusCode, res.Header)
	}
	_, opened := openTCP(t, refusing{}, Options{Keys: &keysInMemory{}}, Endpoint{Origins: []string{"https://board.example"}})
	res := preflight(opened)
	if res.StatusCode != 204 || res.Header.Get("Access-Control-Allow-Origin") != "https://board.example" ||
		!strings.Contains(res.Header.Get("Access-Control-Allow-Headers"), "Authorization") || res.Header.Get("Vary") != "Origin" {
		t.Errorf("%d %v", res.StatusCode, res.Header)
	}
}

func TestWrongKeysAreLimited(t *testing.T) {
	keys := &keysInMemory{}
	key := keys.with(t, Viewer, "")
	_, address := openTCP(t, refusing{}, Options{Keys: keys}, Endpoint{})
	ask := func(authorization string) *http.Response {
		return raw(t, address, "GET /v1/ping HTTP/1.1\r\nHost: "+address+"\r\nAuthorization: "+authorization+"\r\n\r\n")
	}
	id, _, _ := strings.Cut(strings.TrimPrefix(key, keyPrefix), "_")
	wrong := []string{
		"Bearer " + key + "x", "Bearer " + key[:len(key)-1], "Bearer " + keyPrefix + id + "_", "Bearer x", "Bearer",
		"Basic " + key, key, "Bearer " + strings.TrimPrefix(key, keyPrefix), "Bearer " + keyPrefix + "_" + key,
	}
	began := time.Now()
	for _, w := range wrong {
		if res := ask(w); res.StatusCode != 401 || !strings.HasPrefix(res.Header.Get("WWW-Authenticate"), "Bearer") {
			t.Errorf("%q: %d %v", w, res.StatusCode, res.Header)
		}
	}
	if took := time.Since(began); took < time.Duration(len(wrong))*guessDelay {
		t.Errorf("%d wrong keys took %s", len(wrong), took)
	}
	for range guessesAtOnce - len(wrong) {
		ask("Bearer x")
	}
	if res := ask("Bearer x"); res.StatusCode != 429 || res.Header.Get("Retry-After") == "" {
		t.Errorf("one too many: %d %v", res.StatusCode, res.Header)
	}
	if res := ask("Bearer " + key); res.StatusCode != 200 {
		t.Errorf("the right key, after wrong ones of others: %d", res.StatusCode)
	}
}

func TestKeysAreMadeShownOnceAndDeleted(t *testing.T) {
	keys := &keysInMemory{}
	admin := keys.with(t, Admin, "")
	told := &audits{}
	_, address := openTCP(t, manager(t), Options{Keys: keys, Audit: told.add}, Endpoint{})
	c := client(t, &http.Transport{})
	ask := func(method, path, body, key string) (int, []byte) {
		req, err := http.NewRequestWithContext(t.Context(), method, "http://"+address+path, strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Authorization", "Bearer "+key)
		res, err := c.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		defer res.Body.Close()
		b, err := io.ReadAll(res.Body)
		if err != nil {
			t.Fatal(err)
		}
		return res.StatusCode, b
	}
	status, body := ask("POST", "/v1/keys", `{"name":"board","role":"viewer","target":"jobs:*"}`, admin)
	var made NewKey
	if err := json.Unmarshal(body, &made); err != nil || status != 201 || !strings.HasPrefix(made.Key, "gaffer_"+made.ID+"_") || len(made.ID) != 12 {
		t.Fatalf("%d %s %v", status, body, err)
	}
	if got := told.take(); len(got) != 1 || !strings.Contains(got[0], made.ID) || strings.Contains(got[0], made.Key) {
		t.Errorf("audits %q", got)
	}
	stored, err := keys.Keys()
	if text := fmt.Sprintf("%+v", stored); err != nil || strings.Contains(text, made.Key[20:]) {
		t.Errorf("the store has the secret: %s %v", text, err)
	}
	// A stream that the key has opened ends with the key.
	events := raw(t, address, "GET /v1/events HTTP/1.1\r\nHost: "+address+"\r\nAuthorization: Bearer "+made.Key+"\r\n\r\n")
	if events.StatusCode != 200 {
		t.Fatal(events.Status)
	}
	if status, body = ask("GET", "/v1/keys", "", admin); status != 200 || strings.Contains(string(body), "hash") ||
		strings.Contains(string(body), made.Key) || !strings.Contains(string(body), made.ID) || !strings.Contains(string(body), "last_used") {
		t.Errorf("%d %s", status, body)
	}
	if status, _ = ask("DELETE", "/v1/keys/"+made.ID, "", admin); status != 204 {
		t.Errorf("delete: %d", status)
	}
	if _, err := io.Copy(io.Discard, events.Body); err != nil && !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("the stream of the deleted key: %v", err)
	}
	if status, _ = ask("GET", "/v1/ping", "", made.Key); status != 401 {
		t.Errorf("the deleted key: %d", status)
	}
	if status, _ = ask("DELETE", "/v1/keys/"+made.ID, "", admin); status != 404 {
		t.Errorf("delete again: %d", status)
	}
	for _, bad := range []string{`{"name":"","role":"viewer"}`, `{"name":"x","role":"root"}`, `{"name":"x"}`, `{"name":"x","role":"viewer","target":"web.1"}`,
		`{"name":"x","role":"viewer","target":"17"}`, `{"name":"x","role":"viewer","target":"a b"}`} {
		if status, body := ask("POST", "/v1/keys", bad, admin); status != 422 {
			t.Errorf("%s: %d %s", bad, status, body)
		}
	}
}

func TestAnEndpointThatNobodyCouldUseIsRefused(t *testing.T) {
	for name, e := range map[string]Endpoint{
		"no keys":               {Address: "127.0.0.1:0"},
		"half a certificate":    {Address: "127.0.0.1:0", Insecure: true, TLS: TLS{Cert: "x"}},
		"certificates, no TLS":  {Address: "127.0.0.1:0", Insecure: true, TLS: TLS{ClientCA: "x"}},
		"no such certificate":   {Address: "127.0.0.1:0", Insecure: true, TLS: TLS{Cert: "/nowhere", Key: "/nowhere"}},
		"an address of nothing": {Address: "nowhere", Insecure: true},
	} {
		s, err := New(refusing{}, Options{Endpoints: []Endpoint{e}})
		if err != nil {
			t.Fatal(err)
		}
		if err := s.Start(t.Context(), nil); err == nil || !strings.Contains(err.Error(), e.Address) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestInsecureEndpointsServeEverybodyAndWarn(t *testing.T) {
	var log bytes.Buffer
	told := &audits{}
	_, address := openTCP(t, refusing{}, Options{Logger: slog.New(slog.NewTextHandler(&log, nil)), Audit: told.add}, Endpoint{Insecure: true})
	if !strings.Contains(log.String(), "insecure") || !strings.Contains(log.String(), "WARN") {
		t.Errorf("log %s", &log)
	}
	res := raw(t, address, "POST /v1/processes/web/stop HTTP/1.1\r\nHost: "+address+"\r\nContent-Length: 0\r\n\r\n")
	if got := told.take(); !admitted(res.StatusCode) || len(got) != 1 || !strings.HasPrefix(got[0], "anybody at 127.0.0.1 | web | stop") {
		t.Errorf("%d %q", res.StatusCode, got)
	}
}

// authority signs certificates.
type authority struct {
	t    testing.TB
	dir  string
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
	n    int64
}

func newAuthority(t testing.TB) *authority {
	a := &authority{t: t, dir: t.TempDir()}
	a.cert, a.key = a.sign(&x509.Certificate{Subject: pkix.Name{CommonName: "authority"}, IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign})
	a.write("ca.pem", "CERTIFICATE", a.cert.Raw)
	return a
}

func (a *authority) sign(c *x509.Certificate) (*x509.Certificate, *ecdsa.PrivateKey) {
	a.t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		a.t.Fatal(err)
	}
	a.n++
	c.SerialNumber, c.NotBefore, c.NotAfter = big.NewInt(a.n), time.Now().Add(-time.Hour), time.Now().Add(time.Hour)
	parent, signer := a.cert, a.key
	if parent == nil {
		parent, signer = c, key
	}
	der, err := x509.CreateCertificate(rand.Reader, c, parent, &key.PublicKey, signer)
	if err != nil {
		a.t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		a.t.Fatal(err)
	}
	return cert, key
}

func (a *authority) write(name, kind string, der []byte) string {
	a.t.Helper()
	path := filepath.Join(a.dir, name)
	if err := os.WriteFile(path+".new", pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}), 0o600); err != nil {
		a.t.Fatal(err)
	}
	if err := os.Rename(path+".new", path); err != nil {
		a.t.Fatal(err)
	}
	return path
}

// issue writes a certificate for a name and its key, and returns the files.
func (a *authority) issue(name string) (cert, key string) {
	c, k := a.sign(&x509.Certificate{
		Subject: pkix.Name{CommonName: name}, DNSNames: []string{"localhost"}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	})
	der, err := x509.MarshalPKCS8PrivateKey(k)
	if err != nil {
		a.t.Fatal(err)
	}
	return a.write(name+".pem", "CERTIFICATE", c.Raw), a.write(name+".key", "PRIVATE KEY", der)
}

func (a *authority) pool() *x509.CertPool {
	pool := x509.NewCertPool()
	pool.AddCert(a.cert)
	return pool
}

func TestCertificatesAreReadAgainWhenTheyChange(t *testing.T) {
	a := newAuthority(t)
	cert, key := a.issue("server")
	s, address := openTCP(t, refusing{}, Options{Keys: &keysInMemory{}}, Endpoint{TLS: TLS{Cert: cert, Key: key}})
	serial := func() int64 {
		c, err := tls.Dial("tcp", address, &tls.Config{RootCAs: a.pool(), ServerName: "localhost"})
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		return c.ConnectionState().PeerCertificates[0].SerialNumber.Int64()
	}
	first := serial()
	lookAgain := func() {
		c := s.endpoints()[0].certs
		c.mu.Lock()
		defer c.mu.Unlock()
		c.looked = time.Time{}
	}
	if err := os.WriteFile(cert, []byte("half a file"), 0o600); err != nil {
		t.Fatal(err)
	}
	lookAgain()
	if got := serial(); got != first {
		t.Errorf("with a broken file: certificate %d, want %d", got, first)
	}
	a.issue("server")
	lookAgain()
	if got := serial(); got != a.n {
		t.Errorf("after the files have changed: certificate %d, want %d", got, a.n)
	}
}

func TestCertificatesNameCallers(t *testing.T) {
	a := newAuthority(t)
	cert, key := a.issue("server")
	told := &audits{}
	_, address := openTCP(t, refusing{}, Options{Audit: told.add}, Endpoint{
		TLS:   TLS{Cert: cert, Key: key, ClientCA: filepath.Join(a.dir, "ca.pem")},
		Users: map[string]Role{"alice": Operator, "bob": Viewer},
	})
	as := func(name string) (int, error) {
		config := &tls.Config{RootCAs: a.pool()}
		if name != "" {
			pair, err := tls.LoadX509KeyPair(a.issue(name))
			if err != nil {
				t.Fatal(err)
			}
			config.Certificates = []tls.Certificate{pair}
		}
		req, err := http.NewRequestWithContext(t.Context(), "POST", "https://"+address+"/v1/processes/web/stop", nil)
		if err != nil {
			t.Fatal(err)
		}
		res, err := client(t, &http.Transport{TLSClientConfig: config, ForceAttemptHTTP2: true}).Do(req)
		if err != nil {
			return 0, err
		}
		res.Body.Close()
		return res.StatusCode, nil
	}
	if status, err := as("alice"); err != nil || !admitted(status) {
		t.Errorf("alice: %d %v", status, err)
	}
	if got := told.take(); len(got) != 1 || !strings.HasPrefix(got[0], "certificate alice | web | stop") {
		t.Errorf("audits %q", got)
	}
	if status, err := as("bob"); err != nil || status != 403 {
		t.Errorf("bob: %d %v", status, err)
	}
	if status, err := as("carol"); err != nil || status != 401 {
		t.Errorf("carol: %d %v", status, err)
	}
	if status, err := as(""); err == nil {
		t.Errorf("without a certificate: %d", status)
	}
}

// manager is a manager that was not started, and is closed when the test ends.
func manager(t testing.TB) *gaffer.Manager {
	t.Helper()
	m, err := gaffer.New(gaffer.Options{NoCgroup: true})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := m.Close(); err != nil {
			t.Error(err)
		}
	})
	return m
}
