package api

import (
	"bytes"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"os"
	"path"
	"strings"
	"time"

	"github.com/gafferpm/gaffer"
)

// pageFiles are the page on which the API can be tried.
//
//go:embed page
var pageFiles embed.FS

// pagePolicy lets the page run its own script and ask its own daemon, and no more.
const pagePolicy = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src data:; " +
	"base-uri 'none'; form-action 'none'; frame-ancestors 'none'"

// fileRoutes serve files. A browser can't send a key for them: they are for
// everybody, and what they show is asked for with a key.
func fileRoutes() []route {
	file := func(path, id, summary string, handle func(*call) error) route {
		return route{method: "GET", path: path, role: Nobody, hidden: true, handle: handle, id: id, summary: summary}
	}
	return []route{
		file("/{$}", "page", "The page on which the API can be tried", showPage),
		file("/docs", "page-docs", "The same page", showPage),
		file("/docs/{file}", "page-files", "What the page is made of", showPage),
		file("/plugins/{name}/{file...}", "plugin-files", "The files of a plugin", showPlugin),
	}
}

func showPage(c *call) error {
	name := c.r.PathValue("file")
	if name == "" {
		name = "index.html"
	}
	text, err := pageFiles.ReadFile("page/" + name)
	if err != nil {
		return fmt.Errorf("%s: %w", name, gaffer.ErrNotFound)
	}
	h := c.w.Header()
	h.Set("Content-Security-Policy", pagePolicy)
	h.Set("Referrer-Policy", "no-referrer")
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Cache-Control", "no-cache")
	http.ServeContent(c.w, c.r, name, time.Time{}, bytes.NewReader(text))
	return nil
}

// showPlugin serves a file of a plugin's directory: a regular one within it, even
// by way of links, and none whose name begins with a dot.
func showPlugin(c *call) error {
	name, file := c.r.PathValue("name"), c.r.PathValue("file")
	notFound := fmt.Errorf("plugin %s: %q: %w", name, file, gaffer.ErrNotFound)
	dir, ok := c.s.opts.Plugins[name]
	if !ok {
		return fmt.Errorf("plugin %q: %w", name, gaffer.ErrNotFound)
	}
	for part := range strings.SplitSeq(file, "/") {
		if strings.HasPrefix(part, ".") {
			return notFound
		}
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		return fmt.Errorf("plugin %s: %w", name, err)
	}
	defer root.Close()
	inside := path.Clean("./" + file)
	info, err := root.Stat(inside)
	if err == nil && info.IsDir() {
		if file != "" && !strings.HasSuffix(file, "/") {
			c.code = http.StatusMovedPermanently
			http.Redirect(c.w, c.r, path.Base(file)+"/", c.code)
			return nil
		}
		inside = path.Join(inside, "index.html")
		info, err = root.Stat(inside)
	}
	switch {
	case errors.Is(err, fs.ErrPermission):
		return fmt.Errorf("plugin %s: %q: %w", name, file, ErrForbidden)
	case err != nil, !info.Mode().IsRegular():
		return notFound
	}
	f, err := root.Open(inside)
	if err != nil {
		return notFound
	}
	defer f.Close()
	c.w.Header().Set("X-Content-Type-Options", "nosniff")
	c.w.Header().Set("Cache-Control", "no-cache") // it is asked for whether it has changed
	http.ServeContent(c.w, c.r, inside, info.ModTime(), f)
	return nil
}
