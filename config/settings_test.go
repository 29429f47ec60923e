package config_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/gafferpm/gaffer"
	"github.com/gafferpm/gaffer/config"
)

func TestFaultsOfSettings(t *testing.T) {
	long := strings.Repeat("x", 120)
	for want, text := range map[string]string{
		"gaffer.toml:1:10: daemon: want a table, not a number":                              "daemon = 1\n",
		"gaffer.toml:2:1: unknown field nodde in daemon; did you mean node?":                "[daemon]\nnodde = 'x'\n",
		"gaffer.toml:2:8: node: \"a b\": want letters":                                      "[daemon]\nnode = 'a b'\n",
		"gaffer.toml:2:13: log_level: \"inf\": unknown log level; did you mean info?":       "[daemon]\nlog_level = 'inf'\n",
		"gaffer.toml:2:14: log_format: \"xml\": unknown log format; known are text, json":   "[daemon]\nlog_format = 'xml'\n",
		"gaffer.toml:2:15: socket_mode: want octal digits in quotes, such as \"0660\", not": "[daemon]\nsocket_mode = 660\n",
		"gaffer.toml:2:15: socket_mode: mode \"0888\": want octal digits":                   "[daemon]\nsocket_mode = '0888'\n",
		"gaffer.toml:2:15: socket_mode: mode \"1777\": want octal digits":                   "[daemon]\nsocket_mode = '1777'\n",
		"gaffer.toml:2:26: socket_users.bob: \"1\": unknown role":                           "[daemon]\nsocket_users = { \"bob\" = 1 }\n",
		"gaffer.toml:2:22: socket_users.bob: \"root\": unknown role; known are viewer":      "[daemon]\nsocket_users.bob   = 'root'\n",
		"gaffer.toml:2:17: drain_timeout: duration":                                         "[daemon]\ndrain_timeout = 'soon'\n",
		"gaffer.toml:2:16: journal_size: size \"1 parsec\": want a text like \"10MiB\"":     "[daemon]\njournal_size = '1 parsec'\n",
		"gaffer.toml:2:16: journal_size: want at least 64KiB":                               "[daemon]\njournal_size = 1\n",
		"gaffer.toml:2:10: socket: is empty":                                                "[daemon]\nsocket = ''\n",
		"gaffer.toml:2:10: socket: the path has ":                                           "[daemon]\nsocket = '/" + long + "'\n",
		"gaffer.toml:2:10: listen: want tables such as [[daemon.listen]], not a text":       "[daemon]\nlisten = '7777'\n",
		"gaffer.toml:1:9: listen: want tables such as [[daemon.listen]], not a table":       "[daemon.listen]\naddress = '7777'\n",
		"gaffer.toml:1:10: address: is required":                                            "[[daemon.listen]]\n",
		"gaffer.toml:2:11: address: \"host\": want HOST:PORT":                               "[[daemon.listen]]\naddress = 'host'\n",
		"gaffer.toml:2:11: address: \"[::1]:70000\": want HOST:PORT":                        "[[daemon.listen]]\naddress = '[::1]:70000'\n",
		"gaffer.toml:2:11: address: \"a b:1\": want HOST:PORT":                              "[[daemon.listen]]\naddress = 'a b:1'\n",
		"gaffer.toml:4:11: address: 127.0.0.1:1 is listened on twice":                       "[[daemon.listen]]\naddress = '1'\n[[daemon.listen]]\naddress = ':1'\n",
		"gaffer.toml:3:12: tls_cert: wants tls_key beside it":                               "[[daemon.listen]]\naddress = '1'\ntls_cert = 'x'\n",
		"gaffer.toml:3:11: tls_key: wants tls_cert beside it":                               "[[daemon.listen]]\naddress = '1'\ntls_key = 'x'\n",
		"gaffer.toml:3:13: client_ca: wants tls_cert and tls_key":                           "[[daemon.listen]]\naddress = '1'\nclient_ca = 'x'\n",
		"gaffer.toml:3:9: users: wants client_ca beside it":                                 "[[daemon.listen]]\naddress = '1'\nusers = { a = 'admin' }\n",
		"gaffer.toml:3:10: hosts: \"a:1\": want the name of a host":                         "[[daemon.listen]]\naddress = '1'\nhosts = ['a:1']\n",
		"gaffer.toml:3:12: origins: \"example.com\": want an origin":                        "[[daemon.listen]]\naddress = '1'\norigins = ['example.com']\n",
		"gaffer.toml:3:12: origins: \"https://a/\": want an origin":                         "[[daemon.listen]]\naddress = '1'\norigins = ['https://a/']\n",
		"gaffer.toml:3:1: unknown field adress in listen; did you mean address?":            "[[daemon.listen]]\naddress = '1'\nadress = '2'\n",
		"gaffer.toml:2:11: [[…]] is a list of tables, and nothing here is one":              "[webhook]\n[[webhook.x]]\n",
		"gaffer.toml:1:11: webhook: want tables such as [webhook.alert], not a number":      "webhook = 1\n",
		"gaffer.toml:1:10: url: is required":                                                "[webhook.x]\n",
		"gaffer.toml:2:7: url: want a URL such as":                                          "[webhook.x]\nurl = 'example.com'\n",
		"gaffer.toml:2:7: url: has a user in it":                                            "[webhook.x]\nurl = 'http://u:p@h/'\n",
		"gaffer.toml:1:10: webhook \"a:b\": want a letter":                                  "[webhook.'a:b']\nurl = 'http://h/'\n",
		"gaffer.toml:3:10: target: target \"!\": want":                                      "[webhook.x]\nurl = 'http://h/'\ntarget = '!'\n",
		"gaffer.toml:3:9: kinds: unknown kind exits; did you mean exit?":                    "[webhook.x]\nurl = 'http://h/'\nkinds = ['exits']\n",
		"gaffer.toml:3:10: secret: is empty":                                                "[webhook.x]\nurl = 'http://h/'\nsecret = ''\n",
		"gaffer.toml:3:10: secret: stands beside secret_file":                               "[webhook.x]\nurl = 'http://h/'\nsecret = 'x'\nsecret_file = 'y'\n",
		"gaffer.toml:3:11: timeout: want more than 0":                                       "[webhook.x]\nurl = 'http://h/'\ntimeout = 0\n",
		"gaffer.toml:3:16: max_attempts: want at least 1":                                   "[webhook.x]\nurl = 'http://h/'\nmax_attempts = 0\n",
		"gaffer.toml:3:11: max_age: want more than 0":                                       "[webhook.x]\nurl = 'http://h/'\nmax_age = '0s'\n",
		"gaffer.toml:3:18: headers.host: is set by gaffer itself":                           "[webhook.x]\nurl = 'http://h/'\nheaders = { host='x' }\n",
		"gaffer.toml:3:19: headers.a b: can't be the name of a header":                      "[webhook.x]\nurl = 'http://h/'\nheaders = { 'a b'='x' }\n",
		"gaffer.toml:1:10: type: is required, one of syslog":                                "[forward.x]\n",
		"gaffer.toml:2:8: type: unknown type syslogd; did you mean syslog?":                 "[forward.x]\ntype = 'syslogd'\n",
		"gaffer.toml:3:7: url: want udp, tcp or tls":                                        "[forward.x]\ntype = 'syslog'\nurl = 'http://h/'\n",
		"gaffer.toml:3:11: streams: \"a:b\": no label":                                      "[forward.x]\ntype = 'journald'\nstreams = ['a:b']\n",
		"gaffer.toml:3:17: labels.slot: is set by gaffer itself":                            "[forward.x]\ntype = 'journald'\nlabels = { slot='x' }\n",
		"gaffer.toml:3:12: facility: unknown facility local9; did you mean local0?":         "[forward.x]\ntype = 'journald'\nfacility = 'local9'\n",
		"gaffer.toml:3:1: headers: is for loki and otlp alone":                              "[forward.x]\ntype = 'journald'\nheaders = { a='x' }\n",
		"gaffer.toml:4:1: facility: is for syslog and journald alone":                       "[forward.x]\ntype = 'loki'\nurl = 'http://h/'\nfacility = 'user'\n",
		"gaffer.toml:4:1: ca_file: is for https and tls alone":                              "[forward.x]\ntype = 'loki'\nurl = 'http://h/'\nca_file = 'x'\n",
		"gaffer.toml:3:15: headers.a: has a control character":                              "[webhook.x]\nurl = 'http://h/'\nheaders = { a=\"x\\r\\ny\" }\n",
		"gaffer.toml:1:9: dir: is required":                                                 "[plugin.x]\n",
		"gaffer.toml:1:9: plugin \"a/b\": want a letter":                                    "[plugin.'a/b']\ndir = 'x'\n",
		"gaffer.toml:2:1: unknown field path in plugin.x; known are dir":                    "[plugin.x]\npath = 'x'\n",
		"gaffer.toml:1:9: want a table such as [plugin.dashboard]; dir stands in none":      "plugin={dir='x'}\n",
	} {
		dir := write(t, map[string]string{"gaffer.toml": text + "\n[process.ok]\ncmd = 'x'\n"})
		_, err := load(t, dir, "gaffer.toml", config.Options{})
		if err == nil || !strings.HasPrefix(strings.ReplaceAll(err.Error(), dir+"/", ""), want) {
			t.Errorf("got %v\nwant %s", err, want)
			continue
		}
		if _, derr := loadDaemon(t, dir, config.Options{}, "gaffer.toml"); derr == nil || derr.Error() != err.Error() {
			t.Errorf("the daemon got %v\nwant %v", derr, err)
		}
		if !errors.Is(err, gaffer.ErrInvalid) {
			t.Errorf("%v is not ErrInvalid", err)
		}
	}
}

