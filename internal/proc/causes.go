package proc

// Listener is a program that listens on a port.
type Listener struct {
	PID     int    // 0: it is not permitted to know
	Command string // as the kernel abbreviates it
}
