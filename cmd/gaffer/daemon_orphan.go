package main

import (
	"errors"
	"syscall"
	"time"

	"github.com/gafferpm/gaffer/state"
)

// How long a manager whose holder has ended may take to make room for the next daemon,
// and how often it is looked whether it has.
const (
	orphanPatience = 20 * time.Second
	orphanAgain    = 20 * time.Millisecond
)

// takeState opens the state directory. A manager that is left of a daemon whose holder
// has ended is asked to leave: its services go on.
func takeState(dir string, o state.Options, ahead func()) (*state.State, error) {
	asked := 0
	for end := time.Now().Add(orphanPatience); ; time.Sleep(orphanAgain) {
		st, err := state.Open(dir, o)
		var held *state.HeldError
		if !errors.As(err, &held) || time.Now().After(end) {
			return st, err
		}
		switch {
		case held.Orphan && held.PID != asked:
			asked = held.PID
			ahead()
			_ = syscall.Kill(held.PID, syscall.SIGTERM)
		case held.Orphan:
		case held.PID == 0 || !errors.Is(syscall.Kill(held.PID, 0), syscall.ESRCH):
			return nil, err // else its manager is about to notice
		}
	}
}
