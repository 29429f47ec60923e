package autoscale

import "math"

// How far from its target the load has to be before anything is done, so that the number
// does not go back and forth.
const (
	above = 1.1 // of what the processes are to do: more of them
	below = 0.9 // of what fewer of them would be to do: fewer
)

// next is how many processes there should be where there are n and there is work for
// load of them, each having as much to do as it should. In one step the number at most
// doubles, or halves.
func next(n, least, most int, load float64) int {
	to := n
	switch {
	case load > above*float64(n):
		to = ceil(load, most)
		to = min(to, max(2*n, 1))
	case n > least:
		if fewer := ceil(load/below, most); fewer < n {
			to = max(fewer, n/2)
		}
	}
	return min(max(to, least), most)
}

// ceil is the whole number from x on, up to most.
func ceil(x float64, most int) int {
	if x >= float64(most) {
		return most
	}
	return int(math.Ceil(x - 1e-9)) // 3 processes for 3 times the target, whatever floats make of it
}
