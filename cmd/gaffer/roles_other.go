//go:build !linux

package main

import "errors"

// canHold says that the daemon's services can be another process's.
const canHold = false

func play([]string) (status int, played bool) { return 0, false }

func becomeHolder(int, []string) error { return errors.ErrUnsupported }
