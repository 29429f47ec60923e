package client

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/coder/websocket"

	"github.com/gafferpm/gaffer"
)

// Resize implements gaffer.Sessions.
func (c *Client) Resize(ctx context.Context, target gaffer.Target, size gaffer.WindowSize) error {
	return c.verb(ctx, target, call{path: "/resize", body: size, again: true})
}

// Exec implements gaffer.Sessions. The command is killed when the connection ends, also
// when that breaks.
func (c *Client) Exec(ctx context.Context, target gaffer.Target, how gaffer.ExecOptions) (gaffer.Session, error) {
	sock, err := c.dial(ctx, target, "/exec", nil)
	if err != nil {
		return nil, err
	}
	s := &session{
		socket: sock, input: how.Input || how.Terminal != nil, terminal: how.Terminal != nil,
		came: make(chan struct{}, 1), over: make(chan struct{}),
	}
	if err := s.begin(ctx, how); err != nil {
		sock.close()
		return nil, err
	}
	sock.done.Go(s.receive)
	context.AfterFunc(sock.ctx, s.Close)
	return s, nil
}

// session is a command that runs at the daemon.
type session struct {
	*socket
	pid             int
	input, terminal bool
	sending         credit
	taken           int // that the daemon was not told of; the reader's

	mu     sync.Mutex             // guards pieces
	pieces []gaffer.SessionOutput // bounded: the daemon sends no more than the window
	came   chan struct{}          // holds a value when there may be some

	over   chan struct{} // closed when nothing more comes; the rest is set then
	exit   *gaffer.Exit
	broken error
	told   atomic.Bool

	refused sync.Once
	deaf    atomic.Pointer[refusal] // why input is not taken any more
}

// order is what is to be run, as it is sent.
type order struct {
	Args     []string           `json:"args"`
	Env      map[string]string  `json:"env,omitempty"`
	Terminal *gaffer.WindowSize `json:"terminal,omitempty"`
	Input    bool               `json:"input,omitempty"`
	Window   int                `json:"window"`
}

// word is what a daemon says of a command.
type word struct {
	Started *struct {
		PID    int `json:"pid"`
		Window int `json:"window"`
	} `json:"started"`
	Problem *struct {
		problem
		Status int `json:"status"`
	} `json:"problem"`
	Taken int          `json:"taken"`
	Error string       `json:"error"`
	Exit  *gaffer.Exit `json:"exit"`
	End   bool         `json:"end"`
}

// begin says what to run, and hears whether it does.
func (s *session) begin(ctx context.Context, how gaffer.ExecOptions) error {
	if err := s.say(order{how.Args, how.Env, how.Terminal, how.Input, outputWindow}); err != nil {
		return err
	}
	wait, cancel := context.WithTimeout(s.ctx, s.c.silence)
	defer cancel()
	kind, text, err := s.conn.Read(wait)
	switch {
	case err != nil && ctx.Err() != nil:
		return ctx.Err()
	case err != nil:
		return s.lost(err)
	}
	var w word
	if kind == websocket.MessageText {
		if err := json.Unmarshal(text, &w); err != nil {
			return fmt.Errorf("%s: answer: %w", s.c.host, err)
		}
	}
	switch {
	case w.Problem != nil:
		return w.Problem.refusal(w.Problem.Status)
	case w.Started == nil:
		return fmt.Errorf("%s: answer: it does not say that the command runs", s.c.host)
	}
	s.pid, s.sending.left = w.Started.PID, max(w.Started.Window, 1)
	return nil
}

// receive reads what the daemon says, to the end.
func (s *session) receive() {
	defer close(s.over)
	for {
		kind, data, err := s.conn.Read(s.ctx)
		if err != nil {
			s.broken = s.lost(err)
			return
		}
		if kind == websocket.MessageBinary {
			if len(data) > 1 {
				s.put(gaffer.SessionOutput{Stderr: data[0] == 2, Data: data[1:]})
			}
			continue
		}
		var w word
		if err := json.Unmarshal(data, &w); err != nil {
			s.broken = fmt.Errorf("%s: session: %w", s.c.host, err)
			return
		}
		switch {
		case w.Exit != nil:
			s.exit = w.Exit
			return
		case w.End:
			s.broken = &refusal{text: s.c.host + ": the daemon ends, and the command with it", causes: []error{ErrLost}}
			return
		case w.Error != "" && w.Taken > 0:
			s.refused.Do(func() { s.deaf.Store(&refusal{text: w.Error, causes: []error{gaffer.ErrConflict}}) })
		case w.Error != "":
			s.c.logger.Info("session: the daemon refuses something", "host", s.c.host, "error", w.Error)
		}
		s.sending.give(max(w.Taken, 0))
	}
}

