package client

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"testing"
	"time"

	"github.com/gafferpm/gaffer"
)

func TestWaitIsWhatTheContextLeaves(t *testing.T) {
	s := newScripted(t, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Query().Get("wait") == "" {
			w.WriteHeader(http.StatusAccepted)
		}
		fmt.Fprint(w, "[]")
	})
	if err := s.Stop(t.Context(), "web"); err != nil {
		t.Error(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	if err := s.Stop(ctx, "web"); err != nil {
		t.Error(err)
	}
	cancel()
	if err := s.Stop(ctx, "web"); !errors.Is(err, context.Canceled) {
		t.Errorf("without patience: %v", err)
	}
	waits := s.asks("wait")
	rest, err := time.ParseDuration(waits[1])
	if waits[0] != "24h0m0s" || err != nil || rest > time.Minute || rest < 50*time.Second || waits[2] != "" {
		t.Errorf("waits %q", waits)
	}
}

func TestOrderIsGivenAgainWhenTheWaitWasTooShort(t *testing.T) {
	done := func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "[]") }
	s := newScripted(t, problemStep(504, "timeout", "not yet"), done)
	if err := s.Stop(t.Context(), "web"); err != nil {
		t.Error(err)
	}
	s = newScripted(t, problemStep(504, "timeout", "not yet"), done)
	if err := s.Restart(t.Context(), "web", gaffer.StopFirst); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("a restart must not be asked for twice: %v", err)
	}
}

func TestAnswerThatIsDueIsNotAwaitedForEver(t *testing.T) {
	s := newScripted(t, func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() })
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
	defer cancel()
	if err := s.Stop(ctx, "web"); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("error %v", err)
	}
}
