package config_test

import (
	"errors"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/gafferpm/gaffer"
	"github.com/gafferpm/gaffer/config"
)

const withProfiles = `
include = ["conf.d/*.toml"]

[daemon]
node = "dev"
log_level = "debug"
[[daemon.listen]]
address = "7000"

[process.web]
cmd = "./web"
env = { LEVEL = "debug", MODE = "dev" }
custom_streams = ["a", "b"]

[process.db]
cmd = "./db"

[webhook.alert]
url = "http://127.0.0.1/dev"

[profile.production.daemon]
node = "left"
[[profile.production.daemon.listen]]
address = "8000"
[[profile.production.daemon.listen]]
address = "8001"

[profile.production.process.web]
numprocesses = 4
custom_streams = ["c"]
env.LEVEL = "info"
[profile.production.process.web.backoff]
first = "1s"

[profile.production.process.cron]
cmd = "./cron"

[profile.production.webhook.alert]
url = "https://example.com/"

[profile.test]
`

func TestProfileIsMergedOverTheRest(t *testing.T) {
	dir := write(t, map[string]string{
		"gaffer.toml":     withProfiles,
		"conf.d/two.toml": "[process.mail]\ncmd = './mail'\ncwd = 'x'\n[profile.production.process.mail]\nnumprocesses = 2\nenv_files = ['m.env']\n",
	})
	for name, o := range map[string]config.Options{
		"asked for":   {Profile: "production", Environ: []string{"GAFFER_PROFILE=test"}},
		"environment": {Environ: []string{"A=b", "GAFFER_PROFILE=production"}},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := loadDaemon(t, dir, o, "gaffer.toml")
			if err != nil {
				t.Fatal(err)
			}
			first := gaffer.Duration(1e9)
			want := []gaffer.Template{
				{
					Name: "web", Cmd: "./web", Cwd: dir, Env: map[string]string{"LEVEL": "info", "MODE": "dev"}, CustomStreams: []string{"c"},
					NumProcesses: new(4), Backoff: &gaffer.Backoff{First: &first},
				},
				{Name: "db", Cmd: "./db", Cwd: dir},
				{Name: "mail", Cmd: "./mail", Cwd: dir + "/conf.d/x", NumProcesses: new(2), EnvFiles: []string{dir + "/conf.d/m.env"}},
				{Name: "cron", Cmd: "./cron", Cwd: dir},
			}
			if diff := cmp.Diff(want, got.Desired[0].Templates); diff != "" {
				t.Error(diff)
			}
			s := got.Settings
			if s.Node != "left" || s.LogLevel.Level() != -4 || len(s.Listen) != 2 || s.Listen[0].Address != "127.0.0.1:8000" || got.Webhooks[0].URL != "https://example.com/" {
				t.Errorf("got %+v, %+v", s, got.Webhooks)
			}
		})
	}
	for _, profile := range []string{"", "test"} {
		f, err := load(t, dir, "gaffer.toml", config.Options{Profile: profile})
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff([]string{"web", "db", "mail"}, names(f)); diff != "" {
			t.Error(diff)
		}
		if web := f.Templates[0]; web.NumProcesses != nil || web.Env["LEVEL"] != "debug" || len(web.CustomStreams) != 2 {
			t.Errorf("got %+v", web)
		}
	}
}

func TestUnknownProfileIsRefused(t *testing.T) {
	dir := write(t, map[string]string{
		"gaffer.toml": withProfiles, "none.toml": "[process.a]\ncmd = 'x'\n", "Procfile": "web: x\n",
	})
	for want, tt := range map[string]struct {
		file string
		o    config.Options
	}{
		"profile prodution: not found; did you mean production?": {"gaffer.toml", config.Options{Profile: "prodution"}},
		"profile x: not found; there are production, test":       {"gaffer.toml", config.Options{Environ: []string{"GAFFER_PROFILE=x"}}},
		"profile x: not found; no file defines one":              {"none.toml", config.Options{Profile: "x"}},
		"profile x: profiles are for a gaffer.toml":              {"Procfile", config.Options{Profile: "x"}},
	} {
		_, err := load(t, dir, tt.file, tt.o)
		if err == nil || !strings.HasPrefix(err.Error(), want) {
			t.Errorf("got %v, want %s", err, want)
		}
		_, err = loadDaemon(t, dir, tt.o, tt.file)
		if err == nil || !strings.HasPrefix(err.Error(), want) {
			t.Errorf("daemon: got %v, want %s", err, want)
		}
	}
	// A Procfile does not look at the environment's.
	if _, err := load(t, dir, "Procfile", config.Options{Environ: []string{"GAFFER_PROFILE=x"}}); err != nil {
		t.Error(err)
	}
}

