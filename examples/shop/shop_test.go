// Package shop has no code of its own: it is an application for gaffer to run.
package shop

import (
	"bytes"
	"context"
	"io"
	"net"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/gafferpm/gaffer"
	"github.com/gafferpm/gaffer/config"
)

func TestBothFilesDefineTheSameShop(t *testing.T) {
	var names [2][]string
	for i, path := range []string{"gaffer.toml", "Procfile"} {
		file, err := config.Load(path, config.Options{Environ: []string{}})
		if err != nil {
			t.Fatal(err)
		}
		if err := file.Check(); err != nil {
			t.Error(err)
		}
		for _, tmpl := range file.Templates {
			names[i] = append(names[i], tmpl.Name+": "+tmpl.Cmd)
		}
		if file.Templates[0].Port != 8765 {
			t.Errorf("%s: web has port %d, want 8765", path, file.Templates[0].Port)
		}
	}
	if !slices.Equal(names[0], names[1]) {
		t.Errorf("they differ:\n%q\n%q", names[0], names[1])
	}
}

// TestTheShopSells runs the shop, orders something, and waits until it is packed
// and the courier's van has broken down.
func TestTheShopSells(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	manager, err := gaffer.New(gaffer.Options{Subreaper: true})
	if err != nil {
		t.Fatal(err)
	}
	port := freePort(t)
	load(t, manager, port)
	crash, err := manager.Subscribe(t.Context(), "courier", gaffer.EventOptions{Kinds: []gaffer.Kind{gaffer.KindExit}})
	if err != nil {
		t.Fatal(err)
	}
	lines, err := manager.Output(t.Context(), gaffer.All, gaffer.OutputOptions{Tail: -1})
	if err != nil {
		t.Fatal(err)
	}
	running, stop := context.WithCancel(ctx)
	ended := make(chan error, 1)
	go func() { ended <- manager.Run(running) }()
	defer func() {
		stop()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	}()

	base, _ := strings.CutPrefix(hear(ctx, t, lines, "open at "), "open at ")
	if got := get(t, base+"healthz"); got != "ok\n" {
		t.Errorf("healthz says %q", got)
	}
	if got := get(t, base); !strings.Contains(got, "<h1>The shop</h1>") {
		t.Errorf("the page is %q", got)
	}
	response, err := http.Post(base+"order", "", nil)
	if err != nil {
		t.Fatal(err)
	}
	response.Body.Close()
	hear(ctx, t, lines, "packed ")

	event, err := crash.Next(ctx)
	if err != nil || event.Exit == nil || event.Exit.Status != 3 {
		t.Errorf("the courier ended with %+v, %v; want status 3", event, err)
	}
}

// load gives the manager what gaffer.toml says, with a port and a place for
// orders of the test's own.
func load(t *testing.T, manager *gaffer.Manager, port int) {
	t.Helper()
	file, err := config.Load("gaffer.toml", config.Options{})
	if err != nil {
		t.Fatal(err)
	}
	orders := t.TempDir()
	for _, tmpl := range file.Templates {
		tmpl.Env = map[string]string{"ORDERS": orders}
		if tmpl.Name == "web" {
			tmpl.Port = port
		}
		if err := manager.Load(t.Context(), tmpl); err != nil {
			t.Fatal(err)
		}
	}
}

// hear waits for a line that begins with some words.
func hear(ctx context.Context, t *testing.T, lines gaffer.Stream[gaffer.Output], words string) string {
	t.Helper()
	var heard bytes.Buffer
	for {
		line, err := lines.Next(ctx)
		if err != nil {
			t.Fatalf("nobody said %q: %v; heard\n%s", words, err, &heard)
		}
		heard.WriteString(line.Name + ": " + string(line.Data) + "\n")
		if strings.HasPrefix(string(line.Data), words) {
			return string(line.Data)
		}
	}
}

func get(t *testing.T, url string) string {
	t.Helper()
	response, err := http.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(body)
}

// freePort is a port that nobody listens on just now.
func freePort(t *testing.T) int {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port
}
