package webhook_test

import (
	"context"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
	"time"

	"github.com/gafferpm/gaffer"
	"github.com/gafferpm/gaffer/webhook"
)

// What happens while the manager ends is posted before Run returns.
func TestTheEndIsPostedToo(t *testing.T) {
	var mu sync.Mutex
	got := map[gaffer.Kind]int{}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var e gaffer.Event
		if err := json.NewDecoder(r.Body).Decode(&e); err != nil {
			w.WriteHeader(http.StatusBadRequest)
		}
		mu.Lock()
		defer mu.Unlock()
		got[e.Kind]++
	}))
	defer server.Close()
	app, err := webhook.New([]webhook.Hook{{Name: "x", URL: server.URL}}, &webhook.Memory{}, webhook.Options{})
	if err != nil {
		t.Fatal(err)
	}
	m, err := gaffer.New(gaffer.Options{NoCgroup: true})
	if err != nil {
		t.Fatal(err)
	}
	if err := m.Add(t.Context(), gaffer.Template{Name: "web", Cmd: "sleep 1000", NumProcesses: new(3)}); err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithTimeout(t.Context(), 30*time.Second)
	defer stop()
	spawned := gaffer.AppFunc(func(ctx context.Context, m *gaffer.Manager) error {
		events, err := m.Subscribe(ctx, "web", gaffer.EventOptions{Kinds: []gaffer.Kind{gaffer.KindSpawn}, Tail: -1})
		if err != nil {
			return err
		}
		defer events.Close()
		for range 3 {
			if _, err := events.Next(ctx); err != nil {
				return err
			}
		}
		stop()
		return nil
	})
	if err := m.Run(ctx, app, spawned); err != nil {
		t.Fatal(err)
	}
	mu.Lock()
	defer mu.Unlock()
	if got[gaffer.KindSpawn] != 3 || got[gaffer.KindExit] != 3 {
		t.Errorf("got %v, want 3 spawns and 3 exits", got)
	}
	if st := app.List()[0]; st.Pending != 0 || st.Failed != 0 {
		t.Errorf("got %+v", st)
	}
}