func TestSettingsAreNoTemplates(t *testing.T) {
	dir := write(t, map[string]string{"gaffer.toml": "[daemon]\nnode = 'n'\n[webhook.x]\nurl = 'http://h/'\nsecret_file = 'none'\n[plugin.x]\ndir = 'none'\n"})
	// What runs templates only has none here, and does not look for the files.
	if _, err := load(t, dir, "gaffer.toml", config.Options{}); err == nil || !strings.HasSuffix(err.Error(), "defines no process; want a table such as [process.web] with cmd = \"./server\"") {
		t.Errorf("got %v", err)
	}
	// To the daemon that is fine, but it needs the files.
	_, err := loadDaemon(t, dir, config.Options{}, "gaffer.toml")
	want := []string{"gaffer.toml:5:15: secret_file: " + dir + "/none: no such file or directory", "gaffer.toml:7:7: dir: " + dir + "/none: no such file or directory"}
	for _, w := range want {
		if err == nil || !strings.Contains(err.Error(), w) {
			t.Errorf("got %v\nwithout %s", err, w)
		}
	}
	replaceIn(t, filepath.Join(dir, "gaffer.toml"), "none", "gaffer.toml")
	replaceIn(t, filepath.Join(dir, "gaffer.toml"), "dir = 'gaffer.toml'", "dir = '.'")
	d, err := loadDaemon(t, dir, config.Options{}, "gaffer.toml")
	if err != nil || len(d.Desired) != 1 || len(d.Desired[0].Templates) != 0 {
		t.Errorf("got %+v, %v", d, err)
	}
}

