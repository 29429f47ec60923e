package client_test

import (
	"crypto/x509"
	"errors"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/gafferpm/gaffer/client"
)

func TestErrorsNameTheSchemeThatTheDaemonSpeaks(t *testing.T) {
	quiet := log.New(io.Discard, "", 0)
	secure := httptest.NewUnstartedServer(http.NotFoundHandler())
	secure.Config.ErrorLog = quiet
	secure.StartTLS()
	t.Cleanup(secure.Close)
	plain := httptest.NewServer(http.NotFoundHandler())
	t.Cleanup(plain.Close)

	for host, want := range map[string]string{
		strings.Replace(secure.URL, "https:", "http:", 1): "use https://",
		strings.Replace(plain.URL, "http:", "https:", 1):  "use http://",
	} {
		err := newClient(t, host, client.Options{}).Ping(t.Context())
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: error %v, want one that says %q", host, err, want)
		}
	}
	var stranger x509.UnknownAuthorityError
	if err := newClient(t, secure.URL, client.Options{}).Ping(t.Context()); !errors.As(err, &stranger) {
		t.Errorf("error %v, want one of an unknown authority", err)
	}
}
