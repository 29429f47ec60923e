//go:build !linux

package proc

func newStarter(o Options) (starter, error) { return newPortable(o) }
