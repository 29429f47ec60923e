package feed

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"sync"
	"sync/atomic"

	"github.com/coder/websocket"

	"github.com/gafferpm/gaffer"
)

const (
	// subprotocol is the one that is spoken. Browsers must offer one that is
	// accepted when they offer any.
	subprotocol = "gaffer.v1"
	// largestFrame is how large a message of a client may be, in bytes.
	largestFrame = 1 << 20
)

// Attach serves the WebSocket GET /v1/processes/{target}/attach: input goes in,
// output comes out, until the process ends.
func (f *Feed) Attach(w http.ResponseWriter, r *http.Request, c gaffer.Controller, target gaffer.Target) error {
	p := query(r, "stream", "tail", "after", "lines", "bytes")
	how := gaffer.OutputOptions{Raw: !p.truth("lines", false), Labels: p.labels(), Tail: p.tail(0)}
	how.After, _ = p.one("after")
	bytesOnly := p.truth("bytes", false)
	if err := p.err(); err != nil {
		return err
	}
	if bytesOnly && !how.Raw {
		return invalidf("bytes and lines: want one of them")
	}
	if err := f.checkUpgrade(r); err != nil {
		return err
	}
	ctx, done, err := f.begin(r)
	if err != nil {
		return err
	}
	defer done()
	ctx, gone := context.WithCancel(ctx)
	defer gone()
	process, err := findOne(ctx, c, target)
	if err != nil {
		return err
	}
	if labels := process.template.Outputs(); bytesOnly && len(how.Labels) != 1 && len(labels)+len(process.template.CustomStreams) != 1 {
		return invalidf("bytes: %s writes to several streams; want one, as stream=%s", process.name, "stdout")
	}
	output, err := process.output(ctx, c, how)
	if err != nil {
		return err
	}
	defer output.Close()
	conn := accept(w, r)
	if conn == nil {
		return nil
	}
	a := &attachment{feed: f, conn: conn, controller: c, process: process, gone: gone, bytes: bytesOnly}
	a.run(ctx, output)
	return nil
}

// accept makes a WebSocket of a request that checkUpgrade has looked at. It is nil where
// that can't be: then the request has been answered.
func accept(w http.ResponseWriter, r *http.Request) *websocket.Conn {
	w.Header().Set("Cache-Control", "no-store")
	conn, err := websocket.Accept(w, r, &websocket.AcceptOptions{
		Subprotocols:       []string{subprotocol},
		InsecureSkipVerify: true, // checkUpgrade has looked at the origin
	})
	if err != nil {
		return nil
	}
	conn.SetReadLimit(largestFrame)
	return conn
}

// attachment is a connection to a process, both ways. The goroutine of its
// request sends the output; another one receives the input.
type attachment struct {
	feed       *Feed
	conn       *websocket.Conn
	controller gaffer.Controller
	process    *one
	bytes      bool               // output is sent as it is, and as nothing else
	gone       context.CancelFunc // says that the client is

	heard   atomic.Int64 // grows with all that is received, and taken by the process
	writing atomic.Bool  // the process has not yet taken what was received last
	pinging atomic.Bool  // the answer to a ping is awaited
}

// run goes on until the process has ended, the client is gone, or ctx has ended.
func (a *attachment) run(ctx context.Context, output *life) {
	// The connection outlives ctx by what is said at the end.
	conn, cancel := context.WithCancel(context.WithoutCancel(ctx))
	var others sync.WaitGroup
	others.Go(func() {
		defer a.gone()
		a.receive(ctx, conn)
	})
	code := a.send(ctx, conn, &others, output)
	_ = a.conn.Close(code, "") // it is over, however the client takes it
	a.gone()
	cancel()
	others.Wait()
}

// send sends output, and pings a client to which there is nothing to send.
func (a *attachment) send(ctx, conn context.Context, others *sync.WaitGroup, output *life) websocket.StatusCode {
	for {
		wait, cancel := context.WithTimeout(ctx, a.feed.opts.Heartbeat)
		o, err := output.Next(wait)
		silent := wait.Err() != nil
		cancel()
		var missed gaffer.Missed
		switch {
		case err == nil:
			err = a.sendOutput(conn, &o)
		case errors.As(err, &missed):
			err = a.write(conn, appendMissed(nil, int(missed)))
		case ctx.Err() != nil && !errors.Is(context.Cause(ctx), errEnded):
			return websocket.StatusGoingAway // the client is gone
		case ctx.Err() != nil:
			_ = a.write(conn, []byte(`{"end":true}`))
			return websocket.StatusGoingAway
		case errors.Is(err, io.EOF):
			_ = a.sendJSON(conn, end{End: true, Exit: output.exit})
			return websocket.StatusNormalClosure
		case silent:
			others.Go(func() { a.ping(conn) })
			err = nil
		}
		if err != nil {
			return websocket.StatusInternalError
		}
	}
}

// end is what is said when the process has ended.
type end struct {
	End  bool         `json:"end"`
	Exit *gaffer.Exit `json:"exit,omitempty"` // nil: nobody has seen how
}

func (a *attachment) sendOutput(conn context.Context, o *gaffer.Output) error {
	if a.bytes {
		ctx, cancel := context.WithTimeout(conn, a.feed.opts.Stall)
		defer cancel()
		return a.conn.Write(ctx, websocket.MessageBinary, o.Data)
	}
	data, err := appendOutput(nil, o)
	if err != nil {
		return err
	}
	return a.write(conn, data)
}

func (a *attachment) sendJSON(conn context.Context, v any) error {
	data, err := json.Marshal(v)
	if err != nil {
		return err
	}
	return a.write(conn, data)
}

// write sends a message, which the client must take in due time.
func (a *attachment) write(conn context.Context, data []byte) error {
	ctx, cancel := context.WithTimeout(conn, a.feed.opts.Stall)
	defer cancel()
	return a.conn.Write(ctx, websocket.MessageText, data)
}

// ping finds out whether a silent client is still there.
func (a *attachment) ping(conn context.Context) {
	if a.pinging.Swap(true) {
		return
	}
	defer a.pinging.Store(false)
	before := a.heard.Load()
	ctx, cancel := context.WithTimeout(conn, a.feed.opts.Stall)
	defer cancel()
	err := a.conn.Ping(ctx)
	if err == nil {
		return
	}
	// Answers are not read while input waits for the process to take it.
	waits := ctx.Err() != nil && (a.writing.Load() || a.heard.Load() != before)
	if !waits {
		a.gone()
		_ = a.conn.CloseNow()
	}
}
