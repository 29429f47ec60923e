package gaffer

import "time"

// OutputOptions says what of a target's output to deliver.
type OutputOptions struct {
	// Raw delivers bytes as they come instead of lines.
	Raw bool
	// Labels are the streams wanted, by label. None means all.
	Labels []string
	// Tail is how much of what was written before comes first: lines, or bytes
	// with Raw. 0 is nothing, -1 all that is kept.
	Tail int
	// NoFollow ends the stream after what was written before.
	NoFollow bool
}

// Output is a line, or a piece of raw output, that a process wrote.
type Output struct {
	Name    string    `json:"name"`
	ID      uint64    `json:"id"`
	Slot    int       `json:"slot"`
	Label   string    `json:"label"`
	Time    time.Time `json:"time"`
	Data    []byte    `json:"data"`              // a line without its newline, or the bytes as they came
	Partial bool      `json:"partial,omitempty"` // a piece of a line that was too long to keep whole
}
