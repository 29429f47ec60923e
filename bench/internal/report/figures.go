//go:build linux

// Package report keeps the figures of a benchmark and prints them.
package report

import (
	"encoding/json"
	"fmt"
	"os"
	"slices"

	"github.com/gafferpm/gaffer/bench/internal/machine"
)

// Figure is one value of a metric, and how much of the machine others used
// right before or after it was taken.
type Figure struct {
	Metric string  `json:"-"`
	Value  float64 `json:"value"`
	Others float64 `json:"others"`
}

// Recorder takes one figure of the contestant that is being measured.
type Recorder func(metric string, value float64)

// Figures are all that a run has found. They belong to one goroutine.
type Figures struct {
	of     map[string]map[string][]Figure // of a contestant, of a metric
	others map[string][]float64           // shares of the machine around a contestant's measurements
}

// New makes an empty collection.
func New() *Figures {
	return &Figures{of: make(map[string]map[string][]Figure), others: make(map[string][]float64)}
}

// Add adds what one measurement of a contestant has found, around which others
// used a share of the machine.
func (f *Figures) Add(contestant string, others float64, figures []Figure) {
	f.others[contestant] = append(f.others[contestant], others)
	if f.of[contestant] == nil {
		f.of[contestant] = make(map[string][]Figure)
	}
	for _, one := range figures {
		one.Others = others
		f.of[contestant][one.Metric] = append(f.of[contestant][one.Metric], one)
	}
}

// Values are the figures of a metric that count, sorted: those from a quiet
// machine. If there are none, all do, and quiet is false.
func (f *Figures) Values(contestant, metric string) (values []float64, quiet bool) {
	var all []float64
	for _, one := range f.of[contestant][metric] {
		all = append(all, one.Value)
		if one.Others < machine.QuietEnough {
			values = append(values, one.Value)
		}
	}
	quiet = len(values) > 0
	if !quiet {
		values = all
	}
	slices.Sort(values)
	return values, quiet
}

// Median of a metric; false when it was not measured.
func (f *Figures) Median(contestant, metric string) (float64, bool) {
	v, _ := f.Values(contestant, metric)
	if len(v) == 0 {
		return 0, false
	}
	return middle(v), true
}

func middle(sorted []float64) float64 {
	return (sorted[(len(sorted)-1)/2] + sorted[len(sorted)/2]) / 2
}

// Ratio of the medians of a contestant and of the one it is compared with.
func (f *Figures) Ratio(contestant, base, metric string) (float64, bool) {
	own, ok := f.Median(contestant, metric)
	other, also := f.Median(base, metric)
	if !ok || !also || other == 0 {
		return 0, false
	}
	return own / other, true
}

// MarshalJSON lists the figures of each contestant by metric.
func (f *Figures) MarshalJSON() ([]byte, error) { return json.Marshal(f.of) }

// Write writes a value to a file, as JSON that can be read.
func Write(path string, v any) error {
	text, err := json.MarshalIndent(v, "", "  ")
	if err != nil {
		return fmt.Errorf("json: %w", err)
	}
	if err := os.WriteFile(path, append(text, '\n'), 0o644); err != nil {
		return fmt.Errorf("json: %w", err)
	}
	return nil
}
