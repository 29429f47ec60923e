package nearest

import "testing"

func TestNearestName(t *testing.T) {
	known := []string{"cmd", "args", "env", "env_files", "numprocesses", "graceful_timeout", "start", "cwd"}
	for name, want := range map[string]string{
		"cmdd": "cmd", "CMD": "cmd", "mcd": "cmd", "command": "cmd", "numprocs": "numprocesses", "env-files": "env_files",
		"graceful_timout": "graceful_timeout", "x": "", "": "", "nothing_like_it": "", "strat": "start",
	} {
		if got := Name(name, known); got != want {
			t.Errorf("%s: got %q, want %q", name, got, want)
		}
	}
	if got := Name("command", []string{"args"}); got != "" {
		t.Errorf("got %q, which is not known", got)
	}
}

func TestHint(t *testing.T) {
	for want, got := range map[string]string{
		"; did you mean text?":      Hint("txt", []string{"text", "json"}),
		"; known are text, json":    Hint("xml", []string{"text", "json"}),
		"":                          Hint("xml", nil),
		"; did you mean abcdefghi?": Hint("abcdefgih", []string{"abcdefghi"}),
	} {
		if got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
}

func FuzzNearest(f *testing.F) {
	f.Add("cmdd", "cmd")
	f.Add("", "\xff")
	f.Fuzz(func(t *testing.T, a, b string) {
		if d := distance(a, b); d != distance(b, a) || d < 0 || (d == 0) != (a == b) && len(a) <= 64 && len(b) <= 64 {
			t.Errorf("from %q to %q: %d, back %d", a, b, d, distance(b, a))
		}
		if got := Name(a, []string{b}); got != "" && got != b {
			t.Errorf("got %q", got)
		}
	})
}