// Next implements gaffer.Session.
func (s *session) Next(ctx context.Context) (gaffer.SessionOutput, error) {
	for over := false; !over; {
		if err := ctx.Err(); err != nil {
			return gaffer.SessionOutput{}, err
		}
		select {
		case <-s.over: // then what came before is there
			over = true
		default:
		}
		if p, ok := s.take(); ok {
			return p, nil
		}
		if over {
			break
		}
		select {
		case <-s.came:
		case <-s.over:
		case <-ctx.Done():
		}
	}
	if s.broken != nil {
		return gaffer.SessionOutput{}, s.broken
	}
	s.told.Store(true)
	return gaffer.SessionOutput{}, io.EOF
}

func (s *session) put(p gaffer.SessionOutput) {
	s.mu.Lock()
	s.pieces = append(s.pieces, p)
	s.mu.Unlock()
	select {
	case s.came <- struct{}{}:
	default:
	}
}

// take takes a piece, if there is one, and tells the daemon now and then what was taken.
func (s *session) take() (p gaffer.SessionOutput, ok bool) {
	s.mu.Lock()
	if ok = len(s.pieces) > 0; ok {
		p, s.pieces[0] = s.pieces[0], p
		s.pieces = s.pieces[1:]
	}
	s.mu.Unlock()
	s.taken += len(p.Data)
	if s.taken >= takenAtOnce {
		_ = s.say(map[string]int{"taken": s.taken}) // or the end shows next
		s.taken = 0
	}
	return p, ok
}

// Write implements gaffer.Session.
func (s *session) Write(ctx context.Context, data []byte) error {
	if !s.input {
		return &refusal{text: "the command has no input", causes: []error{gaffer.ErrConflict}}
	}
	for len(data) > 0 {
		if why := s.deaf.Load(); why != nil {
			return why
		}
		select {
		case <-s.over:
			return &refusal{text: "the command has ended", causes: []error{gaffer.ErrConflict}}
		default:
		}
		n, err := s.sending.take(ctx, s.ctx, min(len(data), largestPiece))
		if err != nil && ctx.Err() == nil {
			return s.lost(err)
		}
		if err != nil {
			return err
		}
		if err := s.send(websocket.MessageBinary, slices.Clone(data[:n])); err != nil {
			return err
		}
		data = data[n:]
	}
	return nil
}

// CloseInput implements gaffer.Session.
func (s *session) CloseInput(context.Context) error {
	return s.ended(s.say(map[string]bool{"end_input": true}))
}

// Resize implements gaffer.Session.
func (s *session) Resize(_ context.Context, size gaffer.WindowSize) error {
	if err := size.Check(); err != nil {
		return err
	}
	if !s.terminal {
		return &refusal{text: "the command has no terminal", causes: []error{gaffer.ErrConflict}}
	}
	return s.ended(s.say(map[string]gaffer.WindowSize{"resize": size}))
}

// Signal implements gaffer.Session.
func (s *session) Signal(_ context.Context, sig gaffer.Signal) error {
	if sig < 1 || sig > 64 {
		return invalidf("signal %d: want a number from 1 to 64", int(sig))
	}
	return s.ended(s.say(map[string]gaffer.Signal{"signal": sig}))
}

// ended forgives that something could not be told to a command that has ended.
func (s *session) ended(err error) error {
	if err == nil {
		return nil
	}
	select {
	case <-s.over:
		if s.exit != nil {
			return nil
		}
	case <-time.After(time.Second): // the end may be on its way
	}
	return err
}

// PID implements gaffer.Session.
func (s *session) PID() int { return s.pid }

// Exit implements gaffer.Session.
func (s *session) Exit() *gaffer.Exit {
	if !s.told.Load() {
		return nil
	}
	return s.exit
}

// Close implements gaffer.Session: the daemon kills the command when it sees that.
func (s *session) Close() { s.close() }
