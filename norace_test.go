//go:build !race

package gaffer

import "strconv"

// sequences is how many random sequences a test tries.
func sequences(n int) string { return strconv.Itoa(n) }
