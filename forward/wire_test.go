package forward

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/binary"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/gafferpm/gaffer"
)

var at = time.Date(2026, 11, 27, 10, 0, 0, 123456789, time.UTC)

func output(label, data string) gaffer.Output {
	return gaffer.Output{Name: "jobs:web", Slot: 2, Label: label, ID: 7, Time: at, Data: []byte(data)}
}

// way is the sink of a destination.
func way(t *testing.T, d Destination) sink {
	t.Helper()
	d.Name = "x"
	d = d.withDefaults()
	if err := d.check(); err != nil {
		t.Fatal(err)
	}
	s := newSink(&d, &Options{Host: "here", Version: "1.2"})
	t.Cleanup(s.close)
	return s
}

// all sends lines that are taken.
func all(t *testing.T, s sink, lines ...gaffer.Output) {
	t.Helper()
	for len(lines) > 0 {
		done, lost, err := s.send(t.Context(), lines)
		if err != nil || lost > 0 {
			t.Fatalf("%d lost, %v", lost, err)
		}
		lines = lines[done:]
	}
}

const header = ` 2026-11-27T10:00:00.123456Z here jobs:web.2 7 `

var messages = []string{
	"<30>1" + header + `stdout [gaffer@32473 name="jobs:web" slot="2" stream="stdout" env="a\"b\]\\"] ` + "\xef\xbb\xbfhello, wörld",
	"<27>1" + header + `stderr [gaffer@32473 name="jobs:web" slot="2" stream="stderr" env="a\"b\]\\"] ` + "\xff\x00",
	"<30>1" + header + `stdout [gaffer@32473 name="jobs:web" slot="2" stream="stdout" env="a\"b\]\\"]`,
}

