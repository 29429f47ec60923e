package api

import (
	"bytes"
	"math"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus/testutil/promlint"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"

	"github.com/gafferpm/gaffer"
)

func TestMetricsAreAsPrometheusWantsThem(t *testing.T) {
	m := manager(t)
	for _, name := range []string{"web", "jobs:mail"} {
		if err := m.Add(t.Context(), gaffer.Template{Name: name, Cmd: "true"}); err != nil {
			t.Fatal(err)
		}
	}
	s, err := New(m, Options{Version: "1.2\n\"3\\", Node: "é", Forwards: sending{}})
	if err != nil {
		t.Fatal(err)
	}
	get(t, s.Handler(Caller{By: "test", Role: Viewer}), "/v1/nothing")
	w := get(t, s.Handler(Caller{By: "test", Role: Viewer}), "/metrics")
	if w.Code != 200 || !strings.HasPrefix(w.Header().Get("Content-Type"), "text/plain; version=0.0.4") {
		t.Fatalf("%d %v %s", w.Code, w.Header(), w.Body)
	}
	text := w.Body.Bytes()
	problems, err := promlint.New(bytes.NewReader(text)).Lint()
	if err != nil || len(problems) > 0 {
		t.Errorf("%v %v", problems, err)
	}
	parser := expfmt.NewTextParser(model.LegacyValidation)
	families, err := parser.TextToMetricFamilies(bytes.NewReader(text))
	if err != nil {
		t.Fatalf("%v\n%s", err, text)
	}
	for _, name := range []string{"gaffer_processes_wanted", "gaffer_processes_running", "gaffer_restarts_total", "gaffer_cpu_seconds", "gaffer_resident_memory_bytes"} {
		if n := len(families[name].GetMetric()); n != 2 {
			t.Errorf("%s has %d samples, want one a template\n%s", name, n, text)
		}
	}
	for _, name := range []string{"gaffer_forward_lines_total", "gaffer_forward_lost_lines_total", "gaffer_forward_lost_bytes_total", "gaffer_forward_behind_seconds"} {
		if n := len(families[name].GetMetric()); n != 2 {
			t.Errorf("%s has %d samples, want one a destination\n%s", name, n, text)
		}
	}
	for _, f := range families {
		if f.GetHelp() == "" {
			t.Errorf("%s has no help", f.GetName())
		}
	}
	if got := families["gaffer_build_info"].GetMetric()[0].GetLabel()[1].GetValue(); got != "1.2\n\"3\\" {
		t.Errorf("version %q", got)
	}
	for _, sample := range families["gaffer_http_requests_total"].GetMetric() {
		if sample.GetLabel()[0].GetValue() == "4xx" && sample.GetCounter().GetValue() != 1 {
			t.Errorf("requests that were refused: %v", sample)
		}
	}
	if got := families["gaffer_events_total"].GetMetric()[0].GetCounter().GetValue(); got != 2 {
		t.Errorf("%v events", got)
	}
}

func TestNumbersOfMetricsAreExact(t *testing.T) {
	for v, want := range map[float64]string{0: "0", 1 << 40: "1099511627776", -3: "-3", 0.25: "0.25", math.Inf(1): "+Inf", 1e20: "1e+20"} {
		if got := formatValue(v); got != want {
			t.Errorf("%v: %s, want %s", v, got, want)
		}
	}
}
