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
	}, "/work/app")
	for path, want := range map[string]verdict{
		"/work/app/src/a.go":            wanted,
		"/work/app/src/b/c.tmpl":        wanted,
		"/work/app/src/b/c.py":          within,
		"/work/app/src/read.md":         wanted,
		"/work/app/src/b/read.md":       within,
		"/work/app/src/gen/c.go":        elsewhere,
		"/work/app/src/gen":             elsewhere,
		"/work/app/src/vendor/a.go":     elsewhere,
		"/work/app/src/.git/a.go":       elsewhere,
		"/work/app/src/a.go~":           elsewhere,
		"/work/app/src/.a.go.swp":       elsewhere,
		"/work/app/srcs/a.go":           elsewhere,
		"/work/app/conf":                wanted,
		"/work/app/conf/a/b":            wanted,
		"/work/app/conf/x.tmp":          elsewhere,
		"/work/app/conf/node_modules/x": elsewhere,
		"/work/shared/a.json":           wanted,
		"/work/shared/a.yaml":           within,
		"/etc/app.conf":                 wanted,
		"/etc/app.conf2":                elsewhere,
		"/work/app/we*ird":              wanted,
		"/work/app/weird":               elsewhere,
	} {
		if got := s.judge(path); got != want {
			t.Errorf("%s: %d, want %d", path, got, want)
		}
	}
	all := newSet(&gaffer.Watch{DefaultIgnore: new(false)}, "/work/app/")
	for _, path := range []string{"/work/app/a", "/work/app/.git/HEAD", "/work/app"} {
		if got := all.judge(path); got != wanted {
			t.Errorf("%s: %d", path, got)
		}
	}
	// What is named is watched, whatever its name.
	named := newSet(&gaffer.Watch{Paths: []string{"node_modules/mine", ".git/HEAD"}}, "/work/app")
	for _, path := range []string{"/work/app/node_modules/mine/x", "/work/app/.git/HEAD"} {
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
		s := newSet(tt.Watch, "/work")
		s.judge("/work/a/b/c")
		s.judge("/work/" + p)
	})
}
