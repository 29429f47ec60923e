package config_test

import (
	"net"
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/gafferpm/gaffer/config"
)

func FuzzProcfile(f *testing.F) {
	for _, s := range []string{
		"web: ./web\n", "\xef\xbb\xbfweb: x\r\n# c\r\n", "a:b: c\n", "a: b:c: d", "web: PORT=1 $X ${Y:-z} 'q' \"r $S\" | t", "x: $(", "x: ((", "x: <<EOF",
		"x: ${", "x: `", "x: [[ a =~ b ]]", "x: a \\", "x:\x0b", "a :b", "x: $'",
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		entries, err := config.ParseProcfile("Procfile", data)
		if err != nil {
			return
		}
		again, err := config.ParseProcfile("Procfile", config.FormatProcfile(entries))
		if err != nil {
			t.Fatalf("%q: what was written can't be read: %v", data, err)
		}
		if diff := cmp.Diff(entries, again, cmpopts.IgnoreUnexported(config.Entry{}), cmpopts.IgnoreFields(config.Entry{}, "Line")); diff != "" {
			t.Error(diff)
		}
	})
}

func FuzzTOML(f *testing.F) {
	for _, s := range []string{
		"[process.web]\ncmd = 'x'\n", "include = ['*']\n[process]\na.cmd='x'\na.env.B='c'\n", "[process.a]\ncmd='x'\nargs=[['a']]\nenv={A={}}\n",
		"[process.a]\nflapping={attempts=1,window='1s'}\nbackoff={first=0}\n[process.a.env]\n", "process={a={cmd='''x'''}}", "[[process]]\n", "a.b.c=1\na.b=2\n",
		"[process.a]\nuid=1.5\nport=0b1\nstop_signal=1e9\ncmd=\"\\u0000\"", "[process.a]\nredirect_output=[]\ncustom_streams=['a','a']\ngraceful_timeout=inf\n",
	} {
		f.Add([]byte(s))
	}
	dir := f.TempDir()
	f.Fuzz(func(t *testing.T, data []byte) {
		path := filepath.Join(dir, "gaffer.toml")
		if err := os.WriteFile(path, data, 0o644); err != nil {
			t.Fatal(err)
		}
		file, err := config.Load(path, config.Options{Environ: []string{}})
		if err != nil {
			if err.Error() == "" {
				t.Error("an error without a text")
			}
			return
		}
		for _, tmpl := range file.Templates {
			if err := tmpl.Validate(); err != nil {
				t.Errorf("%q: a template that is not valid: %v", data, err)
			}
		}
		again, err := config.FormatTOML(file.Templates)
		if err != nil {
			t.Fatalf("%q: %v", data, err)
		}
		if err := os.WriteFile(path, again, 0o644); err != nil {
			t.Fatal(err)
		}
		reread, err := config.Load(path, config.Options{Environ: []string{}})
		if err != nil {
			t.Fatalf("%q: what was written can't be read: %s: %v", data, again, err)
		}
		if diff := cmp.Diff(file.Templates, reread.Templates, cmpopts.EquateEmpty()); diff != "" {
			t.Errorf("%q: %s", data, diff)
		}
		if _, _, err := config.ToProcfile(file.Templates); err != nil && err.Error() == "" {
			t.Error("an error without a text")
		}
	})
}

func FuzzDaemon(f *testing.F) {
	for _, s := range []string{
		"[daemon]\nnode='n'\nlog_level='info'\nsocket_mode='0660'\njournal_size='1MiB'\n[[daemon.listen]]\naddress=':1'\nhosts=['a']\norigins=['http://a']\n",
		"[daemon.socket_users]\nroot='admin'\n[webhook.x]\nurl='http://h/'\nkinds=['exit']\nheaders={A='b'}\n[plugin.p]\ndir='.'\n",
		"[profile.p.process.a]\ncmd='x'\n[profile.p.daemon]\nnode='x'\n[[profile.p.daemon.listen]]\naddress='1'\n[process]\n",
		"[[a.b]]\n[a.b.c]\n[[a.b.d]]\n[[a]]\n", "daemon={listen=[{address='1'},{address='2'}]}\n", "profile.p=1\n", "[[profile]]\n[[profile.p]]\n",
		"[forward.x]\ntype='loki'\nurl='http://h/'\nlabels={a='b'}\nstreams=['stderr']\n[forward.y]\ntype='journald'\nfacility='user'\n",
		"[daemon]\nlisten=[1]\n[[daemon.listen]]\n", "[[daemon.listen]]\n[daemon.listen]\n", "[webhook.x]\nsecret='a'\n[webhook.x.secret]\n",
	} {
		f.Add([]byte(s), "p")
	}
	dir := f.TempDir()
	f.Fuzz(func(t *testing.T, data []byte, profile string) {
		path := filepath.Join(dir, "gaffer.toml")
		if err := os.WriteFile(path, data, 0o644); err != nil {
			t.Fatal(err)
		}
		d, err := config.LoadDaemon([]string{path}, config.Options{Environ: []string{}, Profile: profile})
		if err != nil {
			if err.Error() == "" || d != nil && d.Desired != nil {
				t.Errorf("%q: got %+v, %v", data, d, err)
			}
			return
		}
		for _, l := range d.Settings.Listen {
			if _, _, err := net.SplitHostPort(l.Address); err != nil {
				t.Errorf("%q: %v", data, err)
			}
		}
		for _, tmpl := range d.Desired[0].Templates {
			if err := tmpl.Validate(); err != nil {
				t.Errorf("%q: a template that is not valid: %v", data, err)
			}
		}
	})
}
