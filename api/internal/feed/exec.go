package feed

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/coder/websocket"

	"github.com/gafferpm/gaffer"
)

// inputWindow is how many bytes of input a client may send that the command has not
// taken yet. Who keeps to that can always be heard: also when he sends a signal.
const inputWindow = 256 << 10

// largestWindow bounds what a client can say that it takes.
const largestWindow = 64 << 20

// Execution is what Exec asks for, beside the request.
type Execution struct {
	Target   gaffer.Target
	Sessions gaffer.Sessions
	// Begun is told the program, when it runs.
	Begun func(program string)
	// Refused is told why nothing runs, and answers what the client is told.
	Refused func(program string, err error) any
}

// execOrder is a client's first message: what to run.
type execOrder struct {
	Args     []string           `json:"args"`
	Env      map[string]string  `json:"env"`
	Terminal *gaffer.WindowSize `json:"terminal"`
	Input    bool               `json:"input"`
	// Window is how many bytes the client takes before it has said that it has taken
	// some. 0: it says nothing, and has to take what comes in due time.
	Window int `json:"window"`
}

// execWord is another message of a client: one of these.
type execWord struct {
	EndInput bool               `json:"end_input"`
	Resize   *gaffer.WindowSize `json:"resize"`
	Signal   gaffer.Signal      `json:"signal"`
	Taken    int                `json:"taken"`
}

func readOrder(text []byte) (order execOrder, err error) {
	if err := readMessage(text, &order); err != nil {
		return order, err
	}
	if order.Window < 0 || order.Window > largestWindow {
		return order, invalidf("window: %d bytes: want 0 to %d", order.Window, largestWindow)
	}
	return order, nil
}

func readExecWord(text []byte) (word execWord, err error) {
	if err := readMessage(text, &word); err != nil {
		return word, err
	}
	said := 0
	for _, is := range [...]bool{word.EndInput, word.Resize != nil, word.Signal != 0, word.Taken != 0} {
		if is {
			said++
		}
	}
	if said != 1 || word.Taken < 0 {
		return word, invalidf("input: want one of end_input, resize, signal and taken")
	}
	return word, nil
}

