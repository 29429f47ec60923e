package main

import (
	"crypto/x509"
	"fmt"
	"strings"
	"testing"
)

func TestHintNamesTheFlagForAnUnknownAuthority(t *testing.T) {
	err := fmt.Errorf("https://localhost: %w", x509.UnknownAuthorityError{})
	if got := hint(newRoot(), err); !strings.Contains(got, "--ca-file") {
		t.Errorf("hint %q, want one that names --ca-file", got)
	}
}
