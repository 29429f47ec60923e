//go:build linux

package report

import "fmt"

// Bar is a figure that has to be reached.
type Bar struct {
	What    string
	Asked   string // the limit, as a reader sees it
	Limit   float64
	AtLeast bool // the limit is the least allowed, not the most
}

// Judge says how a figure stands to the bar, and whether that is enough. What was
// not measured is not.
func (b Bar) Judge(v float64, measured bool) (shown, verdict string, met bool) {
	if !measured {
		return "-", "not measured", false
	}
	shown = fmt.Sprintf("%.2f", v)
	if b.AtLeast && v < b.Limit || !b.AtLeast && v > b.Limit {
		return shown, "NO", false
	}
	return shown, "yes", true
}
