//go:build !linux

package proc

import (
	"context"
	"errors"
	"syscall"
)

func strays(Search) []Stray { return nil }

func endStrays(context.Context, []Stray, func(Stray) syscall.Signal) ([]Stray, error) {
	return nil, errors.ErrUnsupported
}
