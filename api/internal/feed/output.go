package feed

import (
	"encoding/json"
	"strconv"
	"time"
	"unicode/utf8"

	"github.com/gafferpm/gaffer"
)

// appendOutput appends what json.Marshal makes of an output, which for the lines
// of a chatty process takes ten times as long.
func appendOutput(b []byte, o *gaffer.Output) ([]byte, error) {
	if !plain([]byte(o.Name)) || !plain([]byte(o.Label)) || !plain([]byte(o.Cursor)) || !utf8.Valid(o.Data) || o.Time.Year() < 0 || o.Time.Year() > 9999 {
		own := *o // that of the caller stays on its stack
		data, err := json.Marshal(own)
		return append(b, data...), err
	}
	b = append(b, `{"name":"`...)
	b = append(b, o.Name...)
	b = append(b, `","id":`...)
	b = strconv.AppendUint(b, o.ID, 10)
	b = append(b, `,"slot":`...)
	b = strconv.AppendInt(b, int64(o.Slot), 10)
	b = append(b, `,"label":"`...)
	b = append(b, o.Label...)
	b = append(b, `","time":"`...)
	b = o.Time.AppendFormat(b, time.RFC3339Nano)
	b = append(b, '"')
	if o.Partial {
		b = append(b, `,"partial":true`...)
	}
	if o.Cursor != "" {
		b = append(b, `,"cursor":"`...)
		b = append(b, o.Cursor...)
		b = append(b, '"')
	}
	b = append(b, `,"data":"`...)
	b = appendQuoted(b, o.Data)
	return append(b, `"}`...), nil
}

// appendQuoted appends text, which is UTF-8, as it stands in a JSON string.
func appendQuoted(b, text []byte) []byte {
	const hex = "0123456789abcdef"
	from := 0
	for i := 0; i < len(text); {
		c := text[i]
		if c < utf8.RuneSelf && harmless(c) {
			i++
			continue
		}
		if c >= utf8.RuneSelf {
			r, n := utf8.DecodeRune(text[i:])
			if r != '\u2028' && r != '\u2029' { // they end lines in JavaScript
				i += n
				continue
			}
			b = append(b, text[from:i]...)
			b = append(b, '\\', 'u', '2', '0', '2', hex[r&15])
			i += n
			from = i
			continue
		}
		b = append(b, text[from:i]...)
		i++
		from = i
		switch c {
		case '"', '\\':
			b = append(b, '\\', c)
		case '\b':
			b = append(b, '\\', 'b')
		case '\f':
			b = append(b, '\\', 'f')
		case '\n':
			b = append(b, '\\', 'n')
		case '\r':
			b = append(b, '\\', 'r')
		case '\t':
			b = append(b, '\\', 't')
		default:
			b = append(b, '\\', 'u', '0', '0', hex[c>>4], hex[c&15])
		}
	}
	return append(b, text[from:]...)
}

// harmless says whether an ASCII byte stands for itself in JSON, also in that
// which is put into a page.
func harmless(c byte) bool {
	return c >= 0x20 && c != '"' && c != '\\' && c != '<' && c != '>' && c != '&'
}

// plain says whether a text is of such bytes alone, as names and labels are.
func plain(text []byte) bool {
	for _, c := range text {
		if c >= utf8.RuneSelf || !harmless(c) {
			return false
		}
	}
	return true
}
