package client_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/gafferpm/gaffer"
	"github.com/gafferpm/gaffer/api"
	"github.com/gafferpm/gaffer/client"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// daemon is a manager that is served on a unix socket and on TCP with TLS, until
// the test ends.
type daemon struct {
	manager *gaffer.Manager
	socket  string // "unix:///…"
	address string // "https://127.0.0.1:…"
	roots   *x509.CertPool
	key     string // of an admin
	stop    func() // which the test's end calls, too
}

// newDaemon starts one.
func newDaemon(t testing.TB, more ...func(*api.Options)) *daemon {
	t.Helper()
	m, err := gaffer.New(gaffer.Options{Node: "here"})
	if err != nil {
		t.Fatal(err)
	}
	tcp, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	dir, err := os.MkdirTemp("", "gaffer") // short enough for a socket's path
	if err != nil {
		t.Fatal(err)
	}
	cert, roots := certificate(t, dir)
	d := &daemon{manager: m, socket: "unix://" + filepath.Join(dir, "sock"), address: "https://" + tcp.Addr().String(), roots: roots}
	store := &keys{}
	d.key = store.admin()
	opts := api.Options{
		Version: "1.2.3", Node: "here", Keys: store, Audit: m.Audit,
		Endpoints: []api.Endpoint{{Address: d.socket}, {Address: tcp.Addr().String(), Listener: tcp, TLS: cert}},
	}
	for _, f := range more {
		f(&opts)
	}
	server, err := api.New(m, opts)
	if err != nil {
		t.Fatal(err)
	}
	ctx, end := context.WithCancel(context.Background())
	begun, once, done := make(chan struct{}), sync.Once{}, make(chan error, 1)
	go func() {
		done <- m.Run(ctx, server, gaffer.AppFunc(func(ctx context.Context, _ *gaffer.Manager) error {
			once.Do(func() { close(begun) })
			<-ctx.Done()
			return nil
		}))
	}()
	d.stop = sync.OnceFunc(func() {
		end()
		if err := <-done; err != nil {
			t.Errorf("Run: %v", err)
		}
	})
	t.Cleanup(func() {
		d.stop()
		if err := os.RemoveAll(dir); err != nil {
			t.Error(err)
		}
	})
	select {
	case <-begun:
	case err := <-done:
		done <- nil
		t.Fatalf("Run: %v", err)
	}
	return d
}

// certificate makes a certificate for 127.0.0.1 that vouches for itself.
func certificate(t testing.TB, dir string) (api.TLS, *x509.CertPool) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour), IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageDigitalSignature,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	secret, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	files := api.TLS{Cert: filepath.Join(dir, "cert.pem"), Key: filepath.Join(dir, "key.pem")}
	public := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	for file, text := range map[string][]byte{
		files.Cert: public, files.Key: pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: secret}),
	} {
		if err := os.WriteFile(file, text, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(public)
	return files, roots
}

// keys keeps API keys in memory.
type keys struct {
	mu   sync.Mutex // guards list
	list []api.Key
}

// admin adds a key that may do everything.
func (k *keys) admin() string {
	const id, secret = "AAAAAAAAAAAA", "c2VjcmV0"
	hash := sha256.Sum256([]byte(secret))
	k.list = append(k.list, api.Key{KeyInfo: api.KeyInfo{ID: id, Name: "test", Role: api.Admin}, Hash: hash[:]})
	return "gaffer_" + id + "_" + secret
}

func (k *keys) Keys() ([]api.Key, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	return slices.Clone(k.list), nil
}

func (k *keys) PutKey(key api.Key) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.list = append(k.list, key)
	return nil
}

func (k *keys) DeleteKey(id string) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.list = slices.DeleteFunc(k.list, func(key api.Key) bool { return key.ID == id })
	return nil
}

// client is a client that is closed with the test.
func (d *daemon) client(t testing.TB, host string, opts client.Options) *client.Client {
	t.Helper()
	c, err := client.New(host, opts)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := c.Close(); err != nil {
			t.Error(err)
		}
	})
	return c
}

// overUnix is a client over the unix socket.
func (d *daemon) overUnix(t testing.TB) *client.Client {
	t.Helper()
	return d.client(t, d.socket, client.Options{})
}

// overTLS is a client over TCP with TLS and a key.
func (d *daemon) overTLS(t testing.TB, key string) *client.Client {
	t.Helper()
	return d.client(t, d.address, client.Options{Key: key, TLS: &tls.Config{RootCAs: d.roots}})
}
