package watch

import (
	"testing"

	"github.com/bmatcuk/doublestar/v4"

	"github.com/gafferpm/gaffer"
)

func TestWhatIsWatched(t *testing.T) {
	s := newSet(&gaffer.Watch{
		Paths:  []string{"src/**/*.{go,tmpl}", "./conf", "../shared/*.json", "/etc/app.conf", `we\*ird`, "src/*.md"},
		Ignore: []string{"*.tmp", "src/gen", "/etc/x", "vendor/"},
	}, "/srv/app")
	for path, want := range map[string]verdict{
		"/srv/app/src/a.go":            wanted,
		"/srv/app/src/b/c.tmpl":        wanted,
		"/srv/app/src/b/c.py":          within,
		"/srv/app/src/read.md":         wanted,
		"/srv/app/src/b/read.md":       within,
		"/srv/app/src/gen/c.go":        elsewhere,
		"/srv/app/src/gen":             elsewhere,
		"/srv/app/src/vendor/a.go":     elsewhere,
		"/srv/app/src/.git/a.go":       elsewhere,
		"/srv/app/src/a.go~":           elsewhere,
		"/srv/app/src/.a.go.swp":       elsewhere,
		"/srv/app/srcs/a.go":           elsewhere,
		"/srv/app/conf":                wanted,
		"/srv/app/conf/a/b":            wanted,
		"/srv/app/conf/x.tmp":          elsewhere,
		"/srv/app/conf/node_modules/x": elsewhere,
		"/srv/shared/a.json":           wanted,
		"/srv/shared/a.yaml":           within,
		"/etc/app.conf":                wanted,
		"/etc/app.conf2":               elsewhere,
		"/srv/app/we*ird":              wanted,
		"/srv/app/weird":               elsewhere,
	} {
		if got := s.judge(path); got != want {
			t.Errorf("%s: %d, want %d", path, got, want)
		}
	}
	all := newSet(&gaffer.Watch{DefaultIgnore: new(false)}, "/srv/app/")
	for _, path := range []string{"/srv/app/a", "/srv/app/.git/HEAD", "/srv/app"} {
		if got := all.judge(path); got != wanted {
			t.Errorf("%s: %d", path, got)
		}
	}
	// What is named is watched, whatever its name.
	named := newSet(&gaffer.Watch{Paths: []string{"node_modules/mine", ".git/HEAD"}}, "/srv/app")
	for _, path := range []string{"/srv/app/node_modules/mine/x", "/srv/app/.git/HEAD"} {
		if got := named.judge(path); got != wanted {
			t.Errorf("%s: %d", path, got)
		}
	}
	for _, p := range gaffer.WatchIgnored() {
		if !doublestar.ValidatePattern(p) {
			t.Error(p)
		}
	}
}

// What a template may say is a pattern that can be matched.
func FuzzPatterns(f *testing.F) {
	for _, p := range []string{"src/**/*.py", "[a-z]", "{a,b/c}", `\*`, "[^]]", "[!a]", "a{b", "[", "{[}]", `[\]]`, "**", "a/../b", "[a-]", "{a,{b,c}}"} {
		f.Add(p)
	}
	f.Fuzz(func(t *testing.T, p string) {
		tt := gaffer.Template{Name: "web", Cmd: "x", Watch: &gaffer.Watch{Paths: []string{p}, Ignore: []string{p}}}
		if tt.Validate() != nil {
			return
		}
		if !doublestar.ValidatePattern(p) {
			t.Fatalf("%q is accepted and no pattern", p)
		}
		s := newSet(tt.Watch, "/srv/app")
		s.judge("/srv/app/a/b/c")
		s.judge("/srv/app/" + p)
	})
}
