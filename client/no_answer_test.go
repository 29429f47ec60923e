package client_test

import (
	"context"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/gafferpm/gaffer/client"
)

func TestAnOrderThatIsNotAnsweredIsGivenUpSoonAfterItsDeadline(t *testing.T) {
	hung := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }))
	t.Cleanup(hung.Close)
	c := newClient(t, hung.URL, client.Options{})
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	err := c.Stop(ctx, "web")
	wantErr(t, err, client.ErrNoAnswer, hung.URL)
	wantErr(t, err, context.DeadlineExceeded)
}