func TestCheckLooksAtTheFilesOfSettings(t *testing.T) {
	dir := write(t, map[string]string{"gaffer.toml": "[webhook.x]\nurl = 'http://h/'\nsecret_file = 'none'\n[process.a]\ncmd = 'true'\n"})
	f, err := load(t, dir, "gaffer.toml", config.Options{})
	if err != nil {
		t.Fatal(err)
	}
	if err := f.Check(); err == nil || !strings.Contains(err.Error(), "gaffer.toml:3:15: secret_file: ") {
		t.Errorf("got %v", err)
	}
}

func TestBrokenTemplatesLeaveTheSettings(t *testing.T) {
	dir := write(t, map[string]string{
		"gaffer.toml":   "[daemon]\nnode = 'n'\n[webhook.good]\nurl = 'http://h/'\n[webhook.bad]\n[process.a]\ncmmd = 'x'\n[proces.b]\n",
		"settings.toml": "[daemon]\nnode = 'n'\nlog_level = 'x'\n[process.a]\ncmd = 'x'\n",
		"syntax.toml":   "[daemon]\nnode = 'n'\n[process.a\n",
		"env.toml":      "[daemon]\nnode = 'n'\n[process.a]\ncmd = 'x'\nenv_files = ['bad.env']\n", "bad.env": "A B\n",
	})
	for _, name := range []string{"gaffer.toml", "env.toml"} {
		d, err := loadDaemon(t, dir, config.Options{}, name)
		if err == nil || d == nil || d.Settings.Node != "n" || d.Desired != nil {
			t.Errorf("%s: got %+v, %v", name, d, err)
		}
		if name == "gaffer.toml" && (len(d.Webhooks) != 1 || d.Webhooks[0].Name != "good") {
			t.Errorf("got %+v", d.Webhooks)
		}
	}
	for _, name := range []string{"settings.toml", "syntax.toml", "none.toml"} {
		if d, err := loadDaemon(t, dir, config.Options{}, name); err == nil || d != nil {
			t.Errorf("%s: got %+v, %v", name, d, err)
		}
	}
}

