package api

import (
	"net/http"
	"time"
)

// pacedWriter bounds the time in which a client of HTTP/2 takes each piece of an
// answer. Such a client says itself how much it takes, of each answer by itself, so
// that what waits for it shows nowhere on the connection.
type pacedWriter struct {
	http.ResponseWriter
	rc   *http.ResponseController
	each time.Duration
}

// paced bounds the answer to a request where the connection does not.
func paced(w http.ResponseWriter, r *http.Request, each time.Duration) http.ResponseWriter {
	if r.ProtoMajor < 2 {
		return w
	}
	return &pacedWriter{w, http.NewResponseController(w), each}
}

func (p *pacedWriter) Write(b []byte) (int, error) {
	_ = p.rc.SetWriteDeadline(time.Now().Add(p.each)) // one that has no deadlines is a test's
	return p.ResponseWriter.Write(b)
}

// Unwrap is what http.ResponseController looks for.
func (p *pacedWriter) Unwrap() http.ResponseWriter { return p.ResponseWriter }

// begunWriter remembers whether an answer has begun.
type begunWriter struct {
	http.ResponseWriter
	begun bool
}

func (b *begunWriter) WriteHeader(status int) {
	b.begun = true
	b.ResponseWriter.WriteHeader(status)
}

func (b *begunWriter) Write(p []byte) (int, error) {
	b.begun = true
	return b.ResponseWriter.Write(p)
}

// Unwrap is what http.ResponseController looks for.
func (b *begunWriter) Unwrap() http.ResponseWriter { return b.ResponseWriter }
