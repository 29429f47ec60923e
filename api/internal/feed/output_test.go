package feed

import (
	"bytes"
	"encoding/json"
	"testing"
	"time"

	"github.com/gafferpm/gaffer"
)

func FuzzOutput(f *testing.F) {
	f.Add("web", uint64(7), 2, "stdout", int64(1763805600123456789), []byte("GET / <b>&\"\\\b\f\n\r\t\x00\x1b\x7f é \u2028\u2029\u202a"), false)
	f.Add("jobs:mail", uint64(1), 1, "log", int64(0), []byte("\xff\xfe"), true)
	f.Add("é", uint64(0), -1, "<", int64(-1)<<62, []byte{}, true)
	f.Fuzz(func(t *testing.T, name string, id uint64, slot int, label string, at int64, data []byte, partial bool) {
		o := gaffer.Output{Name: name, ID: id, Slot: slot, Label: label, Time: time.Unix(at>>30, at&(1<<30-1)).UTC(), Data: data, Partial: partial}
		want, wantErr := json.Marshal(o)
		got, err := appendOutput([]byte("before"), &o)
		if (err != nil) != (wantErr != nil) {
			t.Fatalf("%v, want %v", err, wantErr)
		}
		if rest, ok := bytes.CutPrefix(got, []byte("before")); !ok || !bytes.Equal(rest, want) {
			t.Errorf("got  %s\nwant %s", got, want)
		}
	})
}

func BenchmarkOutput(b *testing.B) {
	o := gaffer.Output{Name: "web", ID: 1, Slot: 1, Label: "stdout", Time: time.Now(), Data: []byte("GET /orders/4711 200 12ms, and some more of it that makes it as long as most lines are")}
	buf := make([]byte, 0, 1024)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := appendOutput(buf, &o); err != nil {
			b.Fatal(err)
		}
	}
}
