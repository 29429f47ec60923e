package feed

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/coder/websocket"

	"github.com/gafferpm/gaffer"
)

// receive brings messages to the process until the connection ends. As long as
// the process does not take one, no other is read: the client has to wait.
func (a *attachment) receive(ctx, conn context.Context) {
	buf := make([]byte, inputPiece)
	for {
		kind, message, err := a.conn.Reader(conn)
		if err != nil {
			return
		}
		a.heard.Add(1)
		if kind == websocket.MessageBinary {
			err = a.receiveBytes(ctx, message, buf)
		} else {
			err = a.receiveInput(ctx, message)
		}
		var broken *brokenError
		switch {
		case err == nil:
		case errors.As(err, &broken):
			return
		default:
			if a.sendJSON(conn, map[string]string{"error": err.Error()}) != nil {
				return
			}
		}
	}
}

// brokenError says that a message could not be read to its end.
type brokenError struct{ error }

// receiveBytes brings a message to stdin, piece by piece.
func (a *attachment) receiveBytes(ctx context.Context, message io.Reader, buf []byte) (refused error) {
	for {
		n, err := message.Read(buf)
		if n > 0 && refused == nil {
			refused = a.input(ctx, "stdin", buf[:n])
		}
		if errors.Is(err, io.EOF) {
			return refused
		}
		if err != nil {
			return &brokenError{err}
		}
	}
}

// input is a message for a stream by its label.
type input struct {
	Label  string  `json:"label"` // "" is stdin
	Data   *string `json:"data"`
	Base64 []byte  `json:"base64"`
	// Resize is for the process's terminal, and alone.
	Resize *gaffer.WindowSize `json:"resize"`
}

func (a *attachment) receiveInput(ctx context.Context, message io.Reader) error {
	text, err := io.ReadAll(message)
	if err != nil {
		return &brokenError{err}
	}
	in, data, err := readInput(text)
	switch {
	case err != nil:
		return err
	case in.Resize == nil:
		return a.input(ctx, in.Label, data)
	}
	sessions, ok := a.controller.(gaffer.Sessions)
	if !ok {
		return fmt.Errorf("resize: %w", errors.ErrUnsupported)
	}
	return sessions.Resize(ctx, a.process.target, *in.Resize)
}

// readMessage reads one JSON object.
func readMessage(text []byte, into any) error {
	d := json.NewDecoder(strings.NewReader(string(text)))
	d.DisallowUnknownFields()
	if err := d.Decode(into); err != nil {
		return invalidf("input: %v", err)
	}
	if d.More() {
		return invalidf("input: want one JSON object")
	}
	return nil
}

// readInput reads a message for a stream, or about the window.
func readInput(text []byte) (in input, data []byte, err error) {
	if err := readMessage(text, &in); err != nil {
		return in, nil, err
	}
	switch alone := in.Data == nil && in.Base64 == nil; {
	case in.Resize != nil && (!alone || in.Label != ""):
		return in, nil, invalidf("input: want resize alone")
	case in.Resize != nil:
		return in, nil, in.Resize.Check()
	case (in.Data == nil) == (in.Base64 == nil):
		return in, nil, invalidf("input: want data or base64, or resize")
	}
	if in.Label == "" {
		in.Label = "stdin"
	}
	if in.Data != nil {
		return in, []byte(*in.Data), nil
	}
	return in, in.Base64, nil
}

func (a *attachment) input(ctx context.Context, label string, data []byte) error {
	a.writing.Store(true)
	defer a.writing.Store(false)
	defer a.heard.Add(1) // before that: a ping looks at one after the other
	return a.controller.Write(ctx, a.process.target, label, data)
}