var labels = map[string]string{"env": `a"b]\`}

func lines() []gaffer.Output {
	return []gaffer.Output{output("stdout", "hello, wörld"), output("stderr", "\xff\x00"), output("stdout", "")}
}

func TestSyslogInDatagrams(t *testing.T) {
	udp, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer udp.Close()
	path := filepath.Join(t.TempDir(), "log")
	unix, err := net.ListenPacket("unixgram", path)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close()
	for _, c := range []struct {
		url  string
		conn net.PacketConn
	}{{"udp://" + udp.LocalAddr().String(), udp}, {"unix://" + path, unix}} {
		all(t, way(t, Destination{Type: Syslog, URL: c.url, Labels: labels}), lines()...)
		for _, want := range messages {
			if diff := cmp.Diff(want, string(datagram(t, c.conn))); diff != "" {
				t.Error(diff)
			}
		}
	}
	// A line that no datagram can hold is cut.
	s := way(t, Destination{Type: Syslog, URL: "udp://" + udp.LocalAddr().String(), Facility: "local7"})
	all(t, s, output("stdout", strings.Repeat("x", 64<<10)))
	if got := datagram(t, udp); len(got) != maxDatagram || !strings.HasPrefix(string(got), "<190>1") {
		t.Errorf("%d bytes", len(got))
	}
}

func datagram(t *testing.T, c net.PacketConn) []byte {
	t.Helper()
	b := make([]byte, 128<<10)
	if err := c.SetReadDeadline(time.Now().Add(10 * time.Second)); err != nil {
		t.Fatal(err)
	}
	n, _, err := c.ReadFrom(b)
	if err != nil {
		t.Fatal(err)
	}
	return b[:n]
}

// frame reads a message of RFC 6587, 3.4.1.
func frame(t *testing.T, r *bufio.Reader) string {
	t.Helper()
	size, err := r.ReadString(' ')
	if err != nil {
		t.Fatal(err)
	}
	n, err := strconv.Atoi(strings.TrimSpace(size))
	if err != nil {
		t.Fatal(err)
	}
	b := make([]byte, n)
	if _, err := io.ReadFull(r, b); err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func TestSyslogInFrames(t *testing.T) {
	cert, ca := certificate(t)
	tcp := listen(t, "tcp", "127.0.0.1:0")
	unix := listen(t, "unix", filepath.Join(t.TempDir(), "log"))
	secure := tls.NewListener(listen(t, "tcp", "127.0.0.1:0"), &tls.Config{Certificates: []tls.Certificate{cert}, MinVersion: tls.VersionTLS12})
	for _, c := range []struct {
		url string
		l   net.Listener
	}{{"tcp://" + tcp.Addr().String(), tcp}, {"unix://" + unix.Addr().String(), unix}, {"tls://" + secure.Addr().String(), secure}} {
		s := way(t, Destination{Type: Syslog, URL: c.url, Labels: labels, CA: ca})
		done := make(chan error, 1)
		go func() {
			_, _, err := s.send(t.Context(), lines())
			done <- err
		}()
		conn, err := c.l.Accept()
		if err != nil {
			t.Fatal(err)
		}
		r := bufio.NewReader(conn)
		for _, want := range messages {
			if diff := cmp.Diff(want, frame(t, r)); diff != "" {
				t.Error(diff)
			}
		}
		if err := <-done; err != nil {
			t.Fatal(err)
		}
		// A receiver that has ended is noticed before anything is lost in its connection.
		if err := conn.Close(); err != nil {
			t.Fatal(err)
		}
		<-s.(*syslog).gone
		go func() {
			_, _, err := s.send(t.Context(), lines())
			done <- err
		}()
		if conn, err = c.l.Accept(); err != nil {
			t.Fatal(err)
		}
		if got := frame(t, bufio.NewReader(conn)); got != messages[0] {
			t.Errorf("got %q", got)
		}
		if err := <-done; err != nil {
			t.Error(err)
		}
		_ = conn.Close()
	}
	// Who has another certificate is not told anything.
	s := way(t, Destination{Type: Syslog, URL: "tls://" + secure.Addr().String()})
	go func() {
		if conn, err := secure.Accept(); err == nil {
			_ = conn.(*tls.Conn).Handshake()
			_ = conn.Close()
		}
	}()
	if _, _, err := s.send(t.Context(), lines()); err == nil || !strings.Contains(err.Error(), "certificate") {
		t.Errorf("got %v", err)
	}
}

func listen(t *testing.T, network, address string) net.Listener {
	t.Helper()
	l, err := net.Listen(network, address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	return l
}

func certificate(t *testing.T) (tls.Certificate, []byte) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	c := x509.Certificate{
		SerialNumber: big.NewInt(1), NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, IsCA: true, BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, &c, &c, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
}

// One that takes nothing holds up no longer than its timeout, and ends at once when asked.
func TestAReceiverThatReadsNothing(t *testing.T) {
	l := listen(t, "tcp", "127.0.0.1:0")
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			defer conn.Close()
		}
	}()
	big := make([]gaffer.Output, 500)
	for i := range big {
		big[i] = output("stdout", strings.Repeat("x", 60<<10))
	}
	s := way(t, Destination{Type: Syslog, URL: "tcp://" + l.Addr().String(), Timeout: 300 * time.Millisecond})
	if _, _, err := s.send(t.Context(), big); err == nil || !strings.Contains(err.Error(), " within 300ms") {
		t.Errorf("got %v", err)
	}
	s = way(t, Destination{Type: Syslog, URL: "tcp://" + l.Addr().String(), Timeout: time.Hour})
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	if _, _, err := s.send(ctx, big); err == nil {
		t.Error("it was sent")
	}
	if _, _, err := way(t, Destination{Type: Journald, URL: "unix://" + filepath.Join(t.TempDir(), "none")}).send(t.Context(), big); err == nil || strings.Contains(err.Error(), "none") {
		t.Errorf("got %v", err)
	}
}

func TestJournalEntries(t *testing.T) {
	path := filepath.Join(t.TempDir(), "socket")
	l, err := net.ListenPacket("unixgram", path)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	s := way(t, Destination{Type: Journald, URL: "unix://" + path, Facility: "local0", Labels: map[string]string{"env": "two\nlines"}})
	all(t, s, append(lines(), output("stdout", strings.Repeat("x", 64<<10)))...)
	for i, line := range append(lines(), output("stdout", strings.Repeat("x", 64<<10))) {
		want := map[string]string{
			"MESSAGE": string(line.Data), "PRIORITY": "6", "SYSLOG_FACILITY": "16", "SYSLOG_IDENTIFIER": "jobs:web.2", "GAFFER_NAME": "jobs:web",
			"GAFFER_SLOT": "2", "GAFFER_STREAM": line.Label, "GAFFER_ID": "7", "GAFFER_TIME": "2026-11-27T10:00:00.123456789Z", "GAFFER_ENV": "two\nlines",
		}
		if line.Label == "stderr" {
			want["PRIORITY"] = "3"
		}
		if diff := cmp.Diff(want, fields(t, datagram(t, l))); diff != "" {
			t.Errorf("%d: %s", i, diff)
		}
	}
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
}

// fields reads an entry of the journal's native protocol.
func fields(t *testing.T, b []byte) map[string]string {
	t.Helper()
	all := map[string]string{}
	for len(b) > 0 {
		i := bytes.IndexAny(b, "=\n")
		name := string(b[:i])
		if b[i] == '=' {
			end := bytes.IndexByte(b, '\n')
			all[name], b = string(b[i+1:end]), b[end+1:]
			continue
		}
		size := binary.LittleEndian.Uint64(b[i+1:])
		value := b[i+9 : i+9+int(size)]
		all[name], b = string(value), b[i+9+int(size)+1:]
	}
	return all
}

// web server of a test: what it was sent, and what it answers.
type site struct {
	*httptest.Server
	answers []func(w http.ResponseWriter)
	bodies  []string
	headers []http.Header
}

func newSite(t *testing.T, path string, answers ...func(w http.ResponseWriter)) *site {
	s := &site{answers: answers}
	s.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		zip, err := gzip.NewReader(r.Body)
		if err != nil || r.URL.Path != path || r.Method != "POST" {
			t.Errorf("%s %s: %v", r.Method, r.URL, err)
			return
		}
		body, err := io.ReadAll(zip)
		if err != nil {
			t.Error(err)
		}
		s.bodies, s.headers = append(s.bodies, string(body)), append(s.headers, r.Header)
		if len(s.answers) == 0 {
			w.WriteHeader(http.StatusNoContent)
			return
		}
		answer := s.answers[0]
		s.answers = s.answers[1:]
		answer(w)
	}))
	t.Cleanup(s.Close)
	return s
}

func status(code int) func(http.ResponseWriter) {
	return func(w http.ResponseWriter) { w.WriteHeader(code) }
}

func TestLokiIsPushedValuesByTheirLabels(t *testing.T) {
	s := newSite(t, "/loki/api/v1/push")
	w := way(t, Destination{Type: Loki, URL: s.URL, Labels: map[string]string{"env": "prod"}, Headers: map[string]string{"X-Scope-OrgID": "me"}})
	all(t, w, append(lines(), output("stdout", "again"))...)
	const want = `{"streams":[` +
		`{"stream":{"env":"prod","host":"here","name":"jobs:web","slot":"2","stream":"stdout"},"values":[["1795773600123456789","hello, wörld"],["1795773600123456789",""],["1795773600123456789","again"]]},` +
		`{"stream":{"env":"prod","host":"here","name":"jobs:web","slot":"2","stream":"stderr"},"values":[["1795773600123456789","\ufffd\u0000"]]}]}` + "\n"
	if diff := cmp.Diff(want, s.bodies[0]); diff != "" {
		t.Error(diff)
	}
	if h := s.headers[0]; h.Get("X-Scope-OrgID") != "me" || h.Get("User-Agent") != "gaffer/1.2" || h.Get("Content-Type") != "application/json" {
		t.Errorf("got %v", h)
	}
}

func TestOTLPIsByResource(t *testing.T) {
	s := newSite(t, "/v1/logs", func(w http.ResponseWriter) {
		fmt.Fprint(w, `{"partialSuccess":{"rejectedLogRecords":"1","errorMessage":"too old"}}`)
	}, func(w http.ResponseWriter) { fmt.Fprint(w, `{"partialSuccess":{"rejectedLogRecords":2}}`) }, func(w http.ResponseWriter) { fmt.Fprint(w, `{}`) })
	w := way(t, Destination{Type: OTLP, URL: s.URL, Labels: map[string]string{"env": "prod"}})
	for i, refused := range []int{1, 2, 0} {
		done, lost, err := w.send(t.Context(), lines())
		if done != 3 || lost != refused || err != nil {
			t.Errorf("%d: %d done, %d lost, %v", i, done, lost, err)
		}
	}
	var got otlpRequest
	if err := json.Unmarshal([]byte(s.bodies[0]), &got); err != nil {
		t.Fatal(err)
	}
	want := otlpRequest{[]otlpResourceLogs{{
		Resource: otlpResource{[]otlpAttribute{text("service.name", "jobs:web"), text("service.instance.id", "jobs:web.2"), text("host.name", "here"), text("env", "prod")}},
		ScopeLogs: []otlpScopeLogs{{otlpScope{"gaffer", "1.2"}, []otlpRecord{
			{"1795773600123456789", 9, otlpValue{StringValue: "hello, wörld"}, []otlpAttribute{text("log.iostream", "stdout"), integer("gaffer.id", 7)}},
			{"1795773600123456789", 17, otlpValue{StringValue: "\ufffd\x00"}, []otlpAttribute{text("log.iostream", "stderr"), integer("gaffer.id", 7)}},
			{"1795773600123456789", 9, otlpValue{}, []otlpAttribute{text("log.iostream", "stdout"), integer("gaffer.id", 7)}},
		}}},
	}}}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

// One line that is refused for good is found, and takes no other with it.
func TestARefusedLineIsFound(t *testing.T) {
	bad := func(body string) bool { return strings.Contains(body, "line 617\"") }
	got := map[string]bool{}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		zip, _ := gzip.NewReader(r.Body)
		body, _ := io.ReadAll(zip)
		var push lokiPush
		if bad(string(body)) || json.Unmarshal(body, &push) != nil {
			w.WriteHeader(http.StatusBadRequest)
			return
		}
		if len(push.Streams[0].Values) > 400 {
			w.WriteHeader(http.StatusRequestEntityTooLarge)
			return
		}
		for _, v := range push.Streams[0].Values {
			got[v[1]] = true
		}
	}))
	defer server.Close()
	w := way(t, Destination{Type: Loki, URL: server.URL})
	var all []gaffer.Output
	for i := range batchLines {
		all = append(all, output("stdout", fmt.Sprint("line ", i)))
	}
	refused, requests := 0, 0
	for len(all) > 0 {
		done, lost, err := w.send(t.Context(), all)
		if (err != nil) != (lost > 0) {
			t.Fatal(lost, err)
		}
		all, refused, requests = all[done:], refused+lost, requests+1
	}
	if refused != 1 || len(got) != batchLines-1 || got["line 617"] || requests > 60 {
		t.Errorf("%d refused, %d taken, %d requests", refused, len(got), requests)
	}
}

// One that is too slow for a batch gets on all the same: what it has taken does not come
// again.
func TestASlowReceiverGetsOn(t *testing.T) {
	ours, theirs := net.Pipe()
	d := Destination{Name: "x", Type: Syslog, URL: "unix:///x", Timeout: 50 * time.Millisecond}.withDefaults()
	s := newSyslog(&d, &Options{Host: "here"})
	s.conn = unixPipe{ours}
	got := make(chan []byte, 1)
	go func() {
		var all []byte
		buf := make([]byte, 1000)
		for {
			n, err := theirs.Read(buf)
			all = append(all, buf[:n]...)
			if err != nil {
				got <- all
				return
			}
			time.Sleep(2 * time.Millisecond) // it is what is tested
		}
	}()
	var all []gaffer.Output
	for i := range batchLines {
		all = append(all, output("stdout", fmt.Sprintf("line %d %s", i, strings.Repeat("x", 300))))
	}
	done, lost, err := s.send(t.Context(), all)
	_ = theirs.Close()
	text := string(<-got)
	if done == 0 || done == len(all) || lost != 0 || err == nil {
		t.Errorf("%d done, %d lost, %v", done, lost, err)
	}
	if whole := strings.Count(text, strings.Repeat("x", 300)); whole != done || !strings.Contains(text, fmt.Sprintf("line %d ", done-1)) {
		t.Errorf("%d done, %d taken", done, whole)
	}
}

// unixPipe is a connection of a unix socket.
type unixPipe struct{ net.Conn }

func (unixPipe) RemoteAddr() net.Addr { return &net.UnixAddr{Net: "unix", Name: "x"} }

// One that refuses everything is not asked without a pause, and not all is lost at once.
func TestAReceiverThatRefusesEverythingIsAskedSlowly(t *testing.T) {
	requests := 0
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		requests++
		http.Error(w, "no such tenant", http.StatusBadRequest)
	}))
	defer server.Close()
	w := way(t, Destination{Type: Loki, URL: server.URL})
	all := []gaffer.Output{output("stdout", "one"), output("stdout", "two"), output("stdout", "three")}
	for {
		done, lost, err := w.send(t.Context(), all)
		if err == nil && done == 0 {
			continue // it looks for the one to blame
		}
		if done != 1 || lost != 1 || err == nil || err.Error() != `answer 400 Bad Request: "no such tenant"` || requests > 3 {
			t.Errorf("%d done, %d lost, %v after %d requests", done, lost, err, requests)
		}
		return
	}
}

func TestAnswersThatAskToTryAgain(t *testing.T) {
	later := func(w http.ResponseWriter) {
		w.Header().Set("Retry-After", "7")
		w.WriteHeader(http.StatusTooManyRequests)
	}
	moved := func(w http.ResponseWriter) {
		w.Header().Set("Location", "http://127.0.0.1:1/")
		w.WriteHeader(http.StatusTemporaryRedirect)
	}
	s := newSite(t, "/v1/logs", status(500), status(401), status(404), moved, later)
	w := way(t, Destination{Type: OTLP, URL: s.URL})
	for _, want := range []string{"answer 500 Internal Server Error", "answer 401 Unauthorized", "answer 404 Not Found", "answer 307 Temporary Redirect", "answer 429 Too Many Requests"} {
		done, lost, err := w.send(t.Context(), lines())
		if done != 0 || lost != 0 || err == nil || err.Error() != want {
			t.Errorf("%d done, %d lost, %v; want %s", done, lost, err, want)
		}
		if p, ok := err.(*pausing); !ok || p.pause != 0 && p.pause != 7*time.Second || want[7:10] == "429" && p.pause == 0 {
			t.Errorf("%s: %#v", want, err)
		}
	}
	s.Close()
	if _, _, err := w.send(t.Context(), lines()); err == nil || strings.Contains(err.Error(), "/v1/logs") {
		t.Errorf("got %v", err)
	}
}
