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
	// Since and Until bound when it was written. Zero: not at all.
	Since, Until time.Time
	// Grep is a regular expression (RE2) that lines must match, Text what they must
	// contain. They and Fields have no meaning with Raw. Tail counts lines that match.
	Grep, Text string
	// Fields are conditions that all hold of lines that are JSON objects: KEY (is there),
	// KEY=VALUE, KEY!=VALUE, KEY~REGEXP, and KEY<NUMBER with <, <=, > or >=. "a.b" is the
	// field b of the object a. Other lines are not delivered.
	Fields []string
	// After resumes after the line that this was the Cursor of, or after several, with
	// blanks between: each stream goes on after its own (see Cursors), others where the
	// latest of them says, or at Since, which is for them alone then. It is for output
	// that is kept in log files; Tail does not count then.
	After string
	// Gone delivers what is still kept of slots and templates that are no more, too, and
	// templates need not be there yet. It is for output that is kept in log files.
	Gone bool
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
	// Cursor is where to go on after it, by OutputOptions.After. Only what is kept in
	// log files has one.
	Cursor string `json:"cursor,omitempty"`
}
