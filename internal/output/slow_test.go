package output_test

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/gafferpm/gaffer/internal/output"
	"github.com/gafferpm/gaffer/internal/pubsub"
)

func TestSlowReaderOfLinesIsToldHowManyItMissed(t *testing.T) {
	const lines = 10_000
	l := &log{}
	f := output.FollowLines[string](1)
	l.Attach(f, 0, nil)
	for i := range lines {
		l.Write(stdout, fmt.Appendf(nil, "%099d\n", i), time.Now())
	}
	f.End()
	_, err := f.Next(t.Context())
	var missed pubsub.Missed
	if !errors.As(err, &missed) {
		t.Fatalf("got %v, want to be told of a gap", err)
	}
	got := rest(t, f)
	if int(missed)+len(got) != lines {
		t.Errorf("%d missed + %d delivered, want %d", missed, len(got), lines)
	}
	for i, r := range got {
		if want := fmt.Sprintf("%099d", int(missed)+i); string(r.Data) != want {
			t.Fatalf("record %d is %q, want %q", i, r.Data, want)
		}
	}
	if len(got) < 128<<10/150 {
		t.Errorf("only %d lines were kept", len(got))
	}
}

func TestSlowRawReaderIsToldHowManyBytesItMissed(t *testing.T) {
	const size = 1 << 20
	l := &log{}
	f := output.FollowRaw[string](1)
	l.Attach(f, 0, nil)
	data := make([]byte, size)
	for i := range data {
		data[i] = byte(i * 7 / 5)
	}
	for i := 0; i < size; i += 1 << 10 {
		l.Write(stdout, data[i:i+1<<10], time.Now())
	}
	f.End()
	_, err := f.Next(t.Context())
	var missed pubsub.Missed
	if !errors.As(err, &missed) {
		t.Fatalf("got %v, want to be told of a gap", err)
	}
	if got := text(t, f); got != string(data[missed:]) {
		t.Errorf("%d missed + %d delivered are not what was written", missed, len(got))
	}
}
