//go:build linux

package report

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestNumbersHaveThreeDigits(t *testing.T) {
	for v, want := range map[float64]string{0: "0", 7: "7", 1.234: "1.23", 12.34: "12.3", 123.4: "123", 12345: "12345"} {
		if got := Number(v); got != want {
			t.Errorf("Number(%v) = %q, want %q", v, got, want)
		}
	}
}

func TestBarOnWhatWasNotMeasuredIsNotMet(t *testing.T) {
	for _, b := range []Bar{{Limit: 1}, {Limit: 0, AtLeast: true}} {
		if _, verdict, met := b.Judge(0, false); met || verdict != "not measured" {
			t.Errorf("%+v: %s, %v", b, verdict, met)
		}
	}
}

func TestMedianOfAnEvenNumberIsBetweenTheTwo(t *testing.T) {
	f := New()
	f.Add("a", 0, []Figure{{Metric: "m", Value: 1}, {Metric: "m", Value: 4}})
	if v, ok := f.Median("a", "m"); !ok || v != 2.5 {
		t.Errorf("median = %v, %v, want 2.5", v, ok)
	}
	if _, ok := f.Median("a", "other"); ok {
		t.Error("a metric that was not measured has a median")
	}
	f.Add("b", 0, []Figure{{Metric: "m", Value: 0}})
	if _, ok := f.Ratio("a", "b", "m"); ok {
		t.Error("there is a ratio to 0")
	}
}

func TestTableHasARowForEachContestant(t *testing.T) {
	f := New()
	f.Add("a", 0, []Figure{{Metric: "m", Value: 3}})
	f.Add("b", 0.5, []Figure{{Metric: "m", Value: 6}})
	var out bytes.Buffer
	Table{"A title", []Column{f.Medians("ms", "m"), f.Ratios("x", "a", "m")}}.Print(&out, []string{"a", "b", "c"})
	want := "\nA title\n     ms  x\n  a  3   1.00\n  b  ~6  2.00\n  c  -   -\n"
	if got := out.String(); got != want {
		t.Errorf("table:\n%s\nwant:\n%s", got, want)
	}
	out.Reset()
	f.Quietness().Print(&out, []string{"b"})
	if !strings.Contains(out.String(), "0 of 1              50 %") {
		t.Errorf("no word of how busy it was:\n%s", &out)
	}
}

func TestFiguresAreWrittenByContestantAndMetric(t *testing.T) {
	f := New()
	f.Add("a", 0.25, []Figure{{Metric: "m", Value: 3}})
	path := filepath.Join(t.TempDir(), "figures.json")
	if err := Write(path, f); err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var got map[string]map[string][]Figure
	if err := json.Unmarshal(text, &got); err != nil {
		t.Fatal(err)
	}
	if all := got["a"]["m"]; len(all) != 1 || all[0].Value != 3 || all[0].Others != 0.25 {
		t.Errorf("figures = %v", got)
	}
}
