package client_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"time"

	"github.com/gafferpm/gaffer"
	"github.com/gafferpm/gaffer/client"
)

// Whatever can be asked of a manager can be asked of a daemon.
func Example() {
	host, stop := exampleDaemon() // "unix:///run/gaffer/gaffer.sock", say
	defer stop()

	c, err := client.New(host, client.Options{})
	if err != nil {
		log.Fatal(err)
	}
	defer c.Close()
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()

	err = c.Add(ctx, gaffer.Template{Name: "web", Cmd: "sleep 1000", NumProcesses: new(2)})
	if err != nil {
		log.Fatal(err)
	}
	wanted, err := c.Scale(ctx, "web", gaffer.Change{Op: '+', N: 1})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println("wanted:", wanted["web"])

	list, err := c.Status(ctx, gaffer.All)
	if err != nil {
		log.Fatal(err)
	}
	for _, st := range list {
		fmt.Println(st.Name, "is", st.State, "with", st.Running)
	}
	err = c.Stop(ctx, "db")
	fmt.Println(err, errors.Is(err, gaffer.ErrNotFound))
	// Output:
	// wanted: 3
	// web is running with 3
	// db: not found true
}

// Events come as they happen, and through broken connections none is missing.
func ExampleClient_Subscribe() {
	host, stop := exampleDaemon()
	defer stop()
	c, err := client.New(host, client.Options{})
	if err != nil {
		log.Fatal(err)
	}
	defer c.Close()
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()

	err = c.Add(ctx, gaffer.Template{Name: "job", Cmd: "sh -c 'exit 3'", Start: new(false)})
	if err != nil {
		log.Fatal(err)
	}
	events, err := c.Subscribe(ctx, "job", gaffer.EventOptions{Kinds: []gaffer.Kind{gaffer.KindExit}})
	if err != nil {
		log.Fatal(err)
	}
	defer events.Close()
	if err := c.Start(ctx, "job"); err != nil {
		log.Fatal(err)
	}

	for {
		e, err := events.Next(ctx)
		var missed gaffer.Missed
		switch {
		case errors.As(err, &missed):
			log.Printf("%d events are not kept any more", int(missed))
			continue
		case errors.Is(err, io.EOF): // the daemon has ended
			return
		case err != nil:
			log.Fatal(err)
		}
		fmt.Println(e.Name, "ended:", e.Exit.Reason)
		break
	}
	// Output: job ended: exit status 3
}
