//go:build !linux

package proc

// hasAccessList: only the mode is looked at.
func hasAccessList(string) bool { return false }
