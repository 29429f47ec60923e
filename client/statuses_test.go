package client

import (
	"encoding/json"
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/gafferpm/gaffer"
)

// aStatus has every field.
func aStatus(i int) gaffer.Status {
	at := time.Date(2026, 11, 22, 10, 0, i%60, 5e8, time.UTC)
	return gaffer.Status{
		Limits: []gaffer.LimitStatus{{Field: "limits.nofile", Value: "65536", By: "rlimit"}, {Field: "nice", Value: "-5", Missing: "not here"}},
		Name:   fmt.Sprintf("jobs:t%d", i), Group: "jobs", State: gaffer.InBackoff, Active: "active", Running: 1, MaxProcesses: 2, Restarts: 3, Armed: true, NextRun: at.Add(time.Hour), Reason: "crashed",
		Processes: []gaffer.Process{
			{ID: uint64(i + 1), Slot: 1, PID: 4711 + i, State: gaffer.Running, Since: at},
			{Slot: 2, State: gaffer.InBackoff, Message: "was busy", Since: at, Restarts: 3, Reason: "port 80 is taken", RetryAt: at.Add(time.Second), LastExit: &gaffer.Exit{Status: -1, Signal: 9, Time: at, Reason: "ended by SIGKILL"}},
		},
	}
}

func TestStatusesAreReadByHandAsEncodingJSONReadsThem(t *testing.T) {
	want := []gaffer.Status{aStatus(0), {Name: "web", Processes: []gaffer.Process{}}}
	body, err := json.Marshal(want)
	if err != nil {
		t.Fatal(err)
	}
	s := scanner{bytes: body, text: string(body)}
	if got := s.statuses(); s.strange || cmp.Diff(want, got) != "" {
		t.Errorf("strange %v at %d; %s", s.strange, s.at, cmp.Diff(want, got))
	}
	indented, err := json.MarshalIndent(want, "", "  ")
	if err != nil {
		t.Fatal(err)
	}
	s = scanner{bytes: indented, text: string(indented)}
	if got := s.statuses(); s.strange || cmp.Diff(want, got) != "" {
		t.Errorf("indented: strange %v at %d; %s", s.strange, s.at, cmp.Diff(want, got))
	}
}

// Each field that a later version may add or leave out is encoding/json's matter.
func TestStatusesThatAreUnusualAreRead(t *testing.T) {
	for text, want := range map[string]gaffer.Status{
		`[{"name":"a\u0062c"}]`:                                         {Name: "abc"},
		`[{"name":"a","more":{"b":[1]}}]`:                               {Name: "a"},
		`[{"NAME":"a"}]`:                                                {Name: "a"},
		`[{"name":"a","name":"b"}]`:                                     {Name: "b"},
		`[{"name":"a","processes":null}]`:                               {Name: "a"},
		`[{"name":"é"}]`:                                                {Name: "é"},
		`[{"name":"a","running":1e2}]`:                                  {},
		`[{"running":-3}]`:                                              {Running: -3},
		`[{"processes":[{"last_exit":{"status":-1,"signal":9}}]}]`:      {Processes: []gaffer.Process{{LastExit: &gaffer.Exit{Status: -1, Signal: 9}}}},
		`[{"processes":[{"id":18446744073709551615,"retry_at":null}]}]`: {Processes: []gaffer.Process{{ID: 1<<64 - 1}}},
	} {
		got, err := decodeStatuses([]byte(text))
		if want.Name == "" && want.Running == 0 && want.Processes == nil {
			if err == nil {
				t.Errorf("%s: no error", text)
			}
			continue
		}
		if err != nil || len(got) != 1 || cmp.Diff(want, got[0]) != "" {
			t.Errorf("%s: %v, %v", text, got, err)
		}
	}
}

func FuzzStatuses(f *testing.F) {
	body, err := json.Marshal([]gaffer.Status{aStatus(3)})
	if err != nil {
		f.Fatal(err)
	}
	for _, s := range []string{string(body), "[]", "[ ]", "null", "[{}]", "[1]", `[{"name":"a"},]`, `[{"running":01}]`, `[{"running":-0}]`, `[{"processes":[{"since":"x"}]}]`, "[]x", "[{}", ""} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		var want []gaffer.Status
		wantErr := json.Unmarshal([]byte(text), &want)
		got, err := decodeStatuses([]byte(text))
		if (err == nil) != (wantErr == nil) {
			t.Fatalf("%s: %v, encoding/json says %v", text, err, wantErr)
		}
		if err == nil && cmp.Diff(want, got) != "" {
			t.Errorf("%s: %s", text, cmp.Diff(want, got))
		}
	})
}

func FuzzUses(f *testing.F) {
	for _, s := range []string{`[{"id":1,"pid":2,"cpu":0.25,"rss":4096}]`, `[{"cpu":1e-7}]`, `[{"cpu":.5}]`, `[{"cpu":01}]`, `[{"cpu":-0}]`, `[{"cpu":1e999}]`, "[]", "null", ""} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		var want []gaffer.Use
		wantErr := json.Unmarshal([]byte(text), &want)
		got, err := decodeUses([]byte(text))
		if (err == nil) != (wantErr == nil) {
			t.Fatalf("%s: %v, encoding/json says %v", text, err, wantErr)
		}
		if err == nil && cmp.Diff(want, got) != "" {
			t.Errorf("%s: %s", text, cmp.Diff(want, got))
		}
	})
}

func BenchmarkStatuses(b *testing.B) {
	var list []gaffer.Status
	for i := range 1000 {
		st := aStatus(i)
		st.Reason, st.Processes = "", st.Processes[:1]
		list = append(list, st)
	}
	body, err := json.Marshal(list)
	if err != nil {
		b.Fatal(err)
	}
	b.Run("by hand", func(b *testing.B) {
		for b.Loop() {
			if _, err := decodeStatuses(body); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("encoding/json", func(b *testing.B) {
		for b.Loop() {
			var list []gaffer.Status
			if err := json.Unmarshal(body, &list); err != nil {
				b.Fatal(err)
			}
		}
	})
}
