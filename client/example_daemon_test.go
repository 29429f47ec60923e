package client_test

import (
	"context"
	"log"
	"os"
	"path/filepath"
	"sync"

	"github.com/gafferpm/gaffer"
	"github.com/gafferpm/gaffer/api"
)

// exampleDaemon is a daemon for an example.
func exampleDaemon() (host string, stop func()) {
	dir, err := os.MkdirTemp("", "gaffer")
	if err != nil {
		log.Fatal(err)
	}
	m, err := gaffer.New(gaffer.Options{})
	if err != nil {
		log.Fatal(err)
	}
	host = "unix://" + filepath.Join(dir, "sock")
	server, err := api.New(m, api.Options{Endpoints: []api.Endpoint{{Address: host}}})
	if err != nil {
		log.Fatal(err)
	}
	ctx, end := context.WithCancel(context.Background())
	begun, once, done := make(chan struct{}), sync.Once{}, make(chan error, 1)
	go func() {
		done <- m.Run(ctx, server, gaffer.AppFunc(func(ctx context.Context, _ *gaffer.Manager) error {
			once.Do(func() { close(begun) })
			<-ctx.Done()
			return nil
		}))
	}()
	<-begun
	return host, func() {
		end()
		if err := <-done; err != nil {
			log.Fatal(err)
		}
		if err := os.RemoveAll(dir); err != nil {
			log.Fatal(err)
		}
	}
}
