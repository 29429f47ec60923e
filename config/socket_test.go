package config_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/gafferpm/gaffer"
	"github.com/gafferpm/gaffer/config"
)

func TestSocketsOfIncludedFilesAndProfiles(t *testing.T) {
	dir := write(t, map[string]string{"gaffer.toml": `
include = ["more.toml"]
[process.web]
cmd = "./web"
sockets = ["web", "more"]
[socket.web]
listen = ":80"
[profile.dev.socket.web]
listen = "127.0.0.1:8080"
[profile.other.socket.web]
backlog = 3
`, "more.toml": "[socket.more]\nlisten = \"udp://:53\"\n"})
	f, err := load(t, dir, "gaffer.toml", config.Options{Profile: "dev"})
	if err != nil {
		t.Fatal(err)
	}
	want := []gaffer.Socket{{Name: "web", Listen: "127.0.0.1:8080"}, {Name: "more", Listen: "udp://:53"}}
	if diff := cmp.Diff(want, f.Templates[0].Sockets); diff != "" {
		t.Error(diff)
	}
}

func TestDaemonsFilesHaveSockets(t *testing.T) {
	dir := write(t, map[string]string{"gaffer.toml": "[process.web]\ncmd = \"x\"\nsockets = [\"web\"]\n[socket.web]\nlisten = \":80\"\n"})
	d, err := loadDaemon(t, dir, config.Options{}, "gaffer.toml")
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]gaffer.Socket{{Name: "web", Listen: ":80"}}, d.Desired[0].Templates[0].Sockets); diff != "" {
		t.Error(diff)
	}
}

func TestFaultsOfSockets(t *testing.T) {
	for text, want := range map[string]string{
		"[process.web]\ncmd = \"x\"\nsockets = [\"wbe\"]\n[socket.web]\nlisten = \":80\"":                     "gaffer.toml:3:12: sockets: there is no socket wbe; did you mean web?",
		"[process.web]\ncmd = \"x\"\nsockets = [\"api\"]":                                                     "sockets: there is no socket api; want a table such as [socket.api]",
		"[process.web]\ncmd = \"x\"\nsockets = [\"web\"]\n[socket.web]\nlisten = \"x:80\"":                    `gaffer.toml:5:10: listen: "x:80": "x": want the number of an address`,
		"[process.web]\ncmd = \"x\"\nsockets = \"web\"\n[socket.web]\nlisten = \":80\"":                       "sockets: want a list of names of sockets, not a text",
		"[process.web]\ncmd = \"x\"\nsockets = [8080]":                                                        "sockets: want the name of a socket in quotes, or a table of its own, not a number",
		"[process.web]\ncmd = \"x\"\nsockets = [{ listen = \":80\" }]":                                        "sockets.0.name",
		"[process.web]\ncmd = \"x\"\n[socket.web]\nlisten = \":80\"\nmode = 660":                              "mode: want octal digits in quotes",
		"[process.web]\ncmd = \"x\"\n[socket.web]\nlisten = \":80\"\nbacklogs = 5":                            "unknown field backlogs in socket.web; did you mean backlog?",
		"[process.web]\ncmd = \"x\"\n[socket.web]\nname = \"a\"\nlisten = \":80\"":                            "unknown field name in socket.web; the name is the table's",
		"[process.web]\ncmd = \"x\"\n[socket.\"a:b\"]\nlisten = \":80\"":                                      `"a:b": want a letter`,
		"[process.web]\ncmd = \"x\"\n[socket]\nlisten = \":80\"":                                              "want a table such as [socket.web]",
		"[process.web]\ncmd = \"x\"\n[profile.p.socket.web]\nlistn = \":80\"":                                 "unknown field listn",
		"[process.web]\ncmd = \"x\"\nsockets = [\"web\", \"web\"]\n[socket.web]\nlisten = \"127.0.0.1:80\"\n": `sockets: name "web" is used twice`,
	} {
		_, err := load(t, write(t, map[string]string{"gaffer.toml": text}), "gaffer.toml", config.Options{})
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s\n%v, want %s", text, err, want)
		}
		if err != nil && strings.Count(err.Error(), "\n") > 1 && strings.Contains(err.Error(), "unix:@") {
			t.Errorf("more than one fault: %v", err)
		}
	}
}

func TestSocketsOfSeveralTemplatesAreWrittenOnce(t *testing.T) {
	web, other := gaffer.Socket{Name: "web", Listen: ":80"}, gaffer.Socket{Name: "own", Listen: "unix:///a", Mode: 0o660}
	again := other
	again.Listen = "unix:///b"
	got, err := config.FormatTOML([]gaffer.Template{
		{Name: "a", Cmd: "a", Sockets: []gaffer.Socket{web, other}}, {Name: "b", Cmd: "b", Sockets: []gaffer.Socket{again, web}},
	})
	want := `[socket.web]
listen = ":80"

[process.a]
cmd = "a"
sockets = ["web", { name = "own", listen = "unix:///a", mode = "0660" }]

[process.b]
cmd = "b"
sockets = [{ name = "own", listen = "unix:///b", mode = "0660" }, "web"]
`
	if err != nil || string(got) != want {
		t.Errorf("%s%v", cmp.Diff(want, string(got)), err)
	}
}
