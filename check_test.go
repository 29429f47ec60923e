package gaffer

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

func TestCheckFindsATemplateThatDoesNotGetOn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m, err := New(Options{host: &fakeHost{}})
		if err != nil {
			t.Fatal(err)
		}
		defer m.Close()
		for i := range 100 {
			if err := m.Add(t.Context(), Template{Name: fmt.Sprint("t", i), Cmd: "true"}); err != nil {
				t.Fatal(err)
			}
		}
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		defer cancel()
		if err := m.Check(ctx); err != nil {
			t.Error(err)
		}
		if n := testing.AllocsPerRun(10, func() { _ = m.Check(ctx) }); n > 2 {
			t.Errorf("%v allocations where nothing is to be done", n)
		}
		stuck, again := make(chan struct{}), make(chan struct{})
		m.keepers["t7"].box.post(func() { close(stuck); <-again })
		<-stuck
		if err := m.Check(ctx); !errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), "t7") {
			t.Errorf("got %v", err)
		}
		close(again)
		if err := m.Check(t.Context()); err != nil {
			t.Error(err)
		}
	})
}
