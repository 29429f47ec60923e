package main

import (
	"bytes"
	"context"
	"strings"
	"testing"
	"time"
)

func TestTheClerkReportsCrashes(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	var out bytes.Buffer
	if err := run(ctx, &out); err != nil {
		t.Fatal(err)
	}
	if !strings.HasPrefix(out.String(), "bad has failed: ") || !strings.HasSuffix(out.String(), "report: bad crashed 3 times\n") {
		t.Errorf("got\n%s", &out)
	}
}
