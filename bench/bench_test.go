//go:build linux

package main

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/gafferpm/gaffer/bench/internal/machine"
	"github.com/gafferpm/gaffer/bench/internal/report"
)

func TestPercentileIsTheNearestRank(t *testing.T) {
	var values []int64
	for i := range 200 {
		values = append(values, int64(200-i))
	}
	if p50, p99 := percentile(values, 50), percentile(values, 99); p50 != 100 || p99 != 198 {
		t.Errorf("p50, p99 of 1..200 = %d, %d, want 100, 198", p50, p99)
	}
	if p := percentile([]int64{7}, 99); p != 7 {
		t.Errorf("p99 of one value = %d, want it", p)
	}
}

func TestWrongCommandLinesAreRefused(t *testing.T) {
	for _, args := range []string{"-n 0", "-n 10,x", "-rounds 0", "-tests bringup,nap", "-idle 0", "-quiet -1", "now"} {
		var out bytes.Buffer
		if status := run(t.Context(), strings.Fields(args), &out, &out); status != 2 {
			t.Errorf("bench %s: status %d, want 2", args, status)
		}
	}
}

// reported makes a report of some figures: contestant, metric, value, others.
func reported(figures ...[4]any) *result {
	r := newResult(settings{counts: []int{1000}, rounds: 1, tests: allTests}, programs{})
	r.taking = contestants(programs{})
	for _, f := range figures {
		r.Add(f[0].(string), f[3].(float64), []report.Figure{{Metric: f[1].(string), Value: f[2].(float64)}})
	}
	return r
}

func TestFiguresFromALoudMachineCountOnlyWhenThereIsNoOther(t *testing.T) {
	r := reported(
		[4]any{baseline, "crash/1000", 900.0, 0.5},
		[4]any{baseline, "crash/1000", 100.0, 0.0},
		[4]any{baseline, "crash/1000", 120.0, 0.05},
		[4]any{"gaffer", "crash/1000", 132.0, 0.5},
	)
	if m, ok := r.Median(baseline, "crash/1000"); !ok || m != 110 {
		t.Errorf("median = %v, %v, want 110 of the quiet ones", m, ok)
	}
	if x, ok := r.ratio("gaffer", "crash/1000"); !ok || x != 1.2 {
		t.Errorf("ratio = %v, %v, want 1.2", x, ok)
	}
	if cell := r.Medians("", "crash/1000").Cell("gaffer"); cell != "~132" {
		t.Errorf("cell = %q, want ~132", cell)
	}
	if cell := r.Medians("", "crash/1000").Cell(baseline); cell != "110 (100..120)" {
		t.Errorf("cell = %q, want 110 (100..120)", cell)
	}
}

func TestBarsAreMetAtTheirLimit(t *testing.T) {
	r := reported(
		[4]any{baseline, "crash/1000", 100.0, 0.0},
		[4]any{"gaffer", "crash/1000", 120.0, 0.0},
		[4]any{"gaffer-one", "crash/1000", 121.0, 0.0},
		[4]any{baseline, "churn/1", 1000.0, 0.0},
		[4]any{"gaffer", "churn/1", 450.0, 0.0},
		[4]any{"gaffer-one", "churn/1", 449.0, 0.0},
		[4]any{"gaffer", "pss/0", 5000.0, 0.0},
		[4]any{"gaffer", "anonymous/0", 2000.0, 0.0},
		[4]any{"gaffer", "anonymous/1000", 8100.0, 0.0},
	)
	for what, want := range map[string][2]string{
		"1,000 killed at once":        {"yes", "NO"},
		"churn, 1 program":            {"yes", "NO"},
		"PSS without children":        {"yes", "not measured"},
		"own memory a child at 1,000": {"NO", "not measured"},
		"bring-up of 1,000":           {"not measured", "not measured"},
		"stop of 1,000, all gone":     {"not measured", "not measured"},
	} {
		i := slices.IndexFunc(bars, func(b bar) bool { return b.What == what })
		if i < 0 {
			t.Errorf("there is no bar %q", what)
			continue
		}
		for k, c := range ours {
			if _, verdict, _ := bars[i].judge(r, c); verdict != want[k] {
				t.Errorf("%s, %s: %s, want %s", what, c, verdict, want[k])
			}
		}
	}
	var out bytes.Buffer
	if missed := r.print(&out); !missed {
		t.Error("a bar that was not measured does not count as missed")
	}
}

func TestWhoCannotHoldSoManyIsLeftOut(t *testing.T) {
	for _, c := range contestants(programs{}) {
		if why := c.tooMany(10); why != "" {
			t.Errorf("%s with 10 children: %s", c.name, why)
		}
		if why := c.tooMany(1 << 28); c.fds > 0 && why == "" {
			t.Errorf("%s: room for 1<<28 children", c.name)
		}
		if why := c.tooMany(1001); c.name == "runit" && why == "" {
			t.Error("runit with 1001 children, though it holds 1000")
		}
	}
}

// A real run with few children: everything that is measured on the bare loop
// comes out, and nothing is left behind.
func TestRunMeasuresTheBareLoop(t *testing.T) {
	file := filepath.Join(t.TempDir(), "figures.json")
	var out, progress bytes.Buffer
	args := "-contestants baseline -n 5 -rounds 1 -quiet 0 -tests bringup,replace,crash,stop -json " + file
	if status := run(t.Context(), strings.Fields(args), &out, &progress); status != 0 {
		t.Fatalf("status %d\n%s%s", status, &out, &progress)
	}
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	var got struct {
		Figures map[string]map[string][]report.Figure
	}
	if err := json.Unmarshal(text, &got); err != nil {
		t.Fatal(err)
	}
	for _, m := range []string{"bringup/5", "replace-p50/5", "replace-p99/5", "crash/5", "stop-children/5", "stop-all/5"} {
		if f := got.Figures[baseline][m]; len(f) != 1 || f[0].Value <= 0 {
			t.Errorf("%s = %v, want one figure above 0", m, f)
		}
	}
	if !strings.Contains(out.String(), "Graceful stop of 5") {
		t.Errorf("no table of the stop:\n%s", &out)
	}
	if up, kids := machine.Family("nothing"); len(up)+len(kids) > 0 {
		t.Errorf("left behind: %v %v", up, kids)
	}
}
