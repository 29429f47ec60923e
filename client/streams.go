package client

import (
	"context"
	"time"

	"github.com/gafferpm/gaffer"
)

// LogOptions says what of the output to deliver, as gaffer.OutputOptions and in
// addition by time and text.
type LogOptions struct {
	gaffer.OutputOptions
	Since, Until time.Time // what was written within; zero: no limit
	Grep         string    // lines that this regular expression (RE2) matches; "": all
}

// Monitor implements gaffer.Controller.
func (c *Client) Monitor(ctx context.Context, target gaffer.Target, interval time.Duration) (gaffer.Stream[[]gaffer.Stats], error) {
	return nil, ErrUnsupported
}

// Subscribe implements gaffer.Controller.
func (c *Client) Subscribe(ctx context.Context, target gaffer.Target, how gaffer.EventOptions) (gaffer.Stream[gaffer.Event], error) {
	return nil, ErrUnsupported
}

// Output implements gaffer.Controller.
func (c *Client) Output(ctx context.Context, target gaffer.Target, how gaffer.OutputOptions) (gaffer.Stream[gaffer.Output], error) {
	return c.Logs(ctx, target, LogOptions{OutputOptions: how})
}

// Logs is Output that can be narrowed by time and text. The daemon does that, so
// that what is not wanted is not sent.
func (c *Client) Logs(ctx context.Context, target gaffer.Target, how LogOptions) (gaffer.Stream[gaffer.Output], error) {
	return nil, ErrUnsupported
}

// Write implements gaffer.Controller.
func (c *Client) Write(ctx context.Context, target gaffer.Target, label string, data []byte) error {
	return ErrUnsupported
}
