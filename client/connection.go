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
	body    io.ReadCloser
	r       *bufio.Reader
	long    []byte // a line that is longer than r's buffer
	hangUp  context.CancelFunc
	watch   *time.Timer // hangs up when nothing has come for too long
	silence time.Duration
}

func newConnection(body io.ReadCloser, hangUp context.CancelFunc, silence time.Duration) *connection {
	return &connection{
		body: body, r: bufio.NewReaderSize(body, 32<<10), hangUp: hangUp,
		watch: time.AfterFunc(silence, hangUp), silence: silence,
	}
}

func (c *connection) close() {
	c.watch.Stop()
	c.hangUp()
	_ = c.body.Close() // what it says has no meaning any more
}

// line is the next line without its end, valid until the next call. What comes
// without an end was cut off, and is nothing.
func (c *connection) line() ([]byte, error) {
	if c.r.Buffered() == 0 {
		c.watch.Reset(c.silence)
	}
	c.long = c.long[:0]
	for {
		part, err := c.r.ReadSlice('\n')
		switch {
		case err == nil && len(c.long) == 0:
			return bytes.TrimSpace(part), nil
		case err == nil || errors.Is(err, bufio.ErrBufferFull):
			c.long = append(c.long, part...)
			c.watch.Reset(c.silence)
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
