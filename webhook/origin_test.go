package webhook_test

import (
	"context"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"slices"
	"testing"
	"time"

	"github.com/gafferpm/gaffer"
	"github.com/gafferpm/gaffer/webhook"
)

// Hooks for each kind of event of a template that is added, scaled up and removed
// receive that event, with the template's name.
func TestOriginWebhooks(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	type arrival struct {
		path string
		gaffer.Event
	}
	arrived := make(chan arrival, 100)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		a := arrival{path: r.URL.Path}
		if err := json.NewDecoder(r.Body).Decode(&a.Event); err != nil {
			w.WriteHeader(http.StatusBadRequest)
			return
		}
		arrived <- a
	}))
	defer server.Close()

	kinds := []gaffer.Kind{
		gaffer.KindCreate, gaffer.KindStart, gaffer.KindUpdate, gaffer.KindStop, gaffer.KindDelete,
		gaffer.KindSpawn, gaffer.KindStopPID, gaffer.KindExit,
	}
	hooks := []webhook.Hook{{Name: "everything", URL: server.URL + "/all"}}
	for _, k := range kinds {
		hooks = append(hooks, webhook.Hook{Name: string(k), URL: server.URL + "/" + string(k), Target: "dummy", Kinds: []gaffer.Kind{k}})
	}
	app, err := webhook.New(hooks, &webhook.Memory{}, webhook.Options{Version: "test"})
	if err != nil {
		t.Fatal(err)
	}
	m, err := gaffer.New(gaffer.Options{NoCgroup: true})
	if err != nil {
		t.Fatal(err)
	}
	running, stop := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	started := make(chan struct{})
	go func() {
		ended <- m.Run(running, app, gaffer.AppFunc(func(ctx context.Context, _ *gaffer.Manager) error {
			close(started)
			<-ctx.Done()
			return nil
		}))
	}()
	<-started
	if err := m.Add(ctx, gaffer.Template{Name: "dummy", Cmd: "sleep 1000"}); err != nil {
		t.Fatal(err)
	}
	if _, err := m.Scale(ctx, "dummy", gaffer.Change{Op: '+', N: 1}); err != nil {
		t.Fatal(err)
	}
	if err := m.Remove(ctx, "dummy"); err != nil {
		t.Fatal(err)
	}
	stop()
	if err := <-ended; err != nil {
		t.Fatal(err)
	}
	server.Close()
	close(arrived)

	byHook, all := map[gaffer.Kind]bool{}, []uint64{}
	for a := range arrived {
		if a.Name != "dummy" {
			t.Errorf("%s got an event of %q", a.path, a.Name)
		}
		if a.path == "/all" {
			all = append(all, a.Seq)
			continue
		}
		if a.path != "/"+string(a.Kind) {
			t.Errorf("%s got a %s", a.path, a.Kind)
		}
		byHook[a.Kind] = true
	}
	for _, k := range kinds {
		if !byHook[k] {
			t.Errorf("the hook of %s got nothing", k)
		}
	}
	if len(all) < len(kinds) || !slices.IsSorted(all) {
		t.Errorf("the hook of everything got %v", all)
	}
	for i, seq := range all {
		if seq != uint64(i+1) {
			t.Errorf("event %d came as number %d", seq, i+1)
		}
	}
}
