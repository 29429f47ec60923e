package api

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

func TestAKeysNameHasNoControlCharacters(t *testing.T) {
	s, err := New(refusing{}, everything(t, &audits{}))
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]int{
		"ops": http.StatusCreated, `a\nb`: http.StatusUnprocessableEntity, `a\u001b[31mb`: http.StatusUnprocessableEntity,
	} {
		r := httptest.NewRequest("POST", "/v1/keys", strings.NewReader(`{"name":"`+name+`","role":"viewer"}`))
		r.Header.Set("Content-Type", "application/json")
		w := httptest.NewRecorder()
		s.Handler(Caller{By: "test", Role: Admin}).ServeHTTP(w, r)
		if w.Code != want {
			t.Errorf("%s: %d %s, want %d", name, w.Code, w.Body, want)
		}
	}
}