// certificate makes a certificate of its own, and its key.
func certificate(t *testing.T) (cert, key string) {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &private.PublicKey, private)
	if err != nil {
		t.Fatal(err)
	}
	keyDER, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})),
		string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: keyDER}))
}

func TestCertificatesAreTried(t *testing.T) {
	cert, key := certificate(t)
	_, other := certificate(t)
	dir := write(t, map[string]string{
		"gaffer.toml": "[[daemon.listen]]\naddress = '1'\ntls_cert = 'c.pem'\ntls_key = 'k.pem'\nclient_ca = 'c.pem'\n" +
			"[webhook.x]\nurl = 'https://h/'\nca_file = 'c.pem'\n",
		"c.pem": cert, "k.pem": key,
	})
	d, err := loadDaemon(t, dir, config.Options{}, "gaffer.toml")
	if err != nil {
		t.Fatal(err)
	}
	l := d.Settings.Listen[0]
	if l.TLSCert != dir+"/c.pem" || l.TLSKey != dir+"/k.pem" || l.ClientCA != dir+"/c.pem" || string(d.Webhooks[0].CA) != cert {
		t.Errorf("got %+v, %+v", l, d.Webhooks)
	}
	if err := os.WriteFile(filepath.Join(dir, "k.pem"), []byte(other), 0o600); err != nil {
		t.Fatal(err)
	}
	if d, err := loadDaemon(t, dir, config.Options{}, "gaffer.toml"); err == nil || d != nil || !strings.Contains(err.Error(), "gaffer.toml:3:12: tls_cert: private key does not match public key") {
		t.Errorf("got %v", err)
	}
	if err := os.WriteFile(filepath.Join(dir, "c.pem"), []byte("x"), 0o600); err != nil {
		t.Fatal(err)
	}
	_, err = loadDaemon(t, dir, config.Options{}, "gaffer.toml")
	for _, want := range []string{":3:12: tls_cert: ", ":5:13: client_ca: ", ":8:11: ca_file: "} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, without %s", err, want)
		}
	}
}