// Exec serves the WebSocket GET /v1/processes/{target}/exec: a command that runs as long
// as the connection does.
func (f *Feed) Exec(w http.ResponseWriter, r *http.Request, e Execution) error {
	if err := query(r).err(); err != nil {
		return err
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
	conn := accept(w, r)
	if conn == nil {
		return nil
	}
	x := &execution{feed: f, conn: conn, gone: gone, queued: make(chan struct{}, 1), room: window{left: inputWindow}}
	x.run(ctx, e)
	return nil
}

// execution is a connection to a command. The goroutine of its request sends what that
// writes, one receives, one types, and one looks whether the client is there.
type execution struct {
	feed    *Feed
	conn    *websocket.Conn
	gone    context.CancelFunc // says that the client is
	session gaffer.Session
	order   execOrder
	sending window // what the client may be sent

	room   window        // for input
	waits  atomic.Bool   // there is none, so that nothing is received
	queued chan struct{} // holds a value when there is something in the queue
	mu     sync.Mutex    // guards queue
	queue  [][]byte      // input that the command has not taken yet; nil is its end
}

func (x *execution) run(ctx context.Context, e Execution) {
	// The connection outlives ctx by what is said at the end.
	conn, cancel := context.WithCancel(context.WithoutCancel(ctx))
	defer cancel()
	if err := x.start(ctx, conn, e); err != nil {
		var broken *brokenError
		if errors.As(err, &broken) {
			_ = x.conn.CloseNow()
			return
		}
		program := ""
		if len(x.order.Args) > 0 {
			program = x.order.Args[0]
		}
		_ = x.say(conn, map[string]any{"problem": e.Refused(program, err)})
		_ = x.conn.Close(websocket.StatusNormalClosure, "")
		return
	}
	e.Begun(x.order.Args[0])
	var others sync.WaitGroup
	others.Go(func() { x.enter(ctx, conn) })
	others.Go(func() { x.watch(ctx, conn) })
	others.Go(func() {
		defer x.gone()
		x.receive(ctx, conn)
	})
	code := x.send(ctx, conn)
	_ = x.conn.Close(code, "") // it is over, however the client takes it
	x.gone()
	cancel()
	x.session.Close()
	others.Wait()
}

// start reads what is to be run, and runs it.
func (x *execution) start(ctx, conn context.Context, e Execution) error {
	wait, cancel := context.WithTimeout(ctx, x.feed.opts.Stall)
	defer cancel()
	kind, text, err := x.conn.Read(wait)
	if err != nil {
		return &brokenError{err}
	}
	if kind != websocket.MessageText {
		return invalidf("exec: want what to run first, as JSON")
	}
	if x.order, err = readOrder(text); err != nil {
		return err
	}
	x.sending.left = x.order.Window
	x.session, err = e.Sessions.Exec(ctx, e.Target, gaffer.ExecOptions{
		Args: x.order.Args, Env: x.order.Env, Terminal: x.order.Terminal, Input: x.order.Input,
	})
	if err != nil {
		return err
	}
	_ = x.say(conn, map[string]any{"started": map[string]int{"pid": x.session.PID(), "window": inputWindow}}) // or it shows later
	return nil
}

// say sends a message, which the client must take in due time.
func (x *execution) say(conn context.Context, v any) error {
	text, err := json.Marshal(v)
	if err != nil {
		return err
	}
	return x.write(conn, websocket.MessageText, text)
}

func (x *execution) write(conn context.Context, kind websocket.MessageType, data []byte) error {
	ctx, cancel := context.WithTimeout(conn, x.feed.opts.Stall)
	defer cancel()
	return x.conn.Write(ctx, kind, data)
}

// What the bytes of a binary message begin with.
const (
	ofStdout = 1
	ofStderr = 2
)

// send sends what the command writes, and how it ended.
func (x *execution) send(ctx, conn context.Context) websocket.StatusCode {
	for {
		o, err := x.session.Next(ctx)
		switch {
		case err == nil:
			err = x.sendOutput(ctx, conn, &o)
		case errors.Is(err, io.EOF) && ctx.Err() == nil && x.session.Exit() != nil:
			_ = x.say(conn, map[string]any{"exit": x.session.Exit()})
			return websocket.StatusNormalClosure
		case errors.Is(context.Cause(ctx), errEnded):
			_ = x.say(conn, end{End: true})
			return websocket.StatusGoingAway
		}
		if err != nil {
			return websocket.StatusInternalError
		}
	}
}

func (x *execution) sendOutput(ctx, conn context.Context, o *gaffer.SessionOutput) error {
	of := byte(ofStdout)
	if o.Stderr {
		of = ofStderr
	}
	for data := o.Data; len(data) > 0; {
		n := len(data)
		if x.order.Window > 0 {
			var err error
			if n, err = x.sending.take(ctx, n); err != nil {
				return err
			}
		}
		if err := x.write(conn, websocket.MessageBinary, append([]byte{of}, data[:n]...)); err != nil {
			return err
		}
		data = data[n:]
	}
	return nil
}

// receive takes what the client sends, until it is gone.
func (x *execution) receive(ctx, conn context.Context) {
	for {
		kind, data, err := x.conn.Read(conn)
		switch {
		case err != nil:
			return
		case kind == websocket.MessageBinary:
			err = x.enqueue(ctx, data)
		default:
			err = x.hear(ctx, data)
		}
		if err != nil && x.say(conn, map[string]string{"error": err.Error()}) != nil {
			return
		}
	}
}

func (x *execution) hear(ctx context.Context, text []byte) error {
	word, err := readExecWord(text)
	switch {
	case err != nil:
		return err
	case word.EndInput:
		x.put(nil)
		return nil
	case word.Resize != nil:
		return x.session.Resize(ctx, *word.Resize)
	case word.Signal != 0:
		return x.session.Signal(ctx, word.Signal)
	}
	if !x.sending.give(word.Taken, x.order.Window) {
		return invalidf("taken: %d bytes are more than were sent", word.Taken)
	}
	return nil
}

// enqueue has input typed. It waits only for a client that sends more than it may.
func (x *execution) enqueue(ctx context.Context, data []byte) error {
	for len(data) > 0 {
		x.waits.Store(true)
		n, err := x.room.take(ctx, len(data))
		x.waits.Store(false)
		if err != nil {
			return err
		}
		x.put(data[:n:n])
		data = data[n:]
	}
	return nil
}

// put appends to the queue of input; nil is its end.
func (x *execution) put(data []byte) {
	x.mu.Lock()
	x.queue = append(x.queue, data)
	x.mu.Unlock()
	select {
	case x.queued <- struct{}{}:
	default:
	}
}

// enter hands input to the command, as fast as that takes it, and tells the client.
func (x *execution) enter(ctx, conn context.Context) {
	for {
		select {
		case <-x.queued:
		case <-ctx.Done():
			return
		}
		x.mu.Lock()
		queue := x.queue
		x.queue = nil
		x.mu.Unlock()
		for _, data := range queue {
			if data == nil {
				_ = x.session.CloseInput(ctx) // that fails where there is none
				continue
			}
			err := x.session.Write(ctx, data)
			x.room.give(len(data), inputWindow)
			if err == nil {
				err = x.say(conn, map[string]int{"taken": len(data)})
			} else if ctx.Err() == nil {
				err = x.say(conn, map[string]any{"error": err.Error(), "taken": len(data)})
			}
			if err != nil {
				return
			}
		}
	}
}

// watch looks again and again whether the client is there.
func (x *execution) watch(ctx, conn context.Context) {
	ticker := time.NewTicker(x.feed.opts.Heartbeat)
	defer ticker.Stop()
	for {
		select {
		case <-ticker.C:
		case <-ctx.Done():
			return
		}
		wait, cancel := context.WithTimeout(conn, x.feed.opts.Stall)
		err := x.conn.Ping(wait)
		cancel()
		// Answers are not received while input waits for the command to take it.
		if err != nil && !x.waits.Load() {
			x.gone()
			_ = x.conn.CloseNow()
			return
		}
	}
}
