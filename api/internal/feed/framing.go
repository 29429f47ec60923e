package feed

import "strconv"

// framing is how values are put on the wire, one after the other. Its methods
// append.
type framing interface {
	contentType() string
	event(b []byte, e *encoding) []byte
	// record is a value in JSON that has no number.
	record(b []byte, kind string, json []byte) []byte
	missed(b []byte, n int) []byte
	heartbeat(b []byte) []byte
	end(b []byte) []byte
}

// sse is server-sent events: a message for each value.
type sse struct{}

func (sse) contentType() string                { return "text/event-stream" }
func (sse) event(b []byte, e *encoding) []byte { return append(b, e.message...) }
func (sse) heartbeat(b []byte) []byte          { return append(b, ": \n\n"...) }
func (sse) end(b []byte) []byte                { return sse{}.record(b, "end", []byte(`{"end":true}`)) }

func (sse) record(b []byte, kind string, json []byte) []byte {
	b = append(b, "event: "...)
	b = append(b, kind...)
	b = append(b, "\ndata: "...)
	b = append(b, json...)
	return append(b, "\n\n"...)
}

func (sse) missed(b []byte, n int) []byte {
	return sse{}.record(b, "missed", appendMissed(nil, n))
}

// position is a message without data: a client that is cut resumes after it.
func (sse) position(b []byte, seq uint64) []byte {
	b = append(b, "id: "...)
	b = strconv.AppendUint(b, seq, 10)
	return append(b, "\n\n"...)
}

// ndjson is a line of JSON for each value.
type ndjson struct{}

func (ndjson) contentType() string                { return "application/x-ndjson" }
func (ndjson) event(b []byte, e *encoding) []byte { return append(b, e.line()...) }
func (ndjson) heartbeat(b []byte) []byte          { return append(b, '\n') }
func (ndjson) end(b []byte) []byte                { return append(b, `{"end":true}`+"\n"...) }
func (ndjson) missed(b []byte, n int) []byte      { return append(appendMissed(b, n), '\n') }

func (ndjson) record(b []byte, _ string, json []byte) []byte {
	return append(append(b, json...), '\n')
}

func appendMissed(b []byte, n int) []byte {
	b = append(b, `{"missed":`...)
	b = strconv.AppendInt(b, int64(n), 10)
	return append(b, '}')
}
