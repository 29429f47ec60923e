package api

import (
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
)

func get(t testing.TB, h http.Handler, path string) *httptest.ResponseRecorder {
	t.Helper()
	w := httptest.NewRecorder()
	r := httptest.NewRequest("GET", "http://localhost/", nil).WithContext(t.Context())
	r.URL.Path, r.URL.RawPath = path, ""
	h.ServeHTTP(w, r)
	return w
}

func handler(t testing.TB, opts Options, as Caller) http.Handler {
	t.Helper()
	s, err := New(refusing{}, opts)
	if err != nil {
		t.Fatal(err)
	}
	return s.Handler(as)
}

func TestThePageAsksNobodyElse(t *testing.T) {
	h := handler(t, Options{}, Caller{})
	elsewhere := regexp.MustCompile(`(?i)(https?:)?//[a-z0-9]+\.`)
	for path, kind := range map[string]string{
		"/": "text/html", "/docs": "text/html", "/docs/page.css": "text/css", "/docs/page.js": "javascript",
	} {
		w := get(t, h, path)
		if w.Code != 200 || !strings.Contains(w.Header().Get("Content-Type"), kind) {
			t.Errorf("%s: %d %v", path, w.Code, w.Header())
		}
		if found := elsewhere.FindString(w.Body.String()); found != "" {
			t.Errorf("%s mentions %s", path, found)
		}
		if policy := w.Header().Get("Content-Security-Policy"); !strings.HasPrefix(policy, "default-src 'none'") || strings.Contains(policy, "unsafe") {
			t.Errorf("%s: policy %q", path, policy)
		}
		if strings.Contains(w.Body.String(), "innerHTML") || strings.Contains(w.Body.String(), "<script>") || strings.Contains(w.Body.String(), "style=") {
			t.Errorf("%s has what the policy, or good sense, forbids", path)
		}
	}
	if w := get(t, h, "/docs/nothing.js"); w.Code != 404 {
		t.Errorf("nothing: %d", w.Code)
	}
}

func TestPluginsServeTheFilesOfTheirDirectoryOnly(t *testing.T) {
	outside := t.TempDir()
	dir := t.TempDir()
	write := func(path string) {
		t.Helper()
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte("content of "+filepath.Base(path)), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	write(filepath.Join(outside, "secret"))
	for _, f := range []string{"index.html", "app.js", "sub/index.html", "sub/a b.txt", ".hidden", ".git/config", "empty/.keep"} {
		write(filepath.Join(dir, f))
	}
	for from, to := range map[string]string{"leak": filepath.Join(outside, "secret"), "up": "../..", "fine": "app.js"} {
		if err := os.Symlink(to, filepath.Join(dir, from)); err != nil {
			t.Fatal(err)
		}
	}
	if err := syscall.Mkfifo(filepath.Join(dir, "pipe"), 0o644); err != nil {
		t.Fatal(err)
	}
	h := handler(t, Options{Plugins: map[string]string{"board": dir, "gone": filepath.Join(dir, "nowhere")}}, Caller{})
	for path, want := range map[string]string{
		"/plugins/board/": "index.html", "/plugins/board/index.html": "index.html", "/plugins/board/app.js": "app.js",
		"/plugins/board/sub/": "index.html", "/plugins/board/sub/a b.txt": "a b.txt", "/plugins/board/fine": "app.js",
	} {
		if w := get(t, h, path); w.Code != 200 || w.Body.String() != "content of "+want {
			t.Errorf("%s: %d %s", path, w.Code, w.Body)
		}
	}
	if w := get(t, h, "/plugins/board/sub"); w.Code != 301 || w.Header().Get("Location") != "/plugins/board/sub/" {
		t.Errorf("a directory without its slash: %d %v", w.Code, w.Header())
	}
	for _, path := range []string{
		"/plugins/board/.hidden", "/plugins/board/.git/config", "/plugins/board/leak", "/plugins/board/up/etc/passwd", "/plugins/board/pipe",
		"/plugins/board/nothing", "/plugins/board/empty/", "/plugins/other/", "/plugins/board/app.js/x",
		"/plugins/board/\x00", "/plugins/board/" + strings.Repeat("x", 5000),
	} {
		if w := get(t, h, path); w.Code != 404 || strings.Contains(w.Body.String(), "content of") {
			t.Errorf("%.40q: %d %.100s", path, w.Code, w.Body)
		}
	}
	for _, path := range []string{"/plugins/board/../../etc/passwd", "/plugins/board/sub/../../x", "/plugins/board//app.js", "/plugins/gone/"} {
		if w := get(t, h, path); w.Code == 200 || strings.Contains(w.Body.String(), "content of") {
			t.Errorf("%s: %d %.100s", path, w.Code, w.Body)
		}
	}
}
