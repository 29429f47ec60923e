package api

import (
	"encoding/json"
	"reflect"
	"testing"
	"time"

	"github.com/gafferpm/gaffer"
	"pgregory.net/rapid"
)

func TestStatusesAreEncodedAsEncodingJSONDoes(t *testing.T) {
	text := rapid.OneOf(rapid.String(), rapid.SampledFrom([]string{"", "web", "a<b>&c", "\x00\x7f", "\xff\xfe", "é\u2028\"\\"}))
	moment := rapid.Custom(func(t *rapid.T) time.Time {
		return time.Unix(rapid.Int64Range(-1<<33, 1<<35).Draw(t, "s"), rapid.Int64Range(0, 999999999).Draw(t, "ns")).UTC()
	})
	process := rapid.Custom(func(t *rapid.T) gaffer.Process {
		p := gaffer.Process{
			ID: rapid.Uint64().Draw(t, "id"), Slot: rapid.Int().Draw(t, "slot"), PID: rapid.Int().Draw(t, "pid"),
			State: gaffer.State(text.Draw(t, "state")), Since: moment.Draw(t, "since"), Restarts: rapid.Int().Draw(t, "restarts"),
			Reason: text.Draw(t, "reason"), Message: text.Draw(t, "message"),
		}
		if rapid.Bool().Draw(t, "retried") {
			p.RetryAt = moment.Draw(t, "retry")
		}
		if rapid.Bool().Draw(t, "exited") {
			p.LastExit = &gaffer.Exit{Status: rapid.Int().Draw(t, "status"), Signal: 9, Time: moment.Draw(t, "time"), Reason: text.Draw(t, "why")}
		}
		return p
	})
	limit := rapid.Custom(func(t *rapid.T) gaffer.LimitStatus {
		return gaffer.LimitStatus{Field: text.Draw(t, "field"), Value: text.Draw(t, "value"), By: text.Draw(t, "by"), Missing: text.Draw(t, "missing")}
	})
	rapid.Check(t, func(t *rapid.T) {
		list := rapid.SliceOfN(rapid.Custom(func(t *rapid.T) gaffer.Status {
			var next time.Time
			if rapid.Bool().Draw(t, "scheduled") {
				next = moment.Draw(t, "next")
			}
			return gaffer.Status{
				NextRun: next,
				Name:    text.Draw(t, "name"), Group: text.Draw(t, "group"), State: gaffer.State(text.Draw(t, "state")),
				Active: text.Draw(t, "active"), Running: rapid.Int().Draw(t, "running"), MaxProcesses: rapid.Int().Draw(t, "max"),
				Restarts: rapid.Int().Draw(t, "restarts"), Armed: rapid.Bool().Draw(t, "armed"), Reason: text.Draw(t, "reason"),
				Processes: rapid.SliceOfN(process, 0, 3).Draw(t, "processes"),
				Limits:    rapid.SliceOfN(limit, 0, 3).Draw(t, "limits"),
			}
		}), 0, 3).Draw(t, "list")
		want, err := json.Marshal(list)
		if err != nil {
			t.Fatal(err)
		}
		if got := appendStatuses(nil, list); string(got) != string(want) {
			t.Fatalf("got  %s\nwant %s", got, want)
		}
	})
}

// A field that is added to one of these types has to be added to encode.go too.
func TestStatusesHaveTheFieldsThatAreEncoded(t *testing.T) {
	for _, c := range []struct {
		of     any
		fields int
	}{{gaffer.Status{}, 13}, {gaffer.Process{}, 10}, {gaffer.LimitStatus{}, 4}} {
		if n := reflect.TypeOf(c.of).NumField(); n != c.fields {
			t.Errorf("%T has %d fields, of which %d are encoded", c.of, n, c.fields)
		}
	}
}
