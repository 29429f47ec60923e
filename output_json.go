package gaffer

import (
	"encoding/json"
	"fmt"
	"unicode/utf8"
)

// outputText is Output in JSON. What a process wrote is text there, so that it can
// be read; what is no text is base64.
type outputText struct {
	outputFields
	Data   *string `json:"data,omitempty"`
	Base64 []byte  `json:"base64,omitempty"`
}

type outputFields Output

// MarshalJSON writes Data as text under "data" where it is UTF-8, else as base64
// under "base64".
func (o Output) MarshalJSON() ([]byte, error) {
	t := outputText{outputFields: outputFields(o)}
	t.outputFields.Data = nil
	if utf8.Valid(o.Data) {
		t.Data = new(string(o.Data))
	} else {
		t.Base64 = o.Data
	}
	return json.Marshal(t)
}

// UnmarshalJSON reads what MarshalJSON writes.
func (o *Output) UnmarshalJSON(b []byte) error {
	var t outputText
	if err := json.Unmarshal(b, &t); err != nil {
		return fmt.Errorf("output: %w", err)
	}
	*o = Output(t.outputFields)
	o.Data = t.Base64
	if t.Data != nil {
		o.Data = []byte(*t.Data)
	}
	return nil
}
