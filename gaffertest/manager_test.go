package gaffertest_test

import (
	"context"
	"sync"
	"testing"

	"go.uber.org/goleak"

	"github.com/gafferpm/gaffer"
	"github.com/gafferpm/gaffer/gaffertest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestManagerConforms(t *testing.T) { gaffertest.Run(t, newManager) }

// newManager is a manager that runs until the test ends.
func newManager(t *testing.T) gaffer.Controller {
	t.Helper()
	m, err := gaffer.New(gaffer.Options{})
	if err != nil {
		t.Fatal(err)
	}
	ctx, end := context.WithCancel(context.Background())
	begun, once, done := make(chan struct{}), sync.Once{}, make(chan error, 1)
	go func() {
		done <- m.Run(ctx, gaffer.AppFunc(func(ctx context.Context, _ *gaffer.Manager) error {
			once.Do(func() { close(begun) }) // a restart of all restarts this too
			<-ctx.Done()
			return nil
		}))
	}()
	<-begun
	t.Cleanup(func() {
		end()
		if err := <-done; err != nil {
			t.Errorf("Run: %v", err)
		}
	})
	return m
}
