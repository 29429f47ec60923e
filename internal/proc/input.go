package proc

import (
	"context"
	"errors"
	"fmt"
	"os"
	"syscall"
	"time"
)

// input is a stream that is written to by callers and read by a process.
type input struct {
	file *os.File      // non-blocking; closed when the process has ended
	turn chan struct{} // holds one token; who has it writes
}

func newInputFile(f *os.File) *input {
	in := &input{file: f, turn: make(chan struct{}, 1)}
	in.turn <- struct{}{}
	return in
}

func newInput(fd int, name string) *input {
	return newInputFile(os.NewFile(uintptr(fd), name))
}

// writeInput is Process.Write for a process with these inputs: stdin, then the
// custom streams, nil where there is none.
func writeInput(ctx context.Context, inputs []*input, pid, stream int, data []byte) (int, error) {
	i := stream
	if stream >= Custom {
		i = 1 + stream - Custom
	}
	if stream < 0 || stream == Stdout || stream == Stderr || i >= len(inputs) || inputs[i] == nil {
		return 0, fmt.Errorf("process %d: stream %d is not for writing: %w", pid, stream, syscall.EBADF)
	}
	n, err := inputs[i].write(ctx, data)
	if err == nil || errors.Is(err, ErrClosed) || errors.Is(err, ctx.Err()) {
		return n, err
	}
	return n, fmt.Errorf("process %d: stream %d: %w", pid, stream, err)
}

// Input is a stream that a process reads, for whoever has opened it.
type Input struct{ in *input }

// NewInput takes over a file that does not block.
func NewInput(f *os.File) *Input { return &Input{newInputFile(f)} }

// Write is Process.Write.
func (i *Input) Write(ctx context.Context, data []byte) (int, error) { return i.in.write(ctx, data) }

// Close closes the file.
func (i *Input) Close() error { return i.in.file.Close() }

// resizeInput is Process.Resize for a process with these inputs.
func resizeInput(inputs []*input, pid int, size WindowSize) error {
	err := error(syscall.ENOTTY)
	if len(inputs) > 0 && inputs[0] != nil {
		err = Resize(inputs[0].file, size)
	}
	switch {
	case err == nil:
		return nil
	case errors.Is(err, os.ErrClosed):
		return ErrClosed
	}
	return fmt.Errorf("process %d: window size: %w", pid, err)
}

// write writes all of data, or as much as ctx and the process allow.
func (in *input) write(ctx context.Context, data []byte) (int, error) {
	select {
	case <-in.turn:
	case <-ctx.Done():
		return 0, ctx.Err()
	}
	defer func() { in.turn <- struct{}{} }()
	if err := ctx.Err(); err != nil {
		return 0, err
	}

	interrupted := make(chan struct{})
	stop := context.AfterFunc(ctx, func() {
		_ = in.file.SetWriteDeadline(time.Unix(1, 0))
		close(interrupted)
	})
	n, err := in.file.Write(data)
	if !stop() {
		<-interrupted
		_ = in.file.SetWriteDeadline(time.Time{})
	}
	switch {
	case errors.Is(err, os.ErrDeadlineExceeded):
		return n, ctx.Err()
	case errors.Is(err, os.ErrClosed), errors.Is(err, syscall.EPIPE), errors.Is(err, syscall.ECONNRESET), errors.Is(err, syscall.EIO):
		return n, ErrClosed
	}
	return n, err
}
