package client

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"time"
)

// largestLine is how long a line of a stream may be, in bytes: a reading of
// 10,000 processes has a tenth of it.
const largestLine = 64 << 20

// connection is the answer to a request for a stream: a line for each value, and
// an empty one now and then when there is none. It belongs to one goroutine.
type connection struct {
	body   *watched
	r      *bufio.Reader
	long   []byte // a line that is longer than r's buffer
	hangUp context.CancelFunc
}

func newConnection(body io.ReadCloser, hangUp context.CancelFunc, silence time.Duration) *connection {
	w := &watched{body, time.AfterFunc(silence, hangUp), silence}
	w.patience.Stop()
	return &connection{body: w, r: bufio.NewReaderSize(w, 32<<10), hangUp: hangUp}
}

func (c *connection) close() {
	c.hangUp()
	_ = c.body.Close() // what it says has no meaning any more
}

// watched is a body that is given up when a read brings nothing for too long. The
// time between reads, when nobody wants more, does not count.
type watched struct {
	io.ReadCloser
	patience *time.Timer
	silence  time.Duration
}

func (w *watched) Read(b []byte) (int, error) {
	w.patience.Reset(w.silence)
	defer w.patience.Stop()
	return w.ReadCloser.Read(b)
}

// line is the next line without its end, valid until the next call. What comes
// without an end was cut off, and is nothing.
func (c *connection) line() ([]byte, error) {
	c.long = c.long[:0]
	for {
		part, err := c.r.ReadSlice('\n')
		switch {
		case err == nil && len(c.long) == 0:
			return bytes.TrimSpace(part), nil
		case err == nil || errors.Is(err, bufio.ErrBufferFull):
			c.long = append(c.long, part...)
		default:
			return nil, fmt.Errorf("%w: %w", errBroken, err)
		}
		switch {
		case len(c.long) > largestLine:
			return nil, fmt.Errorf("stream: a line is longer than %d MiB", largestLine>>20)
		case err == nil:
			return bytes.TrimSpace(c.long), nil
		}
	}
}

// sign is a line that is no value.
type sign struct {
	Missed *int `json:"missed"`
	End    bool `json:"end"`
}

// signs are how lines begin that are no values.
var signs = [][]byte{[]byte(`{"missed":`), []byte(`{"end":`)}

// signOf reads a line that is no value. It is nil for one that is.
func signOf(line []byte) (*sign, error) {
	for _, prefix := range signs {
		if bytes.HasPrefix(line, prefix) {
			s := new(sign)
			return s, json.Unmarshal(line, s)
		}
	}
	return nil, nil
}
