package proc

// launch is one start: what to start, and what it needs that the Host opened.
type launch struct {
	spec   *Spec
	fds    []int // by the child's number; -1 is the null device
	cgroup int   // the descriptor of the directory to start in, or -1
	rules  int   // the descriptor of a Landlock ruleset; 0: there is none
}

// spawner turns a launch into a process. It is not safe for concurrent use.
type spawner interface {
	// spawn returns the process's id and a descriptor of it. An error says what
	// of the launch could not be done; then there is no process, but perhaps one that
	// has ended and that its parent has to bury, if that is not this program.
	spawn(l *launch) (pid, pidfd int, err error)
	close()
}

// places is how many descriptors the child needs.
func (l *launch) places() int {
	if l.rules > 0 {
		return len(l.fds) + 1
	}
	return len(l.fds)
}
