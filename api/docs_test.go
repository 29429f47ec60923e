package api

import (
	"fmt"
	"os"
	"strings"
	"testing"
)

func TestThePageOfTheManualHasEveryRouteAndCode(t *testing.T) {
	b, err := os.ReadFile("../docs/http.md")
	if err != nil {
		t.Fatal(err)
	}
	manual := string(b)
	for _, r := range routes() {
		role := r.role.String()
		if r.role == Nobody {
			role = "–"
		}
		if row := fmt.Sprintf("| %s `%s` | %s |", r.method, r.path, role); !r.hidden && !strings.Contains(manual, row) {
			t.Errorf("docs/http.md has no row %s", row)
		}
		for _, p := range r.query {
			if !strings.Contains(manual, p.name+"=") && !strings.Contains(manual, "`"+p.name+"`") {
				t.Errorf("docs/http.md does not say %s= of %s", p.name, r.path)
			}
		}
	}
	for _, s := range sorts {
		if row := fmt.Sprintf("| `%s` | ", s.code); !strings.Contains(manual, row) {
			t.Errorf("docs/http.md has no row of the code %s", s.code)
		}
	}
	for line := range strings.Lines(metricsText(t)) {
		name, _, _ := strings.Cut(strings.TrimPrefix(line, "# TYPE "), " ")
		if strings.HasPrefix(line, "# TYPE ") && !strings.Contains(manual, "`"+name+"`") {
			t.Errorf("docs/http.md does not name %s", name)
		}
	}
}

func metricsText(t testing.TB) string {
	t.Helper()
	s, err := New(manager(t), Options{})
	if err != nil {
		t.Fatal(err)
	}
	return get(t, s.Handler(Caller{Role: Viewer}), "/metrics").Body.String()
}
