package gaffer

import (
	"context"
	"time"
)

// sampling is who watches what processes use.
type sampling struct{}

func (s *sampling) close() {}

// Stats implements Controller.
func (m *Manager) Stats(ctx context.Context, target Target) ([]Stats, error) {
	return nil, nil
}

// Monitor implements Controller.
func (m *Manager) Monitor(ctx context.Context, target Target, interval time.Duration) (Stream[[]Stats], error) {
	return nil, nil
}
