package gaffer_test

import (
	"context"
	"fmt"
	"log"

	"github.com/gafferpm/gaffer"
)

// A manager keeps one program running until it is told to end.
func Example() {
	m, err := gaffer.New(gaffer.Options{})
	if err != nil {
		log.Fatal(err)
	}
	ctx, end := context.WithCancel(context.Background())
	output, err := m.Output(ctx, gaffer.All, gaffer.OutputOptions{})
	if err != nil {
		log.Fatal(err)
	}
	err = m.Add(ctx, gaffer.Template{Name: "hello", Cmd: "echo hello from slot $GAFFER_SLOT", NumProcesses: new(1)})
	if err != nil {
		log.Fatal(err)
	}
	done := make(chan error)
	go func() { done <- m.Run(ctx) }()

	line, err := output.Next(ctx)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Printf("%s.%d wrote: %s\n", line.Name, line.Slot, line.Data)
	end()
	if err := <-done; err != nil {
		log.Fatal(err)
	}
	// Output: hello.1 wrote: hello from slot 1
}

// What a template's processes do can be waited for.
func ExampleOnce() {
	m, err := gaffer.New(gaffer.Options{})
	if err != nil {
		log.Fatal(err)
	}
	ctx, end := context.WithCancel(context.Background())
	done := make(chan error)
	go func() {
		done <- m.Run(ctx, gaffer.AppFunc(func(ctx context.Context, m *gaffer.Manager) error {
			defer end()
			go func() { _ = m.Add(ctx, gaffer.Template{Name: "job", Cmd: "sh -c 'exit 3'"}) }()
			e, err := gaffer.Once(ctx, m, "job", gaffer.KindExit)
			if err != nil {
				return err
			}
			fmt.Println(e.Name, e.Exit.Reason)
			return nil
		}))
	}()
	if err := <-done; err != nil {
		log.Fatal(err)
	}
	// Output: job exit status 3
}
