package feed

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"time"

	"github.com/gafferpm/gaffer"
)

// inputPiece is how much of a body is read, and then written, at a time.
const inputPiece = 32 << 10

// Write serves POST /v1/processes/{target}/streams/{label}: the body goes to
// stdin or to a custom stream of one process, as it comes and as fast as the
// process takes it. The answer is 200 {"written":BYTES}.
func (f *Feed) Write(w http.ResponseWriter, r *http.Request, c gaffer.Controller, target gaffer.Target, label string) error {
	if err := query(r).err(); err != nil {
		return err
	}
	ctx, done, err := f.begin(r)
	if err != nil {
		return err
	}
	defer done()
	process, err := findOne(ctx, c, target)
	if err != nil {
		return err
	}
	rc := http.NewResponseController(w)
	// A body may come by hand, for hours. Where there is no limit that could be
	// lifted, there is nothing to lift.
	_ = rc.SetReadDeadline(time.Time{})
	// Nobody else ends the reading of a body when the feed drains.
	defer context.AfterFunc(ctx, func() { _ = rc.SetReadDeadline(time.Unix(1, 0)) })()
	n, err := f.copyIn(ctx, c, process, label, r.Body)
	if err != nil {
		return err
	}
	return f.answerJSON(w, map[string]int64{"written": n})
}

// copyIn writes a body to a process, piece by piece.
func (f *Feed) copyIn(ctx context.Context, c gaffer.Controller, process *one, label string, body io.Reader) (n int64, err error) {
	buf := make([]byte, inputPiece)
	for {
		size, end := body.Read(buf)
		if size > 0 || n == 0 && errors.Is(end, io.EOF) { // an empty body finds out whether it could be written
			if err := f.writePiece(ctx, c, process, label, buf[:size]); err != nil {
				return n, after(n, err)
			}
			n += int64(size)
		}
		switch {
		case errors.Is(end, io.EOF):
			return n, nil
		case end != nil && ctx.Err() != nil && errors.Is(context.Cause(ctx), errEnded):
			return n, after(n, fmt.Errorf("%s: %w", process.name, gaffer.ErrClosed))
		case end != nil:
			return n, after(n, fmt.Errorf("%w: %w", ErrBody, end))
		}
	}
}

// after says how much of a body was written before it went wrong.
func after(n int64, err error) error {
	if n == 0 {
		return err
	}
	return fmt.Errorf("%w (after %d bytes)", err, n)
}

// writePiece writes to a process, which must take it all in due time: nothing
// else would tell whether the client is still there.
func (f *Feed) writePiece(ctx context.Context, c gaffer.Controller, process *one, label string, data []byte) error {
	ctx, cancel := context.WithTimeout(ctx, f.opts.Stall)
	defer cancel()
	return c.Write(ctx, process.target, label, data)
}

func (f *Feed) answerJSON(w http.ResponseWriter, v any) error {
	data, err := json.Marshal(v)
	if err != nil {
		return err
	}
	a := f.open(w, wholeJSON{}.contentType())
	defer a.close()
	a.buf = append(data, '\n')
	a.flush()
	return nil
}
