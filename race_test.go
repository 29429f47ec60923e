//go:build race

package gaffer

import "strconv"

// sequences is how many random sequences a test tries: with the race detector each takes
// ten times as long, and the tests are run without it, too.
func sequences(n int) string { return strconv.Itoa(n / 10) }
