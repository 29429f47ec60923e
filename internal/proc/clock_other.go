//go:build !linux

package proc

import "errors"

func watchClock(func()) (func(), error) { return nil, errors.ErrUnsupported }
