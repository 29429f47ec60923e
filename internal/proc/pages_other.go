//go:build !linux

package proc

// DropProgramPages does nothing here.
func DropProgramPages() {}
