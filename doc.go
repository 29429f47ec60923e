// Package gaffer keeps processes alive. It starts programs from templates, keeps
// the wanted number of them running, scales them, stops whole trees of processes
// cleanly, and tells of their events, their output and what they use.
//
// # Which function do I want?
//
// Make a [Manager] with [New], give it templates with [Manager.Add], and call
// [Manager.Run], which returns when its context has ended and everything has
// been stopped. Everything else can be asked at any time and from any goroutine:
//
//	Add, Update, Remove           templates
//	Start, Stop, Restart, Scale   what should run
//	Signal, Write                 to what runs
//	List, Groups, Stats           how things are
//	Subscribe, Output, Monitor    how they go on, as a [Stream]
//	Once                          the next event of a kind
//
// What is asked for is selected by a [Target]: "web" is a template, "web.2" its
// second slot, "jobs:*" a group, "*" all, "17" the process with that id.
//
// # What to rely on
//
// A context bounds the waiting, never the doing: a Stop whose context ends has
// still asked everything to stop, and it will be killed in the end.
//
// Every process that is started and watched has one spawn event and one exit
// event. Events are numbered without a gap, and those of one template are in the
// order in which they happened. Nobody waits for a slow reader: it loses the
// oldest values, and is told how many, by a [Missed] error in their place.
//
// Errors wrap [ErrNotFound], [ErrConflict], [ErrInvalid] or [ErrClosed].
//
// # In whose process
//
// The manager installs no signal handler and changes nothing of the program
// that embeds it, unless [Options] says so. On Linux it needs neither a thread
// nor a goroutine per process; elsewhere it takes one of each.
package gaffer
