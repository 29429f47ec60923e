package feed

import "strconv"

// framing is how values are put on the wire, one after the other. Its methods
// append.
type framing interface {
	contentType() string
	event(b []byte, e *encoding) []byte
	// begin and finish stand around a value in JSON that has no number.
	begin(b []byte, kind string) []byte
	finish(b []byte) []byte
	missed(b []byte, n int) []byte
	heartbeat(b []byte) []byte
	end(b []byte) []byte
}

// sse is server-sent events: a message for each value.
type sse struct{}

func (sse) contentType() string                { return "text/event-stream" }
func (sse) event(b []byte, e *encoding) []byte { return append(b, e.message...) }
func (sse) heartbeat(b []byte) []byte          { return append(b, ": \n\n"...) }
func (sse) finish(b []byte) []byte             { return append(b, "\n\n"...) }
func (sse) end(b []byte) []byte                { return append(b, "event: end\ndata: {\"end\":true}\n\n"...) }

func (sse) begin(b []byte, kind string) []byte {
	b = append(b, "event: "...)
	b = append(b, kind...)
	return append(b, "\ndata: "...)
}

func (sse) missed(b []byte, n int) []byte {
	return sse{}.finish(appendMissed(sse{}.begin(b, "missed"), n))
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
func (ndjson) begin(b []byte, _ string) []byte    { return b }
func (ndjson) finish(b []byte) []byte             { return append(b, '\n') }
func (ndjson) heartbeat(b []byte) []byte          { return append(b, '\n') }
func (ndjson) end(b []byte) []byte                { return append(b, `{"end":true}`+"\n"...) }
func (ndjson) missed(b []byte, n int) []byte      { return append(appendMissed(b, n), '\n') }

func appendMissed(b []byte, n int) []byte {
	b = append(b, `{"missed":`...)
	b = strconv.AppendInt(b, int64(n), 10)
	return append(b, '}')
}
