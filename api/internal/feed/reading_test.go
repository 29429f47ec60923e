package feed

import (
	"bytes"
	"errors"
	"net/http"
	"net/http/httptest"
	"net/url"
	"testing"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/gafferpm/gaffer"
)

func TestAcceptHeaderChooses(t *testing.T) {
	for header, want := range map[string]string{
		"":                                      "application/x-ndjson",
		"*/*":                                   "application/x-ndjson",
		"text/event-stream":                     "text/event-stream",
		"TEXT/Event-Stream ; q=0.1":             "text/event-stream",
		"text/*":                                "text/event-stream",
		"text/html, */*;q=0.1":                  "application/x-ndjson",
		"text/html":                             "",
		"application/*;q=0.5, text/*":           "text/event-stream",
		"*/*;q=0.9, application/x-ndjson;q=0":   "text/event-stream",
		"text/*;q=0, text/event-stream;q=0.2":   "text/event-stream",
		"text/event-stream;q=0, text/*":         "",
		"text/event-stream;charset=utf-8;q=0.7": "text/event-stream",
		"application/x-ndjson;q=0.3, text/event-stream;q=0.300": "application/x-ndjson",
		"application/x-ndjson;q=2":                              "",
		"application/x-ndjson;q=NaN":                            "",
		"nonsense":                                              "application/x-ndjson",
		"*/ndjson, text/event-stream":                           "text/event-stream",
		",,;,":                                                  "application/x-ndjson",
	} {
		r := httptest.NewRequest("GET", "/", nil)
		if header != "" {
			r.Header.Set("Accept", header)
		}
		got, err := accepted(r, ndjson{}, sse{})
		switch {
		case want == "" && !errors.Is(err, ErrNotAcceptable):
			t.Errorf("%q: %v, %v", header, got, err)
		case want != "" && (err != nil || mediaType(got) != want):
			t.Errorf("%q: %v, %v, want %s", header, got, err, want)
		}
	}
	r := &http.Request{Header: http.Header{"Accept": {"text/html", "text/event-stream"}}}
	if got, err := accepted(r, ndjson{}, sse{}); got != (sse{}) || err != nil {
		t.Errorf("two headers: %v, %v", got, err)
	}
}

func TestTimesAreReadInManyWays(t *testing.T) {
	now := time.Date(2026, 11, 22, 10, 0, 0, 0, time.UTC)
	for text, want := range map[string]time.Time{
		"2026-11-22T09:00:00Z":        now.Add(-time.Hour),
		"2026-11-22T11:00:00.5+01:00": now.Add(500 * time.Millisecond),
		"1h":                          now.Add(-time.Hour),
		"1m30s":                       now.Add(-90 * time.Second),
		"1700000000":                  time.Unix(1700000000, 0),
		"1700000000.5":                time.Unix(1700000000, 5e8),
		"-1h":                         {}, "yesterday": {}, "1e30": {}, "NaN": {}, "": {}, "-5": {}, "+Inf": {},
	} {
		p := &params{values: url.Values{"since": {text}}}
		got := p.moment("since", now)
		if !got.Equal(want) || want.IsZero() != (p.err() != nil) {
			t.Errorf("%q: %s, %v", text, got, p.err())
		}
	}
}

func TestLinesInPiecesAreToldApart(t *testing.T) {
	l := liner{prefix: true}
	var b []byte
	for _, o := range []gaffer.Output{
		{Name: "web", Slot: 1, ID: 1, Label: "stdout", Data: []byte("a"), Partial: true},
		{Name: "web", Slot: 1, ID: 1, Label: "stdout", Data: []byte("b\r"), Partial: true},
		{Name: "web", Slot: 1, ID: 1, Label: "stdout", Data: []byte("c\r")},
		{Name: "web", Slot: 1, ID: 1, Label: "stdout", Data: []byte("d"), Partial: true},
		{Name: "web", Slot: 2, ID: 2, Label: "stdout", Data: []byte("e")},
		{Name: "web", Slot: 1, ID: 1, Label: "stdout", Data: []byte("f")},
	} {
		var err error
		if b, err = l.put(b, o); err != nil {
			t.Fatal(err)
		}
	}
	if want := "web.1 | ab\\x0dc\nweb.1 | d\nweb.2 | e\nweb.1 | f\n"; string(b) != want {
		t.Errorf("got %q, want %q", b, want)
	}
}