func TestSecretsAreNotInFaults(t *testing.T) {
	for _, text := range []string{
		"[webhook.x]\nurl = 'http://h/'\nsecret = 5551234\n",
		"[webhook.x]\nurl = 'ftp://h/5551234'\n",
		"[webhook.x]\nurl = 5551234\n",
		"[webhook.x]\nurl = 'http://h/'\nsecret = '5551234'\nsecret_file = 'y'\n",
		"[webhook.x]\nurl = 'http://h/'\nheaders = { A = 5551234 }\n",
		"[webhook.x]\nurl = 'http://h/'\nheaders = { A = \"5551234\\u0000\" }\n",
		"[webhook.x]\nurl = 'http://h/'\n[webhook.x.headers]\nHost = '5551234'\n",
		"[webhook.x]\nurl = 'http://h/'\n[profile.p.webhook.x]\nsecret = [5551234]\n",
		"[webhook.x]\nurl = 'http://h/'\nunknown = 1; secret = '5551234'\n",
		"[forward.x]\ntype = 'loki'\nurl = 'ftp://5551234/'\n",
		"[forward.x]\ntype = 'loki'\nurl = 'http://h/'\nheaders = { Host = '5551234' }\n",
	} {
		dir := write(t, map[string]string{"gaffer.toml": text})
		_, err := loadDaemon(t, dir, config.Options{}, "gaffer.toml")
		if err == nil || strings.Contains(err.Error(), "5551234") {
			t.Errorf("%s: got %v", text, err)
		}
	}
	h := config.Webhook{Secret: "5551234", Headers: map[string]config.Secret{"A": "5551234"}}
	asJSON, err := json.Marshal(h)
	if err != nil {
		t.Fatal(err)
	}
	for _, shown := range []string{fmt.Sprint(h), fmt.Sprintf("%+v", h), fmt.Sprintf("%#v", h), fmt.Sprintf("%s %q %v", h.Secret, h.Secret, h.Secret), string(asJSON)} {
		if strings.Contains(shown, "5551234") {
			t.Errorf("it shows in %s", shown)
		}
	}
	if h.Secret.Reveal() != "5551234" {
		t.Error("it is lost")
	}
}

func TestSizes(t *testing.T) {
	for text, want := range map[string]int64{
		"0": 0, "512": 512, "512B": 512, "1KiB": 1024, "10MiB": 10 << 20, "1.5 GiB": 3 << 29, "2kB": 2000, "3mb": 3e6, "1TiB": 1 << 40,
		"": -1, "x": -1, "-1": -1, "1e400": -1, "9999999TiB": -1, "1 2": -1, "MiB": -1, "1iB": -1, "nan": -1, "1MiBs": -1,
	} {
		var s gaffer.Size
		err := s.UnmarshalText([]byte(text))
		if (err == nil) != (want >= 0) || err == nil && int64(s) != want {
			t.Errorf("%q: got %d, %v, want %d", text, s, err, want)
		}
	}
	for size, want := range map[gaffer.Size]string{0: "0", 1: "1", 1024: "1KiB", 1500: "1500", 64 << 20: "64MiB", 3 << 29: "1536MiB"} {
		if size.String() != want {
			t.Errorf("got %s, want %s", size, want)
		}
	}
}

func TestDaemonPath(t *testing.T) {
	for _, tt := range []struct {
		asked string
		env   map[string]string
		uid   int
		there string
		want  string
	}{
		{"x.toml", map[string]string{"GAFFER_CONFIG": "y"}, 0, "", "x.toml"},
		{"", map[string]string{"GAFFER_CONFIG": "y"}, 0, "/etc/gaffer/gaffer.toml", "y"},
		{"", nil, 0, "/etc/gaffer/gaffer.toml", "/etc/gaffer/gaffer.toml"},
		{"", nil, 0, "", ""},
		{"", map[string]string{"XDG_CONFIG_HOME": "/c", "HOME": "/h"}, 0, "/c/gaffer/gaffer.toml", ""},
		{"", map[string]string{"XDG_CONFIG_HOME": "/c", "HOME": "/h"}, 7, "/c/gaffer/gaffer.toml", "/c/gaffer/gaffer.toml"},
		{"", map[string]string{"XDG_CONFIG_HOME": "c", "HOME": "/h"}, 7, "/h/.config/gaffer/gaffer.toml", "/h/.config/gaffer/gaffer.toml"},
		{"", map[string]string{"HOME": "/h"}, 7, "/etc/gaffer/gaffer.toml", ""},
	} {
		got := config.DaemonPath(tt.asked, func(k string) string { return tt.env[k] }, tt.uid, func(p string) bool { return p == tt.there })
		if diff := cmp.Diff(tt.want, got); diff != "" {
			t.Errorf("%+v: %s", tt, diff)
		}
	}
}
