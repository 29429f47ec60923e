package gaffer_test

import (
	"os"
	"reflect"
	"regexp"
	"strings"
	"testing"

	"github.com/gafferpm/gaffer"
)

func read(t *testing.T, path string) string {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func TestEveryFieldIsDocumented(t *testing.T) {
	page := read(t, "docs/configuration.md")
	for _, v := range []any{gaffer.Template{}, gaffer.Flapping{}, gaffer.Backoff{}, gaffer.LogFiles{}, gaffer.Schedule{}, gaffer.Limits{}, gaffer.Sandbox{}, gaffer.Socket{}, gaffer.Ready{}, gaffer.Health{}, gaffer.Rollout{}, gaffer.Watch{}, gaffer.Autoscale{}} {
		for _, f := range reflect.VisibleFields(reflect.TypeOf(v)) {
			name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
			toml, _, _ := strings.Cut(f.Tag.Get("toml"), ",")
			if name != toml {
				t.Errorf("%s is %q in JSON and %q in TOML", f.Name, name, toml)
			}
			if name != "-" && !strings.Contains(page, "| `"+name+"`") && !strings.Contains(page, "`, `"+name+"` |") {
				t.Errorf("docs/configuration.md has no row for %s", name)
			}
		}
	}
}

func TestEveryKindOfEventIsDocumented(t *testing.T) {
	page := read(t, "docs/events.md")
	for _, k := range gaffer.Kinds() {
		if !strings.Contains(page, "| `"+string(k)+"` |") {
			t.Errorf("docs/events.md has no row for %s", k)
		}
	}
}

// Each row of docs/origin.md names a test, and each test that it names exists.
func TestOriginNamesTestsThatExist(t *testing.T) {
	var code strings.Builder
	for _, f := range goFiles(t) {
		if strings.HasSuffix(f, "_test.go") {
			code.WriteString(read(t, f))
		}
	}
	name := regexp.MustCompile("`(Test[A-Za-z0-9]+)`")
	for line := range strings.Lines(read(t, "docs/origin.md")) {
		if !strings.HasPrefix(line, "| `") && !strings.HasPrefix(line, "| test_") {
			continue
		}
		tests := name.FindAllStringSubmatch(line, -1)
		if len(tests) == 0 {
			t.Errorf("no test in the row %s", line)
		}
		for _, m := range tests {
			if !strings.Contains(code.String(), "func "+m[1]+"(") {
				t.Errorf("%s does not exist, of the row %s", m[1], line)
			}
		}
	}
}
