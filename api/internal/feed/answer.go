package feed

import (
	"errors"
	"net/http"
	"time"
)

// fullBatch is how much is written at once, in bytes.
const fullBatch = 32 << 10

// answer is a response that goes on for as long as there is something to say. It
// belongs to the goroutine of its request.
type answer struct {
	feed *Feed
	w    http.ResponseWriter
	rc   *http.ResponseController
	buf  []byte    // to be written; nil while there is nothing
	sent time.Time // when something was written last
	bad  bool      // the client can't be reached any more, or must not be
}

// open begins an answer: the client knows from now on that it is served.
func (f *Feed) open(w http.ResponseWriter, contentType string) *answer {
	h := w.Header()
	h.Set("Content-Type", contentType)
	h.Set("Cache-Control", "no-store")
	h.Set("X-Accel-Buffering", "no")
	h.Set("X-Content-Type-Options", "nosniff")
	a := &answer{feed: f, w: w, rc: http.NewResponseController(w)}
	// The limits are those of a request that is answered at once. Where there are
	// none that could be lifted, there is nothing to lift.
	_ = a.rc.SetReadDeadline(time.Time{})
	_ = a.rc.SetWriteDeadline(time.Now().Add(f.opts.Stall))
	w.WriteHeader(http.StatusOK)
	a.flush()
	return a
}

// buffer is what is to be written next, to be appended to and put back in buf.
func (a *answer) buffer() []byte {
	if a.buf != nil {
		return a.buf
	}
	if kept, ok := a.feed.buffers.Get().(*[]byte); ok {
		return (*kept)[:0]
	}
	return make([]byte, 0, fullBatch+4096)
}

// flush writes the buffer and gives it back. It reports whether the client took it.
func (a *answer) flush() bool {
	defer a.release()
	if a.bad {
		return false
	}
	_ = a.rc.SetWriteDeadline(time.Now().Add(a.feed.opts.Stall))
	if len(a.buf) > 0 {
		if _, err := a.w.Write(a.buf); err != nil {
			a.bad = true
			return false
		}
	}
	a.sent = time.Now()
	if err := a.rc.Flush(); err != nil && !errors.Is(err, http.ErrNotSupported) {
		a.bad = true
		return false
	}
	// Silence is no stall, but with HTTP/2 the limit would end it.
	_ = a.rc.SetWriteDeadline(time.Time{})
	return true
}

// release gives the buffer to those who need one; a very large one is left to
// the collector.
func (a *answer) release() {
	if buf := a.buf; cap(buf) > 0 && cap(buf) <= 4*fullBatch {
		a.feed.buffers.Put(&buf)
	}
	a.buf = nil
}

// close gives back what was not written.
func (a *answer) close() { a.release() }

// cut ends the answer in such a way that the client sees that it is not whole.
func (a *answer) cut() {
	a.bad = true
	_ = a.rc.SetWriteDeadline(time.Unix(1, 0))
}
