package config_test

import (
	"path/filepath"
	"reflect"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/gafferpm/gaffer"
	"github.com/gafferpm/gaffer/config"
)

// loadDaemon reads files of a directory as a daemon's, with an environment of
// nothing.
func loadDaemon(t *testing.T, dir string, o config.Options, names ...string) (*config.Daemon, error) {
	t.Helper()
	if o.Environ == nil {
		o.Environ = []string{}
	}
	var paths []string
	for _, name := range names {
		paths = append(paths, filepath.Join(dir, name))
	}
	return config.LoadDaemon(paths, o)
}

func TestDaemonReadsEverySetting(t *testing.T) {
	cert, key := certificate(t)
	dir := write(t, map[string]string{"gaffer.toml": `
[daemon]
node = "left"
host = "direct"
log_level = "debug"
log_format = "json"
pid_file = "run/gaffer.pid"
socket = "/run/x.sock"
socket_mode = "0660"
socket_users = { alice = "operator", 1000 = "viewer" }
socket_groups = { adm = "admin" }
drain_timeout = "3s"
journal_size = "1.5MiB"

[[daemon.listen]]
address = "7777"
insecure = true

[[daemon.listen]]
address = "[::]:7778"
hosts = ["gaffer.example.com", "10.0.0.1"]
origins = ["https://ops.example.com"]

[[daemon.listen]]
address = "example.com:07779"
tls_cert = "c.pem"
tls_key = "k.pem"
client_ca = "c.pem"
users = { "alice@example.com" = "operator" }

[webhook.alert]
url = "https://example.com/hook"
target = "jobs:*"
kinds = ["exit", "fail"]
secret = "s3cret"
timeout = 2
max_attempts = 3
max_age = "1h"
headers = { X-Team = "ops" }

[webhook.file]
url = "http://127.0.0.1/"
secret_file = "secret"
ca_file = "c.pem"

[plugin.map]
dir = "map"

[process.web]
cmd = "true"
`, "secret": " from file\n", "map/index.html": "", "c.pem": cert, "k.pem": key})
	got, err := loadDaemon(t, dir, config.Options{}, "gaffer.toml")
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, "gaffer.toml")
	want := &config.Daemon{
		Settings: config.Settings{
			Node: "left", Host: config.HostDirect, LogLevel: -4, LogFormat: "json", PIDFile: dir + "/run/gaffer.pid", Socket: "/run/x.sock", SocketMode: 0o660,
			SocketUsers: map[string]config.Role{"alice": "operator", "1000": "viewer"}, SocketGroups: map[string]config.Role{"adm": "admin"},
			DrainTimeout: gaffer.Duration(3 * time.Second), JournalSize: 3 << 19,
			Listen: []config.Listen{
				{Address: "127.0.0.1:7777", Insecure: true},
				{Address: "[::]:7778", Hosts: []string{"gaffer.example.com", "10.0.0.1"}, Origins: []string{"https://ops.example.com"}},
				{
					Address: "example.com:7779", TLSCert: dir + "/c.pem", TLSKey: dir + "/k.pem", ClientCA: dir + "/c.pem",
					Users: map[string]config.Role{"alice@example.com": "operator"},
				},
			},
		},
		Webhooks: []config.Webhook{
			{
				Name: "alert", URL: "https://example.com/hook", Target: "jobs:*", Kinds: []gaffer.Kind{"exit", "fail"}, Secret: "s3cret",
				Timeout: gaffer.Duration(2 * time.Second), MaxAttempts: 3, MaxAge: gaffer.Duration(time.Hour), Headers: map[string]config.Secret{"X-Team": "ops"},
			},
			{
				Name: "file", URL: "http://127.0.0.1/", Target: "*", Secret: "from file", SecretFile: dir + "/secret", CAFile: dir + "/c.pem", CA: []byte(cert),
				Timeout: gaffer.Duration(10 * time.Second), MaxAttempts: 100, MaxAge: gaffer.Duration(24 * time.Hour),
			},
		},
		Plugins: []config.Plugin{{Name: "map", Dir: dir + "/map"}},
		Desired: []gaffer.Desired{{Source: path, Templates: []gaffer.Template{{Name: "web", Cmd: "true", Cwd: dir}}}},
		Read:    []string{path, dir + "/c.pem", dir + "/k.pem", dir + "/secret"},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	// What the file above leaves at its zero value, nobody can see to be read.
	seen := map[string]bool{}
	for _, v := range []any{got.Settings, got.Settings.Listen[0], got.Settings.Listen[1], got.Settings.Listen[2], got.Webhooks[0], got.Webhooks[1], got.Plugins[0]} {
		rv := reflect.ValueOf(v)
		for i := range rv.NumField() {
			f := rv.Type().Field(i)
			id := rv.Type().Name() + "." + f.Name
			seen[id] = seen[id] || !rv.Field(i).IsZero()
		}
	}
	for field, set := range seen {
		if !set {
			t.Errorf("field %s is not in this test", field)
		}
	}
}

func TestDaemonWithoutFilesHasDefaults(t *testing.T) {
	got, err := config.LoadDaemon(nil, config.Options{})
	if err != nil {
		t.Fatal(err)
	}
	s := got.Settings
	if s.SocketMode != 0o600 || s.LogFormat != "text" || s.DrainTimeout != gaffer.Duration(10*time.Second) || s.JournalSize != 64<<20 || s.Node == "" {
		t.Errorf("got %+v", s)
	}
	if len(got.Desired) != 0 || len(got.Webhooks) != 0 || len(got.Plugins) != 0 {
		t.Errorf("got %+v", got)
	}
}
