// Package holder is the tiny program that is the parent of all services and outlives
// the manager, with its spawner, and the manager's end of the line to it (Linux).
//
// Three processes of one binary share the work. The holder is what was started as the
// daemon: it holds services, their streams and how they ended, forwards signals and
// gives the exit status; it knows nothing else. The spawner, its child, starts
// programs as the holder's children. The manager, its other child, is all the rest; when it
// dies, the next one is told what there is and goes on.
package holder
