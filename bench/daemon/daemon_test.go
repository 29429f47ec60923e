//go:build linux

package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"math/rand/v2"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/gafferpm/gaffer/bench/internal/machine"
	"github.com/gafferpm/gaffer/bench/internal/program"
	"github.com/gafferpm/gaffer/bench/internal/report"
)

func TestWrongCommandLinesAreRefused(t *testing.T) {
	for _, args := range []string{"-n 0", "-rounds 0", "-tests status,nap", "-idle 0", "-seconds -1", "-quiet -1", "-events 0", "now"} {
		var out bytes.Buffer
		if status := run(t.Context(), strings.Fields(args), &out, &out); status != 2 {
			t.Errorf("bench/daemon %s: status %d, want 2", args, status)
		}
	}
}

func TestBarsAreMetAtTheirLimit(t *testing.T) {
	r := newResult(settings{rounds: 1, tests: allTests, templates: 1000, subscribers: 1000}, "cc")
	add := func(contestant, metric string, value float64) {
		r.Add(contestant, 0, []report.Figure{{Metric: metric, Value: value}})
	}
	add(bare, "status-rate", 100_000)
	add(daemon, "status-rate", 80_000)
	add(daemon, "status-p99", 4001)
	add(psQuick, "ps-wall", 6)
	add(psStats, "ps-wall", 15.1)
	add(daemon, "events-complete", 1000)
	add(among, "status-pss", 22e6/1024)
	all := bars(r.settings)
	for what, want := range map[string]string{
		"status: requests, x bare handler":                  "yes",
		"status: p99, ms":                                   "NO",
		"status: requests a second":                         "NO",
		"ps --no-stats of 1000, ms":                         "yes",
		"ps of 1000, ms":                                    "NO",
		"subscribers that have all, or know what they lost": "yes",
		"PSS with 1000 children and the API in use, MB":     "yes",
		"idle with 1000: switches a minute":                 "not measured",
	} {
		i := slices.IndexFunc(all, func(b bar) bool { return b.What == what })
		if i < 0 {
			t.Errorf("there is no bar %q", what)
			continue
		}
		if _, verdict, _ := all[i].Judge(all[i].figure(r)); verdict != want {
			t.Errorf("%s: %s, want %s", what, verdict, want)
		}
	}
}

func TestOnlyAnAimIsMissedWithoutHarm(t *testing.T) {
	r := newResult(settings{rounds: 1, tests: allTests, templates: 1000, subscribers: 1000}, "cc")
	for _, f := range []struct {
		contestant, metric string
		value              float64
	}{
		{bare, "status-rate", 50_000}, {daemon, "status-rate", 50_000}, {daemon, "status-p99", 1}, {daemon, "status-cpu", 30},
		{psQuick, "ps-wall", 1}, {psStats, "ps-wall", 1}, {daemon, "events-complete", 1000},
		{among, "status-pss", 1}, {daemon, "idle-switches", 0},
	} {
		r.Add(f.contestant, 0, []report.Figure{{Metric: f.metric, Value: f.value}})
	}
	var out bytes.Buffer
	if r.print(&out) {
		t.Errorf("a bar was missed:\n%s", &out)
	}
	if !strings.Contains(out.String(), "aim: ≥ 100000  50000.00  NO") {
		t.Errorf("the aim that was missed is not shown:\n%s", &out)
	}
}

// bareBench is a bench whose daemon takes no part.
func bareBench(t *testing.T) *bench {
	t.Helper()
	dir := t.TempDir()
	p := programs{child: filepath.Join(dir, "child"), load: filepath.Join(dir, "load"), watch: filepath.Join(dir, "watch")}
	compiler, err := program.Compiler()
	if err != nil {
		t.Fatal(err)
	}
	for path, source := range map[string][]byte{p.load: loadSource, p.watch: watchSource} {
		if err := program.Compile(t.Context(), compiler, path, source); err != nil {
			t.Fatal(err)
		}
	}
	if p.bare, err = program.Go(t.Context(), dir, "bench/daemon/bare"); err != nil {
		t.Fatal(err)
	}
	text, err := json.Marshal(map[string]any{
		"header": http.Header{"Content-Type": {"application/json"}}, "status": []byte(`[{"name":"p1"}]`), "event": []byte(`{"kind":"audit"}`),
	})
	if err != nil {
		t.Fatal(err)
	}
	answers := filepath.Join(dir, "answers")
	if err := os.WriteFile(answers, text, 0o600); err != nil {
		t.Fatal(err)
	}
	s := settings{rounds: 1, connections: 4, loadTime: 200 * time.Millisecond, subscribers: 30, eventCount: 500}
	return &bench{settings: s, programs: p, dir: t.TempDir(), bare: answers, progress: &bytes.Buffer{}, result: newResult(s, compiler)}
}

func TestLoadAndSubscribersMeasureTheBareServer(t *testing.T) {
	b := bareBench(t)
	s, err := b.bareServer(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	err = b.turns(t.Context(), []*server{s}, rand.New(rand.NewPCG(1, 1)))
	if err := errors.Join(err, s.end()); err != nil {
		t.Fatal(err)
	}
	if err := b.stream(t.Context(), bare); err != nil {
		t.Fatal(err)
	}
	for _, metric := range []string{"status-rate", "status-p50", "status-p99", "status-cpu", "status-pss", "events-all", "events-cpu", "events-peak"} {
		if v, ok := b.result.Median(bare, metric); !ok || v <= 0 {
			t.Errorf("%s = %v, %v, want more than 0", metric, v, ok)
		}
	}
	for metric, want := range map[string]float64{"events-complete": 30, "events-received": 100, "events-told": 0} {
		if v, ok := b.result.Median(bare, metric); !ok || v != want {
			t.Errorf("%s = %v, %v, want %v", metric, v, ok, want)
		}
	}
	if up, kids := machine.Family(b.programs.child); len(up)+len(kids) > 0 {
		t.Errorf("left behind: %v %v", up, kids)
	}
}

func TestServerThatDoesNotStartIsToldWithItsLastWords(t *testing.T) {
	b := bareBench(t)
	if err := os.WriteFile(b.bare, []byte("nonsense"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := b.bareServer(t.Context()); err == nil || !strings.Contains(err.Error(), "invalid character") {
		t.Errorf("bareServer: %v, want what the server complained of", err)
	}
}
