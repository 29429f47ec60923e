package feed

import (
	"context"
	"io"
	"time"

	"github.com/gafferpm/gaffer"
)

// bounded is output that ends at a time.
type bounded struct {
	gaffer.Stream[gaffer.Output]
	end time.Time
}

func until(output gaffer.Stream[gaffer.Output], end time.Time) gaffer.Stream[gaffer.Output] {
	if end.IsZero() {
		return output
	}
	return &bounded{output, end}
}

// Next implements gaffer.Stream. It is io.EOF when it is too late for anything.
func (s *bounded) Next(ctx context.Context) (gaffer.Output, error) {
	end := s.end
	if soon := time.Now().Add(gatherTime); end.Before(soon) {
		end = soon // what waits was written before
	}
	wait, cancel := context.WithDeadline(ctx, end)
	defer cancel()
	o, err := s.Stream.Next(wait)
	if err != nil && wait.Err() != nil && ctx.Err() == nil || err == nil && o.Time.After(s.end) {
		return gaffer.Output{}, io.EOF
	}
	return o, err
}
