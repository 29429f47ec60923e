//go:build !linux

package proc

import (
	"errors"
	"fmt"
)

// Sampler reads what processes use: on Linux. Here there is none.
type Sampler struct{}

// NewSampler always returns an error: what processes use is read on Linux only.
func NewSampler() (*Sampler, error) {
	return nil, fmt.Errorf("process statistics: %w", errors.ErrUnsupported)
}

// Close does nothing.
func (*Sampler) Close() error { return nil }

// Sample returns an error, as NewSampler does.
func (*Sampler) Sample([]int, Want, func(*Usage)) error { return errors.ErrUnsupported }

// TotalMemory is the system's memory in bytes, 0 if that is not known.
func TotalMemory() uint64 { return 0 }
