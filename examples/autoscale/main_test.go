package main

import (
	"bytes"
	"context"
	"testing"
	"time"
)

func TestWaitersFollowTheGuests(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	var out bytes.Buffer
	if err := run(ctx, &out, 0); err != nil {
		t.Fatal(err)
	}
	if ctx.Err() != nil {
		t.Fatalf("the evening never ended:\n%s", &out)
	}
	want := `guests 1, waiters 1
guests 2, waiters 1
guests 3, waiters 2
guests 4, waiters 2
guests 3, waiters 2
guests 2, waiters 1
guests 1, waiters 1
guests 0, waiters 0
`
	if out.String() != want {
		t.Errorf("got\n%s", &out)
	}
}