func TestFaultsOfProfiles(t *testing.T) {
	for want, text := range map[string]string{
		"gaffer.toml:1:12: unknown name proces; did you mean process?":   "[profile.a.proces.web]\ncmd = 'x'\n",
		"gaffer.toml:2:1: unknown name include":                          "[profile.a]\ninclude = ['x']\n",
		"gaffer.toml:2:1: unknown field cmmd in process.web":             "[profile.a.process.web]\ncmmd = 'x'\n",
		"gaffer.toml:2:8: port: want a whole number":                     "[profile.a.process.web]\nport = 'x'\n",
		"gaffer.toml:2:1: unknown field nod in daemon":                   "[profile.a.daemon]\nnod = 'x'\n",
		"gaffer.toml:2:1: unknown field ulr in webhook.x":                "[profile.a.webhook.x]\nulr = 'x'\n",
		"gaffer.toml:1:10: want a table such as [profile.production]; a": "profile={a=1}\n",
		"gaffer.toml:1:11: profile: want tables such as":                 "profile = 1\n",
		"gaffer.toml:1:10: profile \"a b\": want a letter":               "[profile.\"a b\"]\n",
	} {
		dir := write(t, map[string]string{"gaffer.toml": text + "[process.ok]\ncmd = 'x'\n"})
		_, err := load(t, dir, "gaffer.toml", config.Options{})
		if err == nil || !strings.HasPrefix(strings.ReplaceAll(err.Error(), dir+"/", ""), want) {
			t.Errorf("got %v\nwant %s", err, want)
		}
	}
	// What a chosen profile makes of a template is checked as a whole, at the place
	// of the profile.
	dir := write(t, map[string]string{"gaffer.toml": "[process.web]\ncmd = 'x'\n[profile.a.process.web]\nport = 70000\n[profile.a.process.new]\n"})
	if _, err := load(t, dir, "gaffer.toml", config.Options{}); err != nil {
		t.Error(err)
	}
	_, err := load(t, dir, "gaffer.toml", config.Options{Profile: "a"})
	var faults config.Faults
	if !errors.As(err, &faults) || len(faults) != 2 || faults[0].Line != 4 || faults[1].Line != 5 {
		t.Errorf("got %v", err)
	}
}

func TestTablesOfSeveralFilesAreUnited(t *testing.T) {
	dir := write(t, map[string]string{
		"gaffer.toml": "include = ['b.toml']\n[webhook.a]\nurl = 'http://a/'\n[profile.p.process.a]\nport = 1\n[process.a]\ncmd = 'x'\n",
		"b.toml":      "[daemon]\nnode = 'n'\n[webhook.b]\nurl = 'http://b/'\n[profile.p.process.b]\nport = 2\n[profile.q.process.b]\nport = 3\n[process.b]\ncmd = 'x'\n",
		"twice.toml":  "include = ['b.toml']\n[daemon]\nnode = 'm'\n[webhook.b]\nurl = 'http://c/'\n[profile.p.process.b]\nport = 9\n",
	})
	d, err := loadDaemon(t, dir, config.Options{Profile: "p"}, "gaffer.toml")
	if err != nil {
		t.Fatal(err)
	}
	if d.Settings.Node != "n" || len(d.Webhooks) != 2 || d.Desired[0].Templates[0].Port != 1 || d.Desired[0].Templates[1].Port != 2 {
		t.Errorf("got %+v", d)
	}
	_, err = loadDaemon(t, dir, config.Options{}, "twice.toml")
	if err == nil {
		t.Fatal("no error")
	}
	for _, want := range []string{
		"b.toml:1:2: daemon is defined twice; the first is in twice.toml on line 2",
		"b.toml:3:10: webhook.b is defined twice; the first is in twice.toml on line 4",
		"b.toml:5:20: profile.p.process.b is defined twice; the first is in twice.toml on line 6",
	} {
		if got := strings.ReplaceAll(err.Error(), dir+"/", ""); !strings.Contains(got, want) {
			t.Errorf("got %s\nwithout %s", got, want)
		}
	}
}

func TestDaemonReadsSeveralFiles(t *testing.T) {
	dir := write(t, map[string]string{
		"a.toml": "[daemon]\nnode = 'n'\n[process.a]\ncmd = 'x'\n", "b.toml": "[webhook.b]\nurl = 'http://b/'\n[process.b]\ncmd = 'x'\n[profile.p.process.b]\nport = 7\n",
		"Procfile": "web: x\n", "c.toml": "[daemon]\nnode = 'm'\n[process.a]\ncmd = 'x'\n",
	})
	d, err := loadDaemon(t, dir, config.Options{Environ: []string{"GAFFER_PROFILE=p"}}, "a.toml", "b.toml", "Procfile")
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, d := range d.Desired {
		for _, tmpl := range d.Templates {
			got = append(got, filepath.Base(d.Source)+" "+tmpl.Name)
		}
	}
	if diff := cmp.Diff([]string{"a.toml a", "b.toml b", "Procfile web"}, got); diff != "" {
		t.Error(diff)
	}
	if d.Settings.Node != "n" || len(d.Webhooks) != 1 || d.Desired[1].Templates[0].Port != 7 {
		t.Errorf("got %+v", d)
	}
	_, err = loadDaemon(t, dir, config.Options{}, "a.toml", "c.toml")
	if err == nil {
		t.Fatal("no error")
	}
	for _, want := range []string{"c.toml:1:2: daemon is defined twice; the first is in a.toml on line 1", "c.toml:3:10: process.a is defined twice; the first is in a.toml on line 3"} {
		if got := strings.ReplaceAll(err.Error(), dir+"/", ""); !strings.Contains(got, want) {
			t.Errorf("got %s\nwithout %s", got, want)
		}
	}
}
