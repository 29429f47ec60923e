// Web is the shop's web server: a page with a button, and /healthz.
package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log"
	"net"
	"net/http"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"
	"time"
)

const page = `<!doctype html>
<title>The shop</title>
<h1>The shop</h1>
<p>You are served by process %d. %d orders wait to be packed.</p>
<form method="post" action="/order"><button>Order a box of tea</button></form>
`

func main() {
	log.SetFlags(0)
	log.SetOutput(os.Stdout)
	if err := serve(cmp.Or(os.Getenv("ORDERS"), "orders")); err != nil {
		log.Fatal(err)
	}
}

// serve serves until it is asked to end.
func serve(orders string) error {
	if err := os.MkdirAll(orders, 0o755); err != nil {
		return err
	}
	listener, err := net.Listen("tcp", net.JoinHostPort("127.0.0.1", cmp.Or(os.Getenv("PORT"), "8765")))
	if err != nil {
		return err
	}
	log.Printf("open at http://%s/", listener.Addr())

	server := &http.Server{Handler: shop(orders), ReadHeaderTimeout: 5 * time.Second}
	ctx, cancel := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	defer cancel()
	context.AfterFunc(ctx, func() { _ = server.Close() })
	if err := server.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	log.Print("closed")
	return nil
}

func shop(orders string) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprintln(w, "ok") })
	mux.HandleFunc("GET /{$}", func(w http.ResponseWriter, _ *http.Request) {
		waiting, _ := filepath.Glob(filepath.Join(orders, "*.order"))
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		fmt.Fprintf(w, page, os.Getpid(), len(waiting))
	})
	mux.HandleFunc("POST /order", func(w http.ResponseWriter, r *http.Request) {
		name := fmt.Sprintf("%d.order", time.Now().UnixNano())
		if err := os.WriteFile(filepath.Join(orders, name), []byte("a box of tea\n"), 0o644); err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
			return
		}
		log.Print("took ", name)
		http.Redirect(w, r, "/", http.StatusSeeOther)
	})
	return mux
}
