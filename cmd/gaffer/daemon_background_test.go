package main

import (
	"strings"
	"testing"
)

func TestWhoStartsADaemonHearsHowItGoes(t *testing.T) {
	for said, want := range map[string][2]string{
		"status busy\nready unix:///x\n": {"unix:///x", ""},
		"error one\nerror two\n":         {"", "one\ntwo"},
		"":                               {"", ""},
		"status busy\n":                  {"", ""},
		"nonsense\nready unix:///y\nerror is not read any": {"unix:///y", ""},
	} {
		ready, err := hearStarted(strings.NewReader(said))
		fault := ""
		if err != nil {
			fault = err.Error()
		}
		if ready != want[0] || fault != want[1] {
			t.Errorf("%q: got %q, %q; want %q", said, ready, fault, want)
		}
	}
}
