package main

import (
	"bufio"
	"context"
	"io"
	"testing"
	"time"
)

func TestEmbedPrintsWhatBothProcessesWrite(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	reader, writer := io.Pipe()
	ended := make(chan error, 1)
	go func() {
		err := run(ctx, writer)
		writer.Close()
		ended <- err
	}()

	missing := map[string]bool{"greeter.1: hello from slot 1": true, "greeter.2: hello from slot 2": true}
	for lines := bufio.NewScanner(reader); lines.Scan(); {
		delete(missing, lines.Text())
		if len(missing) == 0 {
			cancel() // and read on until the end, so that nothing is held up
		}
	}
	if len(missing) > 0 {
		t.Errorf("never printed: %v", missing)
	}
	if err := <-ended; err != nil {
		t.Error(err)
	}
}
