package client

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/url"
	"strconv"
	"sync/atomic"

	"github.com/coder/websocket"

	"github.com/gafferpm/gaffer"
)

// AttachOptions say what of a process's output an Attachment delivers.
type AttachOptions struct {
	// Labels are the streams wanted, by label. None means all.
	Labels []string
	// Lines delivers lines instead of bytes as they come.
	Lines bool
	// Tail is how much of what was written before comes first: bytes, or lines with
	// Lines. 0 is nothing, -1 all that is kept.
	Tail int
	// After resumes after the output that this was the Cursor of. Tail does not count then.
	After string
}

// Attachment is a connection to one process, both ways, until that ends. Several can be
// made to the same process: each gets all that it writes.
type Attachment struct {
	socket *socket
	items  chan item[gaffer.Output] // closed at the end
	exit   *gaffer.Exit             // set before that
	final  error
	told   atomic.Bool
}

// InputError is the error in the place of output when something that was sent to a process
// before could not be brought to it. The connection goes on.
type InputError struct{ Text string }

func (e *InputError) Error() string { return e.Text }

// Attach connects to the one process that target selects. ErrConflict: its template is
// detached, so that nobody has its streams.
func (c *Client) Attach(ctx context.Context, target gaffer.Target, how AttachOptions) (*Attachment, error) {
	query := url.Values{"tail": {strconv.Itoa(how.Tail)}}
	for _, l := range how.Labels {
		query.Add("stream", l)
	}
	if how.Lines {
		query.Set("lines", "true")
	}
	if how.After != "" {
		query.Set("after", how.After)
	}
	s, err := c.dial(ctx, target, "/attach", query)
	if err != nil {
		return nil, err
	}
	a := &Attachment{socket: s, items: make(chan item[gaffer.Output], waiting)}
	s.done.Go(a.receive)
	context.AfterFunc(s.ctx, s.close)
	return a, nil
}

// receive reads what the daemon says, to the end.
func (a *Attachment) receive() {
	defer close(a.items)
	for {
		_, data, err := a.socket.conn.Read(a.socket.ctx)
		if err != nil {
			a.final = a.socket.lost(err)
			return
		}
		it, end, err := a.read(data)
		switch {
		case err != nil:
			a.final = fmt.Errorf("%s: attach: %w", a.socket.c.host, err)
			return
		case end:
			a.final = a.whose()
			return
		}
		select {
		case a.items <- it:
		case <-a.socket.ctx.Done():
			a.final = a.socket.lost(a.socket.ctx.Err())
			return
		}
	}
}

// read reads a message.
func (a *Attachment) read(data []byte) (it item[gaffer.Output], end bool, err error) {
	for _, prefix := range [...]string{`{"missed":`, `{"error":`, `{"end":`} {
		if !bytes.HasPrefix(data, []byte(prefix)) {
			continue
		}
		var said struct {
			Missed int
			Error  string
			End    bool
			Exit   *gaffer.Exit
		}
		if err := json.Unmarshal(data, &said); err != nil {
			return it, false, err
		}
		switch {
		case said.End:
			a.exit = said.Exit
			return it, true, nil
		case said.Error != "":
			it.err = &InputError{said.Error}
		default:
			it.err = gaffer.Missed(max(said.Missed, 0))
		}
		return it, false, nil
	}
	err = json.Unmarshal(data, &it.value)
	return it, false, err
}

// whose is what it means that the daemon has said that it is over: the process has ended,
// or the daemon does.
func (a *Attachment) whose() error {
	if a.exit != nil {
		return io.EOF
	}
	_, _, err := a.socket.conn.Read(a.socket.ctx)
	if websocket.CloseStatus(err) == websocket.StatusNormalClosure {
		return io.EOF
	}
	return a.socket.lost(errors.New("the daemon ends"))
}

// Next waits for the next piece of output. The error is a gaffer.Missed where some was
// lost, or an InputError; after both it goes on. io.EOF: the process has ended. ErrLost: the
// connection has; the process may go on.
func (a *Attachment) Next(ctx context.Context) (gaffer.Output, error) {
	if err := ctx.Err(); err != nil {
		return gaffer.Output{}, err
	}
	select {
	case it, more := <-a.items:
		if more {
			return it.value, it.err
		}
		a.told.Store(true)
		return gaffer.Output{}, a.final
	case <-ctx.Done():
		return gaffer.Output{}, ctx.Err()
	}
}

// Len is how many pieces wait.
func (a *Attachment) Len() int { return len(a.items) }

// Exit is how the process has ended, once Next has said that it has; nil: that is not
// known.
func (a *Attachment) Exit() *gaffer.Exit {
	if !a.told.Load() {
		return nil
	}
	return a.exit
}

// Write sends bytes to stdin or to a custom stream. Next tells what can't be written.
func (a *Attachment) Write(label string, data []byte) error {
	for {
		n := min(len(data), largestPiece)
		var err error
		if label == "stdin" || label == "" {
			err = a.socket.send(websocket.MessageBinary, data[:n])
		} else {
			err = a.socket.say(map[string]any{"label": label, "base64": data[:n]})
		}
		if err != nil {
			return err
		}
		if data = data[n:]; len(data) == 0 {
			return nil
		}
	}
}

// Resize says how large the window is that the process's terminal is shown in.
func (a *Attachment) Resize(size gaffer.WindowSize) error {
	if err := size.Check(); err != nil {
		return err
	}
	return a.socket.say(map[string]gaffer.WindowSize{"resize": size})
}

// Close ends the connection. The process goes on.
func (a *Attachment) Close() { a.socket.close() }