// The text of one event is encoded once, and what a controller shows differently
// by itself.
func TestEventIsEncodedOnce(t *testing.T) {
	var c encodings
	e := gaffer.Event{Seq: 5, Kind: gaffer.KindExit, Name: "web", Time: time.Now(), Exit: &gaffer.Exit{Status: 3}}
	first, err := c.get(&e)
	if err != nil {
		t.Fatal(err)
	}
	same := e
	if again, _ := c.get(&same); again != first {
		t.Error("the same event is encoded again")
	}
	other := e
	other.Message = "hidden"
	if again, _ := c.get(&other); again == first || !bytes.Contains(again.json(), []byte("hidden")) {
		t.Error("another event of that number has the first one's text")
	}
	e.Seq += keptEncodings
	if again, _ := c.get(&e); !bytes.HasPrefix(again.message, []byte("id: 1029\nevent: exit\ndata: {\"seq\":1029,")) {
		t.Errorf("event 1029 is %s", again.message)
	}
	allocs := testing.AllocsPerRun(100, func() { _, _ = c.get(&e) })
	if allocs != 0 {
		t.Errorf("finding an encoding takes %.0f allocations", allocs)
	}
}

// refused says whether an error is one that a request may have.
func refused(err error) bool {
	return errors.Is(err, gaffer.ErrInvalid) || errors.Is(err, ErrNotAcceptable)
}

func FuzzQuery(f *testing.F) {
	for _, q := range []string{
		"", "target=web&kind=exit,fail&since=7&tail=-1&follow", "feed=longpoll&timeout=5", "stream=a,b&tail=3&since=5m&until=2026-11-22T10:00:00Z&grep=x+y&raw",
		"a=%zz", "tail=1&tail=2", "since=99999999999999999999", "kind=,", ";", "interval=1e400", "target=*%00",
	} {
		f.Add(q, "7", "text/plain")
	}
	f.Fuzz(func(t *testing.T, q, last, accept string) {
		r := &http.Request{URL: &url.URL{RawQuery: q}, Header: http.Header{"Last-Event-Id": {last}, "Accept": {accept}}}
		if e, err := readEventQuery(r); err != nil {
			if !refused(err) {
				t.Errorf("events: %v", err)
			}
		} else if e.target.Check() != nil || e.how.Tail < -1 || e.timeout < 0 || e.timeout > longestTimeout || e.longpoll != (e.format == nil) {
			t.Errorf("events: %+v", e)
		}
		if l, err := readLogQuery(r); err != nil {
			if !refused(err) {
				t.Errorf("logs: %v", err)
			}
		} else if l.target.Check() != nil || l.how.Tail < -1 || l.format == nil || l.how.Raw && l.chooses() {
			t.Errorf("logs: %+v", l)
		}
	})
}

func FuzzText(f *testing.F) {
	f.Add([]byte("a\tb\x1b[31m\xc2\x9b\xe2\x80\xae\xff é"))
	f.Fuzz(func(t *testing.T, data []byte) {
		text := appendEscaped(nil, data)
		if !utf8.Valid(text) {
			t.Errorf("%q became %q, no UTF-8", data, text)
		}
		for _, r := range string(text) {
			if unicode.IsControl(r) && r != '\t' || misleading(r) {
				t.Errorf("%q became %q, with %U", data, text, r)
			}
		}
		if again := appendEscaped(nil, text); !bytes.Equal(again, text) {
			t.Errorf("%q became %q", text, again)
		}
	})
}

func FuzzExecMessages(f *testing.F) {
	for _, s := range []string{
		`{"args":["sh","-c","x"],"env":{"A":"b"},"terminal":{"cols":80,"rows":24},"input":true,"window":262144}`, `{"args":null}`, `{"window":-1,"args":["x"]}`,
		`{"end_input":true}`, `{"resize":{"cols":80,"rows":24}}`, `{"signal":"INT"}`, `{"signal":2}`, `{"taken":1}`, `{"taken":1,"signal":2}`, `{}`, `{"taken":-1}`, `[]`,
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		order, err := readOrder(text)
		switch {
		case err != nil && !errors.Is(err, gaffer.ErrInvalid):
			t.Errorf("%q: %v", text, err)
		case err == nil && order.Window < 0:
			t.Errorf("%q: %+v", text, order)
		}
		word, err := readExecWord(text)
		switch {
		case err != nil && !errors.Is(err, gaffer.ErrInvalid):
			t.Errorf("%q: %v", text, err)
		case err == nil && (word.Taken < 0 || word.Taken == 0 && word.Resize == nil && word.Signal == 0 && !word.EndInput):
			t.Errorf("%q says nothing: %+v", text, word)
		}
	})
}

func FuzzInput(f *testing.F) {
	for _, s := range []string{`{"data":"x"}`, `{"label":"ctl","base64":"AAE="}`, `{"data":"x"}{}`, `{"label":1}`, `null`, `{"data":null}`, `"x"`, `{"resize":{"cols":80,"rows":24}}`, `{"resize":{"cols":-1},"data":"x"}`} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		in, data, err := readInput(text)
		switch {
		case err != nil && !errors.Is(err, gaffer.ErrInvalid):
			t.Errorf("%q: %v", text, err)
		case err == nil && (in.Label == "") == (in.Resize == nil):
			t.Errorf("%q: no label", text)
		case err == nil && len(data) > 3*len(text): // a byte that is no UTF-8 becomes three
			t.Errorf("%q: %d bytes", text, len(data))
		}
	})
}
